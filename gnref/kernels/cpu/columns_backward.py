"""The gradients of sets that lie in columns; see `columns`.

Every column needs two sums, of dy and of dy * xhat. Times the weight and added over the columns of a set
they are the two means of dx; as they are they belong to dbias and dweight.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from gnref.kernels.cpu.columns import (
    BLOCK,
    OWN,
    ROWS,
    TILE,
    add_to,
    clear,
    item,
    items,
    padded,
    put,
    sum_at,
    take,
    wrap,
    wrapped,
)
from gnref.kernels.cpu.options import function, inline
from gnref.kernels.cpu.sums import CONSTANT, OWN_SUMS, is_single, means_of_gradient, note_odd
from gnref.kernels.cpu.vectors import (
    LANES,
    aligned,
    filled_like,
    first,
    fma,
    keep,
    load,
    load_first,
    part_of,
    pointer,
    prefetch,
    rounded,
    store,
    store_first,
    stream,
)

START = np.int64(0)  # a literal would be compiled for by itself


@inline
def add_four(dy, x, i, W, hi, rstd):
    """Sums of dy, of dy * xhat and of x - hi over four rows, as a tree."""
    g0, g1, g2, g3 = load(dy, i), load(dy, i + W), load(dy, i + 2 * W), load(dy, i + 3 * W)
    d0, d1, d2, d3 = load(x, i) - hi, load(x, i + W) - hi, load(x, i + 2 * W) - hi, load(x, i + 3 * W) - hi
    e = fma(g0, d0 * rstd, g1 * (d1 * rstd)) + fma(g2, d2 * rstd, g3 * (d3 * rstd))
    return (g0 + g1) + (g2 + g3), e, (d0 + d1) + (d2 + d3)


@inline
def add_last_columns(dy, x, i, W, n, hi, rstd):
    """The same over four rows of n < 16 columns."""
    g0, g1 = load_first(dy, i, n), load_first(dy, i + W, n)
    g2, g3 = load_first(dy, i + 2 * W, n), load_first(dy, i + 3 * W, n)
    d0, d1 = first(load_first(x, i, n) - hi, n), first(load_first(x, i + W, n) - hi, n)
    d2, d3 = first(load_first(x, i + 2 * W, n) - hi, n), first(load_first(x, i + 3 * W, n) - hi, n)
    e = fma(g0, d0 * rstd, g1 * (d1 * rstd)) + fma(g2, d2 * rstd, g3 * (d3 * rstd))
    return (g0 + g1) + (g2 + g3), e, (d0 + d1) + (d2 + d3)


@function
def sum_chunk(dy, x, start, rows, W, width, hi, rstd, sums, rests):
    """Sums of dy and of dy * xhat for every column, and of x - hi (in rests) where x is float64."""
    clear(sums, width)
    clear(rests, width)
    for row in range(0, rows, TILE):
        tile = start + row * W
        count = min(TILE, rows - row)
        for j in range(0, width, LANES):
            h, r = load(hi, j), load(rstd, j)
            i, left = tile + j, width - j
            if count == TILE and left >= LANES:
                for k in range(2 * TILE, 3 * TILE):
                    prefetch(x, i + k * W)
                    prefetch(dy, i + k * W)
                g, e, f = add_four(dy, x, i, W, h, r)
                g2, e2, f2 = add_four(dy, x, i + 4 * W, W, h, r)
                g, e, f = g + g2, e + e2, f + f2
            elif count == TILE:  # the same sums in the same order: a set must not know where in a row it lies
                g, e, f = add_last_columns(dy, x, i, W, left, h, r)
                g2, e2, f2 = add_last_columns(dy, x, i + 4 * W, W, left, h, r)
                g, e, f = g + g2, e + e2, f + f2
            else:
                g = filled_like(x, 0.0)
                e, f = g, g
                for k in range(count):
                    v = take(dy, i + k * W, left)
                    d = first(take(x, i + k * W, left) - h, left)
                    g = g + v
                    e = fma(v, d * r, e)
                    f = f + d
            add_to(sums, 4 * j, g)
            add_to(sums, 4 * j + 2 * LANES, e)
            if not is_single(x):
                add_to(rests, 4 * j, f)


@function
def sums_of(start, t, last, dy, x, factors, P, W, parts):
    """The sums of items t to last of the example that starts at start; parts is (chunks, 3, W)."""
    dy, x, factors, parts = pointer(dy), pointer(x), pointer(factors), pointer(parts)
    s, f = np.empty(4 * BLOCK), np.empty(4 * BLOCK)
    sums, rests = pointer(s), pointer(f)
    wide = padded(W)
    for k in range(t, last):
        c, rows, j, width = item(k, P, W)
        hi, rstd = part_of(factors, j), part_of(factors, 2 * wrapped(W) + j)
        sum_chunk(dy, x, start + c * ROWS * W + j, rows, W, width, hi, rstd, sums, rests)
        for i in range(0, width, LANES):
            out = 3 * c * wide + j + i
            store(parts, out, sum_at(sums, 4 * i))
            store(parts, out + wide, sum_at(sums, 4 * i + 2 * LANES))
            store(parts, out + 2 * wide, sum_at(rests, 4 * i))
    keep(s)
    keep(f)


@function
def add_chunks(parts, chunks, wide):
    """Add the sums of all chunks, neighbours with neighbours."""
    p = pointer(parts)
    step = 1
    while step < chunks:
        for c in range(0, chunks - step, 2 * step):
            a, b = 3 * c * wide, 3 * (c + step) * wide
            for j in range(0, 3 * wide, LANES):
                store(p, a + j, load(p, a + j) + load(p, b + j))
        step *= 2


@function
def start_example(o, mean, rstd, A, B, x, center, factors):
    """The mean and rstd of every column, in the precision of x; factors is (6, W)."""
    wide = wrapped(A * B)
    for a in range(A):
        k = o * A + a
        for b in range(B):
            factors[a * B + b] = rounded(pointer(x), mean[k]) if center else 0.0
            factors[2 * wide + a * B + b] = rstd[k]


@function
def finish_example(
    o, weight, mean, rstd, P, A, B, x, center, sums, mode, parts, factors, dweight, dbias, odd
):
    """Note dweight and dbias of example o, and the factors of its dx.

    dx = dy * factors[3] + ((x - factors[0]) - factors[1]) * factors[4] + factors[5]
    """
    W = A * B
    wide, span = padded(W), wrapped(W)
    add_chunks(parts, (P + ROWS - 1) // ROWS, wide)
    m = P * B
    for a in range(A):
        k = o * A + a
        mu = mean[k] if center else 0.0
        r = rounded(pointer(x), rstd[k])
        lo = mu - rounded(pointer(x), mu)
        if center and mode == OWN_SUMS and not is_single(pointer(x)):
            lo = 0.0
            for b in range(B):
                lo += parts[2 * wide + a * B + b]
            lo /= m
        via_mean, via_var, size = 0.0, 0.0, 0.0
        for b in range(B):
            j = a * B + b
            g = parts[j]
            e = (parts[wide + j] - lo * r * g) * (rstd[k] / r)
            dbias[o * W + j], dweight[o * W + j] = g, e
            via_mean += weight[j] * g
            via_var += weight[j] * e
            size += abs(g) + abs(e) if mode != CONSTANT else 0.0
        note_odd(odd, k, pointer(x), mu, rstd[k], size)
        via_mean, via_var = means_of_gradient(k, via_mean, via_var, m, center, sums, mode)
        slope, offset = -rstd[k] * rstd[k] * via_var, -rstd[k] * via_mean
        for b in range(B):
            j = a * B + b
            factors[span + j] = lo
            factors[3 * span + j] = rstd[k] * weight[j]
            factors[4 * span + j] = slope
            factors[5 * span + j] = offset
    wrap(factors, 6, W)


@inline
def gradient(dy, x, factors, wide, j):
    """The dx of the columns from j on; see `finish_example`."""
    d = (x - load(factors, j)) - load(factors, wide + j)
    return fma(
        dy, load(factors, 3 * wide + j), fma(d, load(factors, 4 * wide + j), load(factors, 5 * wide + j))
    )


@function
def write_rows(dy, x, dx, start, rows, W, factors, streaming):
    """The dx of rows that lie one after the other; `columns.write_rows` says how."""
    wide = wrapped(W)
    if W % LANES != 0:
        for i in range(start, start + rows * W, W):
            for j in range(0, W, LANES):
                v = gradient(take(dy, i + j, W - j), take(x, i + j, W - j), factors, wide, j)
                put(dx, i + j, v, W - j)
        return
    i, end, j = start, start + rows * W, 0
    if streaming:
        j = aligned(dx, i) - i
        if j > 0:
            store_first(dx, i, gradient(load_first(dy, i, j), load_first(x, i, j), factors, wide, 0), j)
            i += j
        while i + LANES <= end:
            stream(dx, i, gradient(load(dy, i), load(x, i), factors, wide, j))
            i += LANES
            j = j + LANES if j + LANES < W else j + LANES - W
    else:
        while i + LANES <= end:
            store(dx, i, gradient(load(dy, i), load(x, i), factors, wide, j))
            i += LANES
            j = j + LANES if j + LANES < W else 0
    if i < end:
        n = end - i
        store_first(dx, i, gradient(load_first(dy, i, n), load_first(x, i, n), factors, wide, j), n)


@function
def write_part(start, row, last, dy, x, dx, factors, W, streaming):
    """The dx of rows row to last of an example, the last of them first."""
    dy, x, dx, factors = pointer(dy), pointer(x), pointer(dx), pointer(factors)
    while last > row:
        rows = min(ROWS, last - row)
        last -= rows
        write_rows(dy, x, dx, start + last * W, rows, W, factors, streaming)


@function
def backward_examples(
    o, last, dy, x, dx, weight, mean, rstd, dweight, dbias, odd, P, A, B, center, sums, mode, write, streaming
):
    """Whole examples, one after the other."""
    W = A * B
    parts = np.empty(3 * ((P + ROWS - 1) // ROWS) * padded(W))
    factors = np.empty(6 * wrapped(W), weight.dtype)
    n = items(P, W)
    for k in range(o, last):
        start_example(k, mean, rstd, A, B, x, center, factors)
        sums_of(k * P * W, START, n, dy, x, factors, P, W, parts)
        finish_example(
            k, weight, mean, rstd, P, A, B, x, center, sums, mode, parts, factors, dweight, dbias, odd
        )
        if write:
            write_part(k * P * W, START, P, dy, x, dx, factors, W, streaming)


def backward(
    pieces,
    o,
    last,
    dy,
    x,
    dx,
    weight,
    mean,
    rstd,
    dweight,
    dbias,
    odd,
    P,
    A,
    B,
    center,
    sums,
    mode,
    write,
    streaming,
):
    """Differentiate examples o to last: each by one core, or where they are few or large, each by all."""
    W = A * B
    if last - o >= 4 * pieces and P * W * x.itemsize <= OWN // 2:
        for i in prange(pieces):
            backward_examples(
                o + i * (last - o) // pieces, o + (i + 1) * (last - o) // pieces,
                dy, x, dx, weight, mean, rstd, dweight, dbias, odd, P, A, B, center, sums, mode,
                write, streaming,
            )  # fmt: skip
        return
    parts = np.empty(3 * ((P + ROWS - 1) // ROWS) * padded(W))
    factors = np.empty(6 * wrapped(W), weight.dtype)
    n = items(P, W)
    for k in range(o, last):
        start_example(k, mean, rstd, A, B, x, center, factors)
        for i in prange(pieces):
            sums_of(k * P * W, i * n // pieces, (i + 1) * n // pieces, dy, x, factors, P, W, parts)
        finish_example(
            k, weight, mean, rstd, P, A, B, x, center, sums, mode, parts, factors, dweight, dbias, odd
        )
        for i in prange(pieces if write else 0):
            write_part(k * P * W, i * P // pieces, (i + 1) * P // pieces, dy, x, dx, factors, W, streaming)
