"""The set numbers of every cell, against loops that say in words what each norm pools."""

from itertools import product

import numpy as np
import pytest

from gnref.errors import ShapeError
from gnref.teaching.sets import FOUR, axis_names, default_groups, describe, left_out, set_numbers, shown

SHAPES = [(4, 6, 3, 3), (2, 6, 2, 2), (1, 3, 1, 1), (3, 1, 2, 1), (1, 1, 1, 1), (2, 8, 1, 5)]


def by_hand(norm, shape, G):
    """Number the sets by their key, what the cells of one set have in common, at its first appearance."""
    C = shape[1]
    numbers, seen = np.empty(shape, int), {}
    for n, c, h, w in product(*map(range, shape)):
        key = {"batch": c, "layer": n, "rms": n, "instance": (n, c), "group": (n, c // (C // G))}[norm]
        numbers[n, c, h, w] = seen.setdefault(key, len(seen))
    return numbers


@pytest.mark.parametrize("norm", [*FOUR, "rms"])
@pytest.mark.parametrize("shape", SHAPES)
def test_set_numbers_equal_a_loop_by_hand(norm, shape):
    for G in (G for G in range(1, shape[1] + 1) if shape[1] % G == 0):
        got = set_numbers(norm, shape, G)
        np.testing.assert_array_equal(got, by_hand(norm, shape, G))
        assert got.flags.writeable


@pytest.mark.parametrize("norm", FOUR)
def test_the_description_counts_what_the_numbers_show(norm):
    numbers, sets = set_numbers(norm, (4, 6, 3, 3), 3), describe(norm, (4, 6, 3, 3), 3)
    assert sets.count == numbers.max() + 1
    assert (np.bincount(numbers.ravel()) == sets.size).all()
    assert sets.per == {"batch": "C", "layer": "N", "instance": "N C", "group": "N G"}[norm]


def test_the_tally_knows_singular_and_plural():
    assert describe("batch", (4, 6, 3, 3)).tally == "6 means of 36 elements"
    assert describe("layer", (1, 3, 1, 1)).tally == "1 mean of 3 elements"
    assert describe("rms", (1, 1, 1, 1)).tally == "1 mean square of 1 element"


@pytest.mark.parametrize("norm", FOUR)
def test_sets_that_touch_have_different_tints(norm):
    sets, numbers = describe(norm, (4, 6, 2, 2), 3), set_numbers(norm, (4, 6, 2, 2), 3)
    tints = np.vectorize(sets.tint)(numbers)
    for axis in range(4):
        changes = np.diff(numbers, axis=axis) != 0
        np.testing.assert_array_equal(np.diff(tints, axis=axis) != 0, changes)


def test_other_ranks():
    assert axis_names((2, 3)) == ("N", "C")
    assert axis_names((2, 3, 4, 5, 6)) == ("N", "C", "T", "H", "W")
    assert set_numbers("group", (2, 4), 2).tolist() == [[0, 0, 1, 1], [2, 2, 3, 3]]
    with pytest.raises(ShapeError, match="expected N C"):
        axis_names((2, 3, 4, 5, 6, 7))


@pytest.mark.parametrize(
    ("shape", "G", "message"),
    [
        ((2, 6, 2, 2), 4, "num_groups is 4, which does not divide C = 6; expected one of 1, 2, 3, 6"),
        ((2, 6, 2, 2), None, "num_groups is None"),
        ((2, 0, 2, 2), 1, "expected positive integers N, C, H and W"),
        ((2, -6, 2, 2), 1, "expected positive integers"),
        ((2, 6.0, 2, 2), 1, "expected positive integers"),
        ((), 1, "expected positive integers"),
        ((1024, 1024, 1024, 1), 1, "1,073,741,824 cells; expected at most"),
    ],
)
def test_bad_shapes_and_groups_raise(shape, G, message):
    with pytest.raises(ShapeError, match=message):
        set_numbers("group", shape, G)


def test_an_unknown_norm_raises():
    with pytest.raises(ValueError, match="norm is 'weight'; expected one of batch"):
        set_numbers("weight", (2, 6, 2, 2))


def test_the_default_number_of_groups_divides_and_is_not_one_where_it_can():
    assert [default_groups(C) for C in (1, 2, 6, 7, 9, 64)] == [1, 2, 2, 7, 3, 2]


def test_what_an_abbreviation_shows_and_leaves_out():
    assert [shown(5, limit) for limit in (1, 2, 4, 5, 9)] == [
        (0,), (0, 4), (0, 1, 2, 4), (0, 1, 2, 3, 4), (0, 1, 2, 3, 4)
    ]  # fmt: skip
    assert left_out(n=((0,), 8), c=((0, 1, 3), 4)) == "n = 1 to 7, c = 2"
    assert left_out(n=((0, 1), 2)) == ""
