"""Flax: the layers of `flax.linen` with their defaults, differentiated by JAX.

Each layer is applied to parameters that are given, with the eps that is given and with x's dtype for y, as
``dtype=`` sets it. What stays as it comes is ``use_fast_variance=True``: E[x^2] - E[x]^2. BatchNorm and
InstanceNorm take the channels at any axis; GroupNorm takes them last, so that channels at another axis are
moved there and back. All is compiled by `jax.jit`, once for each shape.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen

Array = Any  # jax.Array


def arguments(norm: str) -> dict[str, Any]:
    """The keyword arguments of `gnref.testing.check`."""
    given: dict[str, Any] = {"forward": JITTED[norm], "arrays": "jax"}
    if norm in ("batch", "instance", "group"):
        given["layouts"] = ("channels_first", "channels_last")
    return given


def batch(x: Array, weight: Array | None, bias: Array | None, eps: float, channel_axis: int = 1) -> Array:
    """BatchNorm in training mode; the running statistics that it updates are thrown away."""
    C = x.shape[channel_axis]
    layer = linen.BatchNorm(use_running_average=False, axis=channel_axis, **_options(x, weight, bias, eps))
    running = {"mean": jnp.zeros(C), "var": jnp.ones(C)}
    y, _ = layer.apply({**_params(weight, bias), "batch_stats": running}, x, mutable=["batch_stats"])
    return y


def instance(x: Array, weight: Array | None, bias: Array | None, eps: float, channel_axis: int = 1) -> Array:
    """InstanceNorm."""
    layer = linen.InstanceNorm(feature_axes=channel_axis, **_options(x, weight, bias, eps))
    return layer.apply(_params(weight, bias), x)


def group(
    x: Array, num_groups: int, weight: Array | None, bias: Array | None, eps: float, channel_axis: int = 1
) -> Array:
    """GroupNorm."""
    layer = linen.GroupNorm(num_groups=num_groups, **_options(x, weight, bias, eps))
    y = layer.apply(_params(weight, bias), jnp.moveaxis(x, channel_axis, -1))
    return jnp.moveaxis(y, -1, channel_axis)


def layer(
    x: Array, normalized_shape: tuple[int, ...], weight: Array | None, bias: Array | None, eps: float
) -> Array:
    """LayerNorm."""
    axes = tuple(range(-len(normalized_shape), 0))
    made = linen.LayerNorm(reduction_axes=axes, feature_axes=axes, **_options(x, weight, bias, eps))
    return made.apply(_params(weight, bias), x)


def rms(x: Array, normalized_shape: tuple[int, ...], weight: Array | None, eps: float) -> Array:
    """RMSNorm."""
    axes = tuple(range(-len(normalized_shape), 0))
    made = linen.RMSNorm(
        epsilon=eps, dtype=x.dtype, use_scale=weight is not None, reduction_axes=axes, feature_axes=axes
    )
    return made.apply(_params(weight, None), x)


STATIC = {
    "batch": ("channel_axis",),
    "instance": ("channel_axis",),
    "group": ("num_groups", "channel_axis"),
    "layer": ("normalized_shape",),
    "rms": ("normalized_shape",),
}
JITTED = {norm: jax.jit(globals()[norm], static_argnames=names) for norm, names in STATIC.items()}


def _options(x: Array, weight: Array | None, bias: Array | None, eps: float) -> dict[str, Any]:
    """What the layers are made with."""
    return {
        "epsilon": eps,
        "dtype": x.dtype,
        "use_scale": weight is not None,
        "use_bias": bias is not None,
    }


def _params(weight: Array | None, bias: Array | None) -> dict[str, Any]:
    """What they are applied to."""
    given = {"scale": weight, "bias": bias}
    return {"params": {name: a for name, a in given.items() if a is not None}}
