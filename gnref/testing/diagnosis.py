"""What is wrong with the results of one problem: which of them, where, and by how much."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from gnref.testing import oracles
from gnref.testing.problems import Array, Problem
from gnref.testing.properties.property import Property, results, worst_element
from gnref.testing.targets.target import Finding, Forward, Refused, Stopped, Target, Unsupported
from gnref.testing.tolerances import tolerance

ORACLES = ("exact", "fsum")
SMALL = 150_000  # elements that are diagnosed in no time


def expected(problem: Problem) -> dict[str, Any]:
    """The right results of a problem; empty where no oracle takes it."""
    for name in ORACLES:
        if oracles.supports(name, problem):
            oracle = oracles.load(name)
            names = ("y", "dx", "dweight", "dbias")
            pairs = zip(names, (oracle.y(problem), *oracle.gradients(problem)), strict=True)
            return {key: a for key, a in pairs if a is not None}
    return {}


Found = dict[str, Array] | str  # results by name; or, in their place, what went wrong


def outcome(target: Target, problem: Problem) -> Found:
    """What a target returns for a problem; in words, if it returns nothing."""
    try:
        return results(target, problem)
    except (Finding, Refused, Stopped, Unsupported) as error:
        return str(error)
    finally:
        target.findings.clear()


class Noting:
    """A target that keeps the problems it is asked."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.problems: list[Problem] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)

    def forward(self, problem: Problem, **options: Any) -> Forward:
        """Normalize, and keep the problem."""
        self.problems.append(problem)
        return self.target.forward(problem, **options)


def derived(prop: Property, target: Target, problem: Problem) -> list[Problem]:
    """The problems that a property asks of a target for one that was drawn; of them the small ones."""
    noting: Any = Noting(target)
    with suppress(Exception), np.errstate(all="ignore"):  # to raise is one way to break a property
        prop.check(noting, problem)
    target.findings.clear()
    return [p for p in noting.problems if p.x.size <= SMALL and _has_answer(p)]


def _has_answer(problem: Problem) -> bool:
    """Whether num_groups divides C, where there are groups."""
    return problem.num_groups is None or (problem.channels or 0) % problem.num_groups == 0


def diagnose(target: Target, problem: Problem) -> str:
    """Say which results of a problem are wrong, each with its worst element; "" if none is.

    Parameters
    ----------
    target : Target
        What is asked.
    problem : Problem
        Where it failed.
    """
    return diagnosis(problem, outcome(target, problem))


def diagnosis(problem: Problem, found: Found) -> str:
    """Say which of the results that were found are wrong; "" if none is."""
    if isinstance(found, str):
        return found
    with np.errstate(all="ignore"):  # of infinities
        right, limits = expected(problem), tolerance(problem)
    told = {
        name: worst_element(name, a, right[name], getattr(limits, name))
        for name, a in found.items()
        if name in right
    }
    wrong, fine = [line for line in told.values() if line], [name for name, line in told.items() if not line]
    if wrong and fine:
        wrong.append(f"{', '.join(fine)} {'is' if len(fine) == 1 else 'are'} right")
    return "; ".join(wrong) if any(told.values()) else ""
