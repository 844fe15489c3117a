"""Every norm, forward and backward, spelled out on the 5-slot view (O, P, A, B, S) of `gnref.axes`.

A set is what shares one mean: the m = P*B*S elements at one (o, a). Statistics are (O, A) outside and
keep x's five slots inside, as (O, 1, A, 1, 1), and a weight becomes (1, 1, A, B, 1), so that every
line below broadcasts.

Only functions of the array API are used: NumPy, CuPy, PyTorch, JAX and array-api-strict arrays pass.
All arithmetic is in float64 (in a namespace without it, in the widest real dtype that there is). Results
are new arrays: `out`, where a kernel may put them, is left to faster ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from array_api_compat import array_namespace, is_numpy_array

Array = Any

# Squares leave the range of a dtype long before the numbers do. A set whose largest number is outside
# (low, high) is multiplied by a power of two, which rounds nothing, before anything is squared. eps is
# added to a variance, so sqrt(eps) counts as one of the set's numbers, and eps is scaled by the square.
RANGE = {
    "float64": (2.0**-400, 2.0**450, 2.0**600, 2.0**-600),  # low, high, factor if low, factor if high
    "float32": (2.0**-39, 2.0**50, 2.0**80, 2.0**-80),
}


def forward(
    x5: Array, weight: Array | None, bias: Array | None, eps: float, center: bool, out: Array | None = None
) -> tuple[Array, Array | None, Array, Array]:
    """Normalize every set: y = (x - mean) / sqrt(var + eps) * weight + bias."""
    x = widen(x5)  #                                      (O, P, A, B, S)
    s = range_factor(x, eps)  #                           (O, 1, A, 1, 1)  1, or a power of two
    mean, xc = center_twice(x * s) if center else (None, x * s)  # xc: (O, P, A, B, S)
    var = set_mean(xc * xc)  #                            (O, 1, A, 1, 1)  biased: divided by m
    rstd = reciprocal_std(var, s * eps * s)  #            (O, 1, A, 1, 1)
    xhat = xc * rstd  #                                   (O, P, A, B, S)
    y = affine(xhat, weight, bias)  #                     (O, P, A, B, S)
    mean = None if mean is None else mean / s  #          (O, 1, A, 1, 1)  in the units of x again
    return narrow(y, x5), per_set(mean), per_set(var / s / s), per_set(rstd * s)


def apply(
    x5: Array, mean: Array, rstd: Array, weight: Array | None, bias: Array | None, out: Array | None = None
) -> Array:
    """Normalize with statistics that are given: y = (x - mean) * rstd * weight + bias."""
    xhat = (widen(x5) - spread(mean)) * spread(rstd)  #   (O, P, A, B, S)
    return narrow(affine(xhat, weight, bias), x5)  #      (O, P, A, B, S)


def backward(
    dy5: Array,
    x5: Array,
    mean: Array | None,
    rstd: Array,
    weight: Array | None,
    center: bool,
    out: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Differentiate `forward`: xhat depends on x directly, through the mean and through the variance.

    dx = rstd * (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat)), with means over the set. The two
    means are what is left of the paths through the mean and the variance.
    """
    dy = widen(dy5)  #                                    (O, P, A, B, S)
    x = widen(x5)  #                                      (O, P, A, B, S)
    s = range_factor(x, 0.0)  #                           (O, 1, A, 1, 1)  eps is in rstd already
    xc = recenter(x * s - spread(mean) * s) if center else x * s  # (O, P, A, B, S)
    xhat = xc * (spread(rstd) / s)  #                     (O, P, A, B, S)
    dxhat = affine(dy, weight)  #                         (O, P, A, B, S)  y = xhat * weight + bias
    via_mean = set_mean(dxhat) if center else 0.0  #      (O, 1, A, 1, 1)
    via_var = set_mean(dxhat * xhat)  #                   (O, 1, A, 1, 1)
    dx = spread(rstd) * (dxhat - via_mean - xhat * via_var)  # (O, P, A, B, S)
    dweight = param_sum(dy * xhat)  #                     (A, B)
    dbias = param_sum(dy)  #                              (A, B)
    return narrow(dx, x5), dweight, dbias


