"""Properties of the formula: moments, orthogonality, invariances."""

from __future__ import annotations

import numpy as np

from gnref.testing.members import set_sizes, set_sums
from gnref.testing.problems import CHANNEL_NORMS, Array, Problem
from gnref.testing.properties.property import apart, holds, results, wide, worst
from gnref.testing.targets.target import Target, gradients
from gnref.testing.tolerances import spacing, terms, tolerance, unit_roundoff


@holds("mean 0 and variance v/(v+eps)", but=["batch_frozen"], museum=(65, 66, 67))
def moments(target: Target, problem: Problem) -> float | None:
    """Over the shared axes; rms norm has the second moment only."""
    bare = without_affine(target, problem)
    y = target.forward(bare).y
    if y.shape != bare.shape:
        return float("inf")
    xhat = wide(y)
    t, tol = terms(bare), tolerance(bare, oracle="loops").y
    m = set_sizes(bare)
    second = t.var * t.rstd**2  # v / (v + eps)
    errors = [(set_sums(bare, xhat**2 - second) / m, set_sums(bare, 2 * t.xhat * tol + tol**2) / m)]
    if bare.norm != "rms":
        errors.append((set_sums(bare, xhat) / m, set_sums(bare, tol) / m))
    return worst(*errors)


def without_affine(target: Target, problem: Problem) -> Problem:
    """The problem with no weight and no bias, or with those that change nothing where they must be there."""
    if not target.affine_required:
        return problem.but(weight=None, bias=None)
    weight = np.ones(problem.normalized_shape or problem.channels or 1, problem.x.dtype)
    return problem.but(weight=weight, bias=None if problem.norm == "rms" else np.zeros_like(weight))


@holds("dx sums to 0 over a set", but=["rms", "batch_frozen"], requires=("backward",))
def dx_sum(target: Target, problem: Problem) -> float | None:
    """Adding a constant to a set changes nothing, so no gradient points that way."""
    dx = gradients(target, problem).dx
    if dx is None or dx.shape != problem.shape:
        return float("inf")
    return worst((set_sums(problem, wide(dx)), set_sums(problem, tolerance(problem).dx)))


@holds("<dx,xhat> = eps rstd^3 <w dy,xhat>", but=["batch_frozen"], requires=("backward",), museum=(66,))
def dx_along_xhat(target: Target, problem: Problem) -> float | None:
    """Scaling a set changes y by what eps lets through, and no more."""
    dx = gradients(target, problem).dx
    if dx is None or dx.shape != problem.shape:
        return float("inf")
    t, tol = terms(problem), tolerance(problem, oracle="loops").dx
    expected = set_sums(problem, problem.eps * t.rstd**3 * t.signed_g * t.signed_xhat)
    return worst((set_sums(problem, wide(dx) * t.signed_xhat) - expected, set_sums(problem, t.xhat * tol)))


@holds("shift: f(x + c) = f(x)", but=["rms", "batch_frozen"], hard=False, museum=(3, 7))
def shift(target: Target, problem: Problem) -> float | None:
    """A constant added to x changes neither y nor dx."""
    dtype = problem.x.dtype
    c = {"float16": 8.0, "bfloat16": 8.0}.get(dtype.name, 1024.0)
    shifted = (wide(problem.x) + c).astype(dtype)
    back = wide(shifted) - c  # on the shifted numbers' grid, so both are exact
    if not np.array_equal(back.astype(dtype).astype(np.float64), back):
        return None
    return _agree(target, problem.but(x=shifted), problem.but(x=back.astype(dtype)))


