"""Tables of results: the spread over the seeds, the paper beside it, text that stays text."""

import io
import re

import pytest

from gnref.teaching.lab.experiment import Record
from gnref.teaching.lab.tables import Table, beside, gather, reported, spread
from gnref.teaching.paper import BATCH_SIZE, CHANNELS_PER_GROUP, MARK_MEANS, TABLES, VIDEO


def record(error, **setting):
    return Record(setting, {"error": error, "loss": error / 10}, 1.0, {}, "")


RECORDS = [
    record(40.0, norm="batch", batch=32, seed=0),
    record(60.0, norm="batch", batch=2, seed=0),
    record(50.0, norm="group", batch=32, seed=0),
    record(42.0, norm="batch", batch=32, seed=1),
    record(99.0, norm="constant", seed=1),
]


def cells(table):
    return [line.strip("| ").split(" | ") for line in table.markdown().splitlines() if line.startswith("| ")]


def test_spread_is_the_mean_and_the_ends():
    assert spread([2.0, 6.0, 1.0]) == "3.0 (1.0 to 6.0)"
    assert spread([2.345], digits=2) == "2.35"
    assert spread(()) == "-"


def test_gather_sorts_by_a_key():
    assert gather(RECORDS, "batch", norm="batch") == {32: [40.0, 42.0], 2: [60.0]}
    assert gather(RECORDS, "norm", "loss", seed=0, batch=32) == {"batch": [4.0], "group": [5.0]}


def test_gather_passes_over_settings_without_the_key():
    assert gather(RECORDS, "batch", seed=1) == {32: [42.0]}
    assert gather(RECORDS, "seed", batch=None) == {}


def test_gather_tells_of_an_unknown_value():
    with pytest.raises(KeyError, match="value is 'accuracy'; expected one of error, loss"):
        gather(RECORDS, "batch", "accuracy")


def test_the_paper_stands_below_in_the_same_columns():
    table = beside("Error", (2, 3, 32), {"batch": gather(RECORDS, "batch", norm="batch")}, BATCH_SIZE)
    assert cells(table)[1:] == [
        ["BN, measured", "60.0", "-", "41.0 (40.0 to 42.0)"],
        ["BN, the paper", "34.7", "-", "23.6"],
    ]


def test_rows_that_the_paper_does_not_have_stand_alone():
    table = beside("Error", (32,), {"constant": {32: [1.0]}}, BATCH_SIZE, names={"constant": "BN, frozen"})
    assert [row[0] for row in table.rows] == ["BN, frozen, measured"]


def test_figures_from_notes_are_explained_where_they_occur():
    measured = {"group": {8: [1.0]}}
    assert f"{MARK_MEANS}." in beside("", (8,), measured, CHANNELS_PER_GROUP).notes
    assert f"{MARK_MEANS}." not in beside("", (64,), measured, CHANNELS_PER_GROUP).notes


def test_pairs_are_columns_too():
    table = beside("", VIDEO.columns, {"group": {(64, 4): [70.0]}}, VIDEO, across=VIDEO.across)
    assert table.header == ("frames / clips per GPU", "32 / 8", "32 / 4", "64 / 4")
    assert table.rows[0] == ("GN, measured", "-", "-", "70.0")


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_table_of_the_paper_shows_all_its_figures(table):
    shown = re.findall(r"-?\d+\.\d", "|".join(cell for row in reported(table).rows for cell in row[1:]))
    assert shown == [f"{figure:.1f}" for row in table.rows.values() for figure in row if figure is not None]
    assert (f"{MARK_MEANS}." in reported(table).notes) == bool(table.from_notes)


def test_signs_of_markdown_stay_text():
    table = Table("N * T", ("", "a|b"), (("BN*", "1"),))
    assert "**N \\* T**" in table.markdown()
    assert "a\\|b" in table.markdown()
    assert "BN\\*" in table.markdown()
    assert table._repr_markdown_() == str(table) == table.markdown()


def test_in_a_notebook_no_line_ends_within_the_brackets_of_a_cell():
    table = Table("a (b c)", ("", "a"), (("b", "1 (2 to 3)"),), ("a note (of two words)",))
    assert "| 1 (2\u00a0to\u00a03) |" in table._repr_markdown_()
    assert table._repr_markdown_().replace("\u00a0", " ") == table.markdown()
    assert table._repr_markdown_().count("\u00a0") == 2


def test_the_terminal_shows_the_same():
    rich_console = pytest.importorskip("rich.console")
    console = rich_console.Console(width=80, record=True, file=io.StringIO())
    console.print(Table("Error [b]", ("N", "BN [a]"), (("32", "[1]"),), ("a note", "another")).rich())
    text = console.export_text()
    assert all(part in text for part in ("Error [b]", "BN [a]", "[1]", "a note", "another"))


def test_a_row_that_does_not_fit_is_told():
    with pytest.raises(ValueError, match=r"rows has \('32',\); expected 2 cells"):
        Table("", ("N", "BN"), (("32",),))
