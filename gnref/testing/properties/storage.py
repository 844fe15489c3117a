"""Where the numbers lie, what may be left out, and what must not be touched."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from gnref.testing.data import values
from gnref.testing.members import param_ids
from gnref.testing.memory import LAYOUTS, plain
from gnref.testing.memory import channels_last as to_channels_last
from gnref.testing.problems import CHANNEL_NORMS, Array, Problem
from gnref.testing.properties.identities import same
from gnref.testing.properties.property import holds, identical, wide, worst
from gnref.testing.targets import Target, gradients
from gnref.testing.tolerances import tolerance

AWKWARD = tuple(name for name in LAYOUTS if name != "plain")


@holds("channels last is a transpose", norms=CHANNEL_NORMS, channel_axes=False)
def channels_last(target: Target, problem: Problem) -> float | None:
    """N H W C with channel_axis=-1, and N C H W in channels-last memory, against N C H W.

    The frozen norm has no sums in y and dx, and is bit-identical; the others may sum in another order.
    """
    first = problem.but(x=plain(problem.x), dy=plain(problem.dy))
    x, dy = (plain(np.moveaxis(a, 1, -1)) for a in (first.x, first.dy))
    last = first.but(x=x, dy=dy, channel_axis=-1)
    one, other, tol = gradients(target, first), gradients(target, last), tolerance(first)
    assert one.dx is not None and other.dx is not None
    pairs = [
        (target.forward(first).y, np.moveaxis(target.forward(last).y, -1, 1)),
        (one.dx, np.moveaxis(other.dx, -1, 1)),
    ]
    if problem.norm == "batch_frozen" and identical(*pairs):
        return float("inf")
    errors = [(wide(a) - wide(b), 2 * limit) for (a, b), limit in zip(pairs, (tol.y, tol.dx), strict=True)]
    for name in ("dweight", "dbias"):
        a, b = getattr(one, name), getattr(other, name)
        if a is not None and b is not None:
            errors.append((wide(a) - wide(b), 2 * getattr(tol, name)))
    by_memory = first.but(x=to_channels_last(first.x), dy=to_channels_last(first.dy))
    return max(worst(*errors), same(target, first, by_memory))


@holds("f(view) = f(copy)", exact=True, layouts=AWKWARD)
def view(target: Target, problem: Problem) -> float | None:
    """Strides, read-only flags and odd strides of single elements change nothing, not one bit."""
    copy = problem.but(x=problem.x.copy(order="K"), dy=problem.dy.copy())
    mine, copies = gradients(target, problem), gradients(target, copy)
    return identical((target.forward(problem).y, target.forward(copy).y), *zip(mine, copies, strict=True))


@holds("f(any layout) = f(plain layout)", layouts=AWKWARD)
def layout(target: Target, problem: Problem) -> float | None:
    """Another order in memory may sum in another order: equal within the tolerance."""
    return same(target, problem, problem.but(x=plain(problem.x), dy=plain(problem.dy)))


@holds("inputs are unchanged", exact=True)
def inputs_unchanged(target: Target, problem: Problem) -> float | None:
    """Not one bit of x, dy, the parameters or the running statistics is written."""
    names = ("x", "dy", "weight", "bias", "running_mean", "running_var")
    arrays = [a for a in (getattr(problem, name) for name in names) if a is not None]
    before = [a.tobytes() for a in arrays]
    gradients(target, problem)
    return 0.0 if before == [a.tobytes() for a in arrays] else float("inf")


@holds("dtype, shape and layout preserved", exact=True, layouts=("plain", "channels_last", "fortran"))
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


@holds("out= takes the same result", exact=True)
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


@holds("all masks of needs agree", exact=True)
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


@holds("two backward passes are equal", exact=True)
def twice(target: Target, problem: Problem) -> float | None:
    """Nothing accumulates between them."""
    forward = target.forward(problem)
    once = target.backward(problem.dy, forward)
    return identical(*zip(once, target.backward(problem.dy, forward), strict=True))


@holds("forward passes do not mix", exact=True)
def interleaved(target: Target, problem: Problem) -> float | None:
    """Another forward pass in between, of other numbers in the same shapes, changes no gradient."""
    alone = gradients(target, problem)
    forward = target.forward(problem)
    x = values("normal", problem.shape, problem.seed + 30).astype(problem.x.dtype)
    target.forward(problem.but(x=x))
    return identical(*zip(alone, target.backward(problem.dy, forward), strict=True))


@holds("absent parameters are 1 and 0", affine=False)
def absent(target: Target, problem: Problem) -> float | None:
    """No weight is a weight of 1, no bias a bias of 0: the same y and dx."""
    count = int(param_ids(problem).max()) + 1
    shape = problem.normalized_shape or (count,)
    ones, zeros = np.ones(shape, problem.x.dtype), np.zeros(shape, problem.x.dtype)
    explicit = problem.but(weight=ones, bias=None if problem.norm == "rms" else zeros)
    return same(target, problem, explicit)
