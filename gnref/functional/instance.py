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
        At least two dimensions.
    weight, bias : array, (C,), optional
        Scale and shift of each channel; absent, 1 and 0.
    eps, channel_axis, backend, out
        As in `batch_norm`.

    Returns
    -------
    y : array
        Of x's shape, dtype and memory layout. Where H*W = 1, y is the bias.

    Raises
    ------
    ShapeError, ValueError, TypeError, BackendError
        As in `batch_norm`.

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
    return instance_norm_forward(
        x, weight, bias, eps=eps, channel_axis=channel_axis, backend=backend, out=out
    )[0]


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
