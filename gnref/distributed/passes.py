"""What happens behind `gnref.distributed.batch`, on every rank.

    forward    moments of the shard, exchange, merge; apply
    backward   sums of dy and dy * xhat over the shard, exchange, add; dx from the sums

Each step is a function of `gnref.kernels`, but for merge and add. These are done by every rank for itself, in
the order of the ranks and in float64, so the statistics and dweight and dbias have the same bits everywhere.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, fields
from functools import reduce
from typing import Any, NamedTuple, Self

import numpy as np

from gnref.arguments import check_dy, check_params
from gnref.arrays import check_array, dtype_name, library
from gnref.axes import View, view
from gnref.checks import check_eps
from gnref.dispatch import choose, kernels
from gnref.distributed.ranks import check_timeout, gather, together
from gnref.errors import ShapeError
from gnref.kernels.reference import reciprocal_std
from gnref.layers import BatchNorm
from gnref.layers.layer import check_channels
from gnref.passes import finish, fold, quiet

Array = np.ndarray[Any, Any]


class Moments(NamedTuple):
    """What is known of a shard, or of several: the number of elements per channel, their mean and M2."""

    n: int
    mean: Array  # (C,)
    M2: Array  # (C,), the sum of (x - mean)^2


@dataclass(frozen=True, slots=True, eq=False)
class SyncSaved:
    """What a synchronized forward pass keeps for `sync_batch_norm_backward`.

    It refers to x, weight and bias and does not copy them: changed in place before the backward
    pass, they give wrong gradients.

    Attributes
    ----------
    x, weight, bias : ndarray or None
        The inputs of this rank.
    eps : float
        The number added to the variance.
    mean, var, rstd : ndarray, (C,)
        Statistics of the whole batch in float64, the same bits on every rank.
    count : int
        N*H*W of the whole batch.
    view : gnref.axes.View
        How the shard is seen in slots.
    backend : str
        Whose kernels ran on this rank, and will run backward.
    comm, timeout
        As they were given.
    number : int
        Of the call: the same on all ranks.
    """

    x: Array
    weight: Array | None
    bias: Array | None
    eps: float
    mean: Array
    var: Array
    rstd: Array
    count: int
    view: View
    backend: str
    comm: Any
    timeout: float
    number: int

    def __repr__(self) -> str:
        shape, dtype = self.x.shape, dtype_name(self.x.dtype)
        return f"<SyncSaved of batch norm: shard {shape} {dtype}, {self.count} elements per channel in all>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy all but the communicator: ranks cannot be copied."""
        memo[id(self.comm)] = self.comm
        return type(self)(*(deepcopy(getattr(self, field.name), memo) for field in fields(self)))


def forward(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    comm: Any,
    eps: Any,
    channel_axis: Any,
    timeout: Any,
    layer: BatchNorm | None = None,
) -> tuple[Array, SyncSaved]:
    """Agree, merge the moments of all shards, and normalize with them."""

    def prepare() -> tuple[Shard, list[str]]:
        shard = look(x, weight, bias, eps, channel_axis, layer)
        return shard, ["is in sync_batch_norm_forward", *terms(shard, x, weight, bias, layer)]

    (v, backend, eps, own), number = together(comm, timeout, prepare)
    limit = check_timeout(timeout)
    rows = gather(comm, np.concatenate([[own.n], own.mean, own.M2]), limit)
    with quiet():
        count, mean, M2 = reduce(merge, map(unpacked, rows))
    if count == 1 and mean.size:
        raise ShapeError(
            "x has one element per channel on one rank and none on the others; batch norm expects "
            "N*H*W > 1 in the whole batch (its output would be the bias, whatever x is)"
        )
    with quiet():
        var = M2 / max(count, 1)
        rstd = reciprocal_std(var, eps)
        x5, weight5, bias5 = fold(v, x, weight, bias)
        y5 = kernels(backend).apply(x5, mean[None], rstd[None], weight5, bias5)
        y = finish(v, y5, x, None, None)
    return y, SyncSaved(x, weight, bias, eps, mean, var, rstd, count, v, backend, comm, limit, number)


class Shard(NamedTuple):
    """What a rank finds out about its own arguments."""

    view: View
    backend: str
    eps: float
    moments: Moments


