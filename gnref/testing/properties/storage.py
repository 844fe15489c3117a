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
from gnref.testing.properties.property import Results, agree, close, holds, identical, results
from gnref.testing.targets.target import Gradients, Target, Unsupported

AWKWARD = tuple(name for name in LAYOUTS if name != "plain")


@holds(
    "channels last is a transpose",
    norms=CHANNEL_NORMS,
    requires=("channel_axis",),
    museum=(44, 45),
    channel_axes=False,
)
def channels_last(target: Target, problem: Problem) -> float | None:
    """N H W C with channel_axis=-1, and N C H W in channels-last memory, against N C H W.

    The frozen norm has no sums in y and dx, and is bit-identical; the others may sum in another order.
    """
    first = problem.but(x=plain(problem.x), dy=plain(problem.dy))
    x, dy = (plain(np.moveaxis(a, 1, -1)) for a in (first.x, first.dy))
    last = first.but(x=x, dy=dy, channel_axis=-1)
    one, other = results(target, first), results(target, last)
    back = {
        k: np.moveaxis(a, -1, 1) if k in ("y", "dx") and a.ndim == x.ndim else a for k, a in other.items()
    }
    pairs = [(one[name], back[name]) for name in ("y", "dx") if name in one]
    if problem.norm == "batch_frozen" and identical(*pairs):
        return float("inf")
    by_memory = first.but(x=to_channels_last(first.x), dy=to_channels_last(first.dy))
    positive = last.but(channel_axis=problem.rank - 1)
    return max(close(first, one, back), same(target, first, by_memory), same(target, last, positive))


@holds(
    "f(view) = f(copy)", exact=True, requires=("strides",), museum=(51, 53, 54), examples=3, layouts=AWKWARD
)
def view(target: Target, problem: Problem) -> float | None:
    """Strides, read-only flags and odd strides of single elements change nothing, in grade A not one bit."""
    params = {k: a.copy() for k, a in problem.parameters.items()}
    copy = problem.but(x=problem.x.copy(order="K"), dy=problem.dy.copy(), **params)
    return agree(problem, results(target, problem), results(target, copy))


@holds(
    "f(any layout) = f(plain layout)",
    requires=("strides",),
    museum=(51, 52, 53, 54, 56),
    examples=3,
    layouts=AWKWARD,
)
def layout(target: Target, problem: Problem) -> float | None:
    """Another order in memory may sum in another order: equal within the tolerance."""
    params = {k: plain(a) for k, a in problem.parameters.items()}
    return same(target, problem, problem.but(x=plain(problem.x), dy=plain(problem.dy), **params))


@holds("inputs are unchanged", exact=True, museum=(57,))
def inputs_unchanged(target: Target, problem: Problem) -> float | None:
    """Not one bit of x, dy, the parameters or the running statistics is written."""
    names = ("x", "dy", "weight", "bias", "running_mean", "running_var")
    arrays = [a for a in (getattr(problem, name) for name in names) if a is not None]
    before = [a.tobytes() for a in arrays]
    results(target, problem)
    return 0.0 if before == [a.tobytes() for a in arrays] else float("inf")


@holds(
    "reads and writes in bounds",
    exact=True,
    requires=("fill",),
    museum=(56,),
    layouts=("plain", "every_second"),
)
def in_bounds(target: Target, problem: Problem) -> float | None:
    """Arrays lie in larger buffers, which stay as they are, and whose numbers make no difference."""
    runs = []
    for fill in (np.nan, 1.0):
        forward = target.forward(problem, fill=fill)
        found = {"y": forward.y}
        if "backward" in target.abilities:
            found |= present(target.backward(problem.dy, forward, fill=fill))
        runs.append(found)
    return close(problem, *runs)


@holds("every call returns", exact=True, museum=(23, 45, 47, 55), examples=2)
def returns(target: Target, problem: Problem) -> float | None:
    """No call raises, hangs or takes the process down."""
    results(target, problem)
    return 0.0


@holds(
    "dtype and shape preserved",
    exact=True,
    museum=(49,),
    layouts=("plain", "channels_last", "fortran"),
)
def preserved(target: Target, problem: Problem) -> float | None:
    """y and dx are like x; dweight and dbias like their parameters, and absent with them."""
    found, x = results(target, problem), problem.x
    like: dict[str, Array | None] = {"y": x}
    if "backward" in target.abilities:
        like |= {"dx": x, "dweight": problem.weight, "dbias": problem.bias}
    expected = {name: a for name, a in like.items() if a is not None}
    if found.keys() != expected.keys():
        return float("inf")
    if any((found[k].dtype, found[k].shape) != (a.dtype, a.shape) for k, a in expected.items()):
        return float("inf")
    return 0.0


