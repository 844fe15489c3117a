"""Which real bugs give the same wrong results as a target does."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

import numpy as np

from gnref.testing.museum.entries import entries_of
from gnref.testing.museum.mechanism import Mechanism, Passes, target
from gnref.testing.problems import Array, Problem
from gnref.testing.properties.property import Results, results, wide
from gnref.testing.tolerances import LOST, WIDE, relative_errors, spacing, terms, tolerance, unit_roundoff

FAR, NEAR = 0.5, 0.05  # how many tolerances a likeness may be off: at most, and with no better one beside it
CLEAR = 10  # tolerances: by how many a result has to be wrong, or how many its numbers have to be
MOST = 3  # lines; where more mechanisms agree, the problem tells them not apart
NAMED = 3  # entries in a line
RESULTS = ("y", "dx", "dweight", "dbias")


def resembling(problem: Problem, found: Mapping[str, Any]) -> tuple[str, ...]:
    """Say which mechanisms of the museum give the results that were found, where these are wrong.

    Parameters
    ----------
    problem : Problem
        A counterexample.
    found : mapping of str to array
        What a target returned there: y, and what there is of dx, dweight and dbias.

    Returns
    -------
    lines : tuple of str
        At most three; none where no specimen gives the same, where nothing is wrong, or where the tolerance
        is so large that many specimens would be near.
    """
    from gnref.testing.museum import MECHANISMS

    try:
        got = {name: np.asarray(found[name]) for name in RESULTS if found.get(name) is not None}
        rights: dict[str, Results | None] = {}  # by the code of the twin, which many specimens share
        able = [m for m in MECHANISMS.values() if got and problem.norm in m.norms]
        with np.errstate(all="ignore"):
            if np.max(relative_errors(problem)[0], initial=0.0) > LOST:
                return ()
            misfits = {m.name: _misfit(m, problem, got, rights) for m in able}
        best = min(misfits.values(), default=inf)
        alike = [m for m in able if misfits[m.name] <= min(FAR, NEAR + 4 * best)]
        return tuple(line_of(m) for m in sorted(alike, key=lambda m: misfits[m.name] > NEAR)[:MOST])
    except Exception:  # a hint, in the report of something else: rather none than an error
        return ()


def line_of(mechanism: Mechanism) -> str:
    """A mechanism, its entries and its slip, in one line.

    Examples
    --------
    >>> from gnref.testing.museum import MECHANISMS
    >>> line_of(MECHANISMS["rows counted in 16 bits"])
    'rows counted in 16 bits (61 apex #411): row number modulo 65,536'
    """
    entries = [f"{entry.number} {entry.sources[0][0].split(',')[0]}" for entry in entries_of(mechanism.name)]
    named = ", ".join(entries[:NAMED]) + ", ..." * (len(entries) > NAMED)
    return f"{mechanism.name} ({named}): {mechanism.slip}"


def _misfit(mechanism: Mechanism, problem: Problem, got: Results, rights: dict[str, Results | None]) -> float:
    """How far a specimen is from what was found, in tolerances; infinity if its twin is not far enough."""
    code = mechanism.code("fixed")
    if code not in rights:
        rights[code] = _results(mechanism, problem, mechanism.twin(problem.norm))
    right = rights[code]
    if right is None or not _wrong(problem, got, right):
        return inf
    specimens = (_results(mechanism, problem, passes) for passes in mechanism.variants(problem.norm))
    return min(_distance(problem, got, wrong) for wrong in specimens)


def _results(mechanism: Mechanism, problem: Problem, passes: Passes) -> Results | None:
    """What two functions return; None where they raise."""
    asked = target(*passes, problem.norm, mechanism.name, mechanism.takes_axis())
    try:
        return results(asked, problem)
    except Exception:  # a specimen may fail on whatever its slip makes of a problem
        return None


def _distance(problem: Problem, got: Results, other: Results | None) -> float:
    """The largest difference of two results, in tolerances."""
    if other is None or (len(got) > 1 and got.keys() != other.keys()):  # no gradient where one should be
        return inf
    limits = tolerance(problem)
    return max(_apart(problem, a, other[name], getattr(limits, name)) for name, a in got.items())


def _wrong(problem: Problem, got: Results, right: Results) -> bool:
    """Whether a result is wrong that has a tolerance small enough to tell one slip from another."""
    if len(got) > 1 and got.keys() != right.keys():
        return True
    limits = tolerance(problem)
    return any(_clearly(problem, name, a, right[name], getattr(limits, name)) for name, a in got.items())


def _clearly(problem: Problem, name: str, got: Array, right: Array, limit: Array) -> bool:
    """Whether one array is wrong by many tolerances; or by one, where that is little beside its numbers."""
    apart = _apart(problem, got, right, limit)
    if apart <= 1 or apart > CLEAR:
        return apart > CLEAR
    t = terms(problem)
    return CLEAR * _size(limit) <= _size(t.weight * t.xhat if name == "y" else wide(right))


def _size(a: Array) -> float:
    """The square root of the mean square."""
    return float(np.sqrt(np.mean(np.square(a))))


def _apart(problem: Problem, got: Array, other: Array, limit: Array) -> float:
    """The same of one array; NaN and NaN are 0 apart, and so are equal infinities."""
    if got.shape != other.shape:
        return inf
    a, b = wide(got), wide(other)
    u = unit_roundoff(WIDE.get(problem.dtype, problem.x.dtype))
    rounding = 8 * u * np.abs(b) + (spacing(b, other.dtype) if other.dtype.name in WIDE else 0)
    excess = np.maximum(0, np.abs(a - b) - rounding) / (limit if np.shape(limit) == b.shape else 1.0)
    excess = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, excess)
    return float(np.max(np.where(np.isnan(excess), inf, excess), initial=0.0))
