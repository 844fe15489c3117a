"""States: what is taken, and the one sentence for what is not."""

import pytest

from gnref.errors import ShapeError
from gnref.teaching.explorer.state import flat, nearest_groups, state_of


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"g": 4}, "g is 4; expected a divisor of c = 6: 1, 2, 3 or 6"),
        ({"c": 1, "g": 3}, "g is 3; expected a divisor of c = 1: 1"),
        ({"g": "3"}, "g is '3'; expected a divisor of c = 6: 1, 2, 3 or 6"),
        ({"n": 7}, "n is 7; expected a whole number from 1 to 6"),
        ({"c": 0}, "c is 0; expected a whole number from 1 to 12"),
        ({"h": 1.0}, "h is 1.0; expected a whole number from 1 to 4"),
        ({"w": True}, "w is True; expected a whole number from 1 to 4"),
        ({"norm": "rms"}, "norm is 'rms'; expected 'bn', 'ln', 'in', 'gn' or 'ln-pytorch'"),
        ({"norm": ["bn"]}, "norm is ['bn']; expected 'bn', 'ln', 'in', 'gn' or 'ln-pytorch'"),
        ({"view": None}, "view is None; expected 'block' or 'slices'"),
        (
            {"cell": (0, 6, 0, 0)},
            "cell is (0, 6, 0, 0); expected (n, c, h, w) from (0, 0, 0, 0) to (1, 5, 1, 1)",
        ),
        ({"cell": (0, -1, 0, 0)}, "cell is (0, -1, 0, 0); expected"),
        ({"cell": (0, 0)}, "cell is (0, 0); expected"),
        ({"cell": "0000"}, "cell is '0000'; expected"),
        ({"cell": (0, 0, 0, "0")}, "cell is (0, 0, 0, '0'); expected"),
    ],
)
def test_what_is_not_taken_gets_a_sentence(fields, sentence):
    with pytest.raises(ValueError, match=r"; expected ") as caught:
        state_of(**fields)
    assert str(caught.value).startswith(sentence)
    assert isinstance(caught.value, ShapeError) == (set(fields) <= set("nchwg") | {"cell"})


@pytest.mark.parametrize(("c", "g"), [(1, 1), (2, 2), (4, 4), (6, 3), (7, 1), (8, 4), (10, 2), (12, 3)])
def test_g_is_the_nearest_divisor_unless_told(c, g):
    assert state_of(c=c).g == nearest_groups(3, c) == g


def test_a_list_is_a_cell_too():
    state = state_of(cell=[1, 5, 1, 0])
    assert state.cell == (1, 5, 1, 0)
    assert flat(state) == 46


def test_address_says_what_was_changed_only():
    assert state_of().address == "?norm=gn&n=2&c=6&h=2&w=2&g=3&cell=0,0,0,0"
    changed = state_of(view="slices", show="weight", task="count", theme="dark").address
    assert changed.endswith("&view=slices&show=weight&task=count")


@pytest.mark.parametrize(
    ("norm", "title"),
    [("bn", "BatchNorm"), ("gn", "GroupNorm, G = 3"), ("ln-pytorch", "PyTorch's LayerNorm")],
)
def test_title(norm, title):
    assert state_of(norm).title == title
