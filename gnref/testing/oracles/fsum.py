"""Sums without rounding errors, for sets too long for fractions: `math.fsum`, set by set.

Wu & He 2018, eq. 1, 2 and 6; rms norm is Zhang & Sennrich 2019, eq. 4; the frozen norm is Ioffe & Szegedy
2015, Algorithm 2, line 11. The backward pass is the chain rule of Ioffe & Szegedy 2015, section 3, term by
term. Every sum is rounded once, so that errors do not grow with the length of a set: what is left are the
few roundings of float64 in each term.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import fsum, sqrt
from typing import Any

import numpy as np

from gnref.testing.oracles.inputs import limit_of_float64, limit_of_numbers, refuse, running, widened
from gnref.testing.oracles.sets import param_ids, set_ids
from gnref.testing.problems import Problem

Array = Any


def why_not(problem: Problem) -> str:
    """Say why this oracle does not take the problem; "" if it does: as `gnref.testing.oracles.loops`."""
    return limit_of_numbers(problem) or limit_of_float64(problem)


def y(problem: Problem) -> Array:
    """Return y in float64."""
    refuse(why_not(problem))
    wide, out = widened(problem), np.empty(problem.x.size)
    weight, bias = _per_element(wide, wide.weight, 1.0), _per_element(wide, wide.bias, 0.0)
    for S, d, rstd in _sets(wide):
        out[S] = d * rstd * weight[S] + bias[S]
    return out.reshape(problem.shape)


def gradients(problem: Problem) -> tuple[Array, Array | None, Array | None]:
    """Return dx, dweight and dbias in float64; None for an absent parameter."""
    refuse(why_not(problem))
    wide, dx, by_weight = widened(problem), np.empty(problem.x.size), np.empty(problem.x.size)
    dy, weight = wide.dy.ravel(), _per_element(wide, wide.weight, 1.0)
    for S, d, rstd in _sets(wide):
        dx[S] = _dx(wide.norm, dy[S] * weight[S], d, rstd)
        by_weight[S] = dy[S] * d * rstd
    dweight = None if wide.weight is None else _per_param(wide, by_weight, wide.weight)
    return dx.reshape(problem.shape), dweight, None if wide.bias is None else _per_param(wide, dy, wide.bias)


def _dx(norm: str, dxhat: Array, d: Array, rstd: float) -> Array:
    """dx of one set, from dxhat = dy * weight and d = x - mean: directly, by the variance, by the mean."""
    if norm == "batch_frozen":
        return dxhat * rstd
    m = len(d)
    dvar = -0.5 * fsum(dxhat * d) * rstd**3
    dmean = 0.0 if norm == "rms" else -rstd * fsum(dxhat)  # the sum of d, the paper's other term, is 0
    return dxhat * rstd + dvar * 2 * d / m + dmean / m


def _sets(wide: Problem) -> Iterator[tuple[Array, Array, float]]:
    """Every set: the flat indices of its elements, their distances from its mean, and rstd."""
    ids, x = set_ids(wide).ravel(), wide.x.ravel()
    order = np.argsort(ids, kind="stable")
    for number, S in enumerate(np.split(order, np.cumsum(np.bincount(ids))[:-1])):
        d, m = x[S], len(S)
        if wide.norm == "batch_frozen":
            mean, var = (float(a[number]) for a in running(wide))
            d = d - mean
        else:
            if wide.norm != "rms":
                d = d - fsum(d) / m
                d = d - fsum(d) / m  # what the rounding of the mean left
            var = fsum(d * d) / m
        yield S, d, 1 / sqrt(var + wide.eps) if var + wide.eps > 0 else 0.0


def _per_element(wide: Problem, param: Array | None, absent: float) -> Array:
    """The parameter of every element, flat."""
    return np.full(wide.x.size, absent) if param is None else param.ravel()[param_ids(wide).ravel()]


def _per_param(wide: Problem, t: Array, param: Array) -> Array:
    """Sum t over all that shares a parameter."""
    owner = param_ids(wide).ravel()
    counts, ordered = np.bincount(owner, minlength=param.size), t[np.argsort(owner, kind="stable")]
    if param.size > counts.max(initial=0):  # many short sums: each parameter has as many elements
        return _side_by_side(ordered.reshape(param.size, -1)).reshape(param.shape)
    parts = np.split(ordered, np.cumsum(counts)[:-1])
    return np.array([fsum(part) for part in parts]).reshape(param.shape)


def _side_by_side(rows: Array) -> Array:
    """The sum of each row, with what every addition rounds away added at the end (Knuth's TwoSum)."""
    total, lost = np.zeros(len(rows)), np.zeros(len(rows))
    for a in rows.T:
        more = total + a
        part = more - total
        lost += (total - (more - part)) + (a - part)
        total = more
    return total + lost
