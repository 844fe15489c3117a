"""HIPS autograd through the classical broadcasting code.

The forward pass is Wu & He 2018, eq. 1, 2 and 6, in the manner of their figure 3, the code of group norm:
reshape x so that every set fills whole axes, take mean and variance over them, broadcast. rms norm is Zhang &
Sennrich 2019, eq. 4; the frozen norm Ioffe & Szegedy 2015, Algorithm 2, line 11. The backward pass is
autograd's.
"""

from __future__ import annotations

from math import prod
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np

from gnref.testing.oracles.inputs import limit_of_frameworks, refuse, running, widened
from gnref.testing.problems import CHANNEL_NORMS, Problem

Array = Any
Shape = tuple[int, ...]


def why_not(problem: Problem) -> str:
    """Say why this oracle does not take the problem; "" if it does.

    Empty arrays, NaN, infinities, numbers for which float64 leaves its range, and a set with var + eps == 0.
    """
    return limit_of_frameworks(problem)


def y(problem: Problem) -> Array:
    """Return y in float64. Its error grows with the mean of x over its spread, as nothing is corrected."""
    refuse(why_not(problem))
    wide = widened(problem)
    return _forward(_inputs(wide), wide)


def gradients(problem: Problem) -> tuple[Array, Array | None, Array | None]:
    """Return dx, dweight and dbias in float64; None for an absent parameter."""
    refuse(why_not(problem))
    wide = widened(problem)
    backward, _ = autograd.make_vjp(_forward)(_inputs(wide), wide)
    result = backward(wide.dy)
    return result["x"], result.get("weight"), result.get("bias")


def second(
    problem: Problem, ddx: Array, ddweight: Array | None = None, ddbias: Array | None = None
) -> tuple[Array, Array, Array | None]:
    """Return the gradients of <ddx, dx> + <ddweight, dweight> + <ddbias, dbias> by dy, x and weight.

    autograd differentiates its own backward pass. Where weight or bias is absent, so is its summand.
    """
    refuse(why_not(problem))
    wide, inputs = widened(problem), _inputs(widened(problem))
    along = {"x": ddx, "weight": ddweight, "bias": ddbias}

    def total(variables: dict[str, Array]) -> Array:
        backward, _ = autograd.make_vjp(_forward)({name: variables[name] for name in inputs}, wide)
        found = backward(variables["dy"])
        return sum(anp.sum(np.asarray(along[name], np.float64) * found[name]) for name in inputs)

    result = autograd.grad(total)(inputs | {"dy": wide.dy})
    return result["dy"], result["x"], result.get("weight")


def forward_mode(
    problem: Problem, x_dot: Array, weight_dot: Array | None = None, bias_dot: Array | None = None
) -> Array:
    """Return how y changes along a direction: the gradient by dy, of which the gradients are linear maps."""
    return second(problem, x_dot, weight_dot, bias_dot)[0]


def _inputs(problem: Problem) -> dict[str, Array]:
    """The arrays to differentiate by; autograd knows dicts, but not None."""
    arrays = {"x": problem.x, "weight": problem.weight, "bias": problem.bias}
    return {name: a for name, a in arrays.items() if a is not None}


def _forward(inputs: dict[str, Array], problem: Problem) -> Array:
    """y, for every norm: only the shapes and the axes differ."""
    shape, axes, params = _broadcasting(problem)
    x = _channels_first(inputs["x"], problem)
    folded = anp.reshape(x, shape)
    if problem.norm == "batch_frozen":
        mean, var = (anp.reshape(a, params) for a in running(problem))
    else:
        mean = 0.0 if problem.norm == "rms" else anp.mean(folded, axis=axes, keepdims=True)
        var = anp.mean((folded - mean) ** 2, axis=axes, keepdims=True)
    out = (folded - mean) / anp.sqrt(var + problem.eps)
    if "weight" in inputs:
        out = out * anp.reshape(inputs["weight"], params)
    if "bias" in inputs:
        out = out + anp.reshape(inputs["bias"], params)
    return _channels_back(anp.reshape(out, x.shape), problem)


def _broadcasting(problem: Problem) -> tuple[Shape, Shape, Shape]:
    """x's shape with each set on whole axes, those axes, and the shape in which weight and bias broadcast."""
    if problem.norm not in CHANNEL_NORMS:
        assert problem.normalized_shape is not None
        D = prod(problem.normalized_shape)
        return (-1, D), (1,), (D,)
    N, C = problem.shape[0], problem.shape[problem.channel_axis]
    HW = prod(problem.shape) // (N * C)
    if problem.norm == "group":
        assert problem.num_groups is not None
        G, K = problem.num_groups, C // problem.num_groups
        return (N, G, K, HW), (2, 3), (G, K, 1)
    if problem.norm == "batch":
        g = problem.virtual_batch_size or N
        return (N // g, g, C, HW), (1, 3), (C, 1)
    return (N, C, HW), (2,), (C, 1)  # instance; the frozen norm needs no axes


def _channels_first(x: Array, problem: Problem) -> Array:
    """x as (N, C, ...); for layer and rms as it is."""
    return anp.moveaxis(x, problem.channel_axis, 1) if problem.norm in CHANNEL_NORMS else x


def _channels_back(a: Array, problem: Problem) -> Array:
    """The inverse of `_channels_first`."""
    return anp.moveaxis(a, 1, problem.channel_axis) if problem.norm in CHANNEL_NORMS else a
