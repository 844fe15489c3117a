"""JAX: the plain formulas with the channels last, in float64 on the CPU, and its vjp.

The forward pass is Wu & He 2018, eq. 1, 2 and 6; rms norm is Zhang & Sennrich 2019, eq. 4; the frozen norm
Ioffe & Szegedy 2015, Algorithm 2, line 11; virtual batches, one piece after the other, Hoffer, Hubara &
Soudry 2017, Algorithm 1. The backward pass is JAX's. Where the channels are last, weight and bias broadcast
by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gnref.testing.oracles.inputs import limit_of_frameworks, refuse, widened
from gnref.testing.problems import CHANNEL_NORMS, Problem

try:
    from jax import enable_x64
except ImportError:  # before JAX 0.8
    from jax.experimental import enable_x64

Array = Any


class Structure(NamedTuple):
    """What of a problem is not numbers; hashable, so that JAX compiles once for each structure and shape."""

    norm: str
    channel_axis: int
    num_groups: int | None
    normalized_shape: tuple[int, ...] | None
    virtual_batch_size: int | None


class Arrays(NamedTuple):
    """What JAX differentiates by. None is an empty tree to JAX, and its gradient is None."""

    x: Array
    weight: Array | None
    bias: Array | None


class Constants(NamedTuple):
    """The other numbers of a forward pass; the running ones are None but for the frozen norm."""

    eps: float
    running_mean: Array
    running_var: Array


def why_not(problem: Problem) -> str:
    """Say why this oracle does not take the problem; "" if it does.

    Empty arrays, NaN, infinities, numbers for which float64 leaves its range, and a set with var + eps == 0.
    """
    return limit_of_frameworks(problem)


def y(problem: Problem) -> Array:
    """Return y in float64. Its error grows with the mean of x over its spread, as nothing is corrected."""
    refuse(why_not(problem))
    with _float64_on_cpu():
        return np.array(_compiled_forward(*_inputs(problem)))


def gradients(problem: Problem) -> tuple[Array, Array | None, Array | None]:
    """Return dx, dweight and dbias in float64; None for an absent parameter."""
    refuse(why_not(problem))
    with _float64_on_cpu():
        results = _compiled_backward(*_inputs(problem), widened(problem).dy)
        dx, dweight, dbias = (None if a is None else np.array(a) for a in results)
    return dx, dweight, dbias


@contextmanager
def _float64_on_cpu() -> Iterator[None]:
    """Compute in float64 on the CPU here, and leave the user's settings as they are."""
    with enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        yield


def _inputs(problem: Problem) -> tuple[Structure, Arrays, Constants]:
    """The problem, sorted by what it is to JAX."""
    wide = widened(problem)
    structure = Structure(*(getattr(problem, name) for name in Structure._fields))
    constants = Constants(float(problem.eps), wide.running_mean, wide.running_var)
    return structure, Arrays(wide.x, wide.weight, wide.bias), constants


def _forward(problem: Structure, arrays: Arrays, constants: Constants) -> Array:
    """y, with the channels, if there are any, moved last and back."""
    x, weight, bias = arrays
    c = problem.channel_axis if problem.norm in CHANNEL_NORMS else -1
    out = _xhat(problem, jnp.moveaxis(x, c, -1), constants)
    out = out if weight is None else out * weight
    out = out if bias is None else out + bias
    return jnp.moveaxis(out, -1, c)


def _backward(problem: Structure, arrays: Arrays, constants: Constants, dy: Array) -> Any:
    """dx, dweight and dbias."""
    _, vjp = jax.vjp(lambda arrays: _forward(problem, arrays, constants), arrays)
    return vjp(dy)[0]


def _xhat(problem: Structure, x: Array, constants: Constants) -> Array:
    """xhat of (N, ..., C), or of (..., *normalized_shape)."""
    eps, spatial = constants.eps, tuple(range(1, x.ndim - 1))
    if problem.norm not in CHANNEL_NORMS:
        trailing = tuple(range(-len(problem.normalized_shape or ()), 0))
        return _standardized(x, trailing, eps, center=problem.norm == "layer")
    if problem.norm == "batch_frozen":
        return (x - constants.running_mean) / jnp.sqrt(constants.running_var + eps)
    if problem.norm == "group":
        grouped = jnp.reshape(x, (*x.shape[:-1], problem.num_groups, -1))
        return jnp.reshape(_standardized(grouped, (*spatial, -1), eps), x.shape)
    if problem.norm == "instance":
        return _standardized(x, spatial, eps)
    pieces = jnp.split(x, len(x) // (problem.virtual_batch_size or len(x)))
    return jnp.concatenate([_standardized(piece, (0, *spatial), eps) for piece in pieces])


def _standardized(x: Array, axes: tuple[int, ...], eps: float, center: bool = True) -> Array:
    """x without its mean over the axes (unless center is False), over the root of its mean square and eps."""
    d = x - jnp.mean(x, axes, keepdims=True) if center else x
    return d / jnp.sqrt(jnp.mean(jnp.square(d), axes, keepdims=True) + eps)


_compiled_forward = jax.jit(_forward, static_argnums=0)
_compiled_backward = jax.jit(_backward, static_argnums=0)
