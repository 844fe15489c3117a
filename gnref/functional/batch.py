"""Batch norm: each channel over the batch and the spatial axes."""

from __future__ import annotations

from typing import Any

from gnref import passes
from gnref.passes import Saved

Array = Any


def batch_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    virtual_batch_size: int | None = None,
    backend: str | None = None,
    out: Array | None = None,
) -> Array:
    r"""Normalize each channel over the batch and the spatial axes.

    Parameters
    ----------
    x : array, (N, C, \*spatial)
        float16, bfloat16, float32 or float64; any strides.
        At least two dimensions; N*H*W must not be 1.
    weight, bias : array, (C,), optional
        Scale and shift of each channel; absent, 1 and 0.
    eps : float
        Added to the biased variance, inside the square root. >= 0.
    channel_axis : int
        Which axis of x is C: any but 0; -1 is channels last.
    virtual_batch_size : int, optional
        Divides N. Statistics are taken over consecutive pieces of so many examples ("ghost batches",
        Hoffer, Hubara & Soudry 2017, Algorithm 1).
    backend : str, optional
        One of `gnref.backends`; by default chosen by x's library.
    out : array, optional
        Where y goes: x's shape, dtype and layout, overlapping no input.

    Returns
    -------
    y : array
        Of x's shape, dtype and memory layout. Nothing is promoted: 16-bit x with float32 weights,
        the usual mix, is computed wider than both and gives 16 bits back.

    Raises
    ------
    ShapeError
        One element per channel, a weight that is not (C,), a wrong axis or virtual batch size.
    ValueError
        eps negative or not finite; an ``out`` that does not fit.
    TypeError
        Not a floating-point array, or arrays of several libraries.
    BackendError
        The backend is unknown, not ready or not for these arrays.

    Notes
    -----
    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, the mean and variance over N and the spatial
    axes: Ioffe & Szegedy 2015, Algorithm 1; Wu & He 2018, eq. 1, 2, 3 and 6.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]])
    >>> gnref.batch_norm(x, eps=0.0)
    array([[-1., -1.],
           [ 1.,  1.]])
    """
    return passes.normalize(
        "batch",
        x,
        weight,
        bias,
        eps=eps,
        backend=backend,
        out=out,
        channel_axis=channel_axis,
        virtual_batch_size=virtual_batch_size,
    )


def batch_norm_forward(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    virtual_batch_size: int | None = None,
    backend: str | None = None,
    out: Array | None = None,
) -> tuple[Array, Saved]:
    """Like `batch_norm`, and also return what `backward` needs.

    Parameters and errors are those of `batch_norm`.

    Returns
    -------
    y : array
        As from `batch_norm`.
    saved : Saved
        mean, var and rstd are (C,), or (N/g, C) with virtual batches of g. It refers to x and weight:
        changed in place before `backward`, they give wrong gradients.

    Examples
    --------
    >>> import numpy as np
    >>> y, saved = gnref.batch_norm_forward(np.array([[1.0, 10.0], [3.0, 30.0]]))
    >>> saved.mean
    array([ 2., 20.])
    """
    return passes.forward(
        "batch",
        x,
        weight,
        bias,
        eps=eps,
        backend=backend,
        out=out,
        channel_axis=channel_axis,
        virtual_batch_size=virtual_batch_size,
    )
