"""The kernel contract on NumPy arrays, in Numba; see `gnref.kernels`.

    arrays, reuse     from NumPy arrays to flat memory, and back; memory for large results
    vectors, memory   sixteen numbers at a time: the operations that all is written in
    sums              the statistics of a set: chunks, a guess of the mean, pairs
    rows, columns,    forward for the three ways in which a set can lie in memory,
    trailing          and beside each of them, in *_backward, the gradients
    careful           sets whose squares leave the range of the type
    small             all of them for problems of some microseconds, in one call
    copies            the fastest copy, which the benchmark measures them by
    launch, cache     threads, and compiled code on disk
    options, twins    how all is compiled, and what stands for it where nothing is

Here a 5-slot view becomes flat memory, and the kernel for it is chosen from P and S alone. What takes
some microseconds goes the shorter way of `small`, to the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gnref.kernels.cpu import (
    careful,
    columns,
    columns_backward,
    copies,
    rows,
    rows_backward,
    small,
    trailing,
    trailing_backward,
)
from gnref.kernels.cpu.arrays import (
    STREAM,
    are_statistics,
    are_usual,
    as_given,
    flat,
    own,
    parameter,
    room,
)
from gnref.kernels.cpu.cache import kernel
from gnref.kernels.cpu.launch import SMALL, pair, threading_layer
from gnref.kernels.cpu.sums import CHUNK, CONSTANT, GIVEN_SUMS, OWN_SUMS

Array = Any

__all__ = [
    "apply",
    "backward",
    "backward_from_sums",
    "backward_given",
    "backward_sums",
    "copy",
    "forward",
    "moments",
    "threading_layer",
]

PARTS = 32  # in how many parts dweight and dbias are added, at most: a fixed number, not one for each thread
SCRATCH = 0.03  # of the size of x: how large the sums for dweight and dbias may be

ROWS_FORWARD = pair(rows.forward_sets, rows.forward)
ROWS_APPLY = pair(rows.apply_rows, rows.apply)
ROWS_BACKWARD = pair(rows_backward.backward_sets, rows_backward.backward)
COLUMNS_FORWARD = pair(columns.forward_examples, columns.forward)
COLUMNS_APPLY = pair(columns.apply_examples, columns.apply)
COLUMNS_BACKWARD = pair(columns_backward.backward_examples, columns_backward.backward)
TRAILING_FORWARD = pair(trailing.forward_sets, trailing.forward)
TRAILING_BACKWARD = pair(trailing_backward.backward_parts, trailing_backward.backward)
TRAILING_BACKWARD_FEW = pair(trailing_backward.backward_few, trailing_backward.backward_blocks)
SMALL_FORWARD = [kernel(f) for f in (small.forward_rows, small.forward_columns, small.forward_trailing)]
SMALL_BACKWARD = [kernel(f) for f in (small.backward_rows, small.backward_columns, small.backward_trailing)]
COPY = pair(copies.copy_part, copies.copy)
CAREFUL_FORWARD = kernel(careful.forward)
CAREFUL_APPLY = kernel(careful.apply)
CAREFUL_BACKWARD = kernel(careful.backward)
CAREFUL_TRAILING = kernel(careful.backward_trailing)


def forward(
    x5: Array, weight: Array | None, bias: Array | None, eps: float, center: bool, out: Array | None = None
) -> tuple[Array, Array | None, Array, Array]:
    """Normalize every set."""
    if out is None and x5.size < SMALL and are_usual(x5, weight, bias):
        y5, stats = np.empty(x5.shape, x5.dtype), np.empty((4, x5.shape[0], x5.shape[2]))
        if not SMALL_FORWARD[regime(x5)](x5, y5, weight, bias, stats, eps, center):
            return y5, stats[0] if center else None, stats[1], stats[2]
    y5, y = room(x5, out)
    stats = statistics(x5, weight, bias, eps, center, y)
    return as_given(y5, x5), stats[0] if center else None, stats[1], stats[2]


def moments(x5: Array) -> tuple[int, Array, Array]:
    """Count, mean and M2 of every set."""
    m = x5.shape[1] * x5.shape[3] * x5.shape[4]
    stats = statistics(x5, None, None, 0.0, True, None)
    return m, stats[0], stats[1] * m


def statistics(
    x5: Array, weight: Array | None, bias: Array | None, eps: float, center: bool, y: Array | None
) -> Array:
    """mean, var and rstd of every set, as (3, O, A); and y, if there is room for it."""
    O, P, A, B, S = x5.shape
    sets = O * A
    stats = np.empty(3 * sets + 1)
    stats[-1] = 0.0
    if x5.size == 0:
        stats[: 2 * sets] = 0.0
        stats[2 * sets :] = 1 / np.sqrt(eps) if eps > 0 else 0.0
        return stats[:-1].reshape(3, O, A)
    x = flat(x5)
    w, b = parameter(weight, x5, 1.0), parameter(bias, x5, 0.0)
    write, streaming = y is not None, x.nbytes >= STREAM
    if y is None:
        y = x
    if S > 1:
        ROWS_FORWARD(0, sets, x.size, x, y, w, b, stats, P, A, B, S, eps, center, write, streaming)
    elif P > 1:
        COLUMNS_FORWARD(0, O, x.size, x, y, w, b, stats, P, A, B, eps, center, write, streaming)
    else:
        TRAILING_FORWARD(0, sets, x.size, x, y, w, b, stats, A, B, eps, center, write, streaming)
    if stats[-1] != 0.0:
        CAREFUL_FORWARD(0, sets, x, y, w, b, stats, P, A, B, S, eps, center, write)
    return stats[:-1].reshape(3, O, A)


def copy(target: Array, source: Array) -> None:
    """Copy an array past the caches; both contiguous and of one dtype. What the kernels are measured by."""
    COPY(0, source.size, source.size, flat(source), flat(target))


def apply(
    x5: Array, mean: Array, rstd: Array, weight: Array | None, bias: Array | None, out: Array | None = None
) -> Array:
    """Normalize with statistics that are given."""
    O, P, A, B, S = x5.shape
    y5, y = room(x5, out)
    if x5.size == 0:
        return as_given(y5, x5)
    x = flat(x5)
    arrays = x, y, parameter(weight, x5, 1.0), parameter(bias, x5, 0.0), *own(mean, rstd)
    if S > 1:
        ROWS_APPLY(0, O * P * A, x.size, *arrays, P, A, B, S, x.nbytes >= STREAM)
    else:
        COLUMNS_APPLY(0, O, x.size, *arrays, P, A, B, x.nbytes >= STREAM)
    CAREFUL_APPLY(0, O * A, *arrays, P, A, B, S)
    return as_given(y5, x5)


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
    if out is None and x5.size < SMALL and are_usual(x5, dy5, weight) and are_statistics(rstd, mean, center):
        results = small_gradients(dy5, x5, rstd if mean is None else mean, rstd, weight, center)
        if results is not None:
            return results
    dx5, dx = room(x5, out)
    if x5.size == 0 or x5.shape[1] > 1 or x5.shape[4] > 1:
        dparams = gradients(dy5, x5, mean, rstd, weight, center, OWN_SUMS, dx5)
    else:
        dparams = trailing_gradients(dy5, x5, mean, rstd, weight, center, dx)
    if center and x5.shape[1] * x5.shape[3] * x5.shape[4] == 1:
        dx5 *= 0  # exactly: the terms of dx cancel, and a rounding would be left of them (NaN stays NaN)
    return as_given(dx5, x5), dparams[0], dparams[1]


def small_gradients(
    dy5: Array, x5: Array, mean: Array, rstd: Array, weight: Array, center: bool
) -> tuple[Array, Array, Array] | None:
    """What `backward` returns, or None where that has something to add, or adds in another order."""
    O, P, A, B, S = x5.shape
    if P * B * S == 1 or A * B == 1 or (P * S == 1 and parts_of(O, B) > 1):
        return None
    dx5, dparams = np.empty(x5.shape, x5.dtype), np.empty((2, A, B), x5.dtype)
    if SMALL_BACKWARD[regime(x5)](dy5, x5, dx5, mean, rstd, weight, dparams, center):
        return None
    return dx5, dparams[0], dparams[1]


def backward_given(
    dy5: Array, x5: Array, mean: Array, rstd: Array, weight: Array | None, out: Array | None = None
) -> tuple[Array, Array, Array]:
    """Differentiate `apply`: the statistics are constants, and dx has nothing of x in it."""
    dparams = gradients(dy5, x5, mean, rstd, weight, True, CONSTANT, None)
    dx5 = apply(dy5, np.zeros(rstd.shape), rstd, weight, None, out)
    return as_given(dx5, x5), dparams[0], dparams[1]


def backward_sums(
    dy5: Array, x5: Array, mean: Array, rstd: Array, weight: Array | None
) -> tuple[Array, Array]:
    """Sums over the set of dxhat and of dxhat * xhat."""
    dweight, dbias = set_gradients(dy5, x5, mean, rstd, None, True, CONSTANT, NO_SUMS, None)
    w = 1.0 if weight is None else np.asarray(weight, np.float64)
    return (dbias * w).sum(2), (dweight * w).sum(2)


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
    dx5, dx = room(x5, None)
    sums = np.append(np.stack([sum_dxhat, sum_dxhat_xhat], axis=-1).reshape(-1), float(max(count, 1)))
    set_gradients(dy5, x5, mean, rstd, weight, True, GIVEN_SUMS, sums, dx)
    return as_given(dx5, x5)


NO_SUMS = np.empty(0)


def gradients(
    dy5: Array,
    x5: Array,
    mean: Array | None,
    rstd: Array,
    weight: Array | None,
    center: bool,
    mode: int,
    dx5: Array | None,
) -> Array:
    """dx, and dweight and dbias as (2, A, B); only so many examples at once that their sums stay small."""
    O, _, A, B, _ = x5.shape
    step = max(O, 1)
    if x5.nbytes > STREAM:
        step = max(1, int(SCRATCH * x5.nbytes / (16 * A * B)))
    total = np.zeros((2, A, B))
    for o in range(0, O, step):
        part = slice(o, o + step)
        stats = None if mean is None else mean[part], rstd[part]
        dx = None if dx5 is None else flat(dx5[part])
        sums = set_gradients(dy5[part], x5[part], *stats, weight, center, mode, NO_SUMS, dx)
        if step >= O:
            return reduce_first(sums)
        total += reduce_first(sums)
    return total


def reduce_first(dparams: Array) -> Array:
    """(2, O, A, B), or in parts, to (2, A, B)."""
    if dparams.shape[1] == 1:
        return dparams[:, 0]
    with np.errstate(all="ignore"):  # infinities of both signs
        return np.add.reduce(dparams, axis=1)


def set_gradients(
    dy5: Array,
    x5: Array,
    mean: Array | None,
    rstd: Array,
    weight: Array | None,
    center: bool,
    mode: int,
    sums: Array,
    dx: Array | None,
) -> Array:
    """dx, and the dweight and dbias of every set, as (2, O, A, B)."""
    O, P, A, B, S = x5.shape
    sets = O * A
    if x5.size == 0:
        return np.zeros((2, O, A, B))
    x, dy, w = flat(x5), flat(dy5), parameter(weight, x5, 1.0)
    mean, rstd = own(mean, rstd)
    dweight, dbias = pair_of(sets * B, np.float64)
    odd = np.empty(sets + 1, np.uint8)
    odd[-1] = 0
    write, streaming = dx is not None, x.nbytes >= STREAM
    if dx is None:
        dx = x
    arrays = dy, x, dx, w, mean, rstd, dweight, dbias, odd
    if S > 1:
        ROWS_BACKWARD(0, sets, x.size, *arrays, P, A, B, S, center, sums, mode, write, streaming)
    else:
        COLUMNS_BACKWARD(0, O, x.size, *arrays, P, A, B, center, sums, mode, write, streaming)
    if odd[-1]:
        CAREFUL_BACKWARD(0, sets, *arrays, P, A, B, S, center, sums, mode, write)
    return dweight.base.reshape(2, O, A, B)


def pair_of(n: int, dtype: Any) -> tuple[Array, Array]:
    """Two arrays of n elements in one piece of memory, which is their base."""
    both = np.empty(2 * n, dtype)
    return both[:n], both[n:]


def trailing_gradients(
    dy5: Array, x5: Array, mean: Array | None, rstd: Array, weight: Array | None, center: bool, dx: Array
) -> Array:
    """dx, and dweight and dbias as (2, A, B), where no two elements of a set share a weight."""
    O, _, A, B, _ = x5.shape
    x, parts = flat(x5), parts_of(O, B)
    odd = np.empty(O * A + 1, np.uint8)
    odd[-1] = 0
    w, streaming = parameter(weight, x5, 1.0), x.nbytes >= STREAM
    dweight, dbias = pair_of(parts * A * B, np.float64 if parts > 1 else w.dtype)
    arrays = flat(dy5), x, dx, w, *own(mean, rstd), dweight, dbias, odd
    if parts > 1:
        TRAILING_BACKWARD(0, parts, x.size, *arrays, O, A, B, parts, center, streaming)
    else:
        TRAILING_BACKWARD_FEW(0, 1, x.size, *arrays, O, A, B, center, streaming)
    if odd[-1]:
        CAREFUL_TRAILING(0, O * A, *arrays, A, B, center)
    return reduce_first(dweight.base.reshape(2, parts, A, B))


def parts_of(O: int, B: int) -> int:
    """In how many parts O short sets are taken; 1 where they are few or long, and their columns are cut."""
    parts = 1
    while B <= CHUNK and 2 * parts <= min(PARTS, O // 96):
        parts *= 2
    return parts


def regime(x5: Array) -> int:
    """How the sets lie in memory: 0 in rows, 1 in columns, 2 with a weight for each element."""
    _, P, _, _, S = x5.shape
    return 0 if S > 1 else 1 if P > 1 else 2
