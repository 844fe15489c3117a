"""Run properties on a target: Hypothesis looks for a problem that breaks one, and shrinks it."""

from __future__ import annotations

import builtins
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis.strategies import SearchStrategy

from gnref.testing import oracles
from gnref.testing.coverage import Coverage
from gnref.testing.domain import Domain
from gnref.testing.problems import Problem
from gnref.testing.properties import PROPERTIES, Property
from gnref.testing.snippet import snippet
from gnref.testing.strategies import problems
from gnref.testing.targets import Finding, Gnref, NotOffered, Refused, Stopped, Target, Unsupported

SLACK = 0.02  # a worst error below this share of the tolerance says that the tolerance is too wide
MANY = 20  # examples of one dtype, of which the worst says something about its tolerance
RETURNS = "every call returns"  # the property that all exceptions, hangs and crashes belong to
# After the first counterexample: how many smaller problems are tried, and for how many seconds.
TRIES, SECONDS = 300, 20.0
NARROW = ("float16", "bfloat16")
# After ten examples Hypothesis goes on to vary those that it has. Fresh ones find more, so it starts anew.
ROUND, LEAP = 10, 1_000_003
OUTSIDE = 120  # problems outside a domain, and five for each inside: then the search is given up


class PropertyError(AssertionError):
    """A result that is off by more than the tolerance."""


@dataclass
class Result:
    """What came of one property on one norm of one target.

    Attributes
    ----------
    target, norm, property : str
        What was tested.
    status : str
        "passed"; "failed"; "skipped" (an oracle is missing); "empty" (no problem said anything);
        "unsupported" (none was inside the domain that the target declares); "not asked" (the target lacks
        an ability that it takes, such as a backward pass); "refused" (the target says that it does not
        offer it, as it may); "not run" (the run ended before).
    examples : int
        Problems that said something about the property.
    excluded : int
        Problems outside the target's domain, or at an edge where it may and did refuse.
    worst : float
        The worst error in units of the tolerance, and
    worst_by_dtype : dict of str to (int, float)
        the same for each dtype of x, after the number of its examples.
    exact : bool
        Whether the property allows no tolerance.
    reason : str
        Why it failed, was skipped, not asked or refused; of one that passed, what was refused on the way.
    counterexample : Problem or None
        The smallest problem found that breaks the property,
    snippet : str
        the lines of Python that reproduce it,
    diagnosis : str
        which results are wrong there, and by how much, and
    fails_in : tuple of str
        the dtypes of x that it was seen to fail in, and
    museum : tuple of str
        the real bugs that give the same wrong results.
    """

    target: str
    norm: str
    property: str
    status: str = "passed"
    examples: int = 0
    excluded: int = 0
    worst: float = 0.0
    worst_by_dtype: dict[str, tuple[int, float]] = field(default_factory=dict)
    exact: bool = False
    reason: str = ""
    counterexample: Problem | None = None
    snippet: str = ""
    diagnosis: str = ""
    fails_in: tuple[str, ...] = ()
    museum: tuple[str, ...] = ()
    coverage: Coverage = field(default_factory=Coverage)

    @builtins.property
    def narrow(self) -> bool:
        """Whether it was seen to fail in 16 bits alone."""
        return bool(self.fails_in) and all(name in NARROW for name in self.fails_in)

    @builtins.property
    def slack(self) -> bool:
        """Whether the tolerance was hardly used, by all examples or by many of one dtype."""
        used = [worst for count, worst in self.worst_by_dtype.values() if count >= MANY]
        return self.status == "passed" and any(0 < worst < SLACK for worst in (self.worst, *used))


class Aside(NamedTuple):
    """A finding about another property than the one that was tried, and the problem."""

    finding: Finding
    problem: Problem
    tried: Property


