"""How far a result may be from the exact one, derived from its dtype and the problem's conditioning.

u is the unit roundoff: half the distance from 1 to the next number. One rounding costs a relative u.
There are two grades.

Grade A is what gnref asks of itself. y = (x - mean) * rstd * weight + bias. Rounded once each: x - mean
(at best; the mean must be known to more digits than it has itself), rstd (relative, a few u: a square
root, a division, and half of what the variance lost), the two products and the sum. A kernel that does no
worse is within 6 u of |weight| (1 + |xhat|) + |bias|. The 1 is for the elements near the mean, whose
x - mean carries the mean's rounding error, which is in proportion to the spread and not to them.

dx = rstd (g - mean(g) - xhat mean(g xhat)), g = weight dy. Its terms may cancel, so the bound is on
them: 10 u rstd (|g| + mean|g| + |xhat| mean|g xhat|). dweight = sum dy xhat and dbias = sum dy: 10 u of
the sums of |dy| (1 + |xhat|) and |dy|; tree or chunked sums keep below that, a long running sum in u
does not.

Results in 16 bits come from arithmetic in float32 or wider, then one rounding: y must be within the
float32 bound plus one unit in the last place of |weight xhat| + |bias|, gradients within it plus half such
a unit. For y the float32 bound matters next to the mean alone, where a unit of float16 may be less than
the mean's error.

Grade B is what any sound kernel reaches that computes in the dtype itself (16 bits: in float32): two
passes, Welford's recurrence or pairwise sums, in any order. A running sum of m terms may be off by m/2 u
of their sizes. So the mean may be off by (2 + m/2) u mean|x|, and folding y = x*a + b costs another
2 u |x|: in units of the spread that is r, which grows like offset/spread. Welford's variance is off by
twice r, and a mean that is off by r spreads makes the variance larger by r^2. A variance that cancels,
E[x^2] - E[x]^2, is off by the square of offset/spread, and out. Where r is not small, y is still bounded by
the square root of m, and the gradients by nothing. Results in 16 bits may be rounded at each
of the last operations: one and a half units in the last place. (Automatic differentiation adds what comes
to x by x itself, by the mean and by the variance, each of them in 16 bits.)
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
LOST = 0.05  # spreads: where xhat may be off by more, grade B asks nothing of the gradients
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
    dy: Array  # |dy|
    x: Array  # |x| rstd
    mean_x: Array  # of |x| rstd, 0 for rms and frozen norms
    moved: bool  # whether the set's own statistics are in use: not in the frozen norm


@lru_cache(maxsize=4)  # of large problems they are large, too
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
    dy = problem.dy.astype(np.float64)
    signed_g, signed_xhat = weight * dy, d * rstd
    g, xhat, size = np.abs(signed_g), np.abs(signed_xhat), np.abs(x) * rstd
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
        dy=np.abs(dy),
        x=size,
        mean_x=set_means(problem, size) * (own and problem.norm != "rms"),
        moved=own,
    )


@dataclass(frozen=True)
class Tolerance:
    """The largest error that each element of a result may have."""

    y: Array
    dx: Array
    dweight: Array
    dbias: Array


def tolerance(problem: Problem, oracle: str = "exact") -> Tolerance:
    """Return the tolerance of a problem's results, of its grade, against exact ones.

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
    narrow = store.name in WIDE
    by_grade = _grade_a if problem.grade == "A" else _grade_b
    y, dx, by_weight, by_bias = by_grade(problem, t, u)
    sizes = _scales(t)
    extra = oracle_error(t, oracle)
    places = 1.0 if problem.grade == "A" else 1.5  # units in the last place, where there are 16 bits
    if narrow:
        y = y + places * spacing(t.weight * t.xhat + t.bias, store)
        dx = dx + (0.5 if problem.grade == "A" else 1.5) * spacing(sizes.dx, store)
    return Tolerance(
        y=y + extra * sizes.y + _underflow(store),
        dx=dx + extra * sizes.dx + _underflow(store),
        dweight=_of_param(
            problem, problem.weight, by_weight + extra * sizes.dweight, sizes.dweight, places * narrow
        ),
        dbias=_of_param(problem, problem.bias, by_bias + extra * sizes.dbias, sizes.dbias, places * narrow),
    )


