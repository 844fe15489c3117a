"""Exact results on the host, by the textbook's formulas in two passes, and how far off a kernel may be.

It shares no code with gnref. float64 is checked in NumPy's longdouble, which has to be wider. The bars are
those of the tests that run the kernels on a processor (tests/kernels/cuda/test_kernels.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gpu.cases import UNIT, Array, Problem

OWN, SHARED = (1, 3, 4), (0, 1, 4)  # axes that a set, and that a weight extends over
Exact = dict[str, tuple[Array, Any]]  # a result, and by how much an answer may differ from it


class Terms(NamedTuple):
    """What several results need."""

    x: Array
    dy: Array
    w: Array  # weight, ready to be broadcast; 1 where there is none
    b: Array
    u: float


def has_wide_longdouble() -> bool:
    """Whether longdouble can say how good float64 is."""
    return bool(np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant + 8)


def terms(p: Problem) -> Terms:
    """Every array in a wider type."""
    wide = np.longdouble if p.x.dtype.itemsize == 8 else np.float64
    x, dy = p.x.astype(wide), p.dy.astype(wide)
    w = np.ones(1, wide) if p.weight is None else p.weight.astype(wide)[None, None, :, :, None]
    b = np.zeros(1, wide) if p.bias is None else p.bias.astype(wide)[None, None, :, :, None]
    return Terms(x, dy, w, b, UNIT[p.x.dtype.name])


def own_statistics(p: Problem) -> Exact:
    """Forward and backward with the sets' own statistics."""
    x, dy, w, b, u = terms(p)
    d, mean = deviations(x) if p.center else (x, np.zeros(1, x.dtype))
    var = (d * d).mean(OWN, keepdims=True)
    with np.errstate(divide="ignore"):
        rstd = np.where(var + p.eps == 0, 0, 1 / np.sqrt(var + p.eps))
    xhat, g = d * rstd, dy * w
    s1, s2 = (g.mean(OWN, keepdims=True) if p.center else 0 * rstd), (g * xhat).mean(OWN, keepdims=True)
    slope = abs(g) + abs(g).mean(OWN, keepdims=True) + abs(xhat) * abs(xhat * g).mean(OWN, keepdims=True)
    spread = np.sqrt(var + p.eps)
    relative = 1e-6 if u > 1e-10 else 1e-14
    found: Exact = {
        "y": (xhat * w + b, np.where(rstd == 0, 0, 6 * u * (abs(w) * (1 + abs(xhat)) + abs(b)))),
        "var": (of_set(var), of_set(relative * var)),
        "rstd": (of_set(rstd), of_set(relative * rstd)),
        "dx": (rstd * (g - s1 - xhat * s2), 10 * u * rstd * slope),
        "dweight": ((dy * xhat).sum(SHARED), 10 * u * (abs(dy) * (1 + abs(xhat))).sum(SHARED)),
        "dbias": (dy.sum(SHARED), 10 * u * abs(dy).sum(SHARED)),
    }
    if p.center:
        found["mean"] = (of_set(mean), of_set(1e-7 * spread + 2e-16 * abs(mean)))
    return found


def parameter_gradients(p: Problem) -> Exact:
    """dweight and dbias of many examples, which are gone through one by one, as their memory is large."""
    sums: list[Any] = [0, 0, 0, 0]
    for i in range(len(p.x)):
        x, dy, _, _, u = terms(p._replace(x=p.x[i : i + 1], dy=p.dy[i : i + 1]))
        d = deviations(x)[0] if p.center else x
        var = (d * d).mean(OWN, keepdims=True) + p.eps
        with np.errstate(divide="ignore"):
            xhat = d * np.where(var == 0, 0, 1 / np.sqrt(var))
        size = abs(dy)
        more = dy * xhat, dy, size * (1 + abs(xhat)), size
        sums = [a + b.sum(SHARED) for a, b in zip(sums, more, strict=True)]
    return {"dweight": (sums[0], 10 * u * sums[2]), "dbias": (sums[1], 10 * u * sums[3])}


def given_statistics(p: Problem, mean: Array, rstd: Array, count: int) -> Exact:
    """The other five functions of the contract, with statistics and a count that are given."""
    x, dy, w, b, u = terms(p)
    m, r = (a.astype(x.dtype)[:, None, :, None, None] for a in (mean, rstd))
    xhat, g = (x - m) * r, dy * w
    sums = g.sum(OWN, keepdims=True), (g * xhat).sum(OWN, keepdims=True)
    from_sums = r * (g - sums[0] / count - xhat * sums[1] / count)
    d, own_mean = deviations(x)
    squares = (d * d).sum(OWN, keepdims=True)
    spread = np.sqrt(squares / (x.size / squares.size))
    relative = 1e-6 if u > 1e-10 else 1e-14
    elements = {"apply": xhat * w + b, "backward_given dx": r * g, "backward_from_sums": from_sums}
    sizes = (abs(dy) * (1 + abs(xhat))).sum(SHARED), abs(dy).sum(SHARED)
    return {
        **{name: (a, 20 * u * (1 + abs(a))) for name, a in elements.items()},
        "backward_given dweight": ((dy * xhat).sum(SHARED), 10 * u * sizes[0]),
        "backward_given dbias": (dy.sum(SHARED), 10 * u * sizes[1]),
        "backward_sums dxhat": (of_set(sums[0]), 10 * u * of_set(abs(g).sum(OWN, keepdims=True))),
        "backward_sums dxhat*xhat": (
            of_set(sums[1]),
            10 * u * of_set((abs(g) * (1 + abs(xhat))).sum(OWN, keepdims=True)),
        ),
        "moments mean": (of_set(own_mean), of_set(1e-7 * spread + 2e-16 * abs(own_mean))),
        "moments M2": (of_set(squares), of_set(relative * squares)),
    }


def deviations(x: Array) -> tuple[Array, Array]:
    """x - mean, and the mean; after the set's first number is taken off, so that nothing large is added."""
    first = x[:, :1, :, :1, :1]
    d = x - first
    rest = d.mean(OWN, keepdims=True)
    return d - rest, first + rest


def of_set(a: Array) -> Array:
    """A number of each set, as (O, A)."""
    return a[:, 0, :, 0, 0]


def compare(got: Array, exact: Array, bar: Any) -> tuple[bool, float]:
    """Whether every number is within its bar, and the largest error in units of it.

    Where the exact result is NaN the answer has to be NaN, and nowhere else; what is beyond the range of
    float64 may be anything but NaN.
    """
    got = got.astype(exact.dtype)
    if got.shape != exact.shape:
        return False, float("inf")
    with np.errstate(all="ignore"):
        finite = np.isfinite(exact.astype(np.float64))
        error = np.where(finite, abs(got - exact), 0)
        good = np.where(finite, error <= bar + 1e-300, np.isnan(got) == np.isnan(exact))
        ratio = error / (bar + 1e-300)
    worst = (
        float("inf") if not good.all() and not np.isfinite(ratio).all() else float(np.max(ratio, initial=0.0))
    )
    return bool(good.all()), worst
