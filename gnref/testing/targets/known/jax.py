"""JAX: `jax.nn.standardize`, the one normalization that JAX itself has, and its vjp.

It takes any axes, has no weight and no bias, and is the layer norm of (..., normalized_shape), or with other
axes the batch, instance and group norm. The weight and the bias are put on afterwards. Its default algorithm
for the variance, which is checked here, is mean(x^2) - mean(x)^2. All is compiled by `jax.jit`, once for each
shape, as JAX's users do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

Array = Any  # jax.Array


def arguments(norm: str) -> dict[str, Any]:
    """The keyword arguments of `gnref.testing.check`."""
    return {"forward": JITTED[norm], "arrays": "jax"}


def batch(x: Array, weight: Array | None, bias: Array | None, eps: float) -> Array:
    """Batch norm in training mode."""
    return _affine(_standardized(x, (0, *range(2, x.ndim)), eps), weight, bias)


def instance(x: Array, weight: Array | None, bias: Array | None, eps: float) -> Array:
    """Instance norm."""
    return _affine(_standardized(x, range(2, x.ndim), eps), weight, bias)


def group(x: Array, num_groups: int, weight: Array | None, bias: Array | None, eps: float) -> Array:
    """Group norm."""
    N, C, *spatial = x.shape
    if C % num_groups:
        raise ValueError(f"num_groups is {num_groups}; expected a divisor of {C}")
    grouped = x.reshape(N, num_groups, C // num_groups, *spatial)
    xhat = _standardized(grouped, range(2, grouped.ndim), eps).reshape(x.shape)
    return _affine(xhat, weight, bias)


def layer(
    x: Array, normalized_shape: tuple[int, ...], weight: Array | None, bias: Array | None, eps: float
) -> Array:
    """Layer norm."""
    xhat = _standardized(x, range(x.ndim - len(normalized_shape), x.ndim), eps)
    xhat = xhat if weight is None else xhat * weight
    return xhat if bias is None else xhat + bias


STATIC = {"group": ("num_groups",), "layer": ("normalized_shape",)}
JITTED = {
    norm: jax.jit(function, static_argnames=STATIC.get(norm, ()))
    for norm, function in {"batch": batch, "instance": instance, "group": group, "layer": layer}.items()
}


def _standardized(x: Array, axes: Sequence[int], eps: float) -> Array:
    """xhat."""
    return jax.nn.standardize(x, axis=tuple(axes), epsilon=eps)


def _affine(xhat: Array, weight: Array | None, bias: Array | None) -> Array:
    """Put a weight and a bias per channel on (N, C, ...)."""
    shape = (-1, *(1 for _ in xhat.shape[2:]))
    xhat = xhat if weight is None else xhat * weight.reshape(shape)
    return xhat if bias is None else xhat + bias.reshape(shape)
