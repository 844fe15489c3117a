"""One call for the authors of kernels: it says whether a normalization is right, and what is wrong if not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gnref.testing.checker import DTYPES, REQUIREMENTS, Checker, Dtypes, one_of
from gnref.testing.domain import Supports, domain
from gnref.testing.properties.grades import OFFSETS, SCALES
from gnref.testing.report import Report
from gnref.testing.runner import Result
from gnref.testing.targets import Functions
from gnref.testing.targets.isolated import Isolated

NORMS = ("batch", "instance", "group", "layer", "rms")
CHANNELS = ("channels_first", "channels_last")
EXAMPLES = 40


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
        "validation": "raises", "second_order": "exact"}``. One that no problem showed fails, too. The
        default is accuracy "B", a range of 1e4, batch invariance up to rounding ("rounding"), any answer to
        a num_groups that does not divide C ("any"), and second derivatives and forward mode that may raise,
        but not be wrong ("any"); of the last PyTorch and JAX functions are asked, whose gradients are these
        frameworks'.
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
    one_of("norm", norm, NORMS)
    dtypes, layouts = _pairs(dtypes), _several("layouts", layouts)
    for layout in layouts:
        one_of("layouts", layout, CHANNELS)
    _positive("max_examples", max_examples, int)
    _positive("timeout", timeout, (int, float))
    wanted, limits = requirements(require), domain(supports)
    options = {"norm": norm, "arrays": arrays, "device": device, "name": name}
    options["channel_axis"] = "channels_last" in layouts
    target: Functions | Isolated
    if isolate:
        target = Isolated(text or forward, backward, domain=limits, timeout=timeout, **options)
    else:
        target = Functions(forward, backward, domain=limits, **options)
    checker = Checker(target, norm, limits, layouts, wanted, max_examples or EXAMPLES, seed or 0)
    try:
        require_differentiable(target.name, "differentiates" in target.abilities, wanted)
        return checker, checker.taken(dtypes)
    except BaseException:
        checker.close()
        raise


def require_differentiable(name: str, differentiates: bool, wanted: Mapping[str, Any]) -> None:
    """Raise if second derivatives are required of what no framework differentiates."""
    if wanted["second_order"] == "exact" and not differentiates:
        raise ValueError(
            f"require['second_order'] is 'exact', and the backward pass of {name} is a function of its own,"
            " or there is none; expected a forward pass that PyTorch or JAX differentiates"
        )


def _several(argument: str, value: Any) -> tuple[Any, ...]:
    """A sequence that is not empty; one text is one member."""
    found = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Sequence) else ()
    if not found:
        raise ValueError(f"{argument} is {value!r}; expected one or more of them")
    return found


def _pairs(dtypes: Any) -> tuple[str | tuple[str, str], ...]:
    """The dtypes to ask: names, or pairs of them."""
    found = _several("dtypes", dtypes)
    for entry in found:
        pair = (entry, entry) if isinstance(entry, str) else entry
        if not isinstance(pair, Sequence) or len(pair) != 2:
            raise ValueError(f"dtypes has {entry!r}; expected a name, or a pair of names")
        for name in pair:
            one_of("dtypes", name, tuple(OFFSETS))
    return found


def _positive(argument: str, value: Any, kinds: Any) -> None:
    """Raise for what is no positive number; None is nothing."""
    if value is not None and (not isinstance(value, kinds) or isinstance(value, bool) or value <= 0):
        raise ValueError(f"{argument} is {value!r}; expected a positive number")


def requirements(require: Mapping[str, Any] | None) -> dict[str, Any]:
    """The requirements, with their defaults."""
    full = {key: default for key, (default, _) in REQUIREMENTS.items()}
    if not isinstance(require, Mapping | None):
        raise ValueError(f"require is {require!r}; expected a dict of grades")
    for key, value in (require or {}).items():
        one_of("a key of require", key, full)
        full[key] = value
    one_of("require['accuracy']", full["accuracy"], "AB")
    one_of("require['batch_invariance']", full["batch_invariance"], ("bits", "rounding"))
    one_of("require['validation']", full["validation"], ("raises", "any"))
    one_of("require['second_order']", full["second_order"], ("exact", "any"))
    far = full["range"]
    if not isinstance(far, int | float) or not 1 <= far <= SCALES[-2]:
        raise ValueError(f"require['range'] is {far!r}; expected a number from 1 to {SCALES[-2]:g}")
    return full
