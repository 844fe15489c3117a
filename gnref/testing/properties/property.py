"""What a property is: what every correct norm obeys, as a function that measures the offence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gnref.testing.problems import NORMS, Array, Problem
from gnref.testing.targets import Target

Check = Callable[[Target, Problem], float | None]


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
        Whether the property allows no tolerance.
    oracle : str or None
        The oracle of `gnref.testing.oracles` that it needs.
    options : dict
        For `gnref.testing.strategies.problems`.
    """

    name: str
    check: Check
    norms: tuple[str, ...] = NORMS
    exact: bool = False
    oracle: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


ENTERED: dict[str, Property] = {}  # in the order of import; `gnref.testing.properties.PROPERTIES` sorts them


def holds(
    name: str,
    *,
    norms: Iterable[str] = NORMS,
    but: Iterable[str] = (),
    exact: bool = False,
    oracle: str | None = None,
    **options: Any,
) -> Callable[[Check], Check]:
    """Enter a function into the list of properties."""

    def enter(check: Check) -> Check:
        kept = tuple(norm for norm in norms if norm not in tuple(but))
        ENTERED[name] = Property(name, check, kept, exact, oracle, options)
        return check

    return enter


def worst(*pairs: tuple[Any, Any]) -> float:
    """The largest |error| / tolerance over all elements; NaN counts as infinite."""
    largest = 0.0
    for error, tolerance in pairs:
        if np.size(error) == 0:
            continue
        with np.errstate(all="ignore"):
            ratio = np.abs(np.asarray(error, np.float64)) / tolerance
        ratio = np.where(np.asarray(error) == 0, 0.0, ratio)
        largest = max(largest, float(np.max(np.where(np.isnan(ratio), np.inf, ratio))))
    return largest


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
    return a.astype(np.float64)
