"""States: what is taken, and the one sentence for what is not."""

import re
from pathlib import Path

import pytest

from gnref.errors import ShapeError
from gnref.teaching.explorer.state import State, flat, nearest_groups, state_of

DOCS = Path(__file__).parents[3] / "docs"


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
    "fields",
    [
        {},
        {"norm": "bn", "n": 4, "c": 5, "h": 1, "w": 3, "cell": (3, 2, 0, 1)},
        {"c": 12, "g": 4, "cell": (0, 11, 1, 0), "view": "slices", "show": "dx", "task": "mark"},
    ],
)
def test_an_address_there_and_back(fields):
    state = state_of(**fields)
    assert State.from_address(state.address) == state
    assert State.from_address(state.address.removeprefix("?").replace(",", "%2C")) == state


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("?g=4", "g is 4; expected a divisor of c = 6: 1, 2, 3 or 6"),
        ("?g=", "g is ''; expected a divisor of c = 6"),
        ("?n=-1", "n is '-1'; expected a whole number from 1 to 6"),
        ("?n=\N{SUPERSCRIPT TWO}", "n is '\N{SUPERSCRIPT TWO}'; expected a whole number"),
        (f"?n={'9' * 5000}", "n is '999"),
        ("?n=1,2", "n is (1, 2); expected a whole number"),
        ("?norm=3", "norm is '3'; expected 'bn', 'ln'"),
        ("?cell=0,x,0,0", "cell is '0,x,0,0'; expected (n, c, h, w) from (0, 0, 0, 0) to (1, 5, 1, 1)"),
        ("?cell=0,0", "cell is (0, 0); expected (n, c, h, w)"),
        ("?lesson=3", "address has the field 'lesson'; expected norm, n, c, h, w, g, cell, view"),
    ],
)
def test_an_address_that_is_not_taken_gets_the_same_sentence(address, sentence):
    with pytest.raises(ValueError, match=r"; expected ") as caught:
        State.from_address(address)
    assert str(caught.value).startswith(sentence)


def test_every_explorer_of_the_site_has_an_address_that_is_taken():
    text = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    addresses = re.findall(r"^```\{explorer\} (.+)$", text, re.MULTILINE)
    assert addresses
    for address in addresses:
        State.from_address(address)


@pytest.mark.parametrize(
    ("norm", "title"),
    [("bn", "BatchNorm"), ("gn", "GroupNorm, G = 3"), ("ln-pytorch", "PyTorch's LayerNorm")],
)
def test_title(norm, title):
    assert state_of(norm).title == title
