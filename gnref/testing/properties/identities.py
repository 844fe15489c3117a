"""Norms that are each other's special cases."""

from __future__ import annotations

import numpy as np

from gnref.testing.problems import Problem
from gnref.testing.properties.property import close, holds, results, wide, worst
from gnref.testing.targets.target import Target, gradients
from gnref.testing.tolerances import tolerance


def same(target: Target, one: Problem, other: Problem) -> float:
    """Compare y and all gradients of two problems that are the same by another name."""
    here, there = results(target, one), results(target, other)
    common = here.keys() & there.keys()
    return close(one, {k: here[k] for k in common}, {k: there[k] for k in common})


@holds("G = 1 is layer norm", norms=["group"], requires=("norms",), museum=(50,), channel_axes=False)
def one_group(target: Target, problem: Problem) -> float | None:
    """With affine they differ: a weight per channel here, a weight per element there."""
    bare = problem.but(num_groups=1, weight=None, bias=None)
    layer = bare.but(norm="layer", num_groups=None, normalized_shape=problem.shape[1:])
    return same(target, bare, layer)


@holds("G = C is instance norm", norms=["instance"], requires=("norms",))
def all_groups(target: Target, problem: Problem) -> float | None:
    """A group of one channel is that channel."""
    C = problem.shape[problem.channel_axis]
    return same(target, problem.but(norm="group", num_groups=C), problem)


@holds("N = 1: batch norm is instance norm", norms=["instance"], requires=("norms",))
def one_example(target: Target, problem: Problem) -> float | None:
    """Where the set has more than one element, which batch norm asks for."""
    first = problem.but(x=problem.x[:1], dy=problem.dy[:1])
    if first.x.size == first.shape[problem.channel_axis]:
        return None
    return same(target, first.but(norm="batch"), first)


@holds("virtual batches are pieces", norms=["batch"], requires=("norms",), museum=(63, 64), virtual=(True,))
def pieces(target: Target, problem: Problem) -> float | None:
    """y and dx piece by piece; dweight and dbias are sums over the pieces."""
    size = problem.virtual_batch_size
    if size is None:
        return None
    cuts = [slice(i, i + size) for i in range(0, problem.shape[0], size)]
    parts = [problem.but(x=problem.x[cut], dy=problem.dy[cut], virtual_batch_size=None) for cut in cuts]
    ys = [target.forward(part).y for part in parts]
    grads = [gradients(target, part) for part in parts]
    whole, tol = gradients(target, problem), tolerance(problem)
    assert whole.dx is not None
    pairs = [
        (wide(target.forward(problem).y) - wide(np.concatenate(ys)), 2 * tol.y),
        (wide(whole.dx) - wide(np.concatenate([grad.dx for grad in grads])), 2 * tol.dx),
    ]
    for name in ("dweight", "dbias"):
        if getattr(whole, name) is not None:
            allowed = 2 * getattr(tol, name) + sum(getattr(tolerance(part), name) for part in parts)
            summed = sum(wide(getattr(grad, name)) for grad in grads)
            pairs.append((wide(getattr(whole, name)) - summed, allowed))
    return worst(*pairs)