def backward_given(
    dy5: Array, x5: Array, mean: Array, rstd: Array, weight: Array | None, out: Array | None = None
) -> tuple[Array, Array, Array]:
    """Differentiate `apply`: the statistics are constants, so only the direct path is left."""
    dy = widen(dy5)  #                                    (O, P, A, B, S)
    xhat = (widen(x5) - spread(mean)) * spread(rstd)  #   (O, P, A, B, S)
    dx = spread(rstd) * affine(dy, weight)  #             (O, P, A, B, S)
    return narrow(dx, x5), param_sum(dy * xhat), param_sum(dy)


def moments(x5: Array) -> tuple[int, Array, Array]:
    """Count, mean and M2 = sum (x - mean)^2 of every set of a shard."""
    mean, xc = center_twice(widen(x5))  #                 (O, 1, A, 1, 1) and (O, P, A, B, S)
    return set_size(x5), per_set(mean), per_set(set_sum(xc * xc))


def backward_sums(
    dy5: Array, x5: Array, mean: Array, rstd: Array, weight: Array | None
) -> tuple[Array, Array]:
    """Sums over the set of dxhat and of dxhat * xhat: what shards must add up."""
    xhat = (widen(x5) - spread(mean)) * spread(rstd)  #   (O, P, A, B, S)
    dxhat = affine(widen(dy5), weight)  #                 (O, P, A, B, S)
    return per_set(set_sum(dxhat)), per_set(set_sum(dxhat * xhat))


def backward_from_sums(
    dy5: Array,
    x5: Array,
    mean: Array,
    rstd: Array,
    weight: Array | None,
    count: int,
    sum_dxhat: Array,
    sum_dxhat_xhat: Array,
) -> Array:
    """dx of a shard, from the sums and the count over all shards; the formula of `backward`."""
    xhat = (widen(x5) - spread(mean)) * spread(rstd)  #   (O, P, A, B, S)
    dxhat = affine(widen(dy5), weight)  #                 (O, P, A, B, S)
    m = max(count, 1)
    via_mean, via_var = spread(sum_dxhat / m), spread(sum_dxhat_xhat / m)  # (O, 1, A, 1, 1)
    return narrow(spread(rstd) * (dxhat - via_mean - xhat * via_var), x5)


# The arithmetic that the functions above are written in.


def center_twice(x: Array) -> tuple[Array, Array]:
    """Return the mean, and x minus it as though the mean had twice its digits.

    One float64 cannot hold the mean of numbers far from 0 well enough: at an offset of 1e9 spreads
    its rounding alone costs nine of the sixteen digits. So a first mean hi is subtracted, which is
    exact or nearly so, and the mean lo of what is left after that (the corrected two-pass algorithm:
    Chan, Golub & LeVeque 1983, eq. 1.7).
    """
    hi = set_mean(x)  #      (O, 1, A, 1, 1)
    d = x - hi  #            (O, P, A, B, S)
    lo = set_mean(d)  #      (O, 1, A, 1, 1)
    return hi + lo, d - lo


def recenter(d: Array) -> Array:
    """Subtract what is left of the mean, when x - mean was taken with a rounded mean."""
    return d - set_mean(d)


def reciprocal_std(var: Array, eps: float | Array) -> Array:
    """1 / sqrt(var + eps), and 0 where that is 1 / 0."""
    xp = array_namespace(var)
    total = var + eps
    if is_numpy_array(total) and total.all():  # usual, and simpler
        return 1 / xp.sqrt(total)
    zero = total == 0
    return xp.where(zero, xp.zeros_like(total), 1 / xp.sqrt(xp.where(zero, xp.ones_like(total), total)))


