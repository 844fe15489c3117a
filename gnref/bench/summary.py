"""What all rows say together: geometric means, and the worst of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gnref.bench.grid import DIRECTIONS
from gnref.bench.results import Result


class Figure(NamedTuple):
    """A number of every row, summed up."""

    mean: float  # geometric
    worst: float
    where: str  # the name of the worst row
    rows: int


def figure(results: Iterable[Result], number: Callable[[Result], float | None]) -> Figure | None:
    """Sum up one number of the rows that have it; None if none does."""
    found = [(value, result.row.name) for result in results if (value := number(result)) is not None]
    if not found:
        return None
    mean = float(np.exp(np.mean(np.log([value for value, _ in found]))))
    return Figure(mean, *min(found), len(found))


def summary(results: Sequence[Result]) -> dict[str, dict[str, Any]]:
    """Sum up the forward rows, the backward rows and both.

    Returns
    -------
    figures : dict of str to dict
        For "forward", "backward" and "both": "torch" and "fastest", how many times as long as gnref PyTorch
        and the fastest peer of each row take; "share", the share of the limit of large rows; each a
        `Figure` or None; and "marked", the number of rows with a faster peer.
    """
    parts = {d: [r for r in results if r.row.direction == d] for d in DIRECTIONS}
    return {name: _figures(rows) for name, rows in {**parts, "both": list(results)}.items() if rows}


def _figures(rows: Sequence[Result]) -> dict[str, Any]:
    """All figures of some rows."""
    return {
        "torch": figure(rows, lambda r: r.ratio("torch")),
        "fastest": figure(rows, lambda r: r.best_ratio),
        "share": figure(rows, lambda r: r.share),
        "marked": sum(r.marked for r in rows),
    }
