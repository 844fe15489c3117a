"""Ask a target every property of a norm, and grade it: what `gnref.testing.check` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

from gnref.testing.diagnosis import derived, diagnosis, outcome
from gnref.testing.domain import Domain
from gnref.testing.grades import batch_invariant, grade, standard
from gnref.testing.problems import Problem
from gnref.testing.properties import PROPERTIES, Property
from gnref.testing.properties.derivatives import FORWARD_MODE, SECOND
from gnref.testing.properties.grades import ACCURACY, OFFSETS, RANGE, SCALES, right
from gnref.testing.report import Report
from gnref.testing.runner import NARROW, RETURNS, Aside, Result, Trial, run_trial
from gnref.testing.snippet import snippet
from gnref.testing.strategies import problems
from gnref.testing.targets import Finding, Refused, Stopped, Target, Unsupported
from gnref.testing.targets.isolated import Isolated

DTYPES = ("float32", "float64")
REFUSED = "a wrong num_groups is refused"
BATCH = "f(x)[i] = f(x[i:i+1])"
LARGE = 20_000  # elements, beyond which the museum is not asked
# What `require` may name: the default, and the properties that show what goes beyond it.
REQUIREMENTS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "accuracy": ("B", (ACCURACY,)),
    "range": (1e4, (RANGE,)),
    "batch_invariance": ("rounding", (BATCH,)),
    "validation": ("any", (REFUSED,)),
    "second_order": ("any", (SECOND, FORWARD_MODE)),
}
EPS = (1e-5, 1e-3, 0.5)  # not 0: what a constant set has then is a matter of convention

Dtypes = Mapping[str, tuple[str, ...]]  # of x, and for each of them those of weight and bias


def asked(norm: str, differentiates: bool = False) -> list[Property]:
    """The properties that a target of a norm is asked; first whether it returns at all.

    Where the backward pass is not that of a framework, what is said of frameworks' is left out.
    """
    first = sorted(PROPERTIES.values(), key=lambda prop: prop.name != RETURNS)
    own = [prop for prop in first if norm in prop.norms and not prop.beyond]
    return [prop for prop in own if differentiates or not {"needs", "differentiates"} & set(prop.requires)]


class Checker:
    """All properties of one norm on one target."""

    def __init__(
        self,
        target: Target,
        norm: str,
        limits: Domain,
        layouts: Sequence[str],
        require: Mapping[str, Any],
        max_examples: int,
        seed: int,
    ) -> None:
        self.target, self.norm, self.domain, self.layouts = target, norm, limits, tuple(layouts)
        self.require, self.max_examples, self.seed = require, max_examples, seed
        self.others: list[Aside] = []
        self.met = False  # whether any problem lay inside the domain
        self.not_taken: dict[str, str] = {}  # 16-bit dtypes, and why they are not asked

    def report(self, pairs: Dtypes, on_result: Callable[[Result], None]) -> Report:
        """Ask every property, and grade."""
        report = Report(self.target.name, self.norm, dtypes=pairs, require=dict(self.require))
        report.not_taken = self.not_taken
        report.settings = {"max_examples": self.max_examples, "seed": self.seed, "layouts": self.layouts}
        for prop in asked(self.norm, "differentiates" in self.target.abilities):
            report.results.append(self.ask(prop, pairs))
            on_result(report.results[-1])
        self.blame(report)
        self.grades(report, pairs)
        for result in report.results:
            self.demand(result, graded=bool(report.grades))
            self.explain(result)
        if self.domain.limited:
            report.excluded = self.excluded()
        return report

    def ask(self, prop: Property, pairs: Dtypes) -> Result:
        """Ask one property."""
        if self.on_request(prop):
            result = self.empty(prop)
            result.status, result.reason = "not asked", "require={'validation': 'raises'} asks it"
            return result
        result = self.tried(prop, pairs)
        if result.status != "failed" or result.counterexample is None:
            return result
        return self.in_other_dtypes(result, prop, pairs)

    def on_request(self, prop: Property) -> bool:
        """Whether a property is not asked, as nobody required it."""
        return prop.name == REFUSED and self.require["validation"] != "raises"

    def tried(self, prop: Property, pairs: Dtypes, **options: Any) -> Result:
        """Ask one property, once."""
        strict = self.require["second_order"] == "exact"
        trial = Trial(prop, self.target, self.empty(prop), self.domain, self.others, strict=strict)
        result = run_trial(trial, self.max_examples, self.seed, self.options(prop, pairs) | options)
        self.met = self.met or result.examples > 0
        if result.counterexample is not None:
            result.fails_in = (result.counterexample.dtype,)
        if isinstance(self.target, Isolated):
            self.target.renew()
        return result

    def in_other_dtypes(self, failed: Result, prop: Property, pairs: Dtypes) -> Result:
        """Ask what failed in 16 bits of wider dtypes too, and the reverse: no bug hides another."""
        narrow = failed.fails_in[0] in NARROW
        allowed = prop.options.get("dtypes", pairs)
        rest = {x: p for x, p in pairs.items() if (x in NARROW) != narrow and x in allowed}
        other = self.tried(prop, rest) if rest else failed
        if other is failed or other.status != "failed":
            return failed
        first, second = (other, failed) if narrow else (failed, other)
        first.fails_in += second.fails_in
        return first

    def close(self) -> None:
        """End the target's process, if it has one of its own."""
        if isinstance(self.target, Isolated):
            self.target.close()

    def empty(self, prop: Property) -> Result:
        """A result to be filled."""
        return Result(self.target.name, self.norm, prop.name, exact=prop.exact)

    def options(self, prop: Property, pairs: Dtypes) -> dict[str, Any]:
        """What the problems are drawn from."""
        options: dict[str, Any] = {
            "dtypes": list(pairs),
            "param_dtypes": pairs,
            "grade": "B",
            "eps": EPS,
            "virtual": (False,),
        }
        if "layouts" not in prop.options and prop.name != RETURNS:  # so that what fails is not the layout
            options |= {"layouts": ("plain",), "param_layouts": ("plain",)}
        if prop.options.get("channel_axes") is not False:
            options["channel_axes"] = self.layouts
        if prop.name == ACCURACY:
            options["grade"] = self.require["accuracy"]
            if options["grade"] == "A":
                options["offsets"] = OFFSETS["float64"]
        if prop.name == RANGE:
            far = self.require["range"]
            between = [scale for scale in SCALES if 1 / far <= scale * 1.0001 <= far * 1.0002]
            options["scales"] = [1.0, *[far, 1 / far] * len(between), *between]
            if far > 1e4:  # squares overflow in their sum, and so in long sets first
                options["max_elements"] = 480
        if prop.name == BATCH and self.require["batch_invariance"] == "bits":
            options |= {"grade": "A", "offsets": (0.0, 1.0), "scales": (1.0,), "kinds": ("normal",)}
            options |= {"batch_sizes": (257,), "max_elements": 20_000}
            options["dtypes"] = [name for name in pairs if name not in NARROW] or list(pairs)
        return options

    def taken(self, dtypes: Sequence[str | tuple[str, str]]) -> Dtypes:
        """The dtypes to ask, and whether the target returns statistics, which one call tells."""
        pairs: dict[str, tuple[str, ...]] = {}
        for entry in dtypes:
            x, param = (entry, entry) if isinstance(entry, str) else entry
            if self.domain.dtypes is None or x in self.domain.dtypes:
                pairs[x] = (*pairs.get(x, ()), param)
        if tuple(dtypes) == DTYPES:
            for name in NARROW:
                if self.domain.dtypes is not None and name not in self.domain.dtypes:
                    continue
                if reason := self.refusal(name, "float32"):
                    self.not_taken[name] = reason
                else:
                    pairs[name] = ("float32",)
        if not pairs:
            raise ValueError(
                f"dtypes is {tuple(dtypes)!r}; expected one that supports has: {self.domain.dtypes}"
            )
        for x, params in pairs.items():
            self.refusal(x, params[0])
        return pairs

    def refusal(self, dtype: str, param_dtype: str) -> str:
        """Why a forward pass does not give that dtype back; notes the ability to return statistics."""
        problem = standard(self.norm, dtype, param_dtype, self.domain)
        if "channels_first" not in self.layouts and problem.num_groups is not None:
            return "the channels are last"
        try:
            forward = self.target.forward(problem)
        except Finding as finding:
            self.others.append(Aside(finding, problem, PROPERTIES[RETURNS]))
            return str(finding)
        except (Unsupported, Refused, Stopped) as error:
            return str(error)
        if forward.rstd is not None:
            self.target.abilities |= {"statistics"}
        return "" if forward.y.dtype == problem.x.dtype else f"y comes in {forward.y.dtype.name}"

    def blame(self, report: Report) -> None:
        """Give each finding that was made on the way to the property that it belongs to."""
        for result in report.results:
            about = [aside for aside in self.others if aside.finding.property == result.property]
            if about and result.status not in ("failed", "skipped"):
                aside = min(about, key=lambda aside: aside.problem.x.size)
                self.fail(result, self.smaller(result, aside, report.dtypes))

    def smaller(self, result: Result, aside: Aside, pairs: Dtypes) -> Aside:
        """The smallest problem that has a finding, looked for where it was made."""
        prop, tried = PROPERTIES[result.property], aside.tried
        if not set(prop.requires) <= set(self.target.abilities):
            return aside
        found = self.tried(prop, pairs, **{k: v for k, v in tried.options.items() if k != "dtypes"})
        if found.counterexample is None or found.counterexample.x.size >= aside.problem.x.size:
            return aside
        return Aside(Finding(prop.name, found.reason), found.counterexample, prop)

    def settle(self, result: Result, before: int) -> None:
        """Fail a property that stands alone for what was found on its way, whosever it is."""
        if result.status != "failed" and len(self.others) > before:
            aside = self.others[before]
            self.fail(result, aside)
            result.reason = f"{aside.finding.property}: {aside.finding}"

    def fail(self, result: Result, aside: Aside) -> None:
        """Let a finding of another trial be a result's failure."""
        result.status, result.reason, result.counterexample = "failed", str(aside.finding), aside.problem
        result.snippet = snippet(aside.tried, self.target, aside.problem)
        result.diagnosis = (
            f"seen where {aside.tried.name!r} was tried" if aside.tried.name != result.property else ""
        )

    def explain(self, result: Result) -> None:
        """Say what is wrong on a failure's counterexample, and which real bugs do the same."""
        from gnref.testing.museum import resembling  # whose specimens are checked by this module

        problem = result.counterexample
        if result.status != "failed" or problem is None:
            return
        alike: tuple[str, ...] = ()
        if not result.snippet:
            result.snippet = snippet(PROPERTIES[result.property], self.target, problem)
        if result.property != RETURNS:  # else it has told all, and may hang again
            for made in derived(PROPERTIES[result.property], self.target, problem):
                found = outcome(self.target, made)
                if told := diagnosis(made, found):
                    result.diagnosis = told
                    if made.x.size <= LARGE and not isinstance(found, str):
                        alike = resembling(made, found)
                    break
        result.museum = alike

    def grades(self, report: Report, pairs: Dtypes) -> None:
        """Grade every dtype."""
        for dtype, params in pairs.items():
            found = grade(self.target, self.norm, dtype, params[0], self.domain)
            if found is not None:
                report.grades[dtype] = found
                for name, problem in found.short_of(self.require["accuracy"], self.require["range"]).items():
                    self.fall_short(next(r for r in report.results if r.property == name), problem)
        first = next(iter(pairs))
        report.batch_invariant = batch_invariant(self.target, self.norm, first, pairs[first][0], self.domain)
        if report.batch_invariant is False and self.require["batch_invariance"] == "bits":
            result = next(r for r in report.results if r.property == BATCH)
            if result.status != "failed":
                result.status, result.reason = "failed", "bits differ between an example alone and in 257"
        self.target.findings.clear()

    def demand(self, result: Result, *, graded: bool = True) -> None:
        """Fail a property that is required beyond the default, and that no problem showed.

        Of one problem alone, the smallest, the accuracy and the range show nothing; a grade does.
        """
        least = 1 if graded else 2
        if result.status == "failed" or (result.status == "passed" and result.examples >= least):
            return
        for key, (default, names) in REQUIREMENTS.items():
            if result.property in names and self.require[key] != default:
                result.status = "failed"
                result.reason = (
                    f"not shown, and require[{key!r}] is {self.require[key]!r}:"
                    f" {result.reason or 'one problem alone says nothing about it'};"
                    f" try more examples (max_examples is {self.max_examples}), or fewer limits of the target"
                )

    def fall_short(self, result: Result, problem: Problem) -> None:
        """Fail a property that was found to hold for what a grade shows, as small as it can be shown."""
        try:
            ratio = right(self.target, problem)
        except (Finding, Refused, Stopped, Unsupported):  # which belongs to another property
            ratio = None
        if result.status == "failed" or ratio is None:
            return
        prop, pairs = PROPERTIES[result.property], {problem.dtype: (str(_param_dtype(problem)),)}
        found = self.tried(prop, pairs, layouts=[problem.layout])
        if found.counterexample is None:
            found.reason = f"the error is {ratio:.3g} times the tolerance"
        shown = found.counterexample or problem
        self.fail(result, Aside(Finding(prop.name, found.reason), shown, prop))
        result.fails_in = (shown.dtype,)

    def excluded(self) -> float:
        """The share of what is drawn without limits that lies outside the domain; 1 if no problem was met."""
        outside = []

        @hypothesis.seed(self.seed)
        @settings(
            max_examples=100,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(
            problem=problems(self.norm, dtypes=DTYPES, eps=EPS, virtual=(False,), channel_axes=self.layouts)
        )
        def sample(problem: Problem) -> None:
            outside.append(bool(self.domain.why_not(problem)))

        sample()
        return min(sum(outside), len(outside) - 0.5 * self.met) / len(outside)


def _param_dtype(problem: Problem) -> Any:
    """The dtype of weight and bias; x's, if both are absent."""
    return next((a.dtype for a in problem.parameters.values()), problem.x.dtype)


def one_of(argument: str, value: Any, allowed: Any) -> None:
    """Raise unless a value is one of those that are allowed."""
    if value not in tuple(allowed):
        raise ValueError(f"{argument} is {value!r}; expected one of {', '.join(allowed)}")
