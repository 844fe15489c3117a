"""Each set is its own: what happens in one does not show in another, to the last bit."""

from __future__ import annotations

import numpy as np

from gnref.testing.data import values
from gnref.testing.members import param_ids, set_ids
from gnref.testing.problems import Array, Problem
from gnref.testing.properties.property import holds, identical, wide
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


@holds("a changed set leaves the others", exact=True)
def independence(target: Target, problem: Problem) -> float | None:
    """Other numbers in one set, in x and in dy: every other set is bit-identical."""
    mask = one_set(problem)
    other = values("normal", problem.shape, problem.seed + 20).astype(problem.x.dtype)
    changed = problem.but(x=np.where(mask, other, problem.x), dy=np.where(mask, other, problem.dy))
    return outside(mask, target, changed, problem.but(x=problem.x.copy(), dy=problem.dy.copy()))


@holds("NaN stays in its set", exact=True)
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


@holds(
    "f(x)[i] = f(x[i:i+1])",
    but=["batch"],
    exact=True,
    batch_sizes=(1, 2, 3, 255, 256, 257),
    max_elements=4000,
)
def batch_invariance(target: Target, problem: Problem) -> float | None:
    """An example's y and dx do not depend on its neighbours in the batch, to the last bit."""
    N = problem.shape[0]
    if problem.normalized_shape is not None and len(problem.normalized_shape) == len(problem.shape):
        return None
    y, dx = target.forward(problem).y, gradients(target, problem).dx
    assert dx is not None
    pairs = []
    for i in {0, problem.seed % N, N - 1}:
        alone = problem.but(x=problem.x[i : i + 1], dy=problem.dy[i : i + 1])
        pairs += [(y[i : i + 1], target.forward(alone).y), (dx[i : i + 1], gradients(target, alone).dx)]
    return identical(*pairs)


@holds("a constant set gives the bias", but=["rms", "batch_frozen"], exact=True, eps=(1e-5, 1e-3, 0.5))
def constant(target: Target, problem: Problem) -> float | None:
    """x - mean is 0 exactly, whatever the constant and the length of the set."""
    mask = one_set(problem)
    level = problem.x[mask][0]
    y = target.forward(problem.but(x=np.where(mask, level, problem.x))).y
    owner = param_ids(problem)
    bias = np.zeros(problem.shape) if problem.bias is None else problem.bias.ravel()[owner]
    return identical((y[mask], bias.astype(y.dtype)[mask]))


@holds("an empty array gives empty results", exact=True)
def empty(target: Target, problem: Problem) -> float | None:
    """N = 0 or, by the seed, a spatial axis of 0: y and dx empty, dweight and dbias all 0."""
    inner = [i for i in range(1, len(problem.shape)) if i != problem.channel_axis % len(problem.shape)]
    leading = problem.normalized_shape is None or len(problem.normalized_shape) < len(problem.shape)
    axes = ([0] if leading else []) + (inner if problem.normalized_shape is None else [])
    if not axes:
        return None
    axis = axes[problem.seed % len(axes)]
    x, dy = (np.take(a, [], axis=axis) for a in (problem.x, problem.dy))
    nothing = problem.but(x=x, dy=dy, virtual_batch_size=None)
    grads = gradients(target, nothing)
    pairs: list[tuple[Array | None, Array | None]] = [(target.forward(nothing).y, x), (grads.dx, dy)]
    for grad, param in ((grads.dweight, problem.weight), (grads.dbias, problem.bias)):
        pairs.append((grad, None if param is None else np.zeros_like(param)))
    return identical(*pairs)
