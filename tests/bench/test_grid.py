from collections import Counter
from math import prod

import pytest

from gnref.bench.grid import DIRECTIONS, NORMS, Row, grid, quick, select


def test_every_row_is_there_once_and_in_both_directions():
    rows = grid()
    assert len(rows) == len({row.name for row in rows}) == 90
    assert Counter(row.direction for row in rows) == dict.fromkeys(DIRECTIONS, 45)
    assert {row.norm for row in rows} == set(NORMS)
    assert {row.norm for row in rows if row.layout} == {"batch", "group"}
    assert {row.dtype for row in rows} == {"float16", "bfloat16", "float32", "float64"}


def test_shapes_fit_their_norms():
    for row in grid():
        C = row.shape[row.channel_axis]
        assert (row.num_groups is None) == (row.norm != "group")
        assert C % (row.num_groups or 1) == 0
        assert row.normalized_shape == (row.shape[1:] if row.norm == "layer" else None)
        assert (row.num_groups == 8) == (row.norm == "group" and C == 64)


def test_the_channels_last_rows_are_the_others_with_their_axes_moved():
    first = {row.shape for row in grid() if row.norm == "group" and not row.layout and len(row.shape) == 4}
    last = {row.shape for row in grid() if row.norm == "group" and row.layout}
    assert {(s[0], *s[2:], s[1]) for s in first} == last


def test_quick_is_a_small_part():
    assert len(quick()) == 8
    assert set(quick()) < set(grid())
    assert {row.norm for row in quick()} == set(NORMS)


def test_sizes():
    row = Row("group", "forward", (8, 256, 56, 56), "float16", num_groups=32)
    assert row.nbytes == 2 * prod(row.shape)
    assert not row.large
    assert row._replace(dtype="float32").large


def test_select_keeps_what_has_every_word():
    rows = select(grid(), ["group"], "forward last 32x7")
    assert [row.name for row in rows] == ["group forward 32x7x7x512 float32 last"]
    assert select(grid()) == grid()


def test_nothing_selected_raises():
    with pytest.raises(ValueError, match="--rows is 'sideways', which no row has in its name"):
        select(grid(), (), "sideways")
