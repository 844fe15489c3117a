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
    next_column,
    padded,
    sum_at,
    wrap,
    wrapped,
)
from gnref.kernels.cpu.memory import (
    aligned,
    keep,
    load,
    load_first,
    part_of,
    pointer,
    prefetch,
    put,
    store,
    stream,
    take,
)
from gnref.kernels.cpu.options import NONE, START, function, inline
from gnref.kernels.cpu.sums import OWN_SUMS, is_single, means_of_gradient, note_odd
from gnref.kernels.cpu.vectors import LANES, filled_like, first, fma, rounded


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
def sum_chunk(dy, x, start, rows, W, width, hi, rstd, sums, rests, place, target):
    """Sums of dy and of dy * xhat for every column, and of x - hi (in rests) where x is float64.

    On the way eight vectors of dx are written at a time.
    """
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
            place = write_on(dy, x, W, place, target)
    return place


@function
def step_items(here, there, t, last, dy, x, dx, ahead, factors, P, W, parts, streaming):
    """Items t to last: sum the example that starts at there, if >= 0, and write that at here, if >= 0.

    ahead has the mean and rstd of the first, factors those of the second; parts is (chunks, 3, W).
    """
    dy, x, parts, ahead = pointer(dy), pointer(x), pointer(parts), pointer(ahead)
    target = pointer(dx), pointer(factors), streaming
    s, f = np.empty(4 * BLOCK), np.empty(4 * BLOCK)
    sums, rests = pointer(s), pointer(f)
    wide = padded(W)
    for k in range(t, last):
        place = START, START, START
        c, rows, j, width = item(last - 1 - (k - t), P, W)
        if here >= 0 and j == 0:
            place = write_head(dy, x, here + c * ROWS * W, rows, W, target)
        if there >= 0:
            c, rows, j, width = item(k, P, W)
            hi, rstd = part_of(ahead, j), part_of(ahead, wrapped(W) + j)
            start = there + c * ROWS * W + j
            place = sum_chunk(dy, x, start, rows, W, width, hi, rstd, sums, rests, place, target)
            for i in range(0, width, LANES):
                out = 3 * c * wide + j + i
                store(parts, out, sum_at(sums, 4 * i))
                store(parts, out + wide, sum_at(sums, 4 * i + 2 * LANES))
                store(parts, out + 2 * wide, sum_at(rests, 4 * i))
        write_rest(dy, x, W, place, target)
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
def start_example(o, mean, rstd, A, B, x, center, ahead):
    """The mean and rstd of every column of example o, in the precision of x; ahead is (2, W)."""
    wide = wrapped(A * B)
    for a in range(A):
        k = o * A + a
        for b in range(B):
            ahead[a * B + b] = rounded(pointer(x), mean[k]) if center else 0.0
            ahead[wide + a * B + b] = rstd[k]


