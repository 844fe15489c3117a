"""Run properties on a target: Hypothesis looks for a problem that breaks one, and shrinks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

from gnref.testing import oracles
from gnref.testing.coverage import Coverage
from gnref.testing.problems import Problem
from gnref.testing.properties import PROPERTIES, Property
from gnref.testing.snippet import snippet
from gnref.testing.strategies import problems
from gnref.testing.targets import Target

SLACK = 0.02  # a worst error below this share of the tolerance says that the tolerance is too wide
MANY = 20  # examples of one dtype, of which the worst says something about its tolerance


class PropertyError(AssertionError):
    """A result that is off by more than the tolerance."""


@dataclass
class Result:
    """What came of one property on one norm of one target.

    Attributes
    ----------
    target, norm, property_name : str
        What was tested.
    status : str
        "passed", "failed", "skipped" (an oracle is missing), or "empty" (no problem said anything).
    examples : int
        Problems that said something about the property.
    worst : float
        The worst error in units of the tolerance, and
    worst_by_dtype : dict of str to (int, float)
        the same for each dtype of x, after the number of its examples.
    exact : bool
        Whether the property allows no tolerance.
    reason : str
        Why it failed or was skipped.
    counterexample : Problem or None
        The smallest problem found that breaks the property, and
    snippet : str
        the lines of Python that reproduce it.
    """

    target: str
    norm: str
    property_name: str
    status: str = "passed"
    examples: int = 0
    worst: float = 0.0
    worst_by_dtype: dict[str, tuple[int, float]] = field(default_factory=dict)
    exact: bool = False
    reason: str = ""
    counterexample: Problem | None = None
    snippet: str = ""
    coverage: Coverage = field(default_factory=Coverage)

    @property
    def slack(self) -> bool:
        """Whether the tolerance was hardly used, by all examples or by many of one dtype."""
        used = [worst for count, worst in self.worst_by_dtype.values() if count >= MANY]
        return self.status == "passed" and any(0 < worst < SLACK for worst in (self.worst, *used))


def check_property(
    prop: Property,
    target: Target,
    norm: str,
    *,
    max_examples: int = 30,
    seed: int = 0,
    **options: Any,
) -> Result:
    """Test one property on one norm of a target.

    Parameters
    ----------
    prop : Property
        From `gnref.testing.properties.PROPERTIES`.
    target : Target
        What to test.
    norm : str
        One of ``prop.norms``.
    max_examples : int
        How many problems to draw.
    seed : int
        Equal seeds draw equal problems.
    **options
        For `gnref.testing.strategies.problems`, over the property's own.
    """
    result = Result(target.name, norm, prop.name, exact=prop.exact)
    missing = oracles.available().get(prop.oracle or "", "ready")
    if missing != "ready":
        result.status, result.reason = "skipped", missing
        return result

    @hypothesis.seed(seed)
    @settings(
        max_examples=max_examples,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(problem=problems(norm, **(prop.options | options)))
    def try_problem(problem: Problem) -> None:
        result.counterexample = problem
        ratio = prop.check(target, problem)
        if ratio is None:
            return
        if ratio > 1:
            result.worst = ratio
            raise PropertyError(
                f"the error is {ratio:.3g} times the tolerance" if not prop.exact else "bits differ"
            )
        result.examples += 1
        result.worst = max(result.worst, ratio)
        dtype = problem.x.dtype.name
        count, largest = result.worst_by_dtype.get(dtype, (0, 0.0))
        result.worst_by_dtype[dtype] = (count + 1, max(largest, ratio))
        result.coverage.note(problem)

    try:
        try_problem()
    except Exception as error:
        result.status = "failed"
        result.reason = str(error) if isinstance(error, PropertyError) else f"{type(error).__name__}: {error}"
        if result.counterexample is None:  # no problem could be drawn: a fault of the strategy
            raise
        result.snippet = snippet(prop, target, result.counterexample)
        return result
    result.counterexample = None
    if result.examples == 0:
        result.status, result.reason = "empty", "no problem that was drawn says anything about it"
    return result


def plan(norms: Sequence[str]) -> list[tuple[Property, str]]:
    """List the pairs of property and norm to be tested."""
    return [(prop, norm) for norm in norms for prop in PROPERTIES.values() if norm in prop.norms]


def check(
    targets: Sequence[Target],
    norms: Sequence[str],
    *,
    max_examples: int = 30,
    seed: int = 0,
    on_result: Callable[[Result], None] = lambda result: None,
) -> Iterator[Result]:
    """Test every property on every norm of every target, and yield the results as they come."""
    for target in targets:
        for prop, norm in plan(norms):
            result = check_property(prop, target, norm, max_examples=max_examples, seed=seed)
            on_result(result)
            yield result