def range_factor(x: Array, eps: float) -> Array:
    """The power of two, for each set, that keeps squares in range: 1 for all ordinary numbers."""
    xp = array_namespace(x)
    low, high, if_low, if_high = RANGE["float64" if x.dtype == xp.float64 else "float32"]
    one = xp.ones_like(set_sum(x))  #                                    (O, 1, A, 1, 1)
    largest = xp.maximum(set_reduce(xp.abs(x), xp.maximum), one * eps**0.5)  # (O, 1, A, 1, 1)
    return xp.where(largest > high, one * if_high, xp.where(largest < low, one * if_low, one))


def affine(xhat: Array, weight: Array | None, bias: Array | None = None) -> Array:
    """xhat * weight + bias, each of them perhaps absent."""
    if weight is not None:
        xhat = xhat * widen(weight)[None, None, :, :, None]
    if bias is not None:
        xhat = xhat + widen(bias)[None, None, :, :, None]
    return xhat


def set_mean(t: Array) -> Array:
    """Mean over each set: (O, P, A, B, S) to (O, 1, A, 1, 1). An empty set has mean 0."""
    return set_sum(t) / max(set_size(t), 1)


def set_sum(t: Array) -> Array:
    """Sum over each set: (O, P, A, B, S) to (O, 1, A, 1, 1)."""
    return set_reduce(t, lambda a, b: a + b)


def set_size(t: Array) -> int:
    """The number m = P*B*S of elements in a set."""
    _, P, _, B, S = t.shape
    return int(P * B * S)


def set_reduce(t: Array, combine: Callable[[Array, Array], Array]) -> Array:
    """Combine the elements of each set: (O, P, A, B, S) to (O, 1, A, 1, 1)."""
    xp = array_namespace(t)
    O, _, A, _, _ = t.shape
    sets = xp.reshape(xp.permute_dims(t, (0, 2, 1, 3, 4)), (O, A, set_size(t)))  # (O, A, m)
    return spread(combine_in_pairs(sets, combine))


def param_sum(t: Array) -> Array:
    """Sum over all that shares a weight: (O, P, A, B, S) to (A, B)."""
    xp = array_namespace(t)
    O, P, A, B, S = t.shape
    shared = xp.reshape(xp.permute_dims(t, (2, 3, 0, 1, 4)), (A, B, O * P * S))  # (A, B, O*P*S)
    return combine_in_pairs(shared, lambda a, b: a + b)


def combine_in_pairs(t: Array, combine: Callable[[Array, Array], Array]) -> Array:
    """Combine the last axis as a tree: halves with halves, until one element is left.

    The rounding error of such a sum grows like log2 of its length, that of a running sum like the
    length; and its order depends on the length alone, not on how many sets are summed beside it,
    which xp.sum does not promise. So a set's result never depends on its neighbours.
    """
    xp = array_namespace(t)
    n = t.shape[-1]
    if n == 0:  # the sum of nothing is 0, on whatever device t is
        return xp.sum(t, axis=-1)
    odd = None  # what had no partner
    while n > 1:
        half = n // 2
        if n % 2 == 1:
            odd = t[..., n - 1] if odd is None else combine(odd, t[..., n - 1])
        t = combine(t[..., :half], t[..., half : 2 * half])
        n = half
    return t[..., 0] if odd is None else combine(t[..., 0], odd)


def spread(stat: Array) -> Array:
    """(O, A) to (O, 1, A, 1, 1), to broadcast against the view."""
    return stat[:, None, :, None, None]


def per_set(stat: Array | None) -> Array | None:
    """(O, 1, A, 1, 1) to (O, A); the mean may be absent."""
    return None if stat is None else stat[:, 0, :, 0, 0]


def widen(t: Array) -> Array:
    """To float64, or the widest real dtype of a namespace that has none."""
    xp = array_namespace(t)
    return xp.astype(t, widest(xp))


def narrow(t: Array, like: Array) -> Array:
    """Back to the dtype of an input: one rounding, at the very end."""
    return array_namespace(t).astype(t, like.dtype)


def widest(xp: Any) -> Any:
    """The widest real dtype of a namespace: float64 nearly everywhere, float32 in JAX by default."""
    real = xp.__array_namespace_info__().dtypes(kind="real floating")
    return real.get("float64", xp.float32)
