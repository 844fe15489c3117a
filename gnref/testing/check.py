"""One call for the authors of kernels: it says whether a normalization is right, and what is wrong if not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

from gnref.testing.diagnosis import derived, diagnosis, outcome
from gnref.testing.domain import Domain, Supports, domain
from gnref.testing.grades import batch_invariant, grade, standard
from gnref.testing.problems import Problem
from gnref.testing.properties import PROPERTIES, Property
from gnref.testing.properties.grades import ACCURACY, OFFSETS, RANGE, SCALES
from gnref.testing.report import Report
from gnref.testing.runner import RETURNS, Aside, Result, Trial, run_trial
from gnref.testing.snippet import snippet
from gnref.testing.strategies import problems
from gnref.testing.targets import Finding, Functions, Refused, Stopped, Target, Unsupported
from gnref.testing.targets.isolated import Isolated

NORMS = ("batch", "instance", "group", "layer", "rms")
DTYPES = ("float32", "float64")
NARROW = ("float16", "bfloat16")
REFUSED = "a wrong num_groups is refused"
BATCH = "f(x)[i] = f(x[i:i+1])"
CHANNELS = ("channels_first", "channels_last")
EXAMPLES = 40
EPS = (1e-5, 1e-3, 0.5)  # not 0: what a constant set has then is a matter of convention

Dtypes = Mapping[str, tuple[str, ...]]  # of x, and for each of them those of weight and bias


def check(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    *,
    norm: str,
    arrays: str = "numpy",
    device: Any = None,
    dtypes: Sequence[str | tuple[str, str]] = DTYPES,
    layouts: Sequence[str] = ("channels_first",),
    supports: Supports = None,
    max_examples: int | None = None,
    seed: int | None = None,
    require: Mapping[str, Any] | None = None,
    isolate: bool = False,
    timeout: float = 10.0,
    name: str | None = None,
    on_result: Callable[[Result], None] = lambda result: None,
) -> Report:
    """Check a normalization, forward and backward, and report what is wrong with it.

    Parameters
    ----------
    forward : callable
        Called like gnref's own function: ``forward(x, weight, bias, eps=eps)`` for batch and instance,
        ``forward(x, num_groups, weight, bias, eps=eps)`` for group,
        ``forward(x, normalized_shape, weight, bias, eps=eps)`` for layer and
        ``forward(x, normalized_shape, weight, eps=eps)`` for rms. weight and bias may be None. It returns
        y, or (y, mean, rstd), and then mean and rstd are checked too.
    backward : callable, optional
        ``backward(dy, x, ...the same...)``; or ``backward(dy, x, mean, rstd, ...)``, if it has parameters of
        these names. It returns (dx, dweight, dbias). Without it, PyTorch and JAX differentiate ``forward``,
        and with NumPy and CuPy the forward pass alone is checked.
    norm : str
        "batch", "instance", "group", "layer" or "rms".
    arrays : str
        What the functions take and return: "numpy", "torch", "cupy" or "jax".
    device : optional
        Where PyTorch, CuPy or JAX put the arrays.
    dtypes : sequence of str or pair of str
        "float16", "bfloat16", "float32" or "float64", of x and the parameters alike; or a pair of both. With
        the default, 16-bit x with float32 parameters is checked too, if the target takes it.
    layouts : sequence of str
        "channels_first", "channels_last", or both; ``channel_axis=`` is passed where the channels are last.
    supports : callable or mapping, optional
        The problems that the target is meant for: ``supports(problem) -> bool``, or limits by name:
        see `gnref.testing.domain.Domain`. Outside it nothing is asked, and the report says how much that is.
    max_examples : int, optional
        How many problems to draw for a property (40; some take fewer or more).
    seed : int, optional
        Equal seeds draw equal problems (0).
    require : mapping, optional
        Grades that are conditions: ``{"accuracy": "A", "range": 1e18, "batch_invariance": "bits",
        "validation": "raises"}``. The default is accuracy "B", a range of 1e4, batch invariance up to
        rounding ("rounding"), and any answer to a num_groups that does not divide C ("any").
    isolate : bool
        Whether to run the target in a process of its own, so that one that hangs or dies is a finding.
    timeout : float
        Seconds that an isolated call may take; six times as long where it may be compiling.
    name : str, optional
        How the report calls the target.
    on_result : callable, optional
        Called with each `Result` as it comes.

    Returns
    -------
    report : Report
        ``.ok``, ``.failed``, ``.results``, ``.grades`` and ``.raise_if_failed()``, among others.

    Raises
    ------
    ValueError, TypeError
        For an unknown norm, dtype, layout, library or requirement, and for what is not callable.
    BackendError
        If the library is not installed.

    Examples
    --------
    >>> import gnref
    >>> def forward(x, weight, bias, eps):
    ...     return gnref.instance_norm(x, weight, bias, eps=eps)
    >>> report = check(forward, norm="instance", dtypes=("float32",), max_examples=2)
    >>> report.ok, report.failed
    (True, [])
    """
    return check_target(
        None,
        forward,
        backward,
        norm=norm,
        arrays=arrays,
        device=device,
        dtypes=dtypes,
        layouts=layouts,
        supports=supports,
        max_examples=max_examples,
        seed=seed,
        require=require,
        isolate=isolate,
        timeout=timeout,
        name=name,
        on_result=on_result,
    )


def check_target(
    text: str | None,
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    *,
    on_result: Callable[[Result], None] = lambda result: None,
    **options: Any,
) -> Report:
    """`check`, of a target that another process can make from a text, if it has one."""
    checker, pairs = checker_of(text, forward, backward, **options)
    try:
        return checker.report(pairs, on_result)
    finally:
        checker.close()


def checker_of(
    text: str | None,
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    *,
    norm: str,
    arrays: str = "numpy",
    device: Any = None,
    dtypes: Sequence[str | tuple[str, str]] = DTYPES,
    layouts: Sequence[str] = ("channels_first",),
    supports: Supports = None,
    max_examples: int | None = None,
    seed: int | None = None,
    require: Mapping[str, Any] | None = None,
    isolate: bool = False,
    timeout: float = 10.0,
    name: str | None = None,
) -> tuple[Checker, Dtypes]:
    """A checker that is to be closed, and the dtypes that its target takes."""
    _one_of("norm", norm, NORMS)
    for layout in layouts:
        _one_of("layouts", layout, CHANNELS)
    wanted, limits = _requirements(require), domain(supports)
    options = {"norm": norm, "arrays": arrays, "device": device, "name": name}
    options["channel_axis"] = "channels_last" in layouts
    target: Functions | Isolated
    if isolate:
        target = Isolated(text or forward, backward, domain=limits, timeout=timeout, **options)
    else:
        target = Functions(forward, backward, domain=limits, **options)
    checker = Checker(target, norm, limits, layouts, wanted, max_examples or EXAMPLES, seed or 0)
    try:
        return checker, checker.taken(dtypes)
    except BaseException:
        checker.close()
        raise


def asked(norm: str) -> list[Property]:
    """The properties that every target of a norm is asked; first whether it returns at all."""
    first = sorted(PROPERTIES.values(), key=lambda prop: prop.name != RETURNS)
    return [prop for prop in first if norm in prop.norms and not prop.beyond]


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

    def report(self, pairs: Dtypes, on_result: Callable[[Result], None]) -> Report:
        """Ask every property, and grade."""
        report = Report(self.target.name, self.norm, dtypes=pairs, require=dict(self.require))
        report.settings = {"max_examples": self.max_examples, "seed": self.seed, "layouts": self.layouts}
        for prop in asked(self.norm):
            report.results.append(self.ask(prop, pairs))
            on_result(report.results[-1])
        self.blame(report)
        self.grades(report, pairs)
        for result in report.results:
            self.explain(result)
        if self.domain.limited:
            report.excluded = self.excluded()
        return report

    def ask(self, prop: Property, pairs: Dtypes) -> Result:
        """Ask one property."""
        if prop.name == REFUSED and self.require["validation"] != "raises":
            result = self.empty(prop)
            result.status, result.reason = "not asked", "require={'validation': 'raises'} asks it"
            return result
        trial = Trial(prop, self.target, self.empty(prop), self.domain, self.others)
        result = run_trial(trial, self.max_examples, self.seed, self.options(prop, pairs))
        if isinstance(self.target, Isolated):
            self.target.renew()
        return result

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
            _one_of("dtypes", x, OFFSETS)
            _one_of("dtypes", param, OFFSETS)
            if self.domain.dtypes is None or x in self.domain.dtypes:
                pairs[x] = (*pairs.get(x, ()), param)
        if tuple(dtypes) == DTYPES:
            wanted = [n for n in NARROW if self.domain.dtypes is None or n in self.domain.dtypes]
            pairs |= {name: ("float32",) for name in wanted if self.takes(name, "float32")}
        if not pairs:
            raise ValueError(
                f"dtypes is {tuple(dtypes)!r}; expected one that supports has: {self.domain.dtypes}"
            )
        for x, params in pairs.items():
            self.takes(x, params[0])
        return pairs

    def takes(self, dtype: str, param_dtype: str) -> bool:
        """Whether a forward pass gives back that dtype; notes the ability to return statistics."""
        problem = standard(self.norm, dtype, param_dtype, self.domain)
        if "channels_first" not in self.layouts and problem.num_groups is not None:
            return False
        try:
            forward = self.target.forward(problem)
        except Finding as finding:
            self.others.append(Aside(finding, problem, PROPERTIES[RETURNS]))
            return False
        except (Unsupported, Refused, Stopped):
            return False
        if forward.rstd is not None:
            self.target.abilities |= {"statistics"}
        return bool(forward.y.dtype == problem.x.dtype)

    def blame(self, report: Report) -> None:
        """Give each finding that was made on the way to the property that it belongs to."""
        for result in report.results:
            about = [aside for aside in self.others if aside.finding.property == result.property]
            if about and result.status not in ("failed", "skipped"):
                self.fail(result, min(about, key=lambda aside: aside.problem.x.size))

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
                    alike = () if isinstance(found, str) else resembling(made, found)
                    break
        result.museum = alike or self.cases(result)

    def cases(self, result: Result) -> tuple[str, ...]:
        """The entries of the museum that break the property, where no specimen gives the same numbers."""
        numbers = ", ".join(map(str, PROPERTIES[result.property].museum))
        return (f"museum entries that break this property: {numbers}",) if numbers else ()

    def grades(self, report: Report, pairs: Dtypes) -> None:
        """Grade every dtype."""
        for dtype, params in pairs.items():
            found = grade(self.target, self.norm, dtype, params[0], self.domain)
            if found is not None:
                report.grades[dtype] = found
        first = next(iter(pairs))
        report.batch_invariant = batch_invariant(self.target, self.norm, first, pairs[first][0], self.domain)
        self.target.findings.clear()

    def excluded(self) -> float:
        """The share of what is drawn without limits that lies outside the domain."""
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
        return sum(outside) / len(outside)


def _one_of(argument: str, value: Any, allowed: Any) -> None:
    """Raise unless a value is one of those that are allowed."""
    if value not in tuple(allowed):
        raise ValueError(f"{argument} is {value!r}; expected one of {', '.join(allowed)}")


def _requirements(require: Mapping[str, Any] | None) -> dict[str, Any]:
    """The requirements, with their defaults."""
    full: dict[str, Any] = {
        "accuracy": "B",
        "range": 1e4,
        "batch_invariance": "rounding",
        "validation": "any",
    }
    for key, value in (require or {}).items():
        _one_of("a key of require", key, full)
        full[key] = value
    _one_of("require['accuracy']", full["accuracy"], "AB")
    _one_of("require['batch_invariance']", full["batch_invariance"], ("bits", "rounding"))
    _one_of("require['validation']", full["validation"], ("raises", "any"))
    far = full["range"]
    if not isinstance(far, int | float) or not 1 <= far <= SCALES[-2]:
        raise ValueError(f"require['range'] is {far!r}; expected a number from 1 to {SCALES[-2]:g}")
    return full
