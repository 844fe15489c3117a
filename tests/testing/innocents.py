"""Right kernels as their authors write them: two passes, Welford, pairwise sums; folded or not.

float16 and bfloat16 are summed in float32, and only the results are rounded.
"""

from functools import partial

import numpy as np

NORMS = ("batch", "instance", "group", "layer", "rms")


def running(a):
    """One number after the other."""
    return np.cumsum(a, -1, dtype=a.dtype)[..., -1] if a.shape[-1] else a.sum(-1)


def pairwise(a):
    """Neighbours first, then their sums."""
    while (n := a.shape[-1]) > 1:
        a = np.concatenate([a[..., 0 : n - 1 : 2] + a[..., 1::2], a[..., n - n % 2 :]], -1)
    return a.sum(-1)


def two_pass(add, rows):
    m = rows.dtype.type(rows.shape[-1])
    mean = add(rows) / m
    d = rows - mean[:, None]
    return mean, add(d * d) / m


def welford(rows):
    mean = np.zeros(len(rows), rows.dtype)
    M2 = np.zeros_like(mean)
    for i in range(rows.shape[-1]):
        d = rows[:, i] - mean
        mean = mean + d / rows.dtype.type(i + 1)
        M2 = M2 + d * (rows[:, i] - mean)
    return mean, M2 / rows.dtype.type(rows.shape[-1])


# kind: (how the statistics are taken, how backward adds, whether y = x*a + b, whether dx = a*dy + b*x + c)
KINDS = {
    "numpy": (partial(two_pass, lambda a: a.sum(-1)), lambda a: a.sum(-1), False, False),
    "running": (partial(two_pass, running), running, False, False),
    "pairwise": (partial(two_pass, pairwise), pairwise, False, False),
    "welford": (welford, running, False, False),
    "folded": (partial(two_pass, pairwise), pairwise, True, True),
    "welford folded": (welford, running, True, True),
}


def work(a):
    """To the dtype that is computed in."""
    return a.astype(np.float64 if a.dtype == np.float64 else np.float32)


def to_rows(norm, a, argument):
    """One row for each set, for channels first."""
    if norm == "batch":
        moved = np.moveaxis(a, 1, 0)
        return moved.reshape(a.shape[1], a[:, 0].size)
    if norm == "instance":
        return a.reshape(a.shape[0] * a.shape[1], int(np.prod(a.shape[2:])))
    if norm == "group":
        if a.shape[1] % argument:
            raise ValueError("num_groups does not divide C")
        return a.reshape(a.shape[0] * argument, a.shape[1] // argument * int(np.prod(a.shape[2:])))
    D = int(np.prod(argument))
    return a.reshape(int(np.prod(a.shape[: a.ndim - len(argument)])), D)


def from_rows(norm, rows, shape):
    if norm == "batch":
        return np.moveaxis(rows.reshape(shape[1], shape[0], *shape[2:]), 0, 1)
    return rows.reshape(shape)


def spread(norm, p, x, absent):
    """Weight or bias, one for each element of x."""
    if p is None:
        return np.full(x.shape, absent, work(x).dtype)
    p = p.astype(work(x).dtype)
    if norm in ("layer", "rms"):
        return np.broadcast_to(p, x.shape)
    return np.broadcast_to(p.reshape(1, -1, *[1] * (x.ndim - 2)), x.shape)


def innocent(norm, kind):
    """The forward and backward pass, called like gnref's own functions."""
    statistics, add, folds, affine = KINDS[kind]

    def forward(x, argument, weight, bias, eps):
        rows = to_rows(norm, work(x), argument)
        mean, var = statistics(rows)
        if norm == "rms":
            mean, var = np.zeros_like(mean), add(rows * rows) / rows.dtype.type(rows.shape[-1])
        rstd = (1 / np.sqrt(var + rows.dtype.type(eps))).astype(rows.dtype)
        w, b = (to_rows(norm, spread(norm, p, x, d), argument) for p, d in ((weight, 1), (bias, 0)))
        if folds:
            a = rstd[:, None] * w
            y = rows * a + (b - mean[:, None] * a)
        else:
            y = (rows - mean[:, None]) * rstd[:, None] * w + b
        return from_rows(norm, y, x.shape).astype(x.dtype), mean, rstd

    def backward(dy, x, mean, rstd, argument, weight, bias):
        rows, dy_rows = (to_rows(norm, work(a), argument) for a in (x, dy))
        g = dy_rows * to_rows(norm, spread(norm, weight, x, 1), argument)
        m, mean, rstd = rows.dtype.type(rows.shape[-1]), mean[:, None], rstd[:, None]
        xhat = (rows - mean) * rstd
        if affine and norm != "rms":
            by_x, by_one = add(g * rows)[:, None], add(g)[:, None]
            slope = (by_one * mean - by_x) * rstd * rstd * rstd / m
            dx = rstd * g + slope * rows + (-slope * mean - by_one * rstd / m)
        else:
            mean_g = 0 if norm == "rms" else add(g)[:, None] / m
            dx = rstd * (g - mean_g - xhat * (add(g * xhat)[:, None] / m))
        full, dy = from_rows(norm, xhat, x.shape), work(dy)
        k = None if norm not in ("layer", "rms") else x.ndim - len(argument)
        axes = tuple(range(k)) if k is not None else tuple(i for i in range(x.ndim) if i != 1)
        sums = ((dy * full).sum(axes), dy.sum(axes))
        dweight, dbias = (
            None if p is None else s.astype(p.dtype) for p, s in zip((weight, bias), sums, strict=True)
        )
        return from_rows(norm, dx, x.shape).astype(x.dtype), dweight, dbias

    if norm in ("batch", "instance"):
        return (
            lambda x, weight, bias, eps: forward(x, None, weight, bias, eps),
            lambda dy, x, mean, rstd, weight, bias, eps: backward(dy, x, mean, rstd, None, weight, bias),
        )
    if norm == "rms":
        return (
            lambda x, normalized_shape, weight, eps: forward(x, normalized_shape, weight, None, eps),
            lambda dy, x, mean, rstd, normalized_shape, weight, eps: backward(
                dy, x, mean, rstd, normalized_shape, weight, None
            ),
        )
    return (
        lambda x, argument, weight, bias, eps: forward(x, argument, weight, bias, eps),
        lambda dy, x, mean, rstd, argument, weight, bias, eps: backward(
            dy, x, mean, rstd, argument, weight, bias
        ),
    )
