"""A set whose squares or reciprocals leave the range of the type: slowly, in float64, and kept in range.

Numbers near the ends of the exponent and NaN come here; see `sums.is_ordinary`. A set is
multiplied by a power of two, which rounds nothing, and then treated as the reference treats it. eps is
added to a variance, so it is multiplied by the square, and sqrt(eps) counts as one of the set's numbers.
"""

from __future__ import annotations

import numpy as np

from gnref.kernels.cpu.memory import number, pointer, put_number
from gnref.kernels.cpu.options import function, inline
from gnref.kernels.cpu.sums import is_ordinary, means_of_gradient, two_sum


@inline
def factor(largest):
    """The power of two that brings the largest number of a set near 1; 1 for 0, infinity and NaN."""
    if not 0.0 < largest < np.inf:
        return 1.0
    return 2.0 ** min(max(-np.floor(np.log2(largest)), -1000.0), 1000.0)


@inline
def begin(k, p, P, A, n):
    """Where row p of set k begins."""
    return ((k // A * P + p) * A + k % A) * n


@function
def largest_of(k, x, P, A, n):
    """The largest magnitude of a set; NaN if there is one."""
    largest = 0.0
    for p in range(P):
        start = begin(k, p, P, A, n)
        for i in range(start, start + n):
            size = abs(number(x, i))
            if not size <= largest:
                largest = size
            if size != size:
                return size
    return largest


@function
def sum_of(k, x, P, A, n, scale, hi, lo, squared):
    """The sum of (x * scale - hi) - lo over a set, or of its square, as though in twice the digits."""
    high, low = 0.0, 0.0
    for p in range(P):
        start = begin(k, p, P, A, n)
        for i in range(start, start + n):
            d = (number(x, i) * scale - hi) - lo
            high, lost = two_sum(high, d * d if squared else d)
            low += lost
    return high + low if low == low else high  # infinity minus infinity is no rounding error


@function
def center_of(k, x, P, A, n, scale):
    """The mean of a set in two numbers. Exact for a constant set: it starts from the first number."""
    hi = number(x, begin(k, 0, P, A, n)) * scale
    for _ in range(2):
        hi = hi + sum_of(k, x, P, A, n, scale, hi, 0.0, False) / (P * n)
    return hi, sum_of(k, x, P, A, n, scale, hi, 0.0, False) / (P * n)


@function
def forward_set(k, x, y, weight, bias, stats, P, A, B, S, eps, center, write):
    """What `rows.forward` and its siblings do."""
    n = B * S
    scale = factor(max(largest_of(k, x, P, A, n), np.sqrt(eps)))
    hi, lo = center_of(k, x, P, A, n, scale) if center else (0.0, 0.0)
    v = sum_of(k, x, P, A, n, scale, hi, lo, True) / (P * n)
    total_var = v + scale * eps * scale
    r = 1.0 / np.sqrt(total_var) if total_var != 0.0 else 0.0
    sets = len(stats) // 3
    stats[k], stats[sets + k], stats[2 * sets + k] = (hi + lo) / scale, v / scale / scale, r * scale
    if not write:
        return
    for p in range(P):
        for b in range(B):
            w, t = float(weight[k % A * B + b]), float(bias[k % A * B + b])
            start = begin(k, p, P, A, n) + b * S
            for i in range(start, start + S):
                put_number(y, i, ((number(x, i) * scale - hi) - lo) * r * w + t)


@function
def forward(first, last, x, y, weight, bias, stats, P, A, B, S, eps, center, write):
    """Do again those of sets first to last that are not ordinary."""
    x, y = pointer(x), pointer(y)
    sets = len(stats) // 3
    for k in range(first, last):
        if not is_ordinary(x, stats[k], stats[sets + k], eps):
            forward_set(k, x, y, weight, bias, stats, P, A, B, S, eps, center, write)


@function
def apply(first, last, x, y, weight, bias, mean, rstd, P, A, B, S):
    """y = (x - mean) * rstd * weight + bias, for those sets whose statistics are not ordinary."""
    x, y = pointer(x), pointer(y)
    for k in range(first, last):
        if is_ordinary(x, mean[k], 1.0 / rstd[k] ** 2 if rstd[k] != 0.0 else 0.0, 0.0):
            continue
        for p in range(P):
            for b in range(B):
                w, t = float(weight[k % A * B + b]), float(bias[k % A * B + b])
                start = begin(k, p, P, A, B * S) + b * S
                for i in range(start, start + S):
                    put_number(y, i, (number(x, i) - mean[k]) * rstd[k] * w + t)


@function
def backward_set(
    k, out, dy, x, dx, weight, mean, rstd, dweight, dbias, P, A, B, S, center, sums, mode, write
):
    """What `rows_backward.backward` and its siblings do; the modes are those of `sums.means_of_gradient`."""
    n = B * S
    scale = factor(largest_of(k, x, P, A, n))
    hi, lo = mean[k] * scale if center else 0.0, 0.0
    if center and mode == 0:
        lo = sum_of(k, x, P, A, n, scale, hi, 0.0, False) / (P * n)
    r = rstd[k] / scale
    via_mean, via_var = 0.0, 0.0
    for b in range(B):
        g_high, g_low, e_high, e_low = 0.0, 0.0, 0.0, 0.0
        for p in range(P):
            start = begin(k, p, P, A, n) + b * S
            for i in range(start, start + S):
                g = number(dy, i)
                g_high, lost = two_sum(g_high, g)
                g_low += lost
                e_high, lost = two_sum(e_high, g * (((number(x, i) * scale - hi) - lo) * r))
                e_low += lost
        g, e = g_high + g_low, e_high + e_low
        dbias[out + b], dweight[out + b] = g, e
        via_mean += weight[k % A * B + b] * g
        via_var += weight[k % A * B + b] * e
    if not write:
        return
    via_mean, via_var = means_of_gradient(
        k, (len(sums) - 1) // 2, via_mean, via_var, P * n, center, sums, mode
    )
    for p in range(P):
        for b in range(B):
            w = float(weight[k % A * B + b])
            start = begin(k, p, P, A, n) + b * S
            for i in range(start, start + S):
                xhat = ((number(x, i) * scale - hi) - lo) * r
                put_number(dx, i, rstd[k] * (number(dy, i) * w - via_mean - xhat * via_var))


@function
def backward(
    first, last, dy, x, dx, weight, mean, rstd, dweight, dbias, odd, P, A, B, S, center, sums, mode, write
):
    """Do again those of sets first to last that the fast kernel found odd."""
    dy, x, dx = pointer(dy), pointer(x), pointer(dx)
    for k in range(first, last):
        if odd[k]:
            backward_set(
                k, k * B, dy, x, dx, weight, mean, rstd, dweight, dbias, P, A, B, S, center, sums, mode, write
            )


@function
def backward_trailing(first, last, dy, x, dx, weight, mean, rstd, dweight, dbias, odd, A, B, center):
    """The same for `trailing_backward`, which has left odd sets out of dweight and dbias."""
    dy, x, dx = pointer(dy), pointer(x), pointer(dx)
    dw, db, none = np.empty(B), np.empty(B), np.empty(0)
    for k in range(first, last):
        if odd[k]:
            backward_set(k, 0, dy, x, dx, weight, mean, rstd, dw, db, 1, A, B, 1, center, none, 0, True)
            for b in range(B):
                dweight[k % A * B + b] += dw[b]
                dbias[k % A * B + b] += db[b]
