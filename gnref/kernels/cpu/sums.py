"""The statistics of a set: chunk by chunk, about a guess of the mean, merged in pairs.

Why a guess: squares of numbers far from 0 drown the variance, so x - guess is what is summed (the
shifted form of Chan, Golub & LeVeque 1983, eq. 1.5); a guess that turns out too far from the mean is
replaced and the chunk is summed once more. Why a mean in two numbers: one float32 cannot hold the mean
of numbers at an offset of a million spreads, nor one float64 that of numbers at 1e9. Why chunks: the
order of the additions depends on the set's own size alone, so a set has the same statistics on any
number of threads and beside any number of other sets.

Sums of 128 numbers are taken in the precision of x as a tree of eight vectors, sums of these in twice
that precision.
"""

from __future__ import annotations

import numpy as np

from gnref.kernels.cpu.memory import load, load_first, prefetch
from gnref.kernels.cpu.options import function, inline
from gnref.kernels.cpu.vectors import (
    LANES,
    accumulate,
    filled,
    filled_like,
    first,
    fma,
    rounded,
    total,
    widen,
)

CHUNK = 32768  # elements: small enough for several in a core's own cache, large enough to pay for a merge
GROUP = 8 * LANES
AHEAD = 8 * GROUP  # elements: memory is asked for so early that it arrives in time