@dataclass
class Trial:
    """One property, tried on one problem after the other."""

    prop: Property
    target: Target
    result: Result
    domain: Domain
    others: list[Aside] = field(default_factory=list)
    strict: bool = False  # whether it must be offered
    deadline: float = float("inf")
    tries: int = 0
    given_up: bool = False

    def __call__(self, problem: Problem) -> None:
        """Try one problem; raise if it breaks the property."""
        if self.given_up or self.tries >= TRIES or time.monotonic() > self.deadline:
            return
        self.tries += self.result.status == "failed"
        if self.domain.why_not(problem):
            self.result.excluded += 1
            self.given_up = self.result.excluded >= OUTSIDE + 5 * self.result.examples
            assume(self.given_up)
            return
        try:
            ratio = self.measured(problem)
        except Stopped as error:
            self.given_up = True
            if self.result.status != "failed" and str(error):
                self.result.status, self.result.reason = "not run", str(error)
            return
        except PropertyError as error:
            self.fail(problem, str(error))
            raise
        if ratio is not None:
            self.note(problem, ratio)

    def measured(self, problem: Problem) -> float | None:
        """The ratio of a property that holds; None where the problem says nothing."""
        try:
            with np.errstate(all="ignore"):  # NaN and infinities are what it is about
                ratio = self.prop.check(self.target, problem)
        except Unsupported:
            self.result.excluded += 1
            return None
        except NotOffered as error:
            return self.not_offered(error)
        except Refused as error:
            if not (self.prop.may_refuse or problem.set_size <= 1):
                self.blame(Finding(RETURNS, str(error)), problem)
            self.result.excluded += 1
            return None
        except Stopped:
            raise
        except Finding as finding:
            self.blame(finding, problem)
            self.result.excluded += 1
            return None
        except Exception as error:
            raise PropertyError(f"{type(error).__name__}: {error}") from error
        finally:
            found, self.target.findings[:] = list(self.target.findings), []
        for noted in found:
            self.blame(noted, problem)
        if ratio is not None and ratio > 1:
            self.result.worst = ratio
            raise PropertyError(self.told(problem, ratio))
        return ratio

    def not_offered(self, error: NotOffered) -> float | None:
        """Note what the target says, and return the ratio of what it did; raise if it must offer it."""
        if self.strict:
            raise PropertyError(f"is not offered: {error}")
        self.result.reason = str(error)
        self.result.excluded += error.ratio is None
        return error.ratio

    def blame(self, finding: Finding, problem: Problem) -> None:
        """Raise a finding of this property; keep that of another one for it."""
        if finding.property == self.prop.name:
            raise PropertyError(str(finding))
        self.others.append(Aside(finding, problem, self.prop))

    def told(self, problem: Problem, ratio: float) -> str:
        """Why a property does not hold."""
        if ratio < float("inf"):
            return f"the error is {ratio:.3g} times the tolerance"
        if self.prop.exact and problem.grade == "A":
            return "bits differ"
        return f"does not hold: {self.prop.law}"

    def note(self, problem: Problem, ratio: float) -> None:
        """Count a problem on which the property holds."""
        result = self.result
        result.examples += 1
        result.worst = max(result.worst, ratio)
        count, largest = result.worst_by_dtype.get(problem.dtype, (0, 0.0))
        result.worst_by_dtype[problem.dtype] = (count + 1, max(largest, ratio))
        result.coverage.note(problem)

    def fail(self, problem: Problem, reason: str) -> None:
        """Keep the smallest counterexample; the first starts the clock of the search for smaller ones."""
        if self.result.status != "failed":
            self.result.status, self.deadline = "failed", time.monotonic() + SECONDS
        self.result.counterexample, self.result.reason = problem, reason


def check_property(
    prop: Property,
    target: Target,
    norm: str,
    *,
    max_examples: int = 30,
    seed: int = 0,
    domain: Domain | None = None,
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
    domain : Domain, optional
        The problems that the target is meant for.
    **options
        For `gnref.testing.strategies.problems`, over the property's own.
    """
    return run_trial(
        Trial(prop, target, Result(target.name, norm, prop.name, exact=prop.exact), domain or Domain()),
        max_examples,
        seed,
        options,
    )


def run_trial(trial: Trial, max_examples: int, seed: int, options: dict[str, Any]) -> Result:
    """Draw problems until one breaks the property, and then smaller ones."""
    prop, result = trial.prop, trial.result
    if lacking := [ability for ability in prop.requires if ability not in trial.target.abilities]:
        result.status, result.reason = "not asked", f"the target has no {', no '.join(lacking)}"
        return result
    missing = oracles.available().get(prop.oracle or "", "ready")
    if missing != "ready":
        result.status, result.reason = "skipped", missing
        return result
    drawn = dict(prop.options | options)
    for name in ("dtypes", "layouts", "kinds", "eps"):  # what both limit is limited to what both have
        if name in prop.options and name in options:
            drawn[name] = [o for o in prop.options[name] if o in options[name]] or list(options[name])

    strategy = problems(result.norm, domain=trial.domain, **drawn)
    count = max(1, round(max_examples * prop.examples))
    try:
        for start in range(0, count, ROUND):
            if trial.given_up:
                break
            search(trial, strategy, min(ROUND, count - start), seed + start * LEAP)
    except (Exception, BaseExceptionGroup) as error:
        if result.status != "failed" and not isinstance(error, hypothesis.errors.Unsatisfiable):
            raise  # no problem could be drawn: a fault of the strategy
    if result.status == "failed":
        assert result.counterexample is not None
        result.snippet = snippet(prop, trial.target, result.counterexample)
    elif result.status == "passed" and result.examples == 0 and result.reason:
        result.status = "refused"
    elif result.status == "passed" and result.examples == 0:
        result.status = "unsupported" if result.excluded else "empty"
        result.reason = (
            "every problem was outside the declared domain, or had no answer"
            if result.excluded
            else "no problem that was drawn says anything about it"
        )
    return result


def search(trial: Trial, strategy: SearchStrategy[Problem], max_examples: int, seed: int) -> None:
    """Draw some problems; raise at one that breaks the property, after a search for smaller ones."""

    @hypothesis.seed(seed)
    @settings(
        max_examples=max_examples,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(problem=strategy)
    def found(problem: Problem) -> None:
        trial(problem)

    found()


def plan(norms: Sequence[str]) -> list[tuple[Property, str]]:
    """List the pairs of property and norm that gnref's own backends are asked."""
    own = [prop for prop in PROPERTIES.values() if set(prop.requires) <= Gnref.abilities]
    return [(prop, norm) for norm in norms for prop in own if norm in prop.norms]
