"""Sets that lie in one contiguous piece, with a weight for each element: (O, 1, A, B, 1), layer and rms norm.

Short sets stay in the nearest cache between being summed and being written. Long ones are cut into
chunks, which all cores share.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from gnref.kernels.cpu.options import function, inline
from gnref.kernels.cpu.sums import (
    CHUNK,
    add_row,
    guess_mean,
    merge,
    moments,
    note,
    nothing,
)
from gnref.kernels.cpu.vectors import (
    LANES,
    aligned,
    fma,
    keep,
    load,
    load_first,
    pointer,
    rounded,
    store,
    store_first,
    stream,
)

TILE = 8  # sets whose gradients of one weight are added at once
BLOCK = 512  # columns


@inline
def take(x, i, n):
    """The next numbers of a row, of which n are left."""
    return load(x, i) if n >= LANES else load_first(x, i, n)


@inline
def put(y, i, v, n, streaming):
    """Write the next numbers of a row, of which n are left."""
    if n < LANES:
        store_first(y, i, v, n)
    elif streaming:
        stream(y, i, v)
    else:
        store(y, i, v)


@inline
def chunk_moments(x, start, n, center):
    """Count, mean in two numbers and M2 of n numbers."""
    guess = guess_mean(x, start, n, center)
    sums = add_row(x, start, start + n, guess, nothing())
    return moments(x, start, 0, 1, n, guess, sums, center)


@inline
def write_set(x, y, i, n, hi, lo, rstd, weight, bias, j, streaming):
    """y[i : i + n] = ((x - hi) - lo) * rstd * weight[j:] + bias[j:]."""
    end = i + n
    if streaming:
        start = aligned(y, i)
        if i < start < end:
            left = start - i
            v = ((load_first(x, i, left) - hi) - lo) * rstd
            store_first(y, i, fma(v, load_first(weight, j, left), load_first(bias, j, left)), left)
            j += left
            i = start
    while i < end:
        left = end - i
        v = ((take(x, i, left) - hi) - lo) * rstd
        put(y, i, fma(v, take(weight, j, left), take(bias, j, left)), left, streaming)
        i += LANES
        j += LANES


@function
def forward_sets(k, last, x, y, weight, bias, stats, A, B, eps, center, write, streaming):
    """Whole sets, one after the other."""
    x, y, weight, bias = pointer(x), pointer(y), pointer(weight), pointer(bias)
    chunks = (B + CHUNK - 1) // CHUNK
    scratch = np.empty(4 * chunks)
    parts = pointer(scratch)
    a = k % A
    while k < last:
        for c in range(chunks):
            j = c * CHUNK
            part = chunk_moments(x, k * B + j, min(CHUNK, B - j), center)
            parts[4 * c], parts[4 * c + 1], parts[4 * c + 2], parts[4 * c + 3] = part
        mu, rest, M2 = merge(parts, chunks)
        r = note(stats, k, x, mu + rest, M2 / B, eps)
        hi = rounded(x, mu)
        if write:
            write_set(x, y, k * B, B, hi, (mu - hi) + rest, r, weight, bias, a * B, streaming)
        k += 1
        a = a + 1 if a + 1 < A else 0
    keep(scratch)


@function
def moments_of(k, c, last, x, B, center, parts):
    """The moments of chunks c to last of set k."""
    x = pointer(x)
    while c < last:
        j = c * CHUNK
        part = chunk_moments(x, k * B + j, min(CHUNK, B - j), center)
        parts[4 * c], parts[4 * c + 1], parts[4 * c + 2], parts[4 * c + 3] = part
        c += 1


@function
def write_chunks(k, c, last, x, y, weight, bias, A, B, mu, rest, rstd, streaming):
    """Write chunks c to last of set k, the last of them first: it was read last, and is in a cache."""
    x, y, weight, bias = pointer(x), pointer(y), pointer(weight), pointer(bias)
    hi = rounded(x, mu)
    while c < last:
        last -= 1
        j = last * CHUNK
        n = min(CHUNK, B - j)
        write_set(x, y, k * B + j, n, hi, (mu - hi) + rest, rstd, weight, bias, k % A * B + j, streaming)


def forward(pieces, k, last, x, y, weight, bias, stats, A, B, eps, center, write, streaming):
    """Normalize sets k to last: short ones by one core each, long ones each by all."""
    chunks = (B + CHUNK - 1) // CHUNK
    if chunks < 2 * pieces:
        for i in prange(pieces):
            forward_sets(
                k + i * (last - k) // pieces, k + (i + 1) * (last - k) // pieces,
                x, y, weight, bias, stats, A, B, eps, center, write, streaming,
            )  # fmt: skip
        return
    parts = np.empty(4 * chunks)
    while k < last:
        for i in prange(pieces):
            moments_of(k, i * chunks // pieces, (i + 1) * chunks // pieces, x, B, center, parts)
        mu, rest, M2 = merge(pointer(parts), chunks)
        r = note(stats, k, pointer(x), mu + rest, M2 / B, eps)
        if not write:
            k += 1
            continue
        for i in prange(pieces):
            write_chunks(
                k, i * chunks // pieces, (i + 1) * chunks // pieces, x, y, weight, bias, A, B, mu, rest, r,
                streaming,
            )  # fmt: skip
        k += 1
