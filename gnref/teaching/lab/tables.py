"""Results as tables: measured values with the spread over the seeds, beside the paper's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from gnref.teaching.paper import MARK, MARK_MEANS, Column, Reported, name

if TYPE_CHECKING:
    import rich.table

    from gnref.teaching.lab.experiment import Record

ABSENT = "-"
NO_BREAK = "\u00a0"  # a space
BRACKET = re.compile(r"\([^()]*\)")


@dataclass(frozen=True)
class Table:
    """A table of text; Jupyter and the site show its Markdown.

    Attributes
    ----------
    title : str
        One line above it.
    header : tuple of str
        The columns' names; the first column is the rows' names.
    rows : tuple of tuple of str
        Each as long as the header.
    notes : tuple of str
        A line each, below it.

    Examples
    --------
    >>> print(Table("Error, %", ("N", "BN"), (("32", "49.2"), ("2", "68.6"))).markdown())
    **Error, %**
    <BLANKLINE>
    | N | BN |
    |---|--:|
    | 32 | 49.2 |
    | 2 | 68.6 |
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse rows that do not fit the header."""
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(
                    f"rows has {row!r}; expected {len(self.header)} cells, as many as the header has"
                )

    def markdown(self) -> str:
        """Return it in Markdown, as GitHub and MyST read it."""
        rule = "|---|" + "--:|" * (len(self.header) - 1)
        head, *body = ("| " + " | ".join(map(_plain, cells)) + " |" for cells in (self.header, *self.rows))
        notes = [line for note in self.notes for line in ("", note)]
        return "\n".join([f"**{_plain(self.title)}**", "", head, rule, *body, *notes])

    def rich(self) -> rich.table.Table:
        """Return it for the terminal."""
        from rich.box import SIMPLE_HEAD
        from rich.markup import escape
        from rich.table import Table as RichTable

        made = RichTable(
            title=escape(self.title),
            title_justify="left",
            caption=escape("\n".join(self.notes)) or None,
            caption_justify="left",
            box=SIMPLE_HEAD,
            pad_edge=False,
        )
        for i, heading in enumerate(self.header):
            made.add_column(escape(heading), justify="right" if i else "left")
        for row in self.rows:
            made.add_row(*map(escape, row))
        return made

    def _repr_markdown_(self) -> str:
        """What Jupyter and the site choose: a cell does not break within its brackets."""
        return re.sub(r"(?m)^\|.*", lambda row: BRACKET.sub(_whole, row[0]), self.markdown())

    def __str__(self) -> str:
        return self.markdown()


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return the mean and, in brackets, the least and the greatest value.

    Parameters
    ----------
    values : sequence of float
        One of each seed.
    digits : int
        After the decimal point.

    Returns
    -------
    text : str
        The value alone where there is one, and "-" where there is none.

    Examples
    --------
    >>> spread([48.1, 49.2, 50.3])
    '49.2 (48.1 to 50.3)'
    >>> spread([48.1]), spread([])
    ('48.1', '-')
    """
    if not values:
        return ABSENT
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{fmean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def gather(records: Sequence[Record], key: str, value: str = "error", **where: Any) -> dict[Any, list[float]]:
    """Return the values of the results by a key of their settings, one of each seed.

    Parameters
    ----------
    records : sequence of Record
        Of `gnref.teaching.lab.sweep`.
    key : str
        Of the settings: what the values are sorted by. A setting without it is passed over.
    value : str
        Of the results.
    where
        Keys and values that a setting must have.

    Returns
    -------
    values : dict
        In the order in which the keys come first.

    Raises
    ------
    KeyError
        A result has no such value.

    Examples
    --------
    >>> from gnref.teaching.lab.experiment import Record
    >>> found = [("batch", 32, 49.2), ("batch", 2, 68.6), ("group", 32, 50.8)]
    >>> records = [
    ...     Record({"norm": norm, "batch": batch, "seed": 0}, {"error": error}, 1.0, {}, "")
    ...     for norm, batch, error in found
    ... ]
    >>> gather(records, "batch", norm="batch")
    {32: [49.2], 2: [68.6]}
    """
    found: dict[Any, list[float]] = {}
    for record in records:
        setting, result = record.setting, record.result
        if key not in setting or any(k not in setting or setting[k] != v for k, v in where.items()):
            continue
        if value not in result:
            raise KeyError(f"value is {value!r}; expected one of {', '.join(result)}")
        found.setdefault(setting[key], []).append(result[value])
    return found


def beside(
    title: str,
    columns: Sequence[Column],
    measured: Mapping[str, Mapping[Any, Sequence[float]]],
    paper: Reported | None = None,
    *,
    across: str = "",
    names: Mapping[str, str] | None = None,
    digits: int = 1,
    notes: Sequence[str] = (),
) -> Table:
    """Return measured values, and the paper's below them in the same columns.

    Parameters
    ----------
    title : str
        Of the table.
    columns : sequence
        The keys of the columns, such as batch sizes.
    measured : mapping
        ``measured[row][column]`` are the values of the seeds; what is absent is shown as "-".
    paper : Reported, optional
        Its rows follow where the measured table has a row of the same key.
    across : str
        What the columns are; it heads the first one.
    names : mapping, optional
        What rows are called; else as in the paper: "BN" for "batch".
    digits : int
        After the decimal point.
    notes : sequence of str
        Lines below the table. What the paper's mark means is added where it occurs.

    Examples
    --------
    >>> from gnref.teaching.paper import BATCH_SIZE
    >>> measured = {"batch": {32: [49.0, 51.0], 2: [68.6, 70.0]}}
    >>> print(beside("Error, %", (32, 2), measured, BATCH_SIZE, across="N"))
    **Error, %**
    <BLANKLINE>
    | N | 32 | 2 |
    |---|--:|--:|
    | BN, measured | 50.0 (49.0 to 51.0) | 69.3 (68.6 to 70.0) |
    | BN, the paper | 23.6 | 34.7 |
    <BLANKLINE>
    The paper: ImageNet, ResNet-50, validation error (%); Table 2, Fig. 1; Batch Renorm: sec. 4.1.
    """
    titles = dict(names or {})
    rows = [
        (
            f"{titles.get(row, name(row))}, measured",
            *(spread(of.get(column, ()), digits) for column in columns),
        )
        for row, of in measured.items()
    ]
    below = list(notes)
    if paper is not None:
        shown = [row for row in measured if row in paper.rows]
        rows += [
            (f"{titles.get(row, name(row))}, the paper", *(paper.cell(row, c) for c in columns))
            for row in shown
        ]
        below.append(f"The paper: {paper.measure}; {paper.source}.")
    if any(MARK in cell for row in rows for cell in row):
        below.append(f"{MARK_MEANS}.")
    return Table(title, (across, *map(_heading, columns)), tuple(rows), tuple(below))


def reported(table: Reported) -> Table:
    """Return a table of the paper, as it stands there.

    Examples
    --------
    >>> from gnref.teaching.paper import GROUPS
    >>> print(reported(GROUPS))
    **Number of groups; 1 is LN (Table 3, top)**
    <BLANKLINE>
    | groups, G | 64 | 32 | 16 | 8 | 4 | 2 | 1 |
    |---|--:|--:|--:|--:|--:|--:|--:|
    | GN | 24.6 | 24.1 | 24.6 | 24.4 | 24.6 | 24.7 | 25.3 |
    <BLANKLINE>
    ImageNet, ResNet-50, validation error (%).
    """
    rows = tuple((name(row), *(table.cell(row, column) for column in table.columns)) for row in table.rows)
    notes = [f"{table.measure}."] + [f"{MARK_MEANS}."] * bool(table.from_notes)
    header = (table.across, *map(_heading, table.columns))
    return Table(f"{table.title} ({table.source})", header, rows, tuple(notes))


def _heading(column: Column) -> str:
    """32 as "32", (64, 4) as "64 / 4"."""
    return " / ".join(map(str, column)) if isinstance(column, tuple) else str(column)


def _plain(text: str) -> str:
    """Text with what Markdown would take for a sign of its own made plain."""
    return text.replace("|", "\\|").replace("*", "\\*")


def _whole(bracket: re.Match[str]) -> str:
    """A bracket with spaces at which no line ends."""
    return bracket[0].replace(" ", NO_BREAK)