def _scales(t: Terms) -> Tolerance:
    """What the errors of y, dx and the summands of dweight and dbias are in proportion to."""
    y = t.weight * (1 + t.xhat) + t.bias
    dx = t.rstd * (t.g + t.mean_g + t.xhat * t.mean_g_xhat)
    return Tolerance(y, dx, t.dy * (1 + t.xhat), t.dy)


def _grade_a(problem: Problem, t: Terms, u: float) -> tuple[Array, Array, Array, Array]:
    """Tolerances of y, dx and the summands of dweight and dbias: a few roundings of each."""
    sizes = _scales(t)
    return 6 * u * sizes.y, 10 * u * sizes.dx, 10 * u * sizes.dweight, 10 * u * sizes.dbias


def _grade_b(problem: Problem, t: Terms, u: float) -> tuple[Array, Array, Array, Array]:
    """Tolerances of y, dx and the summands of dweight and dbias: running sums, in u."""
    long = t.length / 2 * u * t.moved
    r, rstd_error = relative_errors(problem)
    xhat = np.minimum(r + 4 * u + t.xhat * (rstd_error + 4 * u), 2 * (1 + np.sqrt(t.length)))
    y = t.weight * xhat + 4 * u * (t.weight * t.xhat + t.bias)
    mean_g_error = set_means(problem, t.g * xhat) * t.moved
    dx = t.rstd * (
        (10 * u + rstd_error + long) * (t.g + t.mean_g + t.xhat * t.mean_g_xhat)
        + xhat * t.mean_g_xhat
        + t.xhat * mean_g_error
    )
    sharing = _sharing(problem)
    sums = (10 + sharing / 2) * u
    dweight = t.dy * (xhat + rstd_error * t.xhat + sums * (t.xhat + t.x * t.moved + u))
    lost = r > LOST
    return y, np.where(lost, np.inf, dx), np.where(lost, np.inf, dweight), t.dy * sums


def relative_errors(problem: Problem) -> tuple[Array, Array]:
    """Of grade B: r, by how many spreads xhat may be off, and the relative error of rstd."""
    t = terms(problem)
    u = unit_roundoff(WIDE.get(problem.x.dtype.name, problem.x.dtype))
    by_mean = (2 + t.length / 2) * u * t.mean_x
    r = by_mean + 2 * u * t.x
    return r, (4 + t.length / 2 * t.moved) * u + by_mean * (2 + by_mean)


def _sharing(problem: Problem) -> float:
    """How many elements share a weight."""
    owner = param_ids(problem)
    return owner.size / (int(owner.max()) + 1) if owner.size else 0.0


def largest_result(problem: Problem) -> float:
    """A bound on the numbers in y, dx, dweight and dbias: what the problem's dtypes have to hold."""
    sizes = _scales(terms(problem))
    sums = np.bincount(param_ids(problem).ravel(), weights=sizes.dweight.ravel())
    return float(max(t.max(initial=0.0) for t in (sizes.y, sizes.dx, sums)))


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


def _of_param(problem: Problem, param: Array | None, errors: Array, sizes: Array, places: float) -> Array:
    """Sum errors over all that shares a parameter; add the rounding to its dtype if that is narrower."""
    owner = param_ids(problem).ravel()
    count = param.size if param is not None else int(owner.max()) + 1 if owner.size else 0
    total: Array = np.bincount(owner, weights=errors.ravel(), minlength=count)
    if param is None:
        return total
    size = np.bincount(owner, weights=sizes.ravel(), minlength=count)
    store = param.dtype
    if unit_roundoff(store) > unit_roundoff(WIDE.get(problem.x.dtype.name, problem.x.dtype)):
        total = total + max(places, 1.0) * spacing(size, store) / 2
    return (total + _underflow(store)).reshape(param.shape)