@function
def finish_example(
    o, weight, mean, rstd, P, A, B, x, center, sums, mode, parts, factors, dweight, dbias, odd
):
    """Note dweight and dbias of example o, and the factors of its dx; factors is (5, W).

    dx = dy * factors[2] + ((x - factors[0]) - factors[1]) * factors[3] + factors[4]
    """
    W = A * B
    wide, span = padded(W), wrapped(W)
    add_chunks(parts, (P + ROWS - 1) // ROWS, wide)
    m = P * B
    for a in range(A):
        k = o * A + a
        mu = mean[k] if center else 0.0
        r = rounded(pointer(x), rstd[k])
        hi = rounded(pointer(x), mu)
        lo = mu - hi
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
            size += abs(g) + abs(e)
        sets = len(odd) - 1
        via_mean, via_var = means_of_gradient(k, sets, via_mean, via_var, m, center, pointer(sums), mode)
        slope, offset = -rstd[k] * rstd[k] * via_var, -rstd[k] * via_mean
        note_odd(pointer(odd), sets, k, pointer(x), mu, rstd[k], size, abs(slope))
        for b in range(B):
            j = a * B + b
            factors[j], factors[span + j] = hi, lo
            factors[2 * span + j] = rstd[k] * weight[j]
            factors[3 * span + j], factors[4 * span + j] = slope, offset
    wrap(factors, 5, W)


@inline
def gradient(dy, x, factors, wide, j):
    """The dx of the columns from j on; see `finish_example`."""
    d = (x - load(factors, j)) - load(factors, wide + j)
    return fma(
        dy, load(factors, 2 * wide + j), fma(d, load(factors, 3 * wide + j), load(factors, 4 * wide + j))
    )


@function
def write_head(dy, x, start, rows, W, target):
    """Begin to write the dx of rows that lie one after the other; see `columns.write_head`."""
    dx, factors, streaming = target
    i, end, j = start, start + rows * W, START
    if W % LANES != 0:
        while i < end:
            for k in range(0, W, LANES):
                v = gradient(take(dy, i + k, W - k), take(x, i + k, W - k), factors, wrapped(W), k)
                put(dx, i + k, v, W - k)
            i += W
        return end, end, START
    head = min(aligned(dx, i), end) if streaming else i
    while i < head:
        n = min(head - i, LANES)
        put(dx, i, gradient(take(dy, i, n), take(x, i, n), factors, wrapped(W), j), n)
        i, j = i + n, (j + n) % W
    return i, end, j


@inline
def write_on(dy, x, W, place, target):
    """Write eight vectors more, if so many are left."""
    i, end, j = place
    dx, factors, streaming = target
    if i + TILE * LANES <= end:
        for _ in range(TILE // 2):
            k = next_column(j, W)
            v = gradient(load(dy, i), load(x, i), factors, wrapped(W), j)
            v2 = gradient(load(dy, i + LANES), load(x, i + LANES), factors, wrapped(W), k)
            if streaming:
                stream(dx, i, v, v2)
            else:
                store(dx, i, v)
                store(dx, i + LANES, v2)
            i, j = i + 2 * LANES, next_column(k, W)
    return i, end, j


@function
def write_rest(dy, x, W, place, target):
    """Write what is left."""
    i, end, j = place
    while i + TILE * LANES <= end:
        i, end, j = write_on(dy, x, W, (i, end, j), target)
    dx, factors, _ = target
    while i < end:
        n = end - i
        put(dx, i, gradient(take(dy, i, n), take(x, i, n), factors, wrapped(W), j), n)
        i, j = i + LANES, next_column(j, W)


@function
def backward_examples(
    o, last, dy, x, dx, weight, mean, rstd, dweight, dbias, odd, P, A, B, center, sums, mode, write, streaming
):
    """Whole examples, one after the other: while one is written the next one is summed."""
    W = A * B
    parts = np.empty(3 * ((P + ROWS - 1) // ROWS) * padded(W))
    ahead, factors = np.empty(2 * wrapped(W), weight.dtype), np.empty(5 * wrapped(W), weight.dtype)
    n, here = items(P, W), NONE
    for k in range(o, last + 1):
        there = k * P * W if k < last else NONE
        if k < last:
            start_example(k, mean, rstd, A, B, x, center, ahead)
        step_items(here, there, START, n, dy, x, dx, ahead, factors, P, W, parts, streaming)
        if k < last:
            finish_example(
                k, weight, mean, rstd, P, A, B, x, center, sums, mode, parts, factors, dweight, dbias, odd
            )
            here = there if write else NONE


def backward(
    pieces, o, last, dy, x, dx, weight, mean, rstd, dweight, dbias, odd, P, A, B, center, sums, mode,
    write, streaming,
):  # fmt: skip
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
    ahead, factors = np.empty(2 * wrapped(W), weight.dtype), np.empty(5 * wrapped(W), weight.dtype)
    n, here = items(P, W), NONE
    for k in range(o, last + 1):
        there = k * P * W if k < last else NONE
        if k < last:
            start_example(k, mean, rstd, A, B, x, center, ahead)
        for i in prange(pieces):
            step_items(
                here, there, i * n // pieces, (i + 1) * n // pieces,
                dy, x, dx, ahead, factors, P, W, parts, streaming,
            )  # fmt: skip
        if k < last:
            finish_example(
                k, weight, mean, rstd, P, A, B, x, center, sums, mode, parts, factors, dweight, dbias, odd
            )
            here = there if write else NONE
