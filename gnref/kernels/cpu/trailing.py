"""Sets that lie in one contiguous piece, with a weight for each element: (O, 1, A, B, 1), layer and rms norm.

A short set stays in the nearest cache between being summed and being written. Of long ones all are summed
first, chunk by chunk, and then all are written, block by block of columns: the weights of a block are
read once for all sets.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from gnref.kernels.cpu.memory import (
    aligned,
    number,
    part_of,
    pointer,
    put,
    stream,
    take,
)
from gnref.kernels.cpu.options import START, function, inline
from gnref.kernels.cpu.sums import (
    CHUNK,
    add_row,
    guess_mean,
    merge,
    moments,
    note,
    nothing,
)
from gnref.kernels.cpu.vectors import LANES, fma, rounded

SHORT = 512  # elements: sets up to here are not worth a careful guess, nor stores past the caches
FAR = 8192  # elements: sets from here on leave the nearest cache, and are summed first and written later
BLOCK = 4096  # columns whose weights stay in the nearest cache


@inline
def chunk_moments(x, start, n, center):
    """Count, mean in two numbers and M2 of n numbers."""
    guess = 0.0
    if n > SHORT:
        guess = guess_mean(x, start, n, center)
    elif center:  # its first number: nothing waits for a mean, and it is near enough more often than not
        guess = number(x, start)
    sums = add_row(x, start, start + n, guess, nothing())
    return moments(x, start, 0, 1, n, guess, sums, center)


@inline
def normalized(x, i, n, hi, lo, rstd, weight, bias, j):
    """The next numbers of a row, of which n are left, the first of which has weight[j]."""
    v = ((take(x, i, n) - hi) - lo) * rstd
    return fma(v, take(weight, j, n), take(bias, j, n))


@inline
def write_vectors(x, y, i, end, hi, lo, rstd, weight, bias, j):
    """y[i : end] = ((x - hi) - lo) * rstd * weight[j:] + bias[j:]."""
    while i < end:
        put(y, i, normalized(x, i, end - i, hi, lo, rstd, weight, bias, j), end - i)
        i += LANES
        j += LANES


@inline
def write_set(x, y, i, n, hi, lo, rstd, weight, bias, j, streaming):
    """The n elements from i on, the first of which has weight[j]."""
    end = i + n
    if streaming:
        start = min(aligned(y, i), end)
        write_vectors(x, y, i, start, hi, lo, rstd, weight, bias, j)
        j += start - i
        i = start
        while i + 2 * LANES <= end:
            v = normalized(x, i, LANES, hi, lo, rstd, weight, bias, j)
            v2 = normalized(x, i + LANES, LANES, hi, lo, rstd, weight, bias, j + LANES)
            stream(y, i, v, v2)
            i += 2 * LANES
            j += 2 * LANES
    write_vectors(x, y, i, end, hi, lo, rstd, weight, bias, j)


@function
def forward_short(k, last, x, y, weight, bias, stats, A, B, eps, center, write, streaming):
    """Sets that are summed and written at once."""
    x, y, weight, bias = pointer(x), pointer(y), pointer(weight), pointer(bias)
    sets, stats = len(stats) // 3, pointer(stats)
    streaming = streaming and B > SHORT
    a = k % A
    while k < last:
        _, mean, rest, M2 = chunk_moments(x, k * B, B, center)
        rstd = note(stats, sets, k, x, mean + rest, M2 / B, eps)
        hi = rounded(x, mean)
        if write:
            write_set(x, y, k * B, B, hi, (mean - hi) + rest, rstd, weight, bias, a * B, streaming)
        k += 1
        a = a + 1 if a + 1 < A else 0


@function
def moments_of(first, t, last, x, B, center, parts):
    """The moments of items t to last: an item is a chunk of a set, counted from the set `first` on."""
    x = pointer(x)
    chunks = (B + CHUNK - 1) // CHUNK
    while t < last:
        j = t % chunks * CHUNK
        i = (first + t // chunks) * B + j
        parts[4 * t], parts[4 * t + 1], parts[4 * t + 2], parts[4 * t + 3] = chunk_moments(
            x, i, min(CHUNK, B - j), center
        )
        t += 1


@function
def finish_sets(first, last, x, stats, B, eps, parts):
    """Merge the chunks of every set; its mean, the rest of it and rstd take their place in parts."""
    chunks = (B + CHUNK - 1) // CHUNK
    for k in range(first, last):
        i = 4 * (k - first) * chunks
        mean, rest, M2 = merge(part_of(pointer(parts), i), chunks)
        parts[i] = note(pointer(stats), len(stats) // 3, k, pointer(x), mean + rest, M2 / B, eps)
        parts[i + 1], parts[i + 2] = mean, rest


@function
def write_blocks(t, last, first, end, x, y, weight, bias, A, B, parts, streaming):
    """Blocks t to last of columns, down the sets from first to end; what was read last is written first."""
    x, y, weight, bias = pointer(x), pointer(y), pointer(weight), pointer(bias)
    chunks, blocks = (B + CHUNK - 1) // CHUNK, (B + BLOCK - 1) // BLOCK
    while last > t:
        last -= 1
        a, j = last // blocks, last % blocks * BLOCK
        k = end - 1 - (end - 1 - a) % A
        while k >= first:
            i = 4 * (k - first) * chunks
            rstd, mean, rest = parts[i], parts[i + 1], parts[i + 2]
            hi = rounded(x, mean)
            n = min(BLOCK, B - j)
            write_set(x, y, k * B + j, n, hi, (mean - hi) + rest, rstd, weight, bias, a * B + j, streaming)
            k -= A


@function
def forward_sets(k, last, x, y, weight, bias, stats, A, B, eps, center, write, streaming):
    """Sets k to last, by one core."""
    if B < FAR:
        forward_short(k, last, x, y, weight, bias, stats, A, B, eps, center, write, streaming)
        return
    items, blocks = (last - k) * ((B + CHUNK - 1) // CHUNK), A * ((B + BLOCK - 1) // BLOCK)
    parts = np.empty(4 * items)
    moments_of(k, START, items, x, B, center, parts)
    finish_sets(k, last, x, stats, B, eps, parts)
    if write:
        write_blocks(START, blocks, k, last, x, y, weight, bias, A, B, parts, streaming)


def forward(pieces, k, last, x, y, weight, bias, stats, A, B, eps, center, write, streaming):
    """Sets k to last, by all cores."""
    if B < FAR:
        for i in prange(pieces):
            forward_short(
                k + i * (last - k) // pieces, k + (i + 1) * (last - k) // pieces,
                x, y, weight, bias, stats, A, B, eps, center, write, streaming,
            )  # fmt: skip
        return
    items, blocks = (last - k) * ((B + CHUNK - 1) // CHUNK), A * ((B + BLOCK - 1) // BLOCK)
    parts = np.empty(4 * items)
    for i in prange(pieces):
        moments_of(k, i * items // pieces, (i + 1) * items // pieces, x, B, center, parts)
    finish_sets(k, last, x, stats, B, eps, parts)
    if not write:
        return
    for i in prange(pieces):
        write_blocks(
            i * blocks // pieces, (i + 1) * blocks // pieces, k, last, x, y, weight, bias, A, B, parts,
            streaming,
        )  # fmt: skip
