"""Sets that lie in rows: (O, P, A, B, S) with S > 1.

A set is P rows of B*S contiguous elements. While one set is written, from a core's own cache if it fits
there, the next one is summed. Memory then sees loads and stores side by side, as in a
copy; sums alone and stores alone would each leave half of it idle.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from gnref.kernels.cpu.memory import (
    aligned,
    load,
    load_first,
    number,
    pointer,
    prefetch,
    store,
    store_first,
    stream,
)
from gnref.kernels.cpu.options import NONE, ONE, START, function, inline
from gnref.kernels.cpu.sums import (
    AHEAD,
    GROUP,
    add_group,
    add_row,
    chunk,
    chunks_of,
    guess_mean,
    merge,
    moments,
    note,
    nothing,
)
from gnref.kernels.cpu.vectors import LANES, fma, rounded

SHORT, NEAR = 1024, 4096  # elements of a set that is summed and written at once, in memory and in a cache
LONG = 16 * LANES  # rows from here on are worth aligning

OWN = 1 << 20  # bytes: sets up to here are kept by one core in its own cache, larger ones are shared


@inline
def normalize(v, hi, lo, scale, shift):
    """((x - hi) - lo) * scale + shift. Never x * scale + (shift - mean * scale): that loses the offset."""
    return fma((v - hi) - lo, scale, shift)


@inline
def write_block(x, y, i, hi, lo, scale, shift, streaming):
    """Eight vectors."""
    for k in range(i, i + GROUP, 2 * LANES):
        v = normalize(load(x, k), hi, lo, scale, shift)
        v2 = normalize(load(x, k + LANES), hi, lo, scale, shift)
        if streaming:
            stream(y, k, v, v2)
        else:
            store(y, k, v)
            store(y, k + LANES, v2)


@inline
def write_row(x, y, i, end, hi, lo, scale, shift, streaming, at, stop, guess, sums):
    """Normalize x[i:end] into y, with one weight and bias, and sum x[at:stop] about guess on the way."""
    if end - i >= LONG:
        start = aligned(y, i)
        if start > i:
            write_short(x, y, i, start, hi, lo, scale, shift)
            i = start
    else:
        streaming = False
    while i + GROUP <= end:
        write_block(x, y, i, hi, lo, scale, shift, streaming)
        i += GROUP
        if at + GROUP <= stop:
            for line in range(0, GROUP, LANES):
                prefetch(x, at + AHEAD + line)
            sums = add_group(x, at, guess, sums)
            at += GROUP
    write_short(x, y, i, end, hi, lo, scale, shift)
    return at, sums


@function
def step(x, y, weight, bias, here, there, rows, stride, j, width, S, ab, mean, rest, rstd, center, streaming):
    """Write the chunk that starts at here, if here >= 0, and return the moments of that at there, if >= 0.

    A chunk is `rows` rows, `stride` apart, of `width` elements from j on; ab is where its weights begin.
    """
    hi = rounded(x, mean)
    lo = (mean - hi) + rest
    guess = guess_mean(x, there + j, width, center) if there >= 0 else 0.0
    sums = nothing()
    for p in range(rows):
        at = there + p * stride + j
        stop = at + width if there >= 0 else at
        if here >= 0:
            i = here + p * stride + j
            last = i + width
            k = ab
            end = i + S
            if j > 0:
                k += j // S
                end -= j % S
            while i < last:
                end = end if end < last else last
                at, sums = write_row(
                    x, y, i, end, hi, lo, rstd * weight[k], bias[k], streaming, at, stop, guess, sums
                )
                i = end
                end += S
                k += 1
        sums = add_row(x, at, stop, guess, sums)
    if there < 0:
        return 0.0, 0.0, 0.0, 0.0
    return moments(x, there + j, stride, rows, width, guess, sums, center)


@function
def forward_small(first, last, x, y, weight, bias, stats, A, B, S, eps, center, write):
    """Sets of one short row: several are in flight at once in any core, and need no help."""
    x, y, weight, bias = pointer(x), pointer(y), pointer(weight), pointer(bias)
    sets, stats = len(stats) // 3, pointer(stats)
    n = B * S
    a = first % A
    for k in range(first, last):
        i = k * n
        guess = 0.0
        if n > SHORT:
            guess = guess_mean(x, i, n, center)
        elif center:  # its first number: nothing waits for a mean, and it is near enough more often than not
            guess = number(x, i)
        sums = add_row(x, i, i + n, guess, nothing())
        _, mu, rest, M2 = moments(x, i, n, ONE, n, guess, sums, center)
        rstd = note(stats, sets, k, x, mu + rest, M2 / n, eps)
        hi = rounded(x, mu)
        for b in range(a * B, a * B + B if write else 0):
            write_short(x, y, i, i + S, hi, (mu - hi) + rest, rstd * weight[b], bias[b])
            i += S
        a = a + 1 if a + 1 < A else 0


@inline
def write_short(x, y, i, end, hi, lo, scale, shift):
    """Normalize x[i:end] into y."""
    while i + LANES <= end:
        store(y, i, normalize(load(x, i), hi, lo, scale, shift))
        i += LANES
    if i < end:
        store_first(y, i, normalize(load_first(x, i, end - i), hi, lo, scale, shift), end - i)


@function
def forward_sets(first, last, x, y, weight, bias, stats, P, A, B, S, eps, center, write, streaming):
    """Whole sets, one after the other: while one is written the next one is summed."""
    n = B * S
    if P == 1 and n <= (SHORT if streaming else NEAR):
        forward_small(first, last, x, y, weight, bias, stats, A, B, S, eps, center, write)
        return
    chunks = chunks_of(P, n)
    parts = np.empty(4 * chunks)
    here, ab, hi, lo, r = NONE, START, 0.0, 0.0, 0.0
    there = begin(first, P, A, n)
    a = first % A
    for k in range(first, last + 1):
        if k == last:
            there = NONE
        step_chunks(
            START, chunks, x, y, weight, bias, here, there, P, A * n, n, S, ab, hi, lo, r, center,
            streaming, parts,
        )  # fmt: skip
        if k < last:
            hi, lo, M2 = merge(pointer(parts), chunks)
            r = note(pointer(stats), len(stats) // 3, k, pointer(x), hi + lo, M2 / (P * n), eps)
            here, ab = there if write else NONE, a * B
            a += 1
            there += n
            if a == A:
                a = 0
                there += (P - 1) * A * n


@inline
def begin(k, P, A, n):
    """Where set k begins."""
    return (k // A * P * A + k % A) * n


@function
def step_chunks(
    c, last, x, y, weight, bias, here, there, P, stride, n, S, ab, hi, lo, rstd, center, streaming, parts
):
    """Chunks c to last of the set that is written and of the one that is summed."""
    x, y, weight, bias = pointer(x), pointer(y), pointer(weight), pointer(bias)
    while c < last:
        row, rows, j, width = chunk(c, P, n)
        below = row * stride
        parts[4 * c], parts[4 * c + 1], parts[4 * c + 2], parts[4 * c + 3] = step(
            x, y, weight, bias, here + below if here >= 0 else NONE, there + below if there >= 0 else NONE,
            rows, stride, j, width, S, ab, hi, lo, rstd, center, streaming,
        )  # fmt: skip
        c += 1


def forward(pieces, first, last, x, y, weight, bias, stats, P, A, B, S, eps, center, write, streaming):
    """Normalize sets first to last: each by one core, or where they are few or large, each by all."""
    n = B * S
    stride = A * n
    chunks = chunks_of(P, n)
    if chunks < 2 * pieces or ((last - first) >= 4 * pieces and P * n * x.itemsize <= OWN):
        for i in prange(pieces):
            forward_sets(
                first + i * (last - first) // pieces, first + (i + 1) * (last - first) // pieces,
                x, y, weight, bias, stats, P, A, B, S, eps, center, write, streaming,
            )  # fmt: skip
        return
    parts = np.empty(4 * chunks)
    here, ab, hi, lo, r = NONE, START, 0.0, 0.0, 0.0
    for k in range(first, last + 1):
        there = begin(k, P, A, n) if k < last else NONE
        for i in prange(pieces):
            step_chunks(
                i * chunks // pieces, (i + 1) * chunks // pieces, x, y, weight, bias, here, there,
                P, stride, n, S, ab, hi, lo, r, center, streaming, parts,
            )  # fmt: skip
        if k < last:
            hi, lo, M2 = merge(pointer(parts), chunks)
            r = note(pointer(stats), len(stats) // 3, k, pointer(x), hi + lo, M2 / (P * n), eps)
            here, ab = there if write else NONE, k % A * B


@function
def apply_rows(first, last, x, y, weight, bias, mean, rstd, P, A, B, S, streaming):
    """Normalize rows first to last, as they lie in memory, with given statistics."""
    x, y, weight, bias = pointer(x), pointer(y), pointer(weight), pointer(bias)
    n = B * S
    for row in range(first, last):
        a = row % A
        k = row // (A * P) * A + a
        hi = rounded(x, mean[k])
        step(
            x, y, weight, bias, row * n, NONE, ONE, START, START, n, S, a * B, hi, mean[k] - hi, rstd[k],
            True, streaming,
        )  # fmt: skip


def apply(pieces, first, last, x, y, weight, bias, mean, rstd, P, A, B, S, streaming):
    """Normalize rows first to last with given statistics."""
    for i in prange(pieces):
        apply_rows(
            first + i * (last - first) // pieces, first + (i + 1) * (last - first) // pieces,
            x, y, weight, bias, mean, rstd, P, A, B, S, streaming,
        )  # fmt: skip
