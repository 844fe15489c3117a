"""The gradients of sets that lie in rows; see `rows` for how memory is kept busy.

    dx = rstd * (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat)),  dxhat = dy * weight

All channels of a set need two sums each, of dy and of dy * xhat: times the weight they are the two means
of the set, as they are they belong to dbias and dweight.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from gnref.kernels.cpu.memory import (
    aligned,
    keep,
    load,
    load_first,
    part_of,
    pointer,
    prefetch,
    store,
    store_first,
    stream,
)
from gnref.kernels.cpu.options import NONE, ONE, START, function, inline
from gnref.kernels.cpu.rows import LONG, NEAR, SHORT, begin
from gnref.kernels.cpu.sums import (
    AHEAD,
    GROUP,
    OWN_SUMS,
    chunk,
    chunks_of,
    is_single,
    means_of_gradient,
    note_odd,
)
from gnref.kernels.cpu.vectors import LANES, accumulate, filled, filled_like, first, fma, rounded, total

OWN = 1 << 19  # bytes of x: sets up to here are kept by one core in its own cache


@inline
def nothing():
    """Sums of nothing: of dy, of dy * xhat and of x - hi, each in two vectors."""
    zero = filled(0.0)
    return zero, zero, zero, zero, zero, zero


@inline
def add(sums, dy, dy_xhat, d, x):
    """Add one vector to each of the sums. That of x - hi is needed where x is float64."""
    d_high, d_low = accumulate(sums[0], sums[1], dy)
    e_high, e_low = accumulate(sums[2], sums[3], dy_xhat)
    if is_single(x):
        return d_high, d_low, e_high, e_low, sums[4], sums[5]
    f_high, f_low = accumulate(sums[4], sums[5], d)
    return d_high, d_low, e_high, e_low, f_high, f_low


@inline
def add_four(dy, x, i, hi, rstd):
    """The sums of four vectors, as a tree."""
    g0, g1, g2, g3 = load(dy, i), load(dy, i + 16), load(dy, i + 32), load(dy, i + 48)
    d0, d1, d2, d3 = load(x, i) - hi, load(x, i + 16) - hi, load(x, i + 32) - hi, load(x, i + 48) - hi
    e = fma(g0, d0 * rstd, g1 * (d1 * rstd)) + fma(g2, d2 * rstd, g3 * (d3 * rstd))
    return (g0 + g1) + (g2 + g3), e, (d0 + d1) + (d2 + d3)


@inline
def add_group(dy, x, i, hi, rstd, sums):
    """Add eight vectors."""
    g, e, d = add_four(dy, x, i, hi, rstd)
    g2, e2, d2 = add_four(dy, x, i + 64, hi, rstd)
    return add(sums, g + g2, e + e2, d + d2, x)


@inline
def add_row(dy, x, i, end, hi, rstd, sums):
    """Add what is left of a row."""
    while i + GROUP <= end:
        for line in range(0, GROUP, LANES):
            prefetch(x, i + AHEAD + line)
            prefetch(dy, i + AHEAD + line)
        sums = add_group(dy, x, i, hi, rstd, sums)
        i += GROUP
    if i < end:
        g = filled_like(x, 0.0)
        e, f = g, g
        while i + LANES <= end:
            v, d = load(dy, i), load(x, i) - hi
            g = g + v
            e = fma(v, d * rstd, e)
            f = f + d
            i += LANES
        if i < end:
            v, d = load_first(dy, i, end - i), first(load_first(x, i, end - i) - hi, end - i)
            g = g + v
            e = fma(v, d * rstd, e)
            f = f + d
        sums = add(sums, g, e, f, x)
    return sums


@inline
def gradient(dy, x, hi, lo, scale, slope, offset):
    """dy * (weight * rstd) + ((x - hi) - lo) * slope + offset."""
    return fma(dy, scale, fma((x - hi) - lo, slope, offset))


@inline
def write_row(dy, x, dx, i, end, hi, lo, scale, slope, offset, streaming, at, stop, hi2, rstd2, sums):
    """Write dx[i:end], and sum dy and x from at to stop on the way."""
    if end - i >= LONG:
        start = aligned(dx, i)
        if start > i:
            write_short(dy, x, dx, i, start, hi, lo, scale, slope, offset)
            i = start
    else:
        streaming = False
    shift = filled_like(x, offset)
    while i + GROUP <= end:
        for k in range(i, i + GROUP, 2 * LANES):
            v = gradient(load(dy, k), load(x, k), hi, lo, scale, slope, shift)
            v2 = gradient(load(dy, k + LANES), load(x, k + LANES), hi, lo, scale, slope, shift)
            if streaming:
                stream(dx, k, v, v2)
            else:
                store(dx, k, v)
                store(dx, k + LANES, v2)
        i += GROUP
        if at + GROUP <= stop:
            for line in range(0, GROUP, LANES):
                prefetch(x, at + AHEAD + line)
                prefetch(dy, at + AHEAD + line)
            sums = add_group(dy, x, at, hi2, rstd2, sums)
            at += GROUP
    write_short(dy, x, dx, i, end, hi, lo, scale, slope, offset)
    return add_row(dy, x, at, stop, hi2, rstd2, sums)


@function
def step(
    dy, x, dx, weight, here, there, rows, stride, j, width, S, ab, hi, lo, rstd, slope, offset,
    hi2, rstd2, out,
    streaming,
):  # fmt: skip
    """Write the chunk at here, if >= 0, and sum that at there, if >= 0, into out: two for each channel."""
    f = filled(0.0)
    single = j // S == (j + width - 1) // S  # all of one channel: its sums go on from row to row
    sums = nothing()
    for p in range(rows):
        i, at = here + p * stride + j, there + p * stride + j
        last, b = j + width, j // S
        while b * S < last:
            n = min((b + 1) * S, last) - max(b * S, j)
            to = i + n if here >= 0 else i
            stop = at + n if there >= 0 else at
            scale = rstd * weight[ab + b] if here >= 0 else 0.0
            sums = write_row(
                dy, x, dx, i, to, hi, lo, scale, slope, offset, streaming, at, stop, hi2, rstd2, sums
            )
            if there >= 0 and not (single and p < rows - 1):
                out[2 * b] += total(sums[0]) + total(sums[1])
                out[2 * b + 1] += total(sums[2]) + total(sums[3])
                f = f + (sums[4] + sums[5])
                sums = nothing()
            i += n
            at += n
            b += 1
    return total(f)


@inline
def finish_set(k, parts, chunks, B, m, weight, ab, x, mean, rstd, center, sums, mode, results):
    """Add the chunks of set k: its dweight and dbias, the rest of its mean, and the two factors of its dx.

    results is dweight, dbias, odd and the number of sets that they are of.
    """
    dweight, dbias, odd, sets = results
    r = rounded(x, rstd)
    hi = rounded(x, mean)
    lo = mean - hi
    if center and mode == OWN_SUMS and not is_single(x):
        lo = 0.0
        for c in range(chunks):
            lo += parts[c * (2 * B + 1) + 2 * B]
        lo /= m
    via_mean, via_var, size = 0.0, 0.0, 0.0
    for b in range(B):
        g, e = 0.0, 0.0
        for c in range(chunks):
            g += parts[c * (2 * B + 1) + 2 * b]
            e += parts[c * (2 * B + 1) + 2 * b + 1]
        e = (e - lo * r * g) * (rstd / r)
        dbias[k * B + b], dweight[k * B + b] = g, e
        via_mean += weight[ab + b] * g
        via_var += weight[ab + b] * e
        size += abs(g) + abs(e)
    via_mean, via_var = means_of_gradient(k, sets, via_mean, via_var, m, center, sums, mode)
    slope, offset = -rstd * rstd * via_var, -rstd * via_mean
    note_odd(odd, sets, k, x, mean, rstd, size, abs(slope))
    return hi, lo, slope, offset


@function
def step_chunks(
    c, last, dy, x, dx, weight, here, there, P, stride, n, B, S, ab, hi, lo, rstd, slope, offset, hi2, rstd2,
    streaming, parts,
):  # fmt: skip
    """Chunks c to last of the set that is written and of the one that is summed."""
    dy, x, dx, weight, parts = pointer(dy), pointer(x), pointer(dx), pointer(weight), pointer(parts)
    while c < last:
        row, rows, j, width = chunk(c, P, n)
        below, out = row * stride, c * (2 * B + 1)
        for b in range(2 * B):
            parts[out + b] = 0.0
        parts[out + 2 * B] = step(
            dy, x, dx, weight, here + below if here >= 0 else NONE, there + below if there >= 0 else NONE,
            rows, stride, j, width, S, ab, hi, lo, rstd, slope, offset, hi2, rstd2, part_of(parts,
            out), streaming,
        )  # fmt: skip
        c += 1


@function
def backward_small(
    first, last, dy, x, dx, weight, mean, rstd, dweight, dbias, odd, A, B, S, center, sums, mode, write
):
    """Sets of one short row: several are in flight at once in any core, and need no help."""
    results = pointer(dweight), pointer(dbias), pointer(odd), len(odd) - 1
    dy, x, dx, weight = pointer(dy), pointer(x), pointer(dx), pointer(weight)
    mean, rstd, sums = pointer(mean), pointer(rstd), pointer(sums)
    n = B * S
    scratch = np.empty(2 * B + 1)
    parts = pointer(scratch)
    a = first % A
    for k in range(first, last):
        mu, r = mean[k] if center else 0.0, rstd[k]
        f = filled(0.0)
        for b in range(B):
            i = k * n + b * S
            s = add_row(dy, x, i, i + S, rounded(x, mu), r, nothing())
            parts[2 * b] = total(s[0]) + total(s[1])
            parts[2 * b + 1] = total(s[2]) + total(s[3])
            f = f + (s[4] + s[5])
        parts[2 * B] = total(f)
        hi, lo, slope, offset = finish_set(
            k, parts, ONE, B, n, weight, a * B, x, mu, r, center, sums, mode, results
        )
        for b in range(B if write else 0):
            i = k * n + b * S
            write_short(dy, x, dx, i, i + S, hi, lo, r * weight[a * B + b], slope, offset)
        a = a + 1 if a + 1 < A else 0
    keep(scratch)


@inline
def write_short(dy, x, dx, i, end, hi, lo, scale, slope, offset):
    """Write dx[i:end]."""
    shift = filled_like(x, offset)
    while i + LANES <= end:
        store(dx, i, gradient(load(dy, i), load(x, i), hi, lo, scale, slope, shift))
        i += LANES
    if i < end:
        n = end - i
        v = gradient(load_first(dy, i, n), load_first(x, i, n), hi, lo, scale, slope, shift)
        store_first(dx, i, v, n)


@function
def backward_sets(
    first, last, dy, x, dx, weight, mean, rstd, dweight, dbias, odd, P, A, B, S, center, sums, mode, write,
    streaming,
):  # fmt: skip
    """Whole sets, one after the other: while one is written the next one is summed."""
    n = B * S
    if P == 1 and n <= (SHORT if streaming else NEAR):
        backward_small(
            first, last, dy, x, dx, weight, mean, rstd, dweight, dbias, odd, A, B, S, center, sums, mode,
            write,
        )  # fmt: skip
        return
    chunks = chunks_of(P, n)
    results = pointer(dweight), pointer(dbias), pointer(odd), len(odd) - 1
    parts = np.empty(chunks * (2 * B + 1))
    here, ab, hi, lo, r, slope, offset = NONE, START, 0.0, 0.0, 0.0, 0.0, 0.0
    there = begin(first, P, A, n)
    a = first % A
    for k in range(first, last + 1):
        hi2, r2 = 0.0, 0.0
        if k < last:
            hi2, r2 = rounded(pointer(x), mean[k]) if center else 0.0, rstd[k]
        else:
            there = NONE
        step_chunks(
            START, chunks, dy, x, dx, weight, here, there, P, A * n, n, B, S, ab, hi, lo, r, slope,
            offset, hi2, r2,
            streaming, parts,
        )  # fmt: skip
        if k < last:
            ab, r = a * B, rstd[k]
            hi, lo, slope, offset = finish_set(
                k, pointer(parts), chunks, B, P * n, pointer(weight), ab, pointer(x),
                mean[k] if center else 0.0, r, center, pointer(sums), mode, results,
            )  # fmt: skip
            here = there if write else NONE
            a += 1
            there += n
            if a == A:
                a = 0
                there += (P - 1) * A * n


def backward(
    pieces, first, last, dy, x, dx, weight, mean, rstd, dweight, dbias, odd, P, A, B, S, center,
    sums, mode, write,
    streaming,
):  # fmt: skip
    """Differentiate sets first to last: each by one core, or where they are few or large, each by all."""
    n = B * S
    chunks = chunks_of(P, n)
    if chunks < 2 * pieces or (last - first >= 4 * pieces and P * n * x.itemsize <= OWN):
        for i in prange(pieces):
            backward_sets(
                first + i * (last - first) // pieces, first + (i + 1) * (last - first) // pieces,
                dy, x, dx, weight, mean, rstd, dweight, dbias, odd, P, A, B, S, center, sums, mode,
                write, streaming,
            )  # fmt: skip
        return
    results = pointer(dweight), pointer(dbias), pointer(odd), len(odd) - 1
    parts = np.empty(chunks * (2 * B + 1))
    here, ab, hi, lo, r, slope, offset = NONE, START, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(first, last + 1):
        there, hi2, r2 = NONE, 0.0, 0.0
        if k < last:
            there = begin(k, P, A, n)
            hi2, r2 = rounded(pointer(x), mean[k]) if center else 0.0, rstd[k]
        for i in prange(pieces):
            step_chunks(
                i * chunks // pieces, (i + 1) * chunks // pieces, dy, x, dx, weight, here, there,
                P, A * n, n, B, S,
                ab, hi, lo, r, slope, offset, hi2, r2, streaming, parts,
            )  # fmt: skip
        if k < last:
            ab, r = k % A * B, rstd[k]
            hi, lo, slope, offset = finish_set(
                k, pointer(parts), chunks, B, P * n, pointer(weight), ab, pointer(x),
                mean[k] if center else 0.0, r, center, pointer(sums), mode, results,
            )  # fmt: skip
            here = there if write else NONE
