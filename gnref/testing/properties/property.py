"""What a property is, and what their checks are written with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from gnref.testing.problems import NORMS, Array, Problem
from gnref.testing.targets.target import Target
from gnref.testing.tolerances import tolerance

Check = Callable[[Target, Problem], float | None]
Results = dict[str, Array]  # y, and what there is of dx, dweight and dbias


@dataclass(frozen=True)
class Property:
    """A property, the norms that it holds for, and the problems that put it to the test.

    Attributes
    ----------
    name : str
        How reports call it.
    check : callable
        ``check(target, problem)`` returns the worst error in units of the tolerance (0 or infinity
        where results must be bit-identical), or None where the problem says nothing about the property.
    norms : tuple of str
        Of `gnref.testing.problems.NORMS`.
    exact : bool
        Whether the property allows no tolerance; "A" if it does in grade B alone.
    oracle : str or None
        The oracle of `gnref.testing.oracles` that it needs.
    museum : tuple of int
        The entries of `gnref.testing.museum` whose bug breaks it.
    requires : tuple of str
        The abilities that a target must have: see `gnref.testing.targets.Target`.
    own : bool
        Whether it is asked of gnref alone: one more oracle, or more than a sound kernel owes.
    may_refuse : bool
        Whether a target may raise instead: its problems are at the edge of what has an answer.
    examples : float
        How many problems it draws, in units of ``max_examples``.
    options : dict
        For `gnref.testing.strategies.problems`.
    """

    name: str
    check: Check
    norms: tuple[str, ...] = NORMS
    exact: bool = False
    oracle: str | None = None
    museum: tuple[int, ...] = ()
    requires: tuple[str, ...] = ()
    own: bool = False
    may_refuse: bool = False
    examples: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def beyond(self) -> bool:
        """Whether it is gnref's own affair, or takes more of a target than two plain functions have."""
        return self.own or bool({"norms", "layout", "out", "var"} & set(self.requires))

    @property
    def law(self) -> str:
        """What it states, in one line."""
        return (self.check.__doc__ or "").strip().split("\n")[0]


ENTERED: dict[str, Property] = {}  # in the order of import; `gnref.testing.properties.PROPERTIES` sorts them


def holds(
    name: str,
    *,
    norms: Iterable[str] = NORMS,
    but: Iterable[str] = (),
    exact: bool = False,
    oracle: str | None = None,
    museum: tuple[int, ...] = (),
    requires: tuple[str, ...] = (),
    own: bool = False,
    may_refuse: bool = False,
    examples: float = 1.0,
    **options: Any,
) -> Callable[[Check], Check]:
    """Enter a function into the list of properties."""

    def enter(check: Check) -> Check:
        kept = tuple(norm for norm in norms if norm not in tuple(but))
        ENTERED[name] = Property(
            name, check, kept, exact, oracle, museum, requires, own, may_refuse, examples, options
        )
        return check

    return enter


def results(target: Target, problem: Problem) -> Results:
    """Run the forward pass, and the backward pass if there is one; what is absent is left out."""
    forward = target.forward(problem)
    found: dict[str, Array | None] = {"y": forward.y}
    if "backward" in target.abilities:
        found |= target.backward(problem.dy, forward)._asdict()
    return {name: a for name, a in found.items() if a is not None}


def worst(*pairs: tuple[Any, Any]) -> float:
    """The largest |error| / tolerance over all elements; NaN counts as infinite."""
    largest = 0.0
    for error, limit in pairs:
        if np.size(error) == 0:
            continue
        with np.errstate(all="ignore"):
            ratio = np.abs(np.asarray(error, np.float64)) / limit
        ratio = np.where(np.asarray(error) == 0, 0.0, ratio)
        largest = max(largest, float(np.max(np.where(np.isnan(ratio), np.inf, ratio))))
    return largest


def difference(got: Array | None, expected: Any) -> Any:
    """Got minus expected, exactly where the expected values are fractions; infinity for another shape."""
    if got is None or expected is None:
        return np.zeros(0) if got is expected else np.inf
    if got.shape != expected.shape:
        return np.inf
    if expected.dtype != object:
        with np.errstate(invalid="ignore"):  # of infinities
            return wide(got) - wide(expected)
    pairs = zip(wide(got).ravel(), expected.ravel(), strict=True)
    errors = [float(Fraction(float(a)) - b) if np.isfinite(a) else np.inf for a, b in pairs]
    return np.array(errors).reshape(got.shape)


def worst_element(name: str, got: Array, right: Any, limit: Array) -> str:
    """Say which element is off by most of its tolerance, and the right value; "" if none is off by more."""
    if got.shape != right.shape:
        return f"{name} has the shape {got.shape}, expected {right.shape}"
    error = np.asarray(difference(got, right), np.float64)
    with np.errstate(all="ignore"):
        ratio = np.where(error == 0, 0.0, np.abs(error) / limit)
    ratio = np.where(np.isnan(ratio), np.inf, ratio)
    if ratio.size == 0 or ratio.max() <= 1:
        return ""
    where = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
    index = ", ".join(str(int(i)) for i in where)
    return f"{name}[{index}] is {float(got[where]):.9g}, expected {float(right[where]):.9g}"


def close(problem: Problem, one: Results, other: Results) -> float:
    """Compare what two runs of one problem, perhaps in another order, returned: 2 tolerances at most."""
    limits = tolerance(problem)
    if one.keys() != other.keys():
        return float("inf")
    return worst(*((apart(one[name], other[name]), 2 * getattr(limits, name)) for name in one))


def apart(a: Array, b: Array) -> Any:
    """The difference of two runs; 0 where both have the same NaN or infinity, which is another's affair."""
    if a.shape != b.shape:
        return np.inf
    with np.errstate(invalid="ignore"):
        return np.where(
            (wide(a) == wide(b)) | (np.isnan(wide(a)) & np.isnan(wide(b))), 0.0, wide(a) - wide(b)
        )


def agree(problem: Problem, one: Results, other: Results) -> float:
    """Compare two runs bit for bit; where the grade is B, within the tolerance."""
    if problem.grade != "A":
        return close(problem, one, other)
    names = one.keys() | other.keys()
    return identical(*((one.get(name), other.get(name)) for name in names))


def identical(*pairs: tuple[Any, Any]) -> float:
    """0 if the arrays of every pair agree bit for bit (0 and -0 count as one, NaN as NaN), else infinity."""
    return 0.0 if all(_same(a, b) for a, b in pairs) else float("inf")


def _same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind == "V" or a.dtype.name == "bfloat16":  # NumPy does not know NaN in it
        a, b = a.astype(np.float32), b.astype(np.float32)
    return bool(np.array_equal(a, b, equal_nan=True))


def wide(a: Array) -> Array:
    """To float64, exactly."""
    return np.asarray(a).astype(np.float64)
