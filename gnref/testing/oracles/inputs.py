"""What the oracles have in common: a problem in float64, and which problems float64 can take.

The papers say nothing about either. The limits follow from the range of IEEE 754 binary64, 1e-308 to 1e308,
and from the largest power in the papers' equations: rstd^3, in the derivative by the variance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gnref.testing.oracles.sets import by_set
from gnref.testing.problems import Problem

Array = Any
ARRAYS = ("x", "dy", "weight", "bias", "running_mean", "running_var")
LARGE = 1e90  # of |x|: rstd^3 is then above 1e-308
TINY = 1e-200  # of var + eps: rstd^3 is then below 1e308
SUBNORMAL = 5e-324


def widened(problem: Problem) -> Problem:
    """Return the problem with its arrays in float64, which holds the narrower types exactly."""
    given = {name: getattr(problem, name) for name in ARRAYS}
    return problem.but(
        **{name: np.array(a, np.float64, order="C") for name, a in given.items() if a is not None}
    )


def running(problem: Problem) -> tuple[Array, Array]:
    """Return the running mean and variance of the frozen norm, which must be there."""
    assert problem.running_mean is not None and problem.running_var is not None
    return problem.running_mean, problem.running_var


def refuse(reason: str) -> None:
    """Raise ValueError with the reason, unless it is ""."""
    if reason:
        raise ValueError(f"{reason}; expected a problem that this oracle takes (see its why_not)")


def limit_of_numbers(problem: Problem) -> str:
    """Say why the problem has no real numbers for an answer; "" if it has."""
    wide = widened(problem)
    for name in ARRAYS:
        a = getattr(wide, name)
        if a is not None and not np.isfinite(a).all():
            return f"{name} holds a NaN or an infinity"
    if wide.running_var is not None and (wide.running_var + problem.eps < 0).any():
        return "running_var + eps is negative"
    return ""


def limit_of_float64(problem: Problem) -> str:
    """Say why float64 cannot compute y and its derivatives unless it rescales; "" if it can."""
    if problem.x.size and np.abs(widened(problem).x).max() > LARGE:
        return f"x holds numbers above {LARGE:g}, for which rstd^3 leaves float64"
    if any(0 < v < TINY for v in _variances(problem)):
        return f"var + eps is below {TINY:g} in a set, where rstd^3 leaves float64"
    return ""


def limit_of_formulas(problem: Problem) -> str:
    """Say why the formulas without special cases fail; "" if they do not."""
    if any(v == 0 for v in _variances(problem)):
        return "var + eps is 0 in a set, where the formulas divide by 0"
    return ""


def limit_of_frameworks(problem: Problem) -> str:
    """Say why y and its derivatives cannot be left to a framework's float64 arithmetic; "" if they can."""
    if problem.x.size == 0:
        return "x is empty, and frameworks differ on the mean of nothing"
    return limit_of_numbers(problem) or limit_of_float64(problem) or limit_of_formulas(problem)


def _variances(problem: Problem) -> Iterator[float]:
    """The size of var + eps in each set: 0 only where it is exactly 0. None where eps settles it."""
    if problem.norm == "batch_frozen":
        yield from (running(widened(problem))[1] + problem.eps).tolist()
    elif problem.eps < TINY:
        x = widened(problem).x
        for S in by_set(problem).values():
            values = np.array([x[i] for i in S])
            spread = np.abs(values).max() if problem.norm == "rms" else np.ptp(values)
            # The square of a small spread may vanish; a set that is not constant must not look so.
            yield max(float(spread) ** 2, SUBNORMAL if spread > 0 else 0.0) + problem.eps
