"""The norms, with gnref's own signatures."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import jax
import jax.numpy as jnp

import gnref
from gnref import passes
from gnref.arguments import check_params
from gnref.arrays import check_array, dtype_name
from gnref.bridges.jax import primitives
from gnref.bridges.jax.call import Call
from gnref.checks import check_eps

Array = Any  # jax.Array


def batch_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    virtual_batch_size: int | None = None,
) -> Array:
    """`gnref.batch_norm` of JAX arrays.

    Parameters, errors and formula are those of `gnref.batch_norm`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from gnref.bridges.jax import batch_norm
    >>> batch_norm(jnp.array([[1.0, 10.0], [3.0, 30.0]]), eps=0.0)
    Array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    """
    return _normalize(
        "batch", x, weight, bias, eps, channel_axis=channel_axis, virtual_batch_size=virtual_batch_size
    )


def instance_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
) -> Array:
    """`gnref.instance_norm` of JAX arrays.

    Parameters, errors and formula are those of `gnref.instance_norm`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from gnref.bridges.jax import instance_norm
    >>> instance_norm(jnp.array([[[1.0, 3.0], [10.0, 30.0]]]), eps=0.0)
    Array([[[-1.,  1.],
            [-1.,  1.]]], dtype=float32)
    """
    return _normalize("instance", x, weight, bias, eps, channel_axis=channel_axis)


def group_norm(
    x: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
) -> Array:
    """`gnref.group_norm` of JAX arrays.

    Parameters, errors and formula are those of `gnref.group_norm`.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from gnref.bridges.jax import group_norm
    >>> x = jnp.array([[1.0, 3.0, 10.0, 30.0]])
    >>> jax.jit(lambda x: group_norm(x, num_groups=2, eps=0.0))(x)
    Array([[-1.,  1., -1.,  1.]], dtype=float32)
    """
    return _normalize("group", x, weight, bias, eps, num_groups=num_groups, channel_axis=channel_axis)


def layer_norm(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
) -> Array:
    """`gnref.layer_norm` of JAX arrays.

    Parameters, errors and formula are those of `gnref.layer_norm`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from gnref.bridges.jax import layer_norm
    >>> layer_norm(jnp.array([[1.0, 3.0], [10.0, 30.0]]), 2, eps=0.0)
    Array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """
    return _normalize("layer", x, weight, bias, eps, normalized_shape=normalized_shape)


def rms_norm(
    x: Array, normalized_shape: int | Sequence[int], weight: Array | None = None, *, eps: float = 1e-5
) -> Array:
    """`gnref.rms_norm` of JAX arrays.

    Parameters, errors and formula are those of `gnref.rms_norm`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from gnref.bridges.jax import rms_norm
    >>> rms_norm(jnp.array([[2.0, -2.0], [30.0, 30.0]]), 2, eps=0.0)
    Array([[ 1., -1.],
           [ 1.,  1.]], dtype=float32)
    """
    return _normalize("rms", x, weight, None, eps, normalized_shape=normalized_shape)


def batch_norm_frozen(
    x: Array,
    running_mean: Array,
    running_var: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
) -> Array:
    """`gnref.batch_norm_frozen` of JAX arrays.

    Parameters, errors and formula are those of `gnref.batch_norm_frozen`. There are no statistics to
    compute: gnref's reference runs in JAX's own operations. The running ones are constants, with no gradient.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from gnref.bridges.jax import batch_norm_frozen
    >>> x = jnp.array([[1.0, 10.0], [3.0, 30.0]])
    >>> batch_norm_frozen(x, jnp.array([1.0, 10.0]), jnp.array([4.0, 100.0]), eps=0.0)
    Array([[0., 0.],
           [1., 2.]], dtype=float32)
    """
    own = [_asarray(a, name) for a, name in ((x, "x"), (weight, "weight"), (bias, "bias"))]
    running = [
        jax.lax.stop_gradient(_asarray(a, name))
        for a, name in ((running_mean, "running_mean"), (running_var, "running_var"))
    ]
    return gnref.batch_norm_frozen(
        own[0], *running, *own[1:], eps=eps, channel_axis=channel_axis, backend="reference"
    )


def _normalize(
    norm: str, x: Array, weight: Array | None, bias: Array | None, eps: float, **axes: Any
) -> Array:
    """Check everything while JAX traces, and leave the numbers to the primitive."""
    x, weight, bias = _asarray(x, "x"), _asarray(weight, "weight"), _asarray(bias, "bias")
    view = passes.make_plan(norm, x, "reference", axes).view
    check_params(view, x, weight=weight, bias=bias)
    call = Call(
        norm,
        tuple(x.shape),
        dtype_name(x.dtype),
        None if weight is None else dtype_name(weight.dtype),
        None if bias is None else dtype_name(bias.dtype),
        check_eps(eps),
        tuple((name, _plain(value)) for name, value in axes.items() if value is not None),
    )
    given = {name: a for name, a in (("x", x), ("weight", weight), ("bias", bias)) if a is not None}
    return primitives.bind(primitives.normalize, call, given, ("y", *call.stats))["y"]


def _asarray(a: Any, name: str) -> Any:
    """A NumPy array as JAX's; anything else that is no array is an error."""
    if a is None and name != "x":
        return None
    check_array(a, name)
    return a if isinstance(a, jax.Array) else jnp.asarray(a)


def _plain(value: Any) -> Any:
    """An option that was found to be an integer, or a sequence of them, as Python's own."""
    try:
        return index(value)
    except TypeError:
        return tuple(map(index, value))


# What gnref's test kit looks at.
_NORMS: dict[str, Any] = {
    "batch": batch_norm,
    "instance": instance_norm,
    "group": group_norm,
    "layer": layer_norm,
    "rms": rms_norm,
}
for _norm, _function in _NORMS.items():
    _function.norm, _function.arrays = _norm, "jax"