@inline
def chunks_of(rows, n):
    """In how many chunks rows of n elements are summed."""
    if n > CHUNK:
        return rows * ((n + CHUNK - 1) // CHUNK)
    together = CHUNK // max(n, 1)
    return (rows + together - 1) // together


@inline
def chunk(c, rows, n):
    """First row, number of rows, first element and number of elements of chunk c."""
    if n > CHUNK:
        pieces = (n + CHUNK - 1) // CHUNK
        start = (c % pieces) * CHUNK
        return c // pieces, 1, start, min(CHUNK, n - start)
    together = CHUNK // max(n, 1)
    row = c * together
    return row, min(together, rows - row), 0, n


@inline
def nothing():
    """Sums of nothing: of x - guess and of its square, each in two vectors."""
    zero = filled(0.0)
    return zero, zero, zero, zero


@inline
def add_group(x, i, guess, sums):
    """Add eight vectors, as a tree."""
    d0, d1 = load(x, i) - guess, load(x, i + 16) - guess
    d2, d3 = load(x, i + 32) - guess, load(x, i + 48) - guess
    d4, d5 = load(x, i + 64) - guess, load(x, i + 80) - guess
    d6, d7 = load(x, i + 96) - guess, load(x, i + 112) - guess
    s = ((d0 + d1) + (d2 + d3)) + ((d4 + d5) + (d6 + d7))
    q = (fma(d0, d0, d1 * d1) + fma(d2, d2, d3 * d3)) + (fma(d4, d4, d5 * d5) + fma(d6, d6, d7 * d7))
    s_high, s_low = accumulate(sums[0], sums[1], s)
    q_high, q_low = accumulate(sums[2], sums[3], q)
    return s_high, s_low, q_high, q_low


@inline
def add_rest(x, i, end, guess, sums):
    """Add what is left of a row, less than a group."""
    s = filled_like(x, 0.0)
    q = s
    while i + LANES <= end:
        d = load(x, i) - guess
        s = s + d
        q = fma(d, d, q)
        i += LANES
    if i < end:
        d = first(load_first(x, i, end - i) - guess, end - i)
        s = s + d
        q = fma(d, d, q)
    s_high, s_low = accumulate(sums[0], sums[1], s)
    q_high, q_low = accumulate(sums[2], sums[3], q)
    return s_high, s_low, q_high, q_low


@inline
def add_row(x, i, end, guess, sums):
    """Add a row, or what is left of it."""
    while i + GROUP <= end:
        for line in range(0, GROUP, LANES):
            prefetch(x, i + AHEAD + line)
        sums = add_group(x, i, guess, sums)
        i += GROUP
    if i < end:
        sums = add_rest(x, i, end, guess, sums)
    return sums


@inline
def guess_mean(x, i, n, center):
    """The mean of the first numbers of a chunk: near enough to the mean of all, nearly always."""
    if not center:
        return 0.0
    if n < LANES:
        return rounded(x, total(widen(load_first(x, i, n))) / n)
    s = load(x, i)
    vectors = min(n, GROUP) // LANES
    for k in range(1, vectors):
        s = s + load(x, i + LANES * k)
    return rounded(x, total(widen(s)) / (LANES * vectors))


@function
def sum_again(x, start, stride, rows, n, guess):
    """The sums of a chunk."""
    sums = nothing()
    for row in range(rows):
        i = start + row * stride
        sums = add_row(x, i, i + n, guess, sums)
    return sums


@inline
def moments(x, start, stride, rows, n, guess, sums, center):
    """Mean, as two numbers, and M2 = sum (x - mean)^2 of a chunk, from its sums about the guess."""
    count = float(rows * n)
    s, q = total(sums[0]) + total(sums[1]), total(sums[2]) + total(sums[3])
    if not center:
        return count, 0.0, 0.0, q
    d = s / count
    if d * d > 4.0 * (q / count - d * d):
        guess = rounded(x, guess + d)
        sums = sum_again(x, start, stride, rows, n, guess)
        s, q = total(sums[0]) + total(sums[1]), total(sums[2]) + total(sums[3])
        d = s / count
    mean, rest = two_sum(guess, d)
    M2 = q - s * d
    return count, mean, rest, 0.0 if M2 < 0.0 else M2  # and NaN stays NaN


@inline
def two_sum(a, b):
    """a + b, and what its rounding lost (Knuth 1969, 4.2.2, theorem B)."""
    s = a + b
    b_part = s - a
    return s, (a - (s - b_part)) + (b - b_part)


@inline
def merge(parts, chunks):
    """Mean, as two numbers, and M2 of a set from those of its chunks (Chan, Golub & LeVeque 1983, eq. 2.1).

    parts has four numbers for each chunk: count, mean, rest of the mean, M2. It is used up. Neighbours
    are merged with neighbours, so that errors grow like the logarithm of the number of chunks.
    """
    step = 4
    while step < 4 * chunks:
        for a in range(0, 4 * chunks - step, 2 * step):
            b = a + step
            count = parts[a] + parts[b]
            delta = (parts[b + 1] - parts[a + 1]) + (parts[b + 2] - parts[a + 2])
            share = 0.5 if parts[a] == parts[b] else parts[b] / count  # a division takes long
            mean, rest = two_sum(parts[a + 1], delta * share)
            parts[a + 3] += parts[b + 3] + delta * delta * (parts[a] * share)
            parts[a + 2] += rest
            parts[a + 1] = mean
            parts[a] = count
        step *= 2
    return parts[1], parts[2], parts[3]


@inline
def is_single(x):
    """Whether x is computed in float32. LLVM knows the answer when it compiles."""
    return rounded(x, 1e-300) == 0.0


@inline
def is_ordinary(x, mean, var, eps):
    """Whether squares and reciprocals of x - mean stay in the range of the type it is computed in.

    False for NaN. Such a set is left to `careful`. A variance of 0 is that of a constant set, if eps is not
    too small to make what was lost below the range matter.
    """
    high = 2.0**80 if is_single(x) else 2.0**800
    low = 1.0 / high
    return (var > low or var == 0.0) and low < var + eps < high and abs(mean) < high


@inline
def note(stats, sets, k, x, mean, var, eps):
    """Keep the statistics of set k of all `sets`, and return its rstd.

    stats points to mean, var and rstd of every set, and a number that is not 0 if one is not ordinary.
    """
    rstd = 1.0 / np.sqrt(var + eps)
    stats[k], stats[sets + k], stats[2 * sets + k] = mean, var, rstd
    if not is_ordinary(x, mean, var, eps):
        stats[3 * sets] = 1.0
    return rstd


@inline
def is_ordinary_gradient(x, mean, rstd, size, slope):
    """The same for a backward pass; size is that of its sums, and slope that of the factors of dx.

    Each may be 0: what has no size loses nothing.
    """
    if is_single(x):
        sums = size == 0.0 or 2.0**-80 < size < 2.0**120
        factors = slope == 0.0 or 2.0**-100 < slope < 2.0**120
        return sums and factors and 2.0**-40 < rstd < 2.0**40 and abs(mean) < 2.0**80
    sums = size == 0.0 or 2.0**-800 < size < 2.0**1000
    factors = slope == 0.0 or 2.0**-900 < slope < 2.0**1000
    return sums and factors and 2.0**-400 < rstd < 2.0**400 and abs(mean) < 2.0**800


@inline
def note_odd(odd, sets, k, x, mean, rstd, size, slope):
    """Keep whether set k is left to `careful`, and in the last place whether any is."""
    is_odd = not is_ordinary_gradient(x, mean, rstd, size, slope)
    odd[k] = np.uint8(is_odd)
    if is_odd:
        odd[sets] = np.uint8(1)
    return is_odd


OWN_SUMS, CONSTANT, GIVEN_SUMS = 0, 1, 2  # modes of a backward pass: where the two means of dx come from


@inline
def means_of_gradient(k, sets, via_mean, via_var, m, center, sums, mode):
    """The means of dxhat and dxhat * xhat over a set.

    Its own sums over m; none where the statistics are constants; or the sums over all shards of the set:
    sums[2 * k], sums[2 * k + 1] and, behind those of all sets, their count.
    """
    if mode == CONSTANT:
        return 0.0, 0.0
    if mode == GIVEN_SUMS:
        via_mean, via_var, m = sums[2 * k], sums[2 * k + 1], sums[2 * sets]
    return via_mean / m if center else 0.0, via_var / m
