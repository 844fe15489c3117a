"""Instance norm: each channel of each example over the spatial axes."""

from __future__ import annotations

from typing import Any

from gnref import passes
from gnref.passes import Saved

Array = Any


def instance_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    backend: str | None = None,
    out: Array | None = None,
) -> Array:
    r"""Normalize each channel of each example over the spatial axes.

    Parameters
    ----------
    x : array, (N, C, \*spatial)
        float16, bfloat16, float32 or float64; any strides.
        At least two dimensions.
    weight, bias : array, (C,), optional
        Scale and shift of each channel; absent, 1 and 0.
    eps : float
        Added to the biased variance, inside the square root. >= 0.
    channel_axis : int
        Which axis of x is C: any but 0; -1 is channels last.
    backend : str, optional
        One of `gnref.backends`; by default chosen by x's library.
    out : array, optional
        Where y goes: x's shape, dtype and layout, overlapping no input.

    Returns
    -------
    y : array
        Of x's shape, dtype and memory layout. Nothing is promoted: 16-bit x with float32 weights,
        the usual mix, is computed wider than both and gives 16 bits back. Where H*W = 1, y is the bias.

    Raises
    ------
    ShapeError
        Fewer than two dimensions, a weight that is not (C,), or a wrong axis.
    ValueError
        eps negative or not finite; an ``out`` that does not fit.
    TypeError
        Not a floating-point array, or arrays of several libraries.
    BackendError
        The backend is unknown, not ready or not for these arrays.

    Notes
    -----
    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, the mean and variance over the spatial axes:
    Ulyanov, Vedaldi & Lempitsky 2016; Wu & He 2018, eq. 1, 2, 5 and 6. It is `group_norm` with
    ``num_groups=C``.

    Examples
    --------
    >>> import numpy as np
    >>> gnref.instance_norm(np.array([[[1.0, 3.0], [10.0, 30.0]]]), eps=0.0)
    array([[[-1.,  1.],
            [-1.,  1.]]])
    """
    return passes.normalize(
        "instance",
        x,
        weight,
        bias,
        eps=eps,
        backend=backend,
        out=out,
        channel_axis=channel_axis,
    )


def instance_norm_forward(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    backend: str | None = None,
    out: Array | None = None,
) -> tuple[Array, Saved]:
    """Like `instance_norm`, and also return what `backward` needs.

    Parameters and errors are those of `instance_norm`.

    Returns
    -------
    y : array
        As from `instance_norm`.
    saved : Saved
        mean, var and rstd are (N, C). It refers to x and weight: do not change them before `backward`.

    Examples
    --------
    >>> import numpy as np
    >>> y, saved = gnref.instance_norm_forward(np.array([[[1.0, 3.0], [10.0, 30.0]]]))
    >>> saved.mean
    array([[ 2., 20.]])
    """
    return passes.forward(
        "instance", x, weight, bias, eps=eps, backend=backend, out=out, channel_axis=channel_axis
    )
