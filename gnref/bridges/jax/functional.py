"""The norms, with gnref's own signatures."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

import gnref
from gnref import passes
from gnref.arguments import check_params
from gnref.arrays import check_array, dtype_name, library
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
    r"""Normalize each channel over the batch and the spatial axes.

    Parameters
    ----------
    x : array, (N, C, \*spatial)
        A JAX or NumPy array of float16, bfloat16, float32 or float64, which JAX makes float32 unless
        `jax_enable_x64` is on. At least two dimensions.
    weight, bias : array, (C,), optional
        Scale and shift of each channel; absent, 1 and 0.
    eps : float
        Added to the biased variance, inside the square root. >= 0.
    channel_axis : int
        Which axis of x is C: any but 0; -1 is channels last.
    virtual_batch_size : int, optional
        g: statistics of g examples each, which divides N; by default of all N.

    Returns
    -------
    y : jax.Array
        Of x's shape and dtype. Nothing is promoted: 16-bit x with float32 weights, the usual mix, is
        computed wider than both and gives 16 bits back.

    Raises
    ------
    ShapeError
        One element per channel, g does not divide N, a weight that is not (C,), or a wrong axis.
    ValueError
        eps negative or not finite; arrays placed on different devices, which JAX refuses to combine.
    TypeError
        Not a floating-point array, or an option, such as eps, that JAX traces.

    Notes
    -----
    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, the mean and variance of each channel over the
    examples and the spatial axes: Ioffe & Szegedy 2015, Algorithm 1; Wu & He 2018, eq. 1, 2, 3 and 6. Running
    statistics are the caller's: `batch_norm_frozen` takes them.

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
    r"""Normalize each channel of each example over the spatial axes.

    Parameters
    ----------
    x : array, (N, C, \*spatial)
        A JAX or NumPy array of float16, bfloat16, float32 or float64, which JAX makes float32 unless
        `jax_enable_x64` is on. At least two dimensions.
    weight, bias : array, (C,), optional
        Scale and shift of each channel; absent, 1 and 0.
    eps : float
        Added to the biased variance, inside the square root. >= 0.
    channel_axis : int
        Which axis of x is C: any but 0; -1 is channels last.

    Returns
    -------
    y : jax.Array
        Of x's shape and dtype. Nothing is promoted: 16-bit x with float32 weights, the usual mix, is
        computed wider than both and gives 16 bits back.

    Raises
    ------
    ShapeError
        A weight that is not (C,), or a wrong axis.
    ValueError
        eps negative or not finite; arrays placed on different devices, which JAX refuses to combine.
    TypeError
        Not a floating-point array, or an option, such as eps, that JAX traces.

    Notes
    -----
    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, the mean and variance of each channel of each
    example over the spatial axes: Wu & He 2018, eq. 1, 2, 5 and 6.

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
    r"""Normalize each group of K = C/G consecutive channels of each example.

    Parameters
    ----------
    x : array, (N, C, \*spatial)
        A JAX or NumPy array of float16, bfloat16, float32 or float64, which JAX makes float32 unless
        `jax_enable_x64` is on. At least two dimensions.
    num_groups : int
        G, a positive integer that divides C. G = 1 is the paper's layer norm, G = C instance norm.
    weight, bias : array, (C,), optional
        Scale and shift of each channel (not of each group); absent, 1 and 0.
    eps : float
        Added to the biased variance, inside the square root. >= 0.
    channel_axis : int
        Which axis of x is C: any but 0; -1 is channels last.

    Returns
    -------
    y : jax.Array
        Of x's shape and dtype. Nothing is promoted: 16-bit x with float32 weights, the usual mix, is
        computed wider than both and gives 16 bits back.

    Raises
    ------
    ShapeError
        G does not divide C, a weight that is not (C,), or a wrong axis.
    ValueError
        eps negative or not finite; arrays placed on different devices, which JAX refuses to combine.
    TypeError
        Not a floating-point array, or an option, such as eps, that JAX traces.

    Notes
    -----
    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, the mean and variance over the K channels of
    a group and the spatial axes: Wu & He 2018, eq. 1, 2, 6 and 7.

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
    r"""Normalize over the trailing dimensions.

    Parameters
    ----------
    x : array, (\*leading, \*normalized_shape)
        A JAX or NumPy array of float16, bfloat16, float32 or float64; any number of leading dimensions.
    normalized_shape : int or sequence of int
        x's trailing dimensions, up to all of them.
    weight, bias : array, normalized_shape, optional
        Scale and shift of each element; absent, 1 and 0.
    eps : float
        Added to the biased variance, inside the square root. >= 0.

    Returns
    -------
    y : jax.Array
        Of x's shape and dtype. Nothing is promoted: 16-bit x with float32 weights, the usual mix, is
        computed wider than both and gives 16 bits back.

    Raises
    ------
    ShapeError
        normalized_shape is empty or not x's trailing dimensions, or a weight has another shape.
    ValueError
        eps negative or not finite; arrays placed on different devices, which JAX refuses to combine.
    TypeError
        Not a floating-point array, or an option, such as eps, that JAX traces.

    Notes
    -----
    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, the mean and variance over the trailing
    dimensions: Ba, Kiros & Hinton 2016, eq. 3; Wu & He 2018, eq. 1, 2, 4 and 6. Theirs has a weight for each
    channel, which is ``group_norm(x, 1, weight, bias)``.

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
    r"""Divide by the root mean square over the trailing dimensions; no mean is subtracted.

    Parameters
    ----------
    x : array, (\*leading, \*normalized_shape)
        A JAX or NumPy array of float16, bfloat16, float32 or float64; any number of leading dimensions.
    normalized_shape : int or sequence of int
        x's trailing dimensions, up to all of them.
    weight : array, normalized_shape, optional
        Scale of each element; absent, 1.
    eps : float
        Added to the mean square, inside the square root. >= 0.

    Returns
    -------
    y : jax.Array
        Of x's shape and dtype. Nothing is promoted: 16-bit x with float32 weights, the usual mix, is
        computed wider than both and gives 16 bits back.

    Raises
    ------
    ShapeError
        normalized_shape is empty or not x's trailing dimensions, or weight has another shape.
    ValueError
        eps negative or not finite; arrays placed on different devices, which JAX refuses to combine.
    TypeError
        Not a floating-point array, or an option, such as eps, that JAX traces.

    Notes
    -----
    ``y = x / sqrt(mean(x**2) + eps) * weight``: Zhang & Sennrich 2019, eq. 4, which has no eps.

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
    r"""Normalize each channel with a mean and a variance that are given.

    Parameters
    ----------
    x : array, (N, C, \*spatial)
        A JAX or NumPy array of float16, bfloat16, float32 or float64, which JAX makes float32 unless
        `jax_enable_x64` is on. At least two dimensions.
    running_mean, running_var : array, (C,)
        The statistics; constants, without a gradient.
    weight, bias : array, (C,), optional
        Scale and shift of each channel; absent, 1 and 0.
    eps : float
        Added to running_var, inside the square root. >= 0.
    channel_axis : int
        Which axis of x is C: any but 0; -1 is channels last.

    Returns
    -------
    y : jax.Array
        Of x's shape and dtype: 16-bit x with float32 weights, the usual mix, is computed in float32 and
        gives 16 bits back.

    Raises
    ------
    ShapeError
        A weight or a statistic that is not (C,), or a wrong axis.
    ValueError
        eps negative or not finite; arrays placed on different devices, which JAX refuses to combine.
    TypeError
        Not a floating-point array, or an option, such as eps, that JAX traces.

    Notes
    -----
    ``y = (x - running_mean) / sqrt(running_var + eps) * weight + bias``: Ioffe & Szegedy 2015,
    Algorithm 2, line 11. There are no statistics to compute: gnref's reference runs in JAX's own operations.

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
        own[0],
        *running,
        *own[1:],
        eps=_known_eps(eps, channel_axis=channel_axis),
        channel_axis=channel_axis,
        backend="reference",
    )


def _normalize(
    norm: str, x: Array, weight: Array | None, bias: Array | None, eps: float, **axes: Any
) -> Array:
    """Check everything while JAX traces, and leave the numbers to the primitive."""
    x, weight, bias = _asarray(x, "x"), _asarray(weight, "weight"), _asarray(bias, "bias")
    eps = _known_eps(eps, **axes)
    view = passes.make_plan(norm, x, "reference", axes).view
    check_params(view, x, weight=weight, bias=bias)
    call = Call(
        norm,
        tuple(x.shape),
        dtype_name(x.dtype),
        None if weight is None else dtype_name(weight.dtype),
        None if bias is None else dtype_name(bias.dtype),
        eps,
        tuple((name, _plain(value)) for name, value in axes.items() if value is not None),
    )
    arrays = (("x", x), ("weight", weight), ("bias", bias))
    given = {name: _gathered(a) for name, a in arrays if a is not None}
    return primitives.bind(primitives.normalize, call, given, ("y", *call.stats))["y"]


def _asarray(a: Any, name: str) -> Any:
    """A NumPy array as JAX's; anything else that is no array is an error."""
    if a is None and name != "x":
        return None
    check_array(a, name)
    if isinstance(a, jax.Array):
        return a
    if library(a) != "numpy":
        raise TypeError(f"{name} is a {library(a)} array; expected one of JAX or NumPy")
    return jnp.asarray(a if a.dtype.isnative else a.astype(a.dtype.newbyteorder("=")))


def _known_eps(eps: Any, **axes: Any) -> float:
    """eps as a number; raise if JAX traces it or another option: they decide what is compiled."""
    for name, value in {"eps": eps, **axes}.items():
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value)):
            raise TypeError(
                f"{name} is traced; expected a value that is known while JAX traces, as {name} is with "
                f"jax.jit(..., static_argnames={name!r})"
            )
    return check_eps(eps.item() if isinstance(eps, jax.Array) and eps.ndim == 0 else eps)


def _gathered(a: Array) -> Array:
    """An array whose type says how it is spread over a mesh of explicit axes: whole on each device."""
    spec = getattr(getattr(primitives.typeof(a), "sharding", None), "spec", ())
    return a if all(axis is None for axis in spec) else jax.sharding.reshard(a, PartitionSpec())


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
