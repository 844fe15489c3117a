"""Exact values, in rational arithmetic.

The forward pass is Wu & He 2018, eq. 1, 2 and 6, over the sets of eq. 3, 4, 5 and 7; rms norm is Zhang &
Sennrich 2019, eq. 4; the frozen norm is Ioffe & Szegedy 2015, Algorithm 2, line 11. The backward pass is the
chain rule as it stands in Ioffe & Szegedy 2015, section 3: by xhat, by the variance and by the mean, and not
the one line that these collapse to.

Every number is a `fractions.Fraction`. The only one with an error is rstd, as square roots are not rational:
it is good to a relative 2^-200.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import isqrt
from typing import Any, NamedTuple

import numpy as np

from gnref.testing.oracles.inputs import limit_of_numbers, refuse
from gnref.testing.oracles.sets import Index, by_set, weight_index
from gnref.testing.problems import Problem

Array = Any
ZERO, ONE = Fraction(0), Fraction(1)
BITS = 202  # how many of rstd are computed: 2^-200 and a little more


class Set(NamedTuple):
    """A set of elements with common statistics: their indices, and their distances d from the mean."""

    key: Index
    elements: list[Index]
    d: list[Fraction]
    mean: Fraction
    var: Fraction
    rstd: Fraction


def why_not(problem: Problem) -> str:
    """Say why this oracle does not take the problem: a NaN, an infinity, var + eps < 0; else ""."""
    return limit_of_numbers(problem)


def statistics(problem: Problem) -> dict[Index, tuple[Fraction, Fraction, Fraction]]:
    """Return (mean, var, rstd) of every set, by the keys of `gnref.testing.oracles.sets.set_key`.

    mean is 0 for rms norm, which subtracts none; var is then the mean square. rstd is 0 where var + eps is.
    """
    return {s.key: (s.mean, s.var, s.rstd) for s in _sets(problem)}


def y(problem: Problem) -> Array:
    """Return y as an object array of Fractions, of x's shape."""
    weight, bias = fractions(problem.weight), fractions(problem.bias)
    out = np.empty(problem.shape, object)
    for s in _sets(problem):
        for i, d in zip(s.elements, s.d, strict=True):
            k = weight_index(problem, i)
            xhat = d * s.rstd
            out[i] = xhat * (ONE if weight is None else weight[k]) + (ZERO if bias is None else bias[k])
    return out


def gradients(problem: Problem) -> tuple[Array, Array | None, Array | None]:
    """Return dx, dweight and dbias as object arrays of Fractions; None for an absent parameter."""
    dy, weight = fractions(problem.dy), fractions(problem.weight)
    dx = np.empty(problem.shape, object)
    dweight, dbias = (None if p is None else np.full(p.shape, ZERO) for p in (problem.weight, problem.bias))
    for s in _sets(problem):
        dxhat = []
        for i, d in zip(s.elements, s.d, strict=True):
            k = weight_index(problem, i)
            dxhat.append(dy[i] if weight is None else dy[i] * weight[k])
            if dweight is not None:
                dweight[k] += dy[i] * d * s.rstd
            if dbias is not None:
                dbias[k] += dy[i]
        for i, value in zip(s.elements, _dx(problem.norm, s, dxhat), strict=True):
            dx[i] = value
    return dx, dweight, dbias


def _dx(norm: str, s: Set, dxhat: list[Fraction]) -> list[Fraction]:
    """The three paths from xhat to x, in the names and the order of Ioffe & Szegedy 2015, section 3."""
    m = len(s.d)
    dvar = sum((g * d for g, d in zip(dxhat, s.d, strict=True)), ZERO) * Fraction(-1, 2) * s.rstd**3
    # The second term is 0 for all norms that keep it; the paper writes it.
    dmean = sum(dxhat, ZERO) * -s.rstd + dvar * Fraction(-2, m) * sum(s.d, ZERO)
    if norm == "batch_frozen":  # its statistics are constants
        dvar = dmean = ZERO
    if norm == "rms":  # its mean is the constant 0
        dmean = ZERO
    by_var, by_mean = dvar * Fraction(2, m), dmean / m
    return [g * s.rstd + by_var * d + by_mean for g, d in zip(dxhat, s.d, strict=True)]


def _sets(problem: Problem) -> Iterator[Set]:
    """Every set of the problem with its statistics."""
    refuse(why_not(problem))
    x, eps = fractions(problem.x), Fraction(float(problem.eps))
    running_mean, running_var = fractions(problem.running_mean), fractions(problem.running_var)
    for key, elements in by_set(problem).items():
        values, m = [x[i] for i in elements], len(elements)
        if problem.norm == "batch_frozen":
            mean = running_mean[key]
        else:
            mean = ZERO if problem.norm == "rms" else sum(values, ZERO) / m
        d = [value - mean for value in values]
        var = running_var[key] if problem.norm == "batch_frozen" else sum((a * a for a in d), ZERO) / m
        yield Set(key, elements, d, mean, var, reciprocal_sqrt(var + eps))


def reciprocal_sqrt(v: Fraction) -> Fraction:
    """Return 1/sqrt(v) to a relative 2^-200; 0 for 0."""
    if v == 0:
        return ZERO
    p, q = v.numerator, v.denominator
    # 4^k q/p has at least 2 * BITS bits before the point, so its root has BITS of them.
    k = max(0, BITS + (p.bit_length() - q.bit_length() + 1) // 2)
    return Fraction(isqrt((q << 2 * k) // p), 1 << k)


def fractions(a: Array | None) -> Array:
    """Return the numbers of an array as Fractions, exactly; None for None."""
    if a is None:
        return None
    numbers = [Fraction(value) for value in np.asarray(a, np.float64).ravel().tolist()]
    return np.array(numbers, object).reshape(a.shape)
