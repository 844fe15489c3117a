"""The paper's figures: each once, of the right status, and agreeing with what its text says of them."""

import pytest

from gnref.teaching import paper
from gnref.teaching.paper import MARK, TABLES


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_row_is_as_long_as_the_columns(table):
    assert {len(row) for row in table.rows.values()} == {len(table.columns)}
    assert len(set(table.columns)) == len(table.columns)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_figure_has_one_decimal(table):
    figures = [f for row in table.rows.values() for f in row if f is not None]
    assert figures == [round(f, 1) for f in figures]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_what_is_from_notes_is_a_figure_of_the_table(table):
    assert all(column in table.row(row) for row, column in table.from_notes)


def test_what_is_from_notes_is_marked():
    table = paper.CHANNELS_PER_GROUP
    assert [table.status("group", K) for K in table.columns] == list("VNNNNNV")
    assert {K for K in table.columns if MARK in table.cell("group", K)} == {32, 16, 8, 4, 2}
    assert all(TABLES[name].from_notes == frozenset() for name in TABLES if name != "channels per group")


def test_tables_that_meet_agree():
    norms, sizes = paper.NORMS, paper.BATCH_SIZE
    assert sizes["batch", 32] == norms["batch", "error"]
    assert sizes["group", 32] == norms["group", "error"] == paper.GROUPS["group", 32]
    assert paper.GROUPS["group", 1] == norms["layer", "error"]
    assert paper.CHANNELS_PER_GROUP["group", 1] == norms["instance", "error"]


def test_the_figures():
    assert [
        f"{paper.NORMS[norm, 'error']}" for norm in ("batch", "layer", "instance", "group", "weight")
    ] == [*("23.6", "25.3", "28.4", "24.1", "28.2")]
    assert list(paper.BATCH_SIZE.row("batch").values()) == [23.6, 23.7, 24.8, 27.3, 34.7]
    assert list(paper.BATCH_SIZE.row("group").values()) == [24.1, 24.2, 24.0, 24.2, 24.1]
    assert paper.GROUPS.row("group") == {64: 24.6, 32: 24.1, 16: 24.6, 8: 24.4, 4: 24.6, 2: 24.7, 1: 25.3}
    per_group = {64: 24.4, 32: 24.5, 16: 24.2, 8: 24.3, 4: 24.8, 2: 25.6, 1: 28.4}
    assert paper.CHANNELS_PER_GROUP.row("group") == per_group
    assert [list(row) for row in paper.VIDEO.rows.values()] == [[73.3, 72.1, 73.3], [73.0, 72.8, 74.5]]
    assert [list(row) for row in paper.VIDEO_TOP_5.rows.values()] == [[90.7, 90.0, 90.8], [90.6, 90.6, 91.7]]
    assert list(paper.FINE_TUNING.rows.values()) == [
        *((38.6, 34.5), (40.3, 35.7), (40.8, 36.1), (40.9, 36.4), (41.8, 36.8), (42.3, 37.2))
    ]
    assert list(paper.FINE_TUNING_C4.rows.values()) == [(37.7, 32.8), (38.8, 33.6)]
    assert list(paper.FINE_TUNING_HEAD.rows.values()) == [(38.6, 34.2), (39.5, 34.4), (40.0, 34.8)]
    assert list(paper.FROM_SCRATCH.rows.values()) == [(34.5, None), (39.5, 35.2), (41.0, 36.4)]
    assert paper.DEEPER.rows == {"batch": (22.0, 31.9), "group": (22.4, 23.0)}
    assert list(paper.IN_THE_TEXT.rows.values()) == [(-6.0,), (-1.9,)]
    assert list(paper.SMALL_SCALE.rows.values()) == [(1.3,)]


def difference(table, better, worse, column):
    return round(table[worse, column] - table[better, column], 1)


def test_differences_that_the_papers_text_gives():
    assert difference(paper.NORMS, "batch", "layer", "error") == 1.7
    assert difference(paper.NORMS, "batch", "instance", "error") == 4.8
    assert difference(paper.BATCH_SIZE, "group", "batch", 2) == 10.6
    assert difference(paper.BATCH_SIZE, "group", "renorm", 4) == 2.1
    assert difference(paper.DEEPER, "group", "batch", 2) == 8.9
    assert difference(paper.FINE_TUNING_C4, "BN*", "GN", "box AP") == 1.1
    assert difference(paper.FINE_TUNING_C4, "BN*", "GN", "mask AP") == 0.8
    assert difference(paper.FINE_TUNING_HEAD, "BN*", "BN*, GN in the head", "box AP") == 0.9
    assert difference(paper.FINE_TUNING_HEAD, "BN*, GN in the head", "GN in both", "box AP") == 0.5
    assert difference(paper.FINE_TUNING, "ResNet-50, BN*", "ResNet-50, GN, long", "box AP") == 2.2
    assert difference(paper.FINE_TUNING, "ResNet-50, BN*", "ResNet-50, GN, long", "mask AP") == 1.6
    assert difference(paper.VIDEO, "group", "batch", (32, 8)) == 0.3
    assert round(paper.VIDEO["group", (64, 4)] - paper.VIDEO["group", (32, 4)], 1) == 1.7
    assert round(paper.VIDEO_TOP_5["group", (64, 4)] - paper.VIDEO_TOP_5["group", (32, 4)], 1) == 1.1


def test_where_the_paper_has_no_figure():
    assert paper.BATCH_SIZE.row("renorm") == {4: 26.3}
    assert paper.BATCH_SIZE.cell("renorm", 2) == "-"
    assert paper.FROM_SCRATCH.cell("ResNet-50, BN, synchronized", "mask AP") == "-"


def test_unknown_keys_are_told():
    with pytest.raises(KeyError, match="row is 'BN'; expected one of 'batch', 'group'"):
        paper.VIDEO["BN", (32, 8)]
    with pytest.raises(KeyError, match="column is 2; expected one of 4"):
        paper.BATCH_SIZE["renorm", 2]