@holds("scale: f(a x; a^2 eps) = f(x; eps)", hard=False)
def scale(target: Target, problem: Problem) -> float | None:
    """x in other units, eps too: y stays, dx turns over. a is a power of two, which rounds nothing."""
    far = {"float16": 3, "bfloat16": 40, "float32": 40, "float64": 200}
    near = {"float16": 3, "bfloat16": 13, "float32": 13, "float64": 13}
    reach = (far if problem.grade == "A" else near)[problem.x.dtype.name]
    power = 1 + problem.seed % reach
    a = 2.0 ** (power if problem.seed // reach % 2 else -power)
    changes = {"x": problem.x * problem.x.dtype.type(a), "eps": problem.eps * a**2}
    if problem.running_mean is not None and problem.running_var is not None:
        changes["running_mean"] = problem.running_mean * problem.running_mean.dtype.type(a)
        changes["running_var"] = problem.running_var * problem.running_var.dtype.type(a**2)
    return _agree(target, problem.but(**changes), problem, dx_factor=a)


@holds("permutation along an axis", max_elements=160)
def permutation(target: Target, problem: Problem) -> float | None:
    """Elements, or whole sets, trade places (their parameters with them): y and dx move along.

    Channels move within their groups, and groups among themselves; N stays where virtual batches
    cut it in pieces.
    """
    rng, ndim = np.random.default_rng(problem.seed), len(problem.shape)
    axes = [i for i in range(ndim) if problem.shape[i] > 1 and (i > 0 or problem.virtual_batch_size is None)]
    if not axes:
        return None
    axis = int(rng.choice(axes))
    order = rng.permutation(problem.shape[axis])
    params = ("weight", "bias", "running_mean", "running_var")
    if problem.norm in CHANNEL_NORMS:
        if axis != problem.channel_axis % ndim:
            return _moved(target, problem, order, axis, {})
        if problem.num_groups is not None:
            grouped = np.arange(len(order)).reshape(problem.num_groups, -1)
            order = rng.permuted(grouped, axis=1)[rng.permutation(problem.num_groups)].ravel()
        return _moved(target, problem, order, axis, dict.fromkeys(params, 0))
    assert problem.normalized_shape is not None
    trailing = axis - (ndim - len(problem.normalized_shape))
    return _moved(target, problem, order, axis, dict.fromkeys(params, trailing) if trailing >= 0 else {})


def _moved(target: Target, problem: Problem, order: Array, axis: int, params: dict[str, int]) -> float:
    """Compare a problem with itself, its elements (and parameters, along their axis) in another order."""
    own = {name: (getattr(problem, name), i) for name, i in params.items()}
    changes = {name: np.take(p, order, axis=i) for name, (p, i) in own.items() if p is not None}
    there = problem.but(
        x=np.take(problem.x, order, axis=axis), dy=np.take(problem.dy, order, axis=axis), **changes
    )
    here, moved, tol = results(target, problem), results(target, there), tolerance(problem)
    pairs = []
    for name in ("y", "dx"):
        if name in here and name in moved and here[name].shape == problem.shape:
            limit = 2 * np.take(getattr(tol, name), order, axis=axis)
            pairs.append((apart(moved[name], np.take(here[name], order, axis=axis)), limit))
    return worst(*pairs)


def _agree(target: Target, one: Problem, other: Problem, dx_factor: float = 1.0) -> float:
    """Compare y and dx of two problems that the same exact values solve (dx up to a factor)."""
    tol, tol_one = tolerance(other), tolerance(one)
    here, there = results(target, one), results(target, other)
    pairs = [(apart(here["y"], there["y"]), tol.y + tol_one.y)]
    if "dx" in here and "dx" in there:
        limit = tol.dx + dx_factor * tol_one.dx
        pairs.append((apart(dx_factor * wide(here["dx"]), there["dx"]), limit))
    return worst(*pairs)


@holds("rstd^2 (var + eps) = 1", eps=(1e-5, 1e-3, 0.5), requires=("statistics", "var"), museum=(41,))
def rstd_and_var(target: Target, problem: Problem) -> float | None:
    """The saved statistics are the ones they say: rstd no variance, var not 1/rstd^2 - eps."""
    forward = target.forward(problem)
    assert forward.rstd is not None and forward.var is not None
    product = wide(forward.rstd) ** 2 * (wide(forward.var) + problem.eps)
    # a square root, a division and the sum under them: 2 u each way, squared, and this line's own 3 u
    return worst((product - 1, 8 * unit_roundoff(forward.rstd.dtype)))


@holds("frozen: dx = dy weight rstd", norms=["batch_frozen"], requires=("backward",), museum=(34,))
def frozen(target: Target, problem: Problem) -> float | None:
    """Constant statistics leave the direct path alone."""
    dx = gradients(target, problem).dx
    assert dx is not None
    expected = terms(problem).signed_g * terms(problem).rstd
    dtype = problem.x.dtype
    # a product of three, rstd itself a square root and a division; or the spacing of tiny numbers
    allowed = np.maximum(6 * unit_roundoff(dtype) * np.abs(expected), spacing(expected, dtype))
    return worst((wide(dx) - expected, allowed))
