"""Properties of the formula: moments, orthogonality, invariances."""

from __future__ import annotations

import numpy as np

from gnref.testing.members import set_sizes, set_sums
from gnref.testing.problems import CHANNEL_NORMS, Array, Problem
from gnref.testing.properties.property import holds, wide, worst
from gnref.testing.targets import Target, gradients
from gnref.testing.tolerances import spacing, terms, tolerance, unit_roundoff


@holds("mean 0 and variance v/(v+eps)", but=["batch_frozen"])
def moments(target: Target, problem: Problem) -> float | None:
    """Over the shared axes; rms norm has the second moment only."""
    bare = problem.but(weight=None, bias=None)
    xhat = wide(target.forward(bare).y)
    t, tol = terms(bare), tolerance(bare, oracle="loops").y
    m = set_sizes(bare)
    second = t.var * t.rstd**2  # v / (v + eps)
    errors = [(set_sums(bare, xhat**2 - second) / m, set_sums(bare, 2 * t.xhat * tol + tol**2) / m)]
    if bare.norm != "rms":
        errors.append((set_sums(bare, xhat) / m, set_sums(bare, tol) / m))
    return worst(*errors)


@holds("dx sums to 0 over a set", but=["rms", "batch_frozen"])
def dx_sum(target: Target, problem: Problem) -> float | None:
    """Adding a constant to a set changes nothing, so no gradient points that way."""
    dx = gradients(target, problem).dx
    assert dx is not None
    return worst((set_sums(problem, wide(dx)), set_sums(problem, tolerance(problem).dx)))


@holds("<dx,xhat> = eps rstd^3 <w dy,xhat>", but=["batch_frozen"])
def dx_along_xhat(target: Target, problem: Problem) -> float | None:
    """Scaling a set changes y by what eps lets through, and no more."""
    dx = gradients(target, problem).dx
    assert dx is not None
    t, tol = terms(problem), tolerance(problem, oracle="loops").dx
    expected = set_sums(problem, problem.eps * t.rstd**3 * t.signed_g * t.signed_xhat)
    return worst((set_sums(problem, wide(dx) * t.signed_xhat) - expected, set_sums(problem, t.xhat * tol)))


@holds("shift: f(x + c) = f(x)", but=["rms", "batch_frozen"], hard=False)
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
    reach = {"float16": 3, "bfloat16": 40, "float32": 40, "float64": 200}[problem.x.dtype.name]
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
    here, moved, tol = target.forward(problem).y, target.forward(there).y, tolerance(problem)
    dx, dx_moved = gradients(target, problem).dx, gradients(target, there).dx
    assert dx is not None and dx_moved is not None
    return worst(
        (wide(np.take(here, order, axis=axis)) - wide(moved), 2 * np.take(tol.y, order, axis=axis)),
        (wide(np.take(dx, order, axis=axis)) - wide(dx_moved), 2 * np.take(tol.dx, order, axis=axis)),
    )


def _agree(target: Target, one: Problem, other: Problem, dx_factor: float = 1.0) -> float:
    """Compare y and dx of two problems that the same exact values solve (dx up to a factor)."""
    tol = tolerance(other)
    dx_one, dx_other = gradients(target, one).dx, gradients(target, other).dx
    assert dx_one is not None and dx_other is not None
    tol_dx = tol.dx + dx_factor * tolerance(one).dx
    return worst(
        (wide(target.forward(one).y) - wide(target.forward(other).y), tol.y + tolerance(one).y),
        (dx_factor * wide(dx_one) - wide(dx_other), tol_dx),
    )


@holds("rstd^2 (var + eps) = 1", eps=(1e-5, 1e-3, 0.5))
def rstd_and_var(target: Target, problem: Problem) -> float | None:
    """The saved statistics are the ones they say: rstd no variance, var not 1/rstd^2 - eps."""
    forward = target.forward(problem)
    product = wide(forward.rstd) ** 2 * (wide(forward.var) + problem.eps)
    # a square root, a division and the sum under them: 2 u each way, squared, and this line's own 3 u
    return worst((product - 1, 8 * unit_roundoff(forward.rstd.dtype)))


@holds("frozen: dx = dy weight rstd", norms=["batch_frozen"])
def frozen(target: Target, problem: Problem) -> float | None:
    """Constant statistics leave the direct path alone."""
    dx = gradients(target, problem).dx
    assert dx is not None
    expected = terms(problem).signed_g * terms(problem).rstd
    dtype = problem.x.dtype
    # a product of three, rstd itself a square root and a division; or the spacing of tiny numbers
    allowed = np.maximum(6 * unit_roundoff(dtype) * np.abs(expected), spacing(expected, dtype))
    return worst((wide(dx) - expected, allowed))
