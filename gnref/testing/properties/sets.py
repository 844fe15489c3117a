"""Each set is its own: what happens in one does not show in another, to the last bit."""

from __future__ import annotations

import numpy as np

from gnref.testing.data import values
from gnref.testing.members import param_ids, set_ids
from gnref.testing.problems import Array, Problem
from gnref.testing.properties.law import identical, law, wide
from gnref.testing.targets import Target, gradients


def one_set(problem: Problem) -> Array:
    """A mask of one set, chosen by the seed; of the frozen norm, which has no sets, one element."""
    ids = set_ids(problem)
    if problem.norm == "batch_frozen":
        ids = np.arange(ids.size).reshape(ids.shape)
    mask: Array = ids == problem.seed % (int(ids.max()) + 1)
    return mask


def outside(mask: Array, target: Target, one: Problem, other: Problem) -> float:
    """Whether y and dx of two problems agree bit for bit outside a mask."""
    return identical(
        (target.forward(one).y[~mask], target.forward(other).y[~mask]),
        (gradients(target, one).dx[~mask], gradients(target, other).dx[~mask]),  # type: ignore[index]
    )


@law("a changed set leaves the others", exact=True)
def independence(target: Target, problem: Problem) -> float | None:
    """Other numbers in one set, in x and in dy: every other set is bit-identical."""
    mask = one_set(problem)
    other = values("normal", problem.shape, problem.seed + 20).astype(problem.x.dtype)
    changed = problem.but(x=np.where(mask, other, problem.x), dy=np.where(mask, other, problem.dy))
    return outside(mask, target, changed, problem.but(x=problem.x.copy(), dy=problem.dy.copy()))


@law("NaN stays in its set", exact=True)
def nan(target: Target, problem: Problem) -> float | None:
    """One NaN: y and dx of its set are NaN (of the frozen norm y alone), the others bit-identical."""
    mask = one_set(problem)
    first = np.unravel_index(int(np.argmax(mask)), mask.shape)
    x = problem.x.copy()
    x[first] = np.nan
    poisoned = problem.but(x=x)
    inside = [wide(target.forward(poisoned).y)[mask]]
    if problem.norm != "batch_frozen":
        dx = gradients(target, poisoned).dx
        assert dx is not None
        inside.append(wide(dx)[mask])
    if not all(np.isnan(t).all() for t in inside):
        return float("inf")
    return outside(mask, target, poisoned, problem.but(x=problem.x.copy()))


@law("f(x)[i] = f(x[i:i+1])", but=["batch"], exact=True)
def batch_invariance(target: Target, problem: Problem) -> float | None:
    """An example's result does not depend on its neighbours in the batch, to the last bit."""
    if problem.normalized_shape is not None and len(problem.normalized_shape) == len(problem.shape):
        return None
    i = problem.seed % problem.shape[0]
    alone = problem.but(x=problem.x[i : i + 1], dy=problem.dy[i : i + 1])
    dx, dx_alone = gradients(target, problem).dx, gradients(target, alone).dx
    assert dx is not None and dx_alone is not None
    return identical(
        (target.forward(problem).y[i : i + 1], target.forward(alone).y), (dx[i : i + 1], dx_alone)
    )


@law("a constant set gives the bias", but=["rms", "batch_frozen"], exact=True, eps=(1e-5, 1e-3, 0.5))
def constant(target: Target, problem: Problem) -> float | None:
    """x - mean is 0 exactly, whatever the constant and the length of the set."""
    mask = one_set(problem)
    level = problem.x[mask][0]
    y = target.forward(problem.but(x=np.where(mask, level, problem.x))).y
    owner = param_ids(problem)
    bias = np.zeros(problem.shape) if problem.bias is None else problem.bias.ravel()[owner]
    return identical((y[mask], bias.astype(y.dtype)[mask]))
