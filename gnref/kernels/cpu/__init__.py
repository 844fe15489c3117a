"""The kernel contract on NumPy arrays, in Numba; see `gnref.kernels`.

    vectors           sixteen numbers at a time: the operations that all is written in
    sums              the statistics of a set: chunks, a guess of the mean, pairs
    rows, columns,    forward for the three ways in which a set can lie in memory,
    trailing          and beside each of them, in *_backward, the gradients
    careful           sets whose squares leave the range of the type
    launch, cache     threads, and compiled code on disk

Here a 5-slot view becomes flat memory, and the kernel for it is chosen from P and S alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gnref.kernels.cpu import (
    careful,
    columns,
    columns_backward,
    rows,
    rows_backward,
    trailing,
    trailing_backward,
)
from gnref.kernels.cpu.cache import kernel
from gnref.kernels.cpu.launch import pair, threading_layer
from gnref.kernels.cpu.sums import CHUNK, CONSTANT, GIVEN_SUMS, OWN_SUMS

Array = Any

__all__ = [
    "apply",
    "backward",
    "backward_from_sums",
    "backward_given",
    "backward_sums",
    "forward",
    "moments",
    "threading_layer",
]

STREAM = 1 << 21  # bytes: results from here on leave a core's own cache anyway, and are written past it
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
CAREFUL_FORWARD = kernel(careful.forward)
CAREFUL_APPLY = kernel(careful.apply)
CAREFUL_BACKWARD = kernel(careful.backward)
CAREFUL_TRAILING = kernel(careful.backward_trailing)
SINGLE = np.dtype(np.float32)


def forward(
    x5: Array, weight: Array | None, bias: Array | None, eps: float, center: bool, out: Array | None = None
) -> tuple[Array, Array | None, Array, Array]:
    """Normalize every set."""
    y5, y = room(x5, out)
    mean, var, rstd = statistics(x5, weight, bias, eps, center, y)
    return y5, mean if center else None, var, rstd


def moments(x5: Array) -> tuple[int, Array, Array]:
    """Count, mean and M2 of every set."""
    m = x5.shape[1] * x5.shape[3] * x5.shape[4]
    mean, var, _ = statistics(x5, None, None, 0.0, True, None)
    return m, mean, var * m


def statistics(
    x5: Array, weight: Array | None, bias: Array | None, eps: float, center: bool, y: Array | None
) -> tuple[Array, Array, Array]:
    """mean, var and rstd of every set; and y, if there is room for it."""
    O, P, A, B, S = x5.shape
    stats = np.zeros((3, O, A))
    if x5.size == 0:
        stats[2] = 1 / np.sqrt(eps) if eps > 0 else 0.0
        return stats[0], stats[1], stats[2]
    x = flat(x5)
    write, streaming = y is not None, x.nbytes >= STREAM
    arrays = (
        x,
        x if y is None else y,
        parameter(weight, x5, 1.0),
        parameter(bias, x5, 0.0),
        *stats.reshape(3, -1),
    )
    if S > 1:
        ROWS_FORWARD(0, O * A, x.size, *arrays, P, A, B, S, eps, center, write, streaming)
    elif P > 1:
        COLUMNS_FORWARD(0, O, x.size, *arrays, P, A, B, eps, center, write, streaming)
    else:
        TRAILING_FORWARD(0, O * A, x.size, *arrays, A, B, eps, center, write, streaming)
    if odd_statistics(x, stats, eps):
        CAREFUL_FORWARD(0, O * A, *arrays, P, A, B, S, eps, center, write)
    return stats[0], stats[1], stats[2]


def odd_statistics(x: Array, stats: Array, eps: float) -> bool:
    """Whether some set is not `sums.is_ordinary`; compares the extremes, so that this costs nothing."""
    high = 2.0**800 if x.dtype == np.float64 else 2.0**80
    mean, var = stats[0], stats[1]
    least = var.min()
    return not (1 / high < least + eps and var.max() + eps < high and np.abs(mean).max() < high) or (
        0 < least < 1 / high
    )


def apply(
    x5: Array, mean: Array, rstd: Array, weight: Array | None, bias: Array | None, out: Array | None = None
) -> Array:
    """Normalize with statistics that are given."""
    O, P, A, B, S = x5.shape
    y5, y = room(x5, out)
    if x5.size == 0:
        return y5
    x = flat(x5)
    arrays = x, y, parameter(weight, x5, 1.0), parameter(bias, x5, 0.0), *own(mean, rstd)
    if S > 1:
        ROWS_APPLY(0, O * P * A, x.size, *arrays, P, A, B, S, x.nbytes >= STREAM)
    else:
        COLUMNS_APPLY(0, O, x.size, *arrays, P, A, B, x.nbytes >= STREAM)
    CAREFUL_APPLY(0, O * A, *arrays, P, A, B, S)
    return y5


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
    dx5, dx = room(x5, out)
    if x5.size == 0 or x5.shape[1] > 1 or x5.shape[4] > 1:
        dweight, dbias = gradients(dy5, x5, mean, rstd, weight, center, OWN_SUMS, NO_SUMS, dx5)
    else:
        dweight, dbias = trailing_gradients(dy5, x5, mean, rstd, weight, center, dx)
    return dx5, dweight, dbias


def backward_given(
    dy5: Array, x5: Array, mean: Array, rstd: Array, weight: Array | None, out: Array | None = None
) -> tuple[Array, Array, Array]:
    """Differentiate `apply`: the statistics are constants."""
    dx5, _ = room(x5, out)
    dweight, dbias = gradients(dy5, x5, mean, rstd, weight, True, CONSTANT, NO_SUMS, dx5)
    return dx5, dweight, dbias


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
    out: Array | None = None,
) -> Array:
    """dx of a shard, from the sums and the count over all shards."""
    dx5, dx = room(x5, out)
    sums = np.append(np.stack([sum_dxhat, sum_dxhat_xhat], axis=-1).reshape(-1), float(max(count, 1)))
    set_gradients(dy5, x5, mean, rstd, weight, True, GIVEN_SUMS, sums, dx)
    return dx5


NO_SUMS = np.empty(0)


def gradients(
    dy5: Array,
    x5: Array,
    mean: Array,
    rstd: Array,
    weight: Array | None,
    center: bool,
    mode: int,
    sums: Array,
    dx5: Array,
) -> tuple[Array, Array]:
    """dx, and dweight and dbias as (A, B), so many examples at a time that their sums stay small beside x."""
    O, _, A, B, _ = x5.shape
    step = max(1, O)
    if x5.nbytes > STREAM:
        step = max(1, int(SCRATCH * x5.nbytes / (16 * A * B)))
    dweight, dbias = np.zeros((2, A, B))
    for o in range(0, O, step):
        part = slice(o, o + step)
        dw, db = set_gradients(
            dy5[part], x5[part], mean if mean is None else mean[part], rstd[part], weight, center, mode, sums,
            flat(dx5[part]),
        )  # fmt: skip
        dweight += dw.sum(0)
        dbias += db.sum(0)
    return dweight, dbias


def set_gradients(
    dy5: Array, x5: Array, mean: Array, rstd: Array, weight: Array | None, center: bool, mode: int, sums: Array,
    dx: Array | None,
) -> tuple[Array, Array]:  # fmt: skip
    """dx, and the dweight and dbias of every set, as (O, A, B)."""
    O, P, A, B, S = x5.shape
    dparams = np.zeros((2, O, A, B))
    if x5.size == 0:
        return dparams[0], dparams[1]
    x, odd = flat(x5), np.empty(O * A, np.bool_)
    write, streaming = dx is not None, x.nbytes >= STREAM
    arrays = flat(dy5), x, x if dx is None else dx, parameter(weight, x5, 1.0), *own(mean, rstd)
    arrays = *arrays, *dparams.reshape(2, -1), odd
    if S > 1:
        ROWS_BACKWARD(0, O * A, x.size, *arrays, P, A, B, S, center, sums, mode, write, streaming)
    else:
        COLUMNS_BACKWARD(0, O, x.size, *arrays, P, A, B, center, sums, mode, write, streaming)
    if odd.any():
        CAREFUL_BACKWARD(0, O * A, *arrays, P, A, B, S, center, sums, mode, write)
    return dparams[0], dparams[1]


def trailing_gradients(
    dy5: Array, x5: Array, mean: Array | None, rstd: Array, weight: Array | None, center: bool, dx: Array
) -> tuple[Array, Array]:
    """dx, and dweight and dbias as (A, B), where no two elements of a set share a weight."""
    O, _, A, B, _ = x5.shape
    x, odd, parts = flat(x5), np.empty(O * A, np.bool_), parts_of(O, B)
    w, streaming = parameter(weight, x5, 1.0), x.nbytes >= STREAM
    dparams = np.empty((2, parts, A, B), np.float64 if parts > 1 else w.dtype)
    arrays = flat(dy5), x, dx, w, *own(mean, rstd), *dparams.reshape(2, -1), odd
    if parts > 1:
        TRAILING_BACKWARD(0, parts, x.size, *arrays, O, A, B, parts, center, streaming)
    else:
        TRAILING_BACKWARD_FEW(0, 1, x.size, *arrays, O, A, B, center, streaming)
    if odd.any():
        CAREFUL_TRAILING(0, O * A, *arrays, A, B, center)
    return dparams[0].sum(0), dparams[1].sum(0)


def parts_of(O: int, B: int) -> int:
    """In how many parts O short sets are taken; 1 where they are few or long, and their columns are cut."""
    parts = 1
    while B <= CHUNK and 2 * parts <= min(PARTS, O // 96):
        parts *= 2
    return parts


# From arrays of any kind to flat ones of a kind that the kernels are compiled for, and back.

COMPUTED = {"float64": np.dtype(np.float64)}
BITS = {"float16": np.dtype(np.uint16), "bfloat16": np.dtype(np.int16)}


def flat(a5: Array) -> Array:
    """The elements in a row, as they lie in memory: a view wherever they do lie so. 16 bits become integers."""
    a5 = np.ascontiguousarray(a5)
    if not a5.dtype.isnative:
        a5 = a5.astype(a5.dtype.newbyteorder("="))
    bits = BITS.get(a5.dtype.name)
    return a5.reshape(-1) if bits is None else a5.reshape(-1).view(bits)


def room(x5: Array, out: Array | None) -> tuple[Array, Array]:
    """Where a result goes, in slots and flat: out if it lies right, else a new array."""
    if out is None or not out.flags.c_contiguous or not out.dtype.isnative:
        out = np.empty(x5.shape, x5.dtype.newbyteorder("="))
    return out, flat(out)


def parameter(p: Array | None, x5: Array, default: float) -> Array:
    """A weight or bias, one number for each (a, b), in the type that x is computed in."""
    dtype = COMPUTED.get(x5.dtype.name, SINGLE)
    if p is None:
        return np.full(x5.shape[2] * x5.shape[3], default, dtype)
    return np.ascontiguousarray(p, dtype).reshape(-1)


def own(mean: Array | None, rstd: Array) -> tuple[Array, Array]:
    """mean and rstd, flat; a kernel that does not center looks at no mean."""
    rstd = np.ascontiguousarray(rstd, np.float64).reshape(-1)
    return rstd if mean is None else np.ascontiguousarray(mean, np.float64).reshape(-1), rstd