def look(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    eps: Any,
    channel_axis: Any,
    layer: BatchNorm | None,
) -> Shard:
    """Check the arguments of this rank, and take the moments of its shard."""
    check_array(x, "x")
    if library(x) != "numpy":
        raise TypeError(f"x is a {library(x)} array; expected a numpy array, which MPI can send")
    if layer is not None:
        check_channels(x, layer.num_features, channel_axis, layer)
    eps = check_eps(eps) + 0.0  # which makes 0.0 of -0.0
    v = view("batch", x.shape, x.strides, channel_axis=channel_axis)
    check_params(v, x, weight=weight, bias=bias)
    backend = choose(x, None)
    with quiet():
        count, mean, M2 = kernels(backend).moments(fold(v, x, None, None)[0])
    return Shard(v, backend, eps, Moments(count, mean[0], M2[0]))


def terms(
    shard: Shard, x: Array, weight: Array | None, bias: Array | None, layer: BatchNorm | None
) -> list[str]:
    """What must be the same on every rank, in words."""
    C, dtype = shard.moments.mean.size, dtype_name(x.dtype)
    found = [f"has C = {C}", f"has x in {dtype}", f"has eps = {shard.eps!r}"]
    for name, param in {"weight": weight, "bias": bias}.items():
        found.append(f"has no {name}" if param is None else f"has a {name} of {dtype_name(param.dtype)}")
    if layer is not None:
        found += tracking(layer)
    return found


def tracking(layer: BatchNorm) -> list[str]:
    """What must be the same for running statistics to stay the same, in words."""
    if not layer.track_running_stats:
        return ["does not track running statistics"]
    momentum = None if layer.momentum is None else float(layer.momentum)
    number = f"is at batch number {layer.num_batches_tracked}"
    return ["tracks running statistics", f"has momentum = {momentum}", number]


def unpacked(row: Array) -> Moments:
    """The moments in a row of numbers."""
    C = row.size // 2
    return Moments(int(row[0]), row[1 : 1 + C], row[1 + C :])


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of two shards together: Chan's formula. An empty shard says nothing."""
    if a.n == 0 or b.n == 0:
        return b if a.n == 0 else a
    n = a.n + b.n
    delta = b.mean - a.mean
    mean = a.mean + delta * (b.n / n)
    M2 = a.M2 + b.M2 + delta * delta * (a.n / n * b.n)
    return Moments(n, mean, M2)


def backward(dy: Array, saved: SyncSaved) -> tuple[Array, Array | None, Array | None]:
    """Agree, add the two sums of all shards, and take dx from them."""
    if not isinstance(saved, SyncSaved):
        raise TypeError(
            f"saved is a {type(saved).__name__}; expected the SyncSaved of sync_batch_norm_forward"
        )
    x, weight, v = saved.x, saved.weight, saved.view
    run, stats = kernels(saved.backend), (saved.mean[None], saved.rstd[None])

    def prepare() -> tuple[Array, list[str]]:
        check_dy(dy, x)
        with quiet():
            x5, _, _ = fold(v, x, None, None)
            sums = run.backward_sums(v.x.fold(np, np.asarray(dy)), x5, *stats, None)
        said = ["is in sync_batch_norm_backward", f"goes back through call {saved.number}"]
        return np.concatenate([sums[0][0], sums[1][0]]), said

    own, _ = together(saved.comm, saved.timeout, prepare)
    rows = gather(saved.comm, own, saved.timeout)
    with quiet():
        sum_dy, sum_dy_xhat = np.split(reduce(np.add, rows), 2)
        w = 1.0 if weight is None else weight.astype(np.float64)
        x5, weight5, _ = fold(v, x, weight, None)
        dy5, sums = v.x.fold(np, np.asarray(dy)), ((w * sum_dy)[None], (w * sum_dy_xhat)[None])
        dx5 = run.backward_from_sums(dy5, x5, *stats, weight5, saved.count, *sums)
        return (
            finish(v, dx5, x, None, None),
            None if weight is None else sum_dy_xhat.astype(weight.dtype),
            None if saved.bias is None else sum_dy.astype(saved.bias.dtype),
        )
