"""Where the numbers lie, what may be left out, and what must not be touched."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from gnref.testing.members import param_ids
from gnref.testing.memory import channels_last as to_channels_last
from gnref.testing.memory import plain
from gnref.testing.problems import CHANNEL_NORMS, Array, Problem
from gnref.testing.properties.identities import same
from gnref.testing.properties.law import identical, law, wide, worst
from gnref.testing.targets import Target, gradients
from gnref.testing.tolerances import tolerance

AWKWARD = ("every_second", "backwards", "read_only", "odd_unit_strides", "fortran", "channels_last")


@law("channels last is a transpose", norms=CHANNEL_NORMS, channel_axes=False)
def channels_last(target: Target, problem: Problem) -> float | None:
    """N H W C with channel_axis=-1, and N C H W in channels-last memory, against N C H W."""
    first = problem.but(x=plain(problem.x), dy=plain(problem.dy))
    x, dy = (plain(np.moveaxis(a, 1, -1)) for a in (first.x, first.dy))
    last = first.but(x=x, dy=dy, channel_axis=-1)
    tol = tolerance(first)
    dx, dx_last = gradients(target, first).dx, gradients(target, last).dx
    assert dx is not None and dx_last is not None
    by_name = worst(
        (wide(target.forward(first).y) - np.moveaxis(wide(target.forward(last).y), -1, 1), 2 * tol.y),
        (wide(dx) - np.moveaxis(wide(dx_last), -1, 1), 2 * tol.dx),
    )
    by_memory = same(target, first, first.but(x=to_channels_last(first.x), dy=to_channels_last(first.dy)))
    return max(by_name, by_memory)


@law("f(view) = f(copy)", exact=True, layouts=AWKWARD)
def view(target: Target, problem: Problem) -> float | None:
    """Strides, read-only flags and odd strides of single elements change nothing, not one bit."""
    copy = problem.but(x=problem.x.copy(order="K"), dy=problem.dy.copy())
    mine, copies = gradients(target, problem), gradients(target, copy)
    return identical((target.forward(problem).y, target.forward(copy).y), *zip(mine, copies, strict=True))


@law("f(any layout) = f(plain layout)", layouts=AWKWARD)
def layout(target: Target, problem: Problem) -> float | None:
    """Another order in memory may sum in another order: equal within the tolerance."""
    return same(target, problem, problem.but(x=plain(problem.x), dy=plain(problem.dy)))


@law("inputs are unchanged", exact=True)
def inputs_unchanged(target: Target, problem: Problem) -> float | None:
    """Not one bit of x, dy, the parameters or the running statistics is written."""
    names = ("x", "dy", "weight", "bias", "running_mean", "running_var")
    arrays = [a for a in (getattr(problem, name) for name in names) if a is not None]
    before = [a.tobytes() for a in arrays]
    gradients(target, problem)
    return 0.0 if before == [a.tobytes() for a in arrays] else float("inf")


@law("dtype, shape and layout preserved", exact=True, layouts=("plain", "channels_last", "fortran"))
def preserved(target: Target, problem: Problem) -> float | None:
    """y and dx are like x; dweight and dbias like their parameters, and absent with them."""
    x, grads = problem.x, gradients(target, problem)
    found = [target.forward(problem).y, grads.dx, grads.dweight, grads.dbias]
    for a, like in zip(found, (x, x, problem.weight, problem.bias), strict=True):
        if (a is None) != (like is None):
            return float("inf")
        if a is not None and like is not None and (a.dtype != like.dtype or a.shape != like.shape):
            return float("inf")
    kept = [_long_strides(a) == _long_strides(np.empty_like(x)) for a in found[:2]]
    return 0.0 if all(kept) else float("inf")


def _long_strides(a: Array | None) -> list[int]:
    """Strides of the axes longer than 1; the others mean nothing."""
    assert a is not None
    return [stride for stride, size in zip(a.strides, a.shape, strict=True) if size > 1]


@law("out= takes the same result", exact=True)
def out(target: Target, problem: Problem) -> float | None:
    """y and dx go where they are told, and are what they are otherwise."""
    place, dx_place = np.empty_like(problem.x), np.empty_like(problem.x)
    forward = target.forward(problem)
    into = target.forward(problem, out=place)
    dx = target.backward(problem.dy, forward).dx
    dx_into = target.backward(problem.dy, forward, out=dx_place).dx
    if into.y is not place or dx_into is not dx_place:
        return float("inf")
    return identical((forward.y, place), (dx, dx_place))


@law("all masks of needs agree", exact=True)
def needs(target: Target, problem: Problem) -> float | None:
    """A gradient is the same whichever others are wanted, and None where it is not."""
    forward, names = target.forward(problem), ("x", "weight", "bias")
    full = dict(zip(names, target.backward(problem.dy, forward), strict=True))
    for count in range(3):
        for mask in combinations(names, count):
            some = dict(zip(names, target.backward(problem.dy, forward, needs=mask), strict=True))
            expected = {name: full[name] if name in mask else None for name in names}
            if identical(*((some[name], expected[name]) for name in names)):
                return float("inf")
    return 0.0


@law("two backward passes are equal", exact=True)
def twice(target: Target, problem: Problem) -> float | None:
    """Nothing accumulates between them."""
    forward = target.forward(problem)
    once = target.backward(problem.dy, forward)
    return identical(*zip(once, target.backward(problem.dy, forward), strict=True))


@law("absent parameters are 1 and 0", affine=False)
def absent(target: Target, problem: Problem) -> float | None:
    """No weight is a weight of 1, no bias a bias of 0: the same y and dx."""
    count = int(param_ids(problem).max()) + 1
    shape = problem.normalized_shape or (count,)
    ones, zeros = np.ones(shape, problem.x.dtype), np.zeros(shape, problem.x.dtype)
    explicit = problem.but(weight=ones, bias=None if problem.norm == "rms" else zeros)
    return same(target, problem, explicit)