@holds("layout preserved", exact=True, requires=("layout",), layouts=("plain", "channels_last", "fortran"))
def layout_preserved(target: Target, problem: Problem) -> float | None:
    """y and dx lie in memory as x does."""
    found, like = results(target, problem), _long_strides(np.empty_like(problem.x))
    return 0.0 if all(_long_strides(found[k]) == like for k in ("y", "dx")) else float("inf")


def _long_strides(a: Array | None) -> list[int]:
    """Strides of the axes longer than 1; the others mean nothing."""
    assert a is not None
    return [stride for stride, size in zip(a.strides, a.shape, strict=True) if size > 1]


@holds("out= takes the same result", exact=True, requires=("out",))
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


@holds("some gradients alone equal all", exact=True, requires=("needs",), museum=(30,))
def needs(target: Target, problem: Problem) -> float | None:
    """Whichever gradients are wanted, they are what they are among all; the others are None."""
    forward = target.forward(problem)
    full = present(target.backward(problem.dy, forward))
    names = [name for name in ("x", "weight", "bias") if f"d{name}" in full]
    masks = [mask for count in range(1, len(names)) for mask in combinations(names, count)]
    found = 0.0
    for mask in masks if problem.grade == "A" else masks[problem.seed % max(1, len(masks)) :][:1]:
        some = present(target.backward(problem.dy, forward, needs=mask))
        found = max(found, agree(problem, {k: full[k] for k in map("d{}".format, mask)}, some))
    return found


@holds("y is the same where differentiated", requires=("differentiates",))
def recorded(target: Target, problem: Problem) -> float | None:
    """A pass that a backward pass will follow gives the y of one that none will."""
    y = {"y": target.forward(problem).y}
    return close(problem, y, {"y": target.forward(problem, recorded=True).y})


@holds("two backward passes are equal", exact=True, requires=("backward",), museum=(32,))
def twice(target: Target, problem: Problem) -> float | None:
    """Nothing accumulates between them, and nothing is used up."""
    forward = target.forward(problem)
    once = present(target.backward(problem.dy, forward))
    return agree(problem, once, present(target.backward(problem.dy, forward)))


@holds("forward passes do not mix", exact=True)
def interleaved(target: Target, problem: Problem) -> float | None:
    """Another forward pass in between, of other numbers in the same shapes, changes nothing."""
    alone = {name: a.copy() for name, a in results(target, problem).items()}
    forward = target.forward(problem)
    x = values("normal", problem.shape, problem.seed + 30).astype(problem.x.dtype)
    other = target.forward(problem.but(x=x))  # kept: what it owns must not be reused
    mixed = {"y": forward.y}
    if "backward" in target.abilities:
        mixed |= present(target.backward(problem.dy, forward))
    del other
    return agree(problem, alone, mixed)


@holds("absent parameters are 1 and 0", museum=(23,), affine=False)
def absent(target: Target, problem: Problem) -> float | None:
    """No weight is a weight of 1, no bias a bias of 0, one without the other too: the same y and dx."""
    count = int(param_ids(problem).max()) + 1
    shape = problem.normalized_shape or (count,)
    ones, zeros = np.ones(shape, problem.x.dtype), np.zeros(shape, problem.x.dtype)
    given = {"weight": ones} if problem.norm == "rms" else {"weight": ones, "bias": zeros}
    bare, full = problem.but(weight=None, bias=None), problem.but(**given)
    found, left_out = [], None
    for some in _subsets(given):
        try:
            found.append(same(target, bare.but(**{k: given[k] for k in some}), full))
        except Unsupported as outside:  # one without the other: layers of PyTorch have both or none
            left_out = outside
    if left_out is not None and not found:
        raise left_out
    return max(found)


def _subsets(names: dict[str, Array]) -> list[list[str]]:
    """Every choice of some of the names, all but the full one."""
    return [list(some) for count in range(len(names)) for some in combinations(names, count)]


def present(grads: Gradients) -> Results:
    """The gradients that are there."""
    return {name: a for name, a in grads._asdict().items() if a is not None}
