"""Loops over the elements, in floats.

Wu & He 2018, eq. 1, 2 and 6, over the sets of eq. 3, 4, 5 and 7; rms norm is Zhang & Sennrich 2019, eq. 4;
the frozen norm is Ioffe & Szegedy 2015, Algorithm 2, line 11. The same lines take complex numbers, so that
`gnref.testing.oracles.differences` can differentiate them: no absolute value, no comparison of values.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from gnref.testing.oracles.inputs import limit_of_float64, limit_of_numbers, refuse, running, widened
from gnref.testing.oracles.sets import Index, by_set, weight_index
from gnref.testing.problems import Problem

Array = Any
Number = Any  # float, or complex in a complex step


def why_not(problem: Problem) -> str:
    """Say why this oracle does not take the problem; "" if it does.

    NaN, infinities, and numbers so large or sets so narrow that float64 leaves its range, as nothing here
    rescales; `exact` takes those. A set with var + eps == 0 is fine.
    """
    return limit_of_numbers(problem) or limit_of_float64(problem)


def y(problem: Problem) -> Array:
    """Return y in float64."""
    refuse(why_not(problem))
    wide = widened(problem)
    return forward(wide, wide.x, wide.weight, wide.bias)


def forward(problem: Problem, x: Array, weight: Array | None, bias: Array | None) -> Array:
    """Return y of the given arrays, float64 or complex128; the problem says how to normalize them.

    A set with var + eps == 0 has rstd 0, in floats only. To ask a complex number whether it is 0 would break
    the derivative: a complex step into such a set divides by 0, or its derivative means nothing.
    """
    out = np.empty(x.shape, np.result_type(*(a for a in (x, weight, bias) if a is not None)))
    for key, S in by_set(problem).items():
        d, rstd = standardized(problem, key, [x.item(i) for i in S])
        for i, d_i in zip(S, d, strict=True):
            k = weight_index(problem, i)
            scale, shift = (None if a is None else a.item(k) for a in (weight, bias))
            xhat = d_i * rstd
            out[i] = xhat * (1.0 if scale is None else scale) + (0.0 if shift is None else shift)
    return out


def standardized(problem: Problem, key: Index, values: list[Number]) -> tuple[list[Number], Number]:
    """Return the distances of a set's values from its mean, and rstd."""
    m = len(values)
    if problem.norm == "batch_frozen":
        mean, var = (a.item(key) for a in running(problem))
        return [value - mean for value in values], reciprocal_sqrt(var + problem.eps)
    d = values if problem.norm == "rms" else centered(values)
    var = total(a * a for a in d) / m
    return d, reciprocal_sqrt(var + problem.eps)


def centered(values: list[Number]) -> list[Number]:
    """Return the distances of the values from their mean."""
    # A norm does not notice a shift. Counted from the first value, a constant set is zeros without rounding,
    # and a large mean costs no digits.
    shifted = [value - values[0] for value in values]
    mean = total(shifted) / len(values)
    return [value - mean for value in shifted]


def total(values: Iterable[Number]) -> Number:
    """Return the sum, rounded once: that of the real parts and that of the imaginary parts."""
    values = list(values)
    if any(isinstance(value, complex) for value in values):
        return complex(math.fsum(v.real for v in values), math.fsum(v.imag for v in values))
    return math.fsum(values)


def reciprocal_sqrt(v: Number) -> Number:
    """Return 1/sqrt(v); 0 for the float 0."""
    if isinstance(v, complex):
        return 1 / cmath.sqrt(v)
    return 0.0 if v == 0 else 1 / math.sqrt(v)
