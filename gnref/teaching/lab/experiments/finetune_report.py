"""What the runs on fine-tuning found, as tables beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gnref.teaching import paper
from gnref.teaching.lab.experiment import Record
from gnref.teaching.lab.experiments.finetune_settings import LIGHTS, NORMS, SCRATCH_SIZES, SIZES
from gnref.teaching.lab.tables import Table, gather, reported, spread

NAMES = {"batch": "BN", "frozen": "BN*", "group": "GN"}
PAPER = (
    paper.FINE_TUNING_C4,
    paper.FINE_TUNING_HEAD,
    paper.FINE_TUNING,
    paper.FROM_SCRATCH,
    paper.IN_THE_TEXT,
)


def errors(
    records: Sequence[Record], norm: str, light: str = "clear", value: str = "error", **where: Any
) -> dict[int, list[float]]:
    """Return the values of the seeds by N.

    Parameters
    ----------
    records : sequence of Record
        Of `sweep`.
    norm, light
        As in the settings.
    value : str
        Of the results.
    where
        More of a setting: "start", if not "pretrained", and "statistics", if not "old".
    """
    usual = {"start": "pretrained", "statistics": "old"}
    return gather(records, "N", value, norm=norm, light=light, **(usual | where))


def tables(records: Sequence[Record]) -> list[Table]:
    """Return what was measured, as far as there are runs, and the paper's tables."""
    made = (_by_size(records), _swapped(records), _unseen(records), _bright(records), _scratch(records))
    return [*(table for table in made if table.rows), *map(reported, PAPER)]


def _by_size(records: Sequence[Record]) -> Table:
    rows = [
        _row(f"{NAMES[norm]}, {light}", errors(records, norm, light), SIZES)
        for light in ("clear", "fog")
        for norm in NORMS
    ]
    note = "% of the pixels of test mosaics: the mean, and the least and the greatest over the seeds."
    return _table("Wrong pixels after fine-tuning", "N", SIZES, rows, note)


def _swapped(records: Sequence[Record]) -> Table:
    rows = []
    for statistics, words in (("old", "of the pretraining"), ("new", "measured on the foggy mosaics")):
        found = [
            errors(records, "frozen", "fog", value, statistics=statistics).get(2, ())
            for value in ("error", "swapped")
        ]
        rows.append((f"trained with those {words}", *map(spread, found)))
    note = "The other ones: exchanged after training, for those of the other kind."
    columns = ("tested with the same", "with the other ones")
    return _table("Frozen, in fog, N = 2, by the statistics", "", columns, rows, note)


def _unseen(records: Sequence[Record]) -> Table:
    rows = []
    for norm in NORMS:
        found = [_at(records, norm, value) for value in ("error", "fog", "fog_new")]
        rows.append((NAMES[norm], *map(spread, found)))
    note = "Fine-tuned on clear mosaics, N = 2, and tested on others."
    columns = ("clear", "fog", "fog, statistics measured there")
    return _table("Fog that no net was trained in", "", columns, rows, note)


def _at(records: Sequence[Record], norm: str, value: str) -> Sequence[float]:
    """A value of the clear runs at N = 2; GN has no statistics to be measured."""
    if norm == "group" and value == "fog_new":
        return ()
    return errors(records, norm, value=value).get(2, ())


def _bright(records: Sequence[Record]) -> Table:
    rows = [
        (NAMES[norm], *(spread(errors(records, norm, light).get(2, ())) for light in LIGHTS))
        for norm in ("frozen", "group")
    ]
    return _table("Wrong pixels by light, N = 2", "", tuple(LIGHTS), rows)


def _scratch(records: Sequence[Record]) -> Table:
    rows = [
        _row(NAMES[norm], errors(records, norm, start="scratch"), SCRATCH_SIZES)
        for norm in ("batch", "group")
    ]
    return _table("Wrong pixels, from scratch", "N", SCRATCH_SIZES, rows)


def _row(name: str, found: Mapping[int, Sequence[float]], columns: Sequence[int]) -> tuple[str, ...]:
    return name, *(spread(found.get(N, ())) for N in columns)


def _table(title: str, corner: str, columns: Sequence[Any], rows: Sequence[Any], *notes: str) -> Table:
    """A table of the rows that have a value."""
    shown = tuple(row for row in rows if any(cell != "-" for cell in row[1:]))
    return Table(title, (corner, *map(str, columns)), shown, notes)
