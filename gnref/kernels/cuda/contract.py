"""The functions of the kernel contract; see `gnref.kernels` and the other files here."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from gnref.kernels.cuda import nothing, steps
from gnref.kernels.cuda.device import lacking, on_its_device
from gnref.kernels.cuda.steps import numbers, work

Array = Any

__all__ = [
    "apply",
    "backward",
    "backward_from_sums",
    "backward_given",
    "backward_sums",
    "forward",
    "lacking",
    "moments",
]


@on_its_device
def forward(
    x5: Array, weight: Array | None, bias: Array | None, eps: float, center: bool, out: Array | None = None
) -> tuple[Array, Array | None, Array, Array]:
    """Normalize every set."""
    if x5.size == 0:
        mean, var, rstd = nothing.statistics(x5, eps)
        return nothing.like(x5), mean if center else None, var, rstd
    w = work(x5, weight, bias, center)
    y5 = w.room(out)
    mean, var, rstd = per_set(x5, steps.forward(w, y5, eps))
    return y5, mean if center else None, var, rstd


@on_its_device
def moments(x5: Array) -> tuple[int, Array, Array]:
    """Count, mean and M2 of every set."""
    m = x5.shape[1] * x5.shape[3] * x5.shape[4]
    if x5.size == 0:
        mean, var, _ = nothing.statistics(x5, 0.0)
    else:
        mean, var, _ = per_set(x5, steps.forward(work(x5, None, None, True), None, 0.0))
    return m, mean, var * m


@on_its_device
def apply(
    x5: Array, mean: Array, rstd: Array, weight: Array | None, bias: Array | None, out: Array | None = None
) -> Array:
    """Normalize with statistics that are given."""
    if x5.size == 0:
        return nothing.like(x5)
    w = work(x5, weight, bias, True)
    y5 = w.room(out)
    steps.apply(w, y5, None, *plain(mean, rstd))
    return y5


@on_its_device
def backward(
    dy5: Array,
    x5: Array,
    mean: Array | None,
    rstd: Array,
    weight: Array | None,
    center: bool,
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Differentiate `forward`."""
    if x5.size == 0:
        return nothing.gradients(x5)
    w = work(x5, weight, None, center, backward=True)
    dx5, (mean, rstd) = w.room(out), plain(mean, rstd)
    return dx5, *steps.backward(w, w.piece(dy5), mean, rstd, dx5)


@on_its_device
def backward_given(
    dy5: Array, x5: Array, mean: Array, rstd: Array, weight: Array | None, out: Array | None = None
) -> tuple[Array, Array, Array]:
    """Differentiate `apply`: the statistics are constants, and dx has nothing of x in it."""
    if x5.size == 0:
        return nothing.gradients(x5)
    w, (mean, rstd) = work(x5, weight, None, True, backward=True), plain(mean, rstd)
    dy = w.piece(dy5)
    if w.way.cut.trailing:
        partial = steps.gradients_trailing(w, dy, None, mean, rstd, None)
    else:
        partial = steps.set_sums(w, dy, mean, rstd, own=False)
    dx5 = apply(dy5, cupy.zeros(rstd.shape, np.float64), rstd, weight, None, out)
    return dx5, *steps.fold(w, partial)


@on_its_device
def backward_sums(
    dy5: Array, x5: Array, mean: Array, rstd: Array, weight: Array | None
) -> tuple[Array, Array]:
    """Sums over the set of dxhat and of dxhat * xhat."""
    if x5.size == 0:
        return nothing.statistics(x5, 0.0)[:2]
    w, totals = work(x5, weight, None, True, backward=True), numbers(2, x5.shape[0] * x5.shape[2])
    steps.set_sums(w, w.piece(dy5), *plain(mean, rstd), own=False, totals=totals)
    sum_dxhat, sum_dxhat_xhat = per_set(x5, totals)
    return sum_dxhat, sum_dxhat_xhat


@on_its_device
def backward_from_sums(
    dy5: Array,
    x5: Array,
    mean: Array,
    rstd: Array,
    weight: Array | None,
    count: int,
    sum_dxhat: Array,
    sum_dxhat_xhat: Array,
) -> Array:
    """dx of a shard, from the sums and the count over all shards."""
    if x5.size == 0:
        return nothing.like(x5)
    w = work(x5, weight, None, True, backward=True)
    dx5 = w.room(None)
    mean, rstd, *sums = plain(mean, rstd, sum_dxhat, sum_dxhat_xhat)
    slopes = steps.given_slopes(w, mean, rstd, cupy.stack(sums), count)
    steps.write_gradients(w, w.piece(dy5), slopes, dx5)
    return dx5


def plain(*stats: Array | None) -> Any:
    """Statistics in one piece, in float64."""
    return tuple(
        None if a is None else cupy.ascontiguousarray(a.astype(np.float64, copy=False)) for a in stats
    )


def per_set(x5: Array, stats: Array) -> list[Array]:
    """(k, O*A) to k arrays of (O, A)."""
    return [stat.reshape(x5.shape[0], x5.shape[2]) for stat in stats]
