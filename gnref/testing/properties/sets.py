"""Each set is its own: what happens in one does not show in another, to the last bit."""

from __future__ import annotations

import numpy as np

from gnref.testing.data import values
from gnref.testing.members import param_ids, set_ids
from gnref.testing.problems import Array, Problem
from gnref.testing.properties.property import Results, agree, holds, identical, results, wide, worst
from gnref.testing.targets.target import Refused, Target
from gnref.testing.tolerances import WIDE, spacing, terms, unit_roundoff


def one_set(problem: Problem) -> Array:
    """A mask of one set, chosen by the seed; of the frozen norm, which has no sets, one element."""
    ids = set_ids(problem)
    if problem.norm == "batch_frozen":
        ids = np.arange(ids.size).reshape(ids.shape)
    mask: Array = ids == problem.seed % (int(ids.max()) + 1)
    return mask


def outside(mask: Array, one: Results, other: Results) -> float:
    """Whether y and dx of two problems agree bit for bit outside a mask."""
    if any(a[name].shape != mask.shape for a in (one, other) for name in ("y", "dx") if name in a):
        return float("inf")
    return identical(*((one[name][~mask], other[name][~mask]) for name in ("y", "dx") if name in one))


@holds("a changed set leaves the others", exact=True, museum=(46,))
def independence(target: Target, problem: Problem) -> float | None:
    """Other numbers in one set, in x and in dy: every other set is bit-identical."""
    mask = one_set(problem)
    other = values("normal", problem.shape, problem.seed + 20).astype(problem.x.dtype)
    changed = problem.but(x=np.where(mask, other, problem.x), dy=np.where(mask, other, problem.dy))
    same = problem.but(x=problem.x.copy(), dy=problem.dy.copy())
    return outside(mask, results(target, changed), results(target, same))


@holds("NaN stays in its set", exact=True)
def nan(target: Target, problem: Problem) -> float | None:
    """One NaN in x or in dy makes y and dx of its set NaN, and leaves the other sets as they are.

    Of the frozen norm, whose sets are one element, x moves y alone. Of one element, dx is 0 whatever dy is.
    Of an infinity, y or dx is not finite there.
    """
    mask, in_dy = one_set(problem), problem.seed % 2 == 1 and "backward" in target.abilities
    if in_dy and problem.norm != "batch_frozen" and mask.sum() == 1:
        return None
    first = np.unravel_index(int(np.argmax(mask)), mask.shape)
    x, dy, infinite = problem.x.copy(), problem.dy.copy(), problem.seed // 2 % 4 == 3 and mask.sum() > 1
    (dy if in_dy else x)[first] = np.inf if infinite else np.nan
    poisoned = results(target, problem.but(x=x, dy=dy))
    inside = ("dx",) if in_dy else ("y",) if infinite or problem.norm == "batch_frozen" else ("y", "dx")
    for name in [name for name in inside if name in poisoned]:
        if poisoned[name].shape != mask.shape:
            return float("inf")
        a = wide(poisoned[name])
        if np.isfinite(a[first]) if infinite else not np.isnan(a[mask]).all():
            return float("inf")
    return outside(mask, poisoned, results(target, problem.but(x=problem.x.copy(), dy=problem.dy.copy())))


@holds(
    "f(x)[i] = f(x[i:i+1])",
    but=["batch"],
    exact=True,
    museum=(39, 69),
    batch_sizes=(1, 2, 3, 255, 256, 257),
    max_elements=4000,
)
def batch_invariance(target: Target, problem: Problem) -> float | None:
    """An example's y and dx do not depend on its neighbours in the batch, errors included.

    To the last bit in grade A, and within the tolerance in grade B.
    """
    N = problem.shape[0]
    if problem.normalized_shape is not None and len(problem.normalized_shape) == len(problem.shape):
        return None
    found = []
    for i in sorted({0, problem.seed % N, N - 1}):
        alone = problem.but(x=problem.x[i : i + 1], dy=problem.dy[i : i + 1])
        together, raised = _tried(target, problem)
        single, raised_alone = _tried(target, alone)
        if raised or raised_alone:
            if raised and raised_alone:
                raise raised
            return float("inf")
        if together["y"].shape != problem.shape or single["y"].shape != alone.shape:
            return float("inf")
        names = [name for name in ("y", "dx") if name in together and name in single]
        found.append(agree(alone, {k: together[k][i : i + 1] for k in names}, {k: single[k] for k in names}))
    return max(found)


def _tried(target: Target, problem: Problem) -> tuple[Results, Refused | None]:
    """The results, or the exception in their place."""
    try:
        return results(target, problem), None
    except Refused as error:
        return {}, error


@holds(
    "a constant set gives the bias",
    but=["rms", "batch_frozen"],
    exact=True,
    museum=(14, 15),
    eps=(1e-5, 1e-3, 0.5),
)
def constant(target: Target, problem: Problem) -> float | None:
    """x - mean is 0, whatever the constant and the length of the set.

    Exactly in grade A. In grade B the constant is an integer, whose sums are exact; a mean that is
    rounded once more may leave a little.
    """
    mask = one_set(problem)
    level = problem.x[mask][0]
    if problem.grade != "A":
        level = np.float64(1 + problem.seed % 15).astype(problem.x.dtype)
    flat = problem.but(x=np.where(mask, level, problem.x))
    y = target.forward(flat).y
    if y.shape != problem.shape:
        return float("inf")
    owner = param_ids(problem)
    bias = np.zeros(problem.shape) if problem.bias is None else problem.bias.ravel()[owner]
    if problem.grade == "A":
        return identical((y[mask], bias.astype(y.dtype)[mask]))
    t, u = terms(flat), unit_roundoff(WIDE.get(problem.dtype, problem.x.dtype))
    limit = 4 * u * t.weight * t.x + spacing(wide(bias), problem.x.dtype)
    return worst(((wide(y) - wide(bias))[mask], limit[mask]))


@holds("an empty array gives empty results", exact=True, may_refuse=True, museum=(42,))
def empty(target: Target, problem: Problem) -> float | None:
    """Where N or a spatial axis is 0, y and dx are empty, and dweight and dbias are all 0."""
    inner = [i for i in range(1, len(problem.shape)) if i != problem.channel_axis % len(problem.shape)]
    leading = problem.normalized_shape is None or len(problem.normalized_shape) < len(problem.shape)
    axes = ([0] if leading else []) + (inner if problem.normalized_shape is None else [])
    if not axes:
        return None
    axis = axes[problem.seed % len(axes)]
    x, dy = (np.take(a, [], axis=axis) for a in (problem.x, problem.dy))
    nothing = problem.but(x=x, dy=dy, virtual_batch_size=None)
    found = results(target, nothing)
    expected = {"y": x, "dx": dy}
    for name, param in (("dweight", problem.weight), ("dbias", problem.bias)):
        if param is not None:
            expected[name] = np.zeros_like(param)
    return identical(*((found[name], expected.get(name)) for name in found))
