"""How far a result may be from the exact one, derived from its dtype and the problem's conditioning.

u is the unit roundoff: half the distance from 1 to the next number. One rounding costs a relative u.

y = (x - mean) * rstd * weight + bias. Rounded once each: x - mean (at best; the mean must be known to
more digits than it has itself), rstd (relative, a few u: a square root, a division, and half of what
the variance lost), the two products and the sum. A kernel that does no worse is within 6 u of
|weight| (1 + |xhat|) + |bias|. The 1 is for the elements near the mean, whose x - mean carries the
mean's rounding error, which is in proportion to the spread and not to them.

dx = rstd (g - mean(g) - xhat mean(g xhat)), g = weight dy. Its terms may cancel, so the bound is on
them: 10 u rstd (|g| + mean|g| + |xhat| mean|g xhat|). dweight = sum dy xhat and dbias = sum dy: 10 u of
the sums of |dy| (1 + |xhat|) and |dy|; tree or chunked sums keep below that, a long running sum in u
does not.

Results in 16 bits come from arithmetic in float32 or wider, then one rounding: y must be within one unit
in the last place of |weight xhat| + |bias|, gradients within the float32 bound plus half such a unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from gnref.testing.members import param_ids, set_ids, set_means, set_sizes
from gnref.testing.problems import Array, Problem

# bits of the significand, the leading one included, and the exponent of the smallest subnormal
FORMATS = {"float16": (11, -24), "bfloat16": (8, -133), "float32": (24, -149), "float64": (53, -1074)}
WIDE = {"float16": "float32", "bfloat16": "float32"}


def unit_roundoff(dtype: Any) -> float:
    """Half the distance from 1 to the next number of a dtype: 2^-24 for float32."""
    return float(2.0 ** -FORMATS[np.dtype(dtype).name][0])


def spacing(a: Array, dtype: Any) -> Array:
    """The unit in the last place of a dtype at the numbers ``a`` (float64)."""
    bits, smallest = FORMATS[np.dtype(dtype).name]
    _, exponent = np.frexp(a)
    exponent = np.where(a == 0, smallest, exponent)
    units: Array = np.ldexp(1.0, np.maximum(exponent - bits, smallest))
    return units


@dataclass(frozen=True)
class Terms:
    """The sizes, per element of x in float64, that errors are in proportion to."""

    xhat: Array  # |xhat|
    var: Array  # of the element's set
    rstd: Array
    weight: Array  # |weight|, 1 if absent
    bias: Array  # |bias|, 0 if absent
    g: Array  # |weight dy|
    mean_g: Array  # of |weight dy|, 0 for rms and frozen norms
    mean_g_xhat: Array  # of |weight dy xhat|, 0 for the frozen norm
    offset: Array  # |mean| rstd: how many spreads the set is away from 0
    length: Array  # m, the number of elements in the set
    signed_xhat: Array
    signed_g: Array  # weight dy


@lru_cache(maxsize=32)
def terms(problem: Problem) -> Terms:
    """Measure a problem; good to a few digits, which is all that a tolerance needs."""
    shape, owner = problem.shape, param_ids(problem)
    x = problem.x.astype(np.float64)
    center, d = np.zeros(shape), x
    if problem.running_mean is not None:
        center = problem.running_mean.astype(np.float64)[owner]
        d = x - center
    elif problem.norm != "rms":
        center = set_means(problem, x)
        d = x - center
        d = d - set_means(problem, d)  # what the rounded mean left
    var = (
        set_means(problem, d * d)
        if problem.running_var is None
        else problem.running_var.astype(np.float64)[owner]
    )
    total = var + problem.eps
    rstd = np.where(total > 0, 1 / np.sqrt(np.where(total > 0, total, 1.0)), 0.0)
    weight = np.ones(shape) if problem.weight is None else problem.weight.astype(float).ravel()[owner]
    bias = np.zeros(shape) if problem.bias is None else problem.bias.astype(float).ravel()[owner]
    signed_g, signed_xhat = weight * problem.dy.astype(np.float64), d * rstd
    g, xhat = np.abs(signed_g), np.abs(signed_xhat)
    own = problem.norm != "batch_frozen"
    return Terms(
        xhat=xhat,
        var=var,
        rstd=rstd,
        weight=np.abs(weight),
        bias=np.abs(bias),
        g=g,
        mean_g=set_means(problem, g) * (own and problem.norm != "rms"),
        mean_g_xhat=set_means(problem, g * xhat) * own,
        offset=np.abs(center) * rstd,
        length=set_sizes(problem)[set_ids(problem)].astype(float),
        signed_xhat=signed_xhat,
        signed_g=signed_g,
    )


@dataclass(frozen=True)
class Tolerance:
    """The largest error that each element of a result may have."""

    y: Array
    dx: Array
    dweight: Array
    dbias: Array


def tolerance(problem: Problem, oracle: str = "exact") -> Tolerance:
    """Return the tolerance of a problem's results against exact ones.

    Parameters
    ----------
    problem : Problem
        What was solved.
    oracle : str
        What it is compared with: all but "exact" compute in float64, and may be wrong by as much as
        `oracle_error` says.
    """
    t = terms(problem)
    store = problem.x.dtype
    u = unit_roundoff(WIDE.get(store.name, store))
    y, dx, by_weight, by_bias = _scales(problem, t)
    extra = oracle_error(t, oracle)
    factors = {"y": 6 * u, "dx": 10 * u, "dparam": 10 * u}
    narrow = store.name in WIDE
    tol_y = spacing(t.weight * t.xhat + t.bias, store) if narrow else factors["y"] * y
    tol_dx = factors["dx"] * dx + (spacing(dx, store) / 2 if narrow else 0.0)
    return Tolerance(
        y=tol_y + extra * y + _underflow(store),
        dx=tol_dx + extra * dx + _underflow(store),
        dweight=_of_param(problem, problem.weight, (factors["dparam"] + extra) * by_weight, by_weight),
        dbias=_of_param(problem, problem.bias, (factors["dparam"] + extra) * by_bias, by_bias),
    )


def _scales(problem: Problem, t: Terms) -> tuple[Array, Array, Array, Array]:
    """What the errors of y, dx and the summands of dweight and dbias are in proportion to."""
    dy = np.abs(problem.dy.astype(np.float64))
    y = t.weight * (1 + t.xhat) + t.bias
    dx = t.rstd * (t.g + t.mean_g + t.xhat * t.mean_g_xhat)
    return y, dx, dy * (1 + t.xhat), dy


def largest_result(problem: Problem) -> float:
    """A bound on the numbers in y, dx, dweight and dbias: what the problem's dtypes have to hold."""
    y, dx, by_weight, _ = _scales(problem, terms(problem))
    sums = np.bincount(param_ids(problem).ravel(), weights=by_weight.ravel())
    return float(max(t.max(initial=0.0) for t in (y, dx, sums)))


