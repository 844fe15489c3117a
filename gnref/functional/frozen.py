"""Frozen batch norm: each channel with statistics that are given and constant."""

from __future__ import annotations

from typing import Any

from gnref import passes
from gnref.passes import Saved

Array = Any


def batch_norm_frozen(
    x: Array,
    running_mean: Array,
    running_var: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    backend: str | None = None,
    out: Array | None = None,
) -> Array:
    r"""Normalize each channel with statistics that are given and constant.

    Parameters
    ----------
    x : array, (N, C, \*spatial)
        float16, bfloat16, float32 or float64; any strides.
        At least two dimensions.
    running_mean, running_var : array, (C,)
        The statistics; running_var + eps must not be negative (a negative one gives NaN).
    weight, bias : array, (C,), optional
        Scale and shift of each channel; absent, 1 and 0.
    eps : float
        Added to the running variance, inside the square root. >= 0.
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
        the usual mix, is computed wider than both and gives 16 bits back.

    Raises
    ------
    ShapeError
        Statistics or a weight that are not (C,), or a wrong axis. One element per channel is fine here.
    ValueError
        eps negative or not finite; an ``out`` that does not fit.
    TypeError
        Not a floating-point array, or arrays of several libraries.
    BackendError
        The backend is unknown, not ready or not for these arrays.

    Notes
    -----
    ``y = (x - running_mean) / sqrt(running_var + eps) * weight + bias``: Ioffe & Szegedy 2015,
    Algorithm 2, line 11. It is the evaluation mode of batch norm, and the BN* of Wu & He 2018,
    section 4.2, when networks are fine-tuned.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]])
    >>> gnref.batch_norm_frozen(x, np.array([1.0, 10.0]), np.array([4.0, 100.0]), eps=0.0)
    array([[0., 0.],
           [1., 2.]])
    """
    return batch_norm_frozen_forward(
        x,
        running_mean,
        running_var,
        weight,
        bias,
        eps=eps,
        channel_axis=channel_axis,
        backend=backend,
        out=out,
    )[0]


def batch_norm_frozen_forward(
    x: Array,
    running_mean: Array,
    running_var: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    channel_axis: int = 1,
    backend: str | None = None,
    out: Array | None = None,
) -> tuple[Array, Saved]:
    """Like `batch_norm_frozen`, and also return what `backward` needs.

    Parameters and errors are those of `batch_norm_frozen`.

    Returns
    -------
    y : array
        As from `batch_norm_frozen`.
    saved : Saved
        mean and var are the running ones, widened; they have no gradient, so dx = dy * weight * rstd.
        It refers to x and weight: do not change them before `backward`.

    Examples
    --------
    >>> import numpy as np
    >>> x, one = np.array([[1.0, 10.0]]), np.ones(2)
    >>> y, saved = gnref.batch_norm_frozen_forward(x, one, 4 * one, eps=0.0)
    >>> gnref.backward(one[None, :], saved)[0]
    array([[0.5, 0.5]])
    """
    return passes.forward_frozen(
        x,
        running_mean,
        running_var,
        weight,
        bias,
        eps=eps,
        channel_axis=channel_axis,
        backend=backend,
        out=out,
    )
