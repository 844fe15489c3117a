"""The gradients of sets that lie in one contiguous piece, with a weight for each element; see `trailing`.

dweight and dbias are sums down the columns. Where sets are many and short they are added eight at a
time, in a fixed number of parts; where they are few or long, every block of columns is added by one core.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from gnref.kernels.cpu.memory import (
    aligned,
    keep,
    load,
    part_of,
    pointer,
    put,
    store,
    store_first,
    stream,
    take,
)
from gnref.kernels.cpu.options import START, function, inline
from gnref.kernels.cpu.sums import CHUNK, GROUP, is_single, note_odd
from gnref.kernels.cpu.vectors import (
    LANES,
    accumulate,
    filled,
    filled_like,
    first,
    fma,
    narrow,
    rounded,
    total,
    widen,
)

TILE = 8  # sets whose gradients of one weight are added at once
BLOCK = 2048  # columns whose gradients stay in the nearest cache


@inline
def add_vector(dy, x, weight, i, j, hi, rstd, g, e, f):
    """Add one vector to the sums of dxhat, of dxhat * xhat and of x - hi."""
    d = load(x, i) - hi
    v = load(dy, i) * load(weight, j)
    return g + v, fma(v, d * rstd, e), f + d


@function
def set_sums(dy, x, weight, i, j, n, hi, rstd):
    """Sums over n elements of dxhat, of dxhat * xhat and, for float64, of x - hi; x[i] has weight[j]."""
    zero = filled(0.0)
    g_high, g_low, e_high, e_low, f_high, f_low = zero, zero, zero, zero, zero, zero
    end = i + n
    while i < end:
        g = filled_like(x, 0.0)
        e, f = g, g
        if i + GROUP <= end:
            g2, e2, f2 = g, g, g
            for k in range(0, GROUP, 2 * LANES):
                g, e, f = add_vector(dy, x, weight, i + k, j + k, hi, rstd, g, e, f)
                g2, e2, f2 = add_vector(dy, x, weight, i + k + 16, j + k + 16, hi, rstd, g2, e2, f2)
            g, e, f = g + g2, e + e2, f + f2
        else:
            k = 0
            while i + k < end:
                left = end - i - k
                d = first(take(x, i + k, left) - hi, left)
                v = take(dy, i + k, left) * take(weight, j + k, left)
                g, e, f = g + v, fma(v, d * rstd, e), f + d
                k += LANES
        g_high, g_low = accumulate(g_high, g_low, g)
        e_high, e_low = accumulate(e_high, e_low, e)
        if not is_single(x):
            f_high, f_low = accumulate(f_high, f_low, f)
        i += GROUP
        j += GROUP
    return total(g_high + g_low), total(e_high + e_low), total(f_high + f_low)


@inline
def finish_set(k, g, e, f, n, x, mean, rstd, center, rows, r, odd, all_sets):
    """What the dx of set k is made with, into rows[6 * r :]: hi, lo, rstd, slope, offset, and its place.

    False for a set that is left to `careful`.
    """
    mu = mean[k] if center else 0.0
    hi, near = rounded(x, mu), rounded(x, rstd[k])
    lo = mu - hi
    if center and not is_single(x):
        lo = f / n
    e = (e - lo * near * g) * (rstd[k] / near)
    slope = -rstd[k] * rstd[k] * e / n
    is_odd = note_odd(odd, all_sets, k, x, mu, rstd[k], abs(g) + abs(e), abs(slope))
    rows[6 * r], rows[6 * r + 1], rows[6 * r + 2] = hi, lo, rstd[k]
    rows[6 * r + 3] = slope
    rows[6 * r + 4] = -rstd[k] * g / n if center else 0.0
    rows[6 * r + 5] = k * n
    return not is_odd


@inline
def add_to(sums, i, v, left):
    """Add the first `left` lanes to float64 sums."""
    v = v + take(sums, i, left)
    if left >= LANES:
        store(sums, i, v)
    else:
        store_first(sums, i, v, left)


@inline
def gradient(dy, x, weight, i, w, n, row, dw, db, j):
    """dx of the next numbers of a row, of which n are left; dweight and dbias are added at dw[j] and db[j].

    dx = dy * weight * rstd + ((x - hi) - lo) * slope + offset
    """
    hi, lo, rstd, slope, offset = row
    g, d = take(dy, i, n), (take(x, i, n) - hi) - lo
    put(dw, j, fma(g, d * rstd, take(dw, j, n)), n)
    put(db, j, take(db, j, n) + g, n)
    return fma(g * take(weight, w, n), rstd, fma(d, slope, filled_like(x, offset)))


@inline
def write_vectors(dy, x, dx, weight, i, end, w, row, dw, db, j):
    """dx[i:end], which has weight[w:]."""
    while i < end:
        put(dx, i, gradient(dy, x, weight, i, w, end - i, row, dw, db, j), end - i)
        i += LANES
        w += LANES
        j += LANES


@inline
def write_row(dy, x, dx, weight, i, end, w, row, dw, db, streaming):
    """dx[i:end], which has weight[w:], and its share of dweight and dbias."""
    j = START
    if streaming:
        start = min(aligned(dx, i), end)
        write_vectors(dy, x, dx, weight, i, start, w, row, dw, db, j)
        j = start - i
        while i + j + 2 * LANES <= end:
            v = gradient(dy, x, weight, i + j, w + j, LANES, row, dw, db, j)
            k = j + LANES
            stream(dx, i + j, v, gradient(dy, x, weight, i + k, w + k, LANES, row, dw, db, k))
            j += 2 * LANES
    write_vectors(dy, x, dx, weight, i + j, end, w + j, row, dw, db, j)


@function
def write_tile(dy, x, dx, weight, first, n, count, w, rows, near, dweight, dbias, out, streaming):
    """dx of n columns of `count` sets, from the column `first` on, and their share of dweight and dbias.

    Of eight sets that is added in the precision of x, in near, which stays in the nearest cache; then in
    float64.
    """
    dw, db = near, part_of(near, BLOCK)
    for j in range(0, n, BLOCK):
        width = min(BLOCK, n - j)
        for i in range(0, width, LANES):
            store(dw, i, filled_like(x, 0.0))
            store(db, i, filled_like(x, 0.0))
        for r in range(count):
            c = 6 * r
            i = int(rows[c + 5]) + first + j
            row = rows[c], rows[c + 1], rows[c + 2], rows[c + 3], rows[c + 4]
            write_row(dy, x, dx, weight, i, i + width, w + j, row, dw, db, streaming)
        for i in range(0, width, LANES):
            add_to(dweight, out + j + i, widen(load(dw, i)), width - i)
            add_to(dbias, out + j + i, widen(load(db, i)), width - i)


@function
def backward_part(o, last, dy, x, dx, weight, mean, rstd, dweight, dbias, out, odd, A, B, center, streaming):
    """Examples o to last, eight at a time; their dweight and dbias are added at out."""
    sums = np.empty(2 * (BLOCK + LANES), weight.dtype)
    dy, x, dx, weight = pointer(dy), pointer(x), pointer(dx), pointer(weight)
    dweight, dbias, mean, rstd = pointer(dweight), pointer(dbias), pointer(mean), pointer(rstd)
    odd, all_sets = pointer(odd), len(odd) - 1
    near = part_of(pointer(sums), aligned(pointer(sums), START))
    scratch = np.empty(6 * TILE)
    rows = pointer(scratch)
    streaming = streaming and B % LANES == 0
    W = A * B
    for j in range(W):
        dweight[out + j], dbias[out + j] = 0.0, 0.0
    while o < last:
        count = min(TILE, last - o)
        for a in range(A):
            sets = 0
            for k in range(o * A + a, (o + count) * A + a, A):
                hi = rounded(x, mean[k]) if center else 0.0
                g, e, f = set_sums(dy, x, weight, k * B, a * B, B, hi, rstd[k])
                sets += finish_set(k, g, e, f, B, x, mean, rstd, center, rows, sets, odd, all_sets)
            write_tile(
                dy, x, dx, weight, START, B, sets, a * B, rows, near, dweight, dbias, out + a * B, streaming
            )
        o += count
    keep(scratch)
    keep(sums)


@function
def sums_of(t, last, dy, x, weight, mean, rstd, O, A, B, center, parts):
    """The sums of items t to last: an item is one chunk of one set, and one chunk of all sets comes first."""
    dy, x, weight, parts = pointer(dy), pointer(x), pointer(weight), pointer(parts)
    sets, chunks = O * A, (B + CHUNK - 1) // CHUNK
    while t < last:
        k, c = t % sets, t // sets
        j, out = c * CHUNK, 3 * (k * chunks + c)
        hi = rounded(x, mean[k]) if center else 0.0
        n = min(CHUNK, B - j)
        parts[out], parts[out + 1], parts[out + 2] = set_sums(
            dy, x, weight, k * B + j, k % A * B + j, n, hi, rstd[k]
        )
        t += 1


@function
def finish_sets(O, A, B, x, mean, rstd, center, parts, rows, counts, odd):
    """Add the chunks of all sets; rows[6 * a * O :] belong to the counts[a] sets that have the weights a."""
    chunks = (B + CHUNK - 1) // CHUNK
    counts[:] = 0
    for k in range(O * A):
        g, e, f = 0.0, 0.0, 0.0
        for c in range(k * chunks, (k + 1) * chunks):
            g, e, f = g + parts[3 * c], e + parts[3 * c + 1], f + parts[3 * c + 2]
        a = k % A
        r = a * O + counts[a]
        counts[a] += finish_set(
            k, g, e, f, B, pointer(x), mean, rstd, center, pointer(rows), r, pointer(odd), O * A
        )


@function
def write_blocks(t, last, dy, x, dx, weight, rows, counts, dweight, dbias, O, A, B, streaming):
    """Blocks t to last of columns, down all sets."""
    sums, scratch = np.empty(2 * BLOCK, weight.dtype), np.empty(2 * BLOCK)
    dy, x, dx, weight, rows = pointer(dy), pointer(x), pointer(dx), pointer(weight), pointer(rows)
    dweight, dbias, near = pointer(dweight), pointer(dbias), pointer(sums)
    dw, db = pointer(scratch), part_of(pointer(scratch), BLOCK)
    streaming = streaming and B % LANES == 0
    blocks = (B + BLOCK - 1) // BLOCK
    while t < last:
        a, j = t // blocks, t % blocks * BLOCK
        n = min(BLOCK, B - j)
        scratch[:] = 0.0
        for r in range(0, counts[a], TILE):
            count = min(TILE, counts[a] - r)
            tile = part_of(rows, 6 * (a * O + r))
            write_tile(dy, x, dx, weight, j, n, count, a * B + j, tile, near, dw, db, START, streaming)
        for i in range(0, n, LANES):
            put(dweight, a * B + j + i, narrow(dweight, load(dw, i)), n - i)
            put(dbias, a * B + j + i, narrow(dbias, load(db, i)), n - i)
        t += 1
    keep(scratch)
    keep(sums)


@function
def backward_parts(
    t, last, dy, x, dx, weight, mean, rstd, dweight, dbias, odd, O, A, B, parts, center, streaming
):
    """Parts t to last of a fixed number of parts."""
    while t < last:
        backward_part(
            t * O // parts, (t + 1) * O // parts, dy, x, dx, weight, mean, rstd, dweight, dbias,
            t * A * B, odd,
            A, B, center, streaming,
        )  # fmt: skip
        t += 1


@function
def backward_few(
    _first, _last, dy, x, dx, weight, mean, rstd, dweight, dbias, odd, O, A, B, center, streaming
):
    """All sums first, then all columns; first to last is one item, which cannot be divided."""
    n, blocks = O * A * ((B + CHUNK - 1) // CHUNK), A * ((B + BLOCK - 1) // BLOCK)
    parts, rows, counts = np.empty(3 * n), np.empty(6 * O * A), np.empty(A, np.int64)
    sums_of(START, n, dy, x, weight, mean, rstd, O, A, B, center, parts)
    finish_sets(O, A, B, x, mean, rstd, center, parts, rows, counts, odd)
    write_blocks(START, blocks, dy, x, dx, weight, rows, counts, dweight, dbias, O, A, B, streaming)


def backward_blocks(
    pieces, _first, _last, dy, x, dx, weight, mean, rstd, dweight, dbias, odd, O, A, B, center, streaming
):
    """The same, by all cores."""
    n, blocks = O * A * ((B + CHUNK - 1) // CHUNK), A * ((B + BLOCK - 1) // BLOCK)
    parts, rows, counts = np.empty(3 * n), np.empty(6 * O * A), np.empty(A, np.int64)
    for i in prange(pieces):
        sums_of(i * n // pieces, (i + 1) * n // pieces, dy, x, weight, mean, rstd, O, A, B, center, parts)
    finish_sets(O, A, B, x, mean, rstd, center, parts, rows, counts, odd)
    for i in prange(pieces):
        write_blocks(
            i * blocks // pieces, (i + 1) * blocks // pieces, dy, x, dx, weight, rows, counts, dweight, dbias,
            O, A, B, streaming,
        )  # fmt: skip


def backward(
    pieces, t, last, dy, x, dx, weight, mean, rstd, dweight, dbias, odd, O, A, B, parts, center, streaming
):
    """Parts t to last of a fixed number of parts, each by one core."""
    for i in prange(pieces):
        backward_parts(
            t + i * (last - t) // pieces, t + (i + 1) * (last - t) // pieces,
            dy, x, dx, weight, mean, rstd, dweight, dbias, odd, O, A, B, parts, center, streaming,
        )  # fmt: skip
