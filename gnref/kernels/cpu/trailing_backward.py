"""The gradients of sets that lie in one contiguous piece, with a weight for each element; see `trailing`.

dweight and dbias are sums down the columns. Where sets are many and short they are added eight at a
time, in a fixed number of parts; where they are few or long, every block of columns is added by one core.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from gnref.kernels.cpu.options import function, inline
from gnref.kernels.cpu.sums import CHUNK, GROUP, is_single, note_odd
from gnref.kernels.cpu.trailing import put, take
from gnref.kernels.cpu.vectors import (
    LANES,
    accumulate,
    aligned,
    filled,
    filled_like,
    first,
    fma,
    keep,
    load,
    part_of,
    pointer,
    rounded,
    store,
    store_first,
    total,
    widen,
)

TILE = 8  # sets whose gradients of one weight are added at once
BLOCK = 512  # columns
START = np.int64(0)  # a literal would be compiled for by itself


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
def finish_set(k, g, e, f, n, x, mean, rstd, center, rows, r, odd):
    """What the dx of set k is made with, into rows[6 * r :]: hi, lo, rstd, slope, offset, and its place.

    False for a set that is left to `careful`.
    """
    mu = mean[k] if center else 0.0
    hi, near = rounded(x, mu), rounded(x, rstd[k])
    lo = mu - hi
    if center and not is_single(x):
        lo = f / n
    e = (e - lo * near * g) * (rstd[k] / near)
    is_odd = note_odd(odd, k, x, mu, rstd[k], abs(g) + abs(e))
    rows[6 * r], rows[6 * r + 1], rows[6 * r + 2] = hi, lo, rstd[k]
    rows[6 * r + 3] = -rstd[k] * rstd[k] * e / n
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


@function
def write_tile(dy, x, dx, weight, first, n, count, w, rows, dweight, dbias, out, streaming):
    """dx of n columns of `count` sets, from the column `first` on, and their share of dweight and dbias.

    dx = dy * weight * rstd + ((x - hi) - lo) * slope + offset
    """
    start = int(rows[5]) + first
    head = aligned(dx, start) - start if streaming else 0
    j, left = 0, head if head > 0 else LANES
    while j < n:
        left = min(left, n - j)
        dw = filled_like(x, 0.0)
        db = dw
        weights = take(weight, w + j, left)
        for r in range(count):
            c = 6 * r
            i = int(rows[c + 5]) + first + j
            g = take(dy, i, left)
            d = (take(x, i, left) - rows[c]) - rows[c + 1]
            v = fma(d, rows[c + 3], filled_like(x, rows[c + 4]))
            put(dx, i, fma(g * weights, rows[c + 2], v), left, streaming)
            dw = fma(g, d * rows[c + 2], dw)
            db = db + g
        add_to(dweight, out + j, widen(dw), left)
        add_to(dbias, out + j, widen(db), left)
        j += left
        left = LANES


@function
def backward_part(o, last, dy, x, dx, weight, mean, rstd, dweight, dbias, out, odd, A, B, center, streaming):
    """Examples o to last, eight at a time; their dweight and dbias are added at out."""
    dy, x, dx, weight = pointer(dy), pointer(x), pointer(dx), pointer(weight)
    dweight, dbias = pointer(dweight), pointer(dbias)
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
                sets += finish_set(k, g, e, f, B, x, mean, rstd, center, rows, sets, odd)
            write_tile(dy, x, dx, weight, 0, B, sets, a * B, rows, dweight, dbias, out + a * B, streaming)
        o += count
    keep(scratch)


@function
def sums_of(t, last, dy, x, weight, mean, rstd, A, B, center, parts):
    """The sums of items t to last: an item is one chunk of one set."""
    dy, x, weight, parts = pointer(dy), pointer(x), pointer(weight), pointer(parts)
    chunks = (B + CHUNK - 1) // CHUNK
    while t < last:
        k, j = t // chunks, t % chunks * CHUNK
        hi = rounded(x, mean[k]) if center else 0.0
        n = min(CHUNK, B - j)
        parts[3 * t], parts[3 * t + 1], parts[3 * t + 2] = set_sums(
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
        counts[a] += finish_set(k, g, e, f, B, pointer(x), mean, rstd, center, pointer(rows), r, odd)


@function
def write_blocks(t, last, dy, x, dx, weight, rows, counts, dweight, dbias, O, A, B, streaming):
    """Blocks t to last of columns, down all sets."""
    dy, x, dx, weight, rows = pointer(dy), pointer(x), pointer(dx), pointer(weight), pointer(rows)
    scratch = np.empty(2 * BLOCK)
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
            write_tile(dy, x, dx, weight, j, n, count, a * B + j, tile, dw, db, 0, streaming)
        for i in range(n):
            dweight[a * B + j + i], dbias[a * B + j + i] = dw[i], db[i]
        t += 1
    keep(scratch)


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
    sums_of(START, n, dy, x, weight, mean, rstd, A, B, center, parts)
    finish_sets(O, A, B, x, mean, rstd, center, parts, rows, counts, odd)
    write_blocks(START, blocks, dy, x, dx, weight, rows, counts, dweight, dbias, O, A, B, streaming)


def backward_blocks(
    pieces, _first, _last, dy, x, dx, weight, mean, rstd, dweight, dbias, odd, O, A, B, center, streaming
):
    """The same, by all cores."""
    n, blocks = O * A * ((B + CHUNK - 1) // CHUNK), A * ((B + BLOCK - 1) // BLOCK)
    parts, rows, counts = np.empty(3 * n), np.empty(6 * O * A), np.empty(A, np.int64)
    for i in prange(pieces):
        sums_of(i * n // pieces, (i + 1) * n // pieces, dy, x, weight, mean, rstd, A, B, center, parts)
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