def oracle_error(t: Terms, oracle: str) -> Array:
    """Relative error of an oracle, per element.

    "exact" has none, and "fsum" the roundings of its terms. The others sum m elements in float64,
    perhaps one by one. Where rounding errors have random signs, they add up to about sqrt(m) u; but
    those of equal numbers, such as a constant set's, may all have one sign, and m/2 u is what the
    mean may be off by. Its error in spreads is that times the offset.
    """
    if oracle in ("exact", "fsum"):
        return np.full(t.xhat.shape, 0.0 if oracle == "exact" else 8 * 2.0**-53)
    error: Array = 2.0**-53 * (8 + np.sqrt(t.length) + (4 + t.length / 2) * t.offset)
    return error


def _underflow(dtype: Any) -> float:
    """Half the smallest subnormal number: what a rounding to almost nothing may cost."""
    return float(2.0 ** FORMATS[np.dtype(dtype).name][1]) / 2


def _of_param(problem: Problem, param: Array | None, errors: Array, sizes: Array) -> Array:
    """Sum errors over all that shares a parameter; add the rounding to its dtype if that is narrower."""
    owner = param_ids(problem).ravel()
    count = int(owner.max()) + 1 if owner.size else 0
    total: Array = np.bincount(owner, weights=errors.ravel(), minlength=count)
    if param is None:
        return total
    size = np.bincount(owner, weights=sizes.ravel(), minlength=count)
    store = param.dtype
    if unit_roundoff(store) > unit_roundoff(WIDE.get(problem.x.dtype.name, problem.x.dtype)):
        total = total + spacing(size, store) / 2
    return (total + _underflow(store)).reshape(param.shape)
