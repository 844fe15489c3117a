"""The numbers beside the widget: against gnref's own passes, and in words."""

import numpy as np
import pytest

import gnref
from gnref.teaching.explorer.numbers import EPS, alternative, block, numbers_of, shared
from gnref.teaching.explorer.state import state_of

FORWARD = {
    "bn": lambda x, g: gnref.batch_norm_forward(x, eps=EPS),
    "ln": lambda x, g: gnref.group_norm_forward(x, 1, eps=EPS),
    "in": lambda x, g: gnref.instance_norm_forward(x, eps=EPS),
    "gn": lambda x, g: gnref.group_norm_forward(x, g, eps=EPS),
    "ln-pytorch": lambda x, g: gnref.layer_norm_forward(x, x.shape[1:], eps=EPS),
}


@pytest.mark.parametrize("norm", FORWARD)
@pytest.mark.parametrize("sizes", [{}, {"n": 3, "c": 8, "h": 1, "w": 3}])
def test_numbers_are_those_of_the_library(norm, sizes):
    state = state_of(norm, **sizes, cell=(1, 4, 0, 1))
    of = numbers_of(state)
    y, saved = FORWARD[norm](of.x, state.g)
    dy = np.zeros(state.shape)
    dy[state.cell] = 1.0
    np.testing.assert_allclose(of.xhat[of.same], y[of.same], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(of.dx, gnref.backward(dy, saved)[0], rtol=1e-12, atol=1e-12)
    assert of.m == of.same.sum()
    assert of.same[state.cell]


def test_a_cell_keeps_its_number_while_the_block_grows():
    small, large = numbers_of(state_of(n=1, c=2, h=1)), numbers_of(state_of(n=6, c=12, h=4, w=4))
    assert np.array_equal(large.x, block())
    assert np.array_equal(small.x, large.x[:1, :2, :1, :2])


@pytest.mark.parametrize(("norm", "many"), [("ln-pytorch", 24), ("ln", 6), ("bn", 6)])
def test_who_shares_a_weight(norm, many):
    weights = shared(state_of(norm, show="weight"))
    assert len(np.unique(weights)) == many
    assert np.array_equal(weights[0], weights[1])


def test_words_say_the_numbers():
    words = alternative(state_of(cell=(0, 2, 1, 0)))
    for part in (
        "GroupNorm, G = 3",
        "2 × 6 × 2 × 2",
        "6 means of 8 elements",
        "c = 2 to 3, all h and w, with mean 0.0725 and variance 1.2232",
    ):
        assert part in words


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"show": "weight"}, "In full colour: the 8 cells with weight[2] of shape (6,)."),
        (
            {"norm": "ln-pytorch", "show": "weight"},
            "In full colour: the 2 cells with weight[2, 1, 0] of shape (6, 2, 2).",
        ),
        (
            {"show": "dx"},
            "In colour: what its dy adds to dx in each of the 8 cells of its set, which sums to 0.",
        ),
        ({"norm": "in", "h": 1, "w": 1, "cell": (0, 2, 0, 0), "show": "dx"}, "Its dy reaches no dx."),
    ],
)
def test_words_say_what_is_in_colour(fields, sentence):
    shown = {"cell": (0, 2, 1, 0)} | fields
    before = alternative(state_of(**shown | {"show": "mean"}))
    assert alternative(state_of(**shown)) == f"{before} {sentence}"


@pytest.mark.parametrize("task", ["mark", "count"])
def test_words_do_not_answer_the_exercise(task):
    words = alternative(state_of(task=task))
    assert "An exercise: " in words
    assert "6 means" not in words
    assert "set is" not in words
