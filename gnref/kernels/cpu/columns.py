"""Sets that lie in columns: (O, P, A, B, 1), which is channels last.

An example is P rows of W = A*B channels, and a set is B of its columns. Rows are read one after the
other, as they lie in memory; every column has its own sums, and eight rows are added before a sum is
touched. Large examples are cut into chunks of rows and blocks of columns, which all cores share.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from gnref.kernels.cpu.memory import (
    aligned,
    keep,
    load,
    load_first,
    pointer,
    prefetch,
    put,
    store,
    stream,
    take,
)
from gnref.kernels.cpu.options import NONE, START, function, inline
from gnref.kernels.cpu.sums import merge, note, two_sum
from gnref.kernels.cpu.vectors import (
    LANES,
    accumulate,
    any_above,
    filled,
    filled_like,
    first,
    fma,
    narrow,
    rounded,
    where_above,
    widen,
)

ROWS = 256  # rows of a chunk: a fixed number, so that the order of additions is fixed
TILE = 8  # rows added at once
BLOCK = 1024  # columns whose sums fit the nearest cache
OWN = 1 << 23  # bytes: examples up to here are left to one core, larger ones are shared


@inline
def padded(W):
    """W columns in whole vectors."""
    return (W + LANES - 1) // LANES * LANES


@inline
def wrapped(W):
    """W factors in whole vectors, and one vector more; see `wrap`."""
    return padded(W) + LANES


@inline
def items(P, W):
    """Chunks of rows times blocks of columns."""
    return ((P + ROWS - 1) // ROWS) * ((W + BLOCK - 1) // BLOCK)


@inline
def item(t, P, W):
    """Chunk, number of its rows, first column and number of columns."""
    blocks = (W + BLOCK - 1) // BLOCK
    c, j = t // blocks, t % blocks * BLOCK
    return c, min(ROWS, P - c * ROWS), j, min(BLOCK, W - j)


@inline
def clear(sums, width):
    """Two sums for each column, each in two vectors."""
    for k in range(0, 4 * padded(width), LANES):
        store(sums, k, filled(0.0))


@inline
def add_to(sums, i, v):
    """Add a vector to the sum at sums[i : i + 32], in twice its precision."""
    high, low = accumulate(load(sums, i), load(sums, i + LANES), v)
    store(sums, i, high)
    store(sums, i + LANES, low)


@inline
def sum_at(sums, i):
    """The sum at sums[i : i + 32]."""
    return load(sums, i) + load(sums, i + LANES)


@inline
def sum_last_columns(x, i, W, n, g):
    """Sums of x - g and of its square over eight rows of n < 16 columns, as a tree."""
    d0, d1 = first(load_first(x, i, n) - g, n), first(load_first(x, i + W, n) - g, n)
    d2, d3 = first(load_first(x, i + 2 * W, n) - g, n), first(load_first(x, i + 3 * W, n) - g, n)
    d4, d5 = first(load_first(x, i + 4 * W, n) - g, n), first(load_first(x, i + 5 * W, n) - g, n)
    d6, d7 = first(load_first(x, i + 6 * W, n) - g, n), first(load_first(x, i + 7 * W, n) - g, n)
    s = ((d0 + d1) + (d2 + d3)) + ((d4 + d5) + (d6 + d7))
    return s, (fma(d0, d0, d1 * d1) + fma(d2, d2, d3 * d3)) + (fma(d4, d4, d5 * d5) + fma(d6, d6, d7 * d7))


@function
def sum_chunk(x, start, rows, W, width, guess, sums, place, target):
    """Sums of x - guess and of its square for every column; meanwhile eight vectors at a time are written."""
    clear(sums, width)
    for row in range(0, rows, TILE):
        tile = start + row * W
        count = min(TILE, rows - row)
        for j in range(0, width, LANES):
            g = load(guess, j)
            i, left = tile + j, width - j
            if count == TILE and left >= LANES:
                for r in range(2 * TILE, 3 * TILE):
                    prefetch(x, i + r * W)
                d0, d1 = load(x, i) - g, load(x, i + W) - g
                d2, d3 = load(x, i + 2 * W) - g, load(x, i + 3 * W) - g
                d4, d5 = load(x, i + 4 * W) - g, load(x, i + 5 * W) - g
                d6, d7 = load(x, i + 6 * W) - g, load(x, i + 7 * W) - g
                s = ((d0 + d1) + (d2 + d3)) + ((d4 + d5) + (d6 + d7))
                q = (fma(d0, d0, d1 * d1) + fma(d2, d2, d3 * d3)) + (
                    fma(d4, d4, d5 * d5) + fma(d6, d6, d7 * d7)
                )
            elif count == TILE:  # the same sums in the same order: a set must not know where in a row it lies
                s, q = sum_last_columns(x, i, W, left, g)
            else:
                s = filled_like(x, 0.0)
                q = s
                for r in range(count):
                    d = first(take(x, i + r * W, left) - g, left)
                    s = s + d
                    q = fma(d, d, q)
            add_to(sums, 4 * j, s)
            add_to(sums, 4 * j + 2 * LANES, q)
            place = write_on(x, W, place, target)
    return place


@inline
def is_bad(sums, width, count):
    """Whether a guess is so far from the mean that its square drowns the variance."""
    share = 1.0 / count
    for j in range(0, width, LANES):
        d = sum_at(sums, 4 * j) * share
        square = d * d
        if any_above(square, (sum_at(sums, 4 * j + 2 * LANES) * share - square) * 4.0):
            return True
    return False


@function
def chunk_moments(x, start, rows, W, width, center, guess, sums, parts, out, place, target):
    """Mean, as two numbers, and M2 of every column of a chunk, into parts[out:], each W long."""
    near = min(rows, TILE)
    for j in range(0, width, LANES):
        s = filled_like(x, 0.0)
        if center:
            for r in range(near):
                s = s + take(x, start + r * W + j, width - j)
        store(guess, j, narrow(x, widen(s) * (1.0 / float(near))))
    place = sum_chunk(x, start, rows, W, width, guess, sums, place, target)
    if center and is_bad(sums, width, float(rows)):
        for j in range(0, width, LANES):
            d, old = sum_at(sums, 4 * j) / float(rows), widen(load(guess, j))
            square = d * d
            limit = (sum_at(sums, 4 * j + 2 * LANES) / float(rows) - square) * 4.0
            store(
                guess, j, narrow(x, where_above(square, limit, old + d, old))
            )  # the others stay as they are
        place = sum_chunk(x, start, rows, W, width, guess, sums, place, target)
    for j in range(0, width, LANES):
        s, q = sum_at(sums, 4 * j), sum_at(sums, 4 * j + 2 * LANES)
        if center:
            d = s / float(rows)
            mean, rest = two_sum(widen(load(guess, j)), d)
            q = q - s * d
        else:
            mean, rest = filled(0.0), filled(0.0)
        store(parts, out + j, mean)
        store(parts, out + padded(W) + j, rest)
        store(parts, out + 2 * padded(W) + j, q)
    return place


@function
def step_items(here, there, t, last, x, y, weight, center, P, W, parts, factors, streaming):
    """Items t to last: sum the example that starts at there, if >= 0, and write that at here, if >= 0.

    Memory then sees loads and stores side by side, as in a copy. What was read last is written first: it
    is still in a cache.
    """
    x, parts, target = pointer(x), pointer(parts), (pointer(y), pointer(factors), streaming)
    guess, sums = np.empty(BLOCK, weight.dtype), np.empty(4 * BLOCK)
    for k in range(t, last):
        place = START, START, START
        c, rows, j, width = item(last - 1 - (k - t), P, W)
        if here >= 0 and j == 0:
            place = write_head(x, here + c * ROWS * W, rows, W, target)
        if there >= 0:
            c, rows, j, width = item(k, P, W)
            place = chunk_moments(
                x, there + c * ROWS * W + j, rows, W, width, center,
                pointer(guess), pointer(sums), parts, 3 * c * padded(W) + j, place, target,
            )  # fmt: skip
        write_rest(x, W, place, target)
    keep(guess)
    keep(sums)


@inline
def merge_chunks(parts, P, W):
    """Merge the moments of chunks in pairs, every column apart (Chan, Golub & LeVeque 1983, eq. 2.1)."""
    width = padded(W)
    chunks = (P + ROWS - 1) // ROWS
    step = 1
    while step < chunks:
        for c in range(0, chunks - step, 2 * step):
            a, b = 3 * c * width, 3 * (c + step) * width
            count_a = float(step * ROWS)
            count_b = float(min((c + 2 * step) * ROWS, P) - (c + step) * ROWS)
            share = count_b / (count_a + count_b)
            for j in range(0, width, LANES):
                delta = load(parts, b + j) - load(parts, a + j)
                delta = delta + (load(parts, b + width + j) - load(parts, a + width + j))
                mean, rest = two_sum(load(parts, a + j), delta * share)
                M2 = load(parts, a + 2 * width + j) + load(parts, b + 2 * width + j)
                store(parts, a + 2 * width + j, M2 + delta * delta * (count_a * share))
                store(parts, a + width + j, load(parts, a + width + j) + rest)
                store(parts, a + j, mean)
        step *= 2


@function
def finish_example(o, weight, bias, stats, P, A, B, eps, x, parts, factors):
    """Merge chunks, then columns, and note what the columns of example o are multiplied and shifted by.

    factors is (4, W): the mean as two numbers in the precision of x, rstd*weight and bias.
    """
    W, width, wide = A * B, padded(A * B), wrapped(A * B)
    p = pointer(parts)
    merge_chunks(p, P, W)
    column = np.empty(4 * B)
    m = pointer(column)
    for a in range(A):
        for b in range(B):
            j = a * B + b
            m[4 * b], m[4 * b + 1], m[4 * b + 2], m[4 * b + 3] = (
                float(P), p[j], p[width + j], max(p[2 * width + j], 0.0),
            )  # fmt: skip
        hi, lo, M2 = merge(m, B)
        k = o * A + a
        r = note(pointer(stats), len(stats) // 3, k, pointer(x), hi + lo, M2 / (P * B), eps)
        near = rounded(pointer(x), hi)
        for b in range(B):
            j = a * B + b
            factors[j], factors[wide + j] = near, (hi - near) + lo
            factors[2 * wide + j], factors[3 * wide + j] = r * weight[j], bias[j]
    wrap(factors, 4, W)
    keep(column)


@inline
def normalized(v, factors, wide, j):
    """((x - hi) - lo) * scale + shift, for the columns from j on."""
    d = (v - load(factors, j)) - load(factors, wide + j)
    return fma(d, load(factors, 2 * wide + j), load(factors, 3 * wide + j))


@inline
def wrap(factors, count, W):
    """Repeat the first factors after the last: a vector may begin in one row and end in the next."""
    for k in range(0, count * wrapped(W), wrapped(W)):
        for j in range(LANES):
            factors[k + W + j] = factors[k + j]


@inline
def next_column(j, W):
    """The column of the next vector."""
    return j + LANES if j + LANES < W else j + LANES - W


@function
def write_head(x, start, rows, W, target):
    """Begin to normalize rows that lie one after the other, up to where stores are aligned.

    What is left is a place: where to go on, where to end, and the column. Nothing is, where rows are no
    whole number of vectors.
    """
    y, factors, streaming = target
    i, end, j = start, start + rows * W, START
    if W % LANES != 0:
        while i < end:
            for k in range(0, W, LANES):
                put(y, i + k, normalized(take(x, i + k, W - k), factors, wrapped(W), k), W - k)
            i += W
        return end, end, START
    head = min(aligned(y, i), end) if streaming else i
    while i < head:  # the only stores, with those at the end, that wait for memory to be read
        n = min(head - i, LANES)
        put(y, i, normalized(take(x, i, n), factors, wrapped(W), j), n)
        i, j = i + n, (j + n) % W
    return i, end, j


@inline
def write_on(x, W, place, target):
    """Normalize eight vectors more, if so many are left."""
    i, end, j = place
    y, factors, streaming = target
    if i + TILE * LANES <= end:
        for _ in range(TILE // 2):
            k = next_column(j, W)
            v = normalized(load(x, i), factors, wrapped(W), j)
            v2 = normalized(load(x, i + LANES), factors, wrapped(W), k)
            if streaming:
                stream(y, i, v, v2)
            else:
                store(y, i, v)
                store(y, i + LANES, v2)
            i, j = i + 2 * LANES, next_column(k, W)
    return i, end, j


@function
def write_rest(x, W, place, target):
    """Normalize what is left."""
    i, end, j = place
    while i + TILE * LANES <= end:
        i, end, j = write_on(x, W, (i, end, j), target)
    y, factors, _ = target
    while i < end:
        n = end - i
        put(y, i, normalized(take(x, i, n), factors, wrapped(W), j), n)
        i, j = i + LANES, next_column(j, W)


@function
def write_part(start, row, last, x, y, factors, W, streaming):
    """Normalize rows row to last of an example."""
    x, target = pointer(x), (pointer(y), pointer(factors), streaming)
    place = write_head(x, start + row * W, last - row, W, target)
    write_rest(x, W, place, target)


@function
def forward_examples(o, last, x, y, weight, bias, stats, P, A, B, eps, center, write, streaming):
    """Whole examples, one after the other: while one is written the next one is summed."""
    W = A * B
    parts = np.empty(3 * ((P + ROWS - 1) // ROWS) * padded(W))
    factors = np.empty(4 * wrapped(W), weight.dtype)
    n, here = items(P, W), NONE
    for k in range(o, last + 1):
        there = k * P * W if k < last else NONE
        step_items(here, there, START, n, x, y, weight, center, P, W, parts, factors, streaming)
        if k < last:
            finish_example(k, weight, bias, stats, P, A, B, eps, x, parts, factors)
            here = there if write else NONE


def forward(pieces, o, last, x, y, weight, bias, stats, P, A, B, eps, center, write, streaming):
    """Normalize examples o to last: each by one core, or where they are few or large, each by all."""
    W = A * B
    if last - o >= 4 * pieces and P * W * x.itemsize <= OWN:
        for i in prange(pieces):
            forward_examples(
                o + i * (last - o) // pieces, o + (i + 1) * (last - o) // pieces,
                x, y, weight, bias, stats, P, A, B, eps, center, write, streaming,
            )  # fmt: skip
        return
    parts = np.empty(3 * ((P + ROWS - 1) // ROWS) * padded(W))
    factors = np.empty(4 * wrapped(W), weight.dtype)
    n, here = items(P, W), NONE
    for k in range(o, last + 1):
        there = k * P * W if k < last else NONE
        for i in prange(pieces):
            step_items(
                here, there, i * n // pieces, (i + 1) * n // pieces,
                x, y, weight, center, P, W, parts, factors, streaming,
            )  # fmt: skip
        if k < last:
            finish_example(k, weight, bias, stats, P, A, B, eps, x, parts, factors)
            here = there if write else NONE


@function
def given_factors(o, weight, bias, mean, rstd, A, B, x, factors):
    """What the columns of example o are multiplied and shifted by, for given statistics."""
    wide = wrapped(A * B)
    for a in range(A):
        k = o * A + a
        hi = rounded(pointer(x), mean[k])
        for j in range(a * B, a * B + B):
            factors[j], factors[wide + j] = hi, mean[k] - hi
            factors[2 * wide + j], factors[3 * wide + j] = rstd[k] * weight[j], bias[j]
    wrap(factors, 4, A * B)


@function
def apply_examples(o, last, x, y, weight, bias, mean, rstd, P, A, B, streaming):
    """Normalize examples o to last with given statistics."""
    factors = np.empty(4 * wrapped(A * B), weight.dtype)
    for k in range(o, last):
        given_factors(k, weight, bias, mean, rstd, A, B, x, factors)
        write_part(k * P * A * B, START, P, x, y, factors, A * B, streaming)


def apply(pieces, o, last, x, y, weight, bias, mean, rstd, P, A, B, streaming):
    """Normalize examples o to last with given statistics."""
    W = A * B
    factors = np.empty(4 * wrapped(W), weight.dtype)
    for k in range(o, last):
        given_factors(k, weight, bias, mean, rstd, A, B, x, factors)
        for i in prange(pieces):
            write_part(k * P * W, i * P // pieces, (i + 1) * P // pieces, x, y, factors, W, streaming)
