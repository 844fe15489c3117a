"""Layer norm: the trailing dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gnref import passes
from gnref.passes import Saved

Array = Any


def layer_norm(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    backend: str | None = None,
    out: Array | None = None,
) -> Array:
    r"""Normalize over the trailing dimensions.

    Parameters
    ----------
    x : array, (\*leading, \*normalized_shape)
        float16, bfloat16, float32 or float64; any strides.
        Any number of leading dimensions, none included.
    normalized_shape : int or sequence of int
        x's trailing dimensions, up to all of them.
    weight, bias : array, normalized_shape, optional
        Scale and shift of each element; absent, 1 and 0.
    eps : float
        Added to the biased variance, inside the square root. >= 0.
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
        normalized_shape is empty or not x's trailing dimensions, or a weight has another shape.
    ValueError
        eps negative or not finite; an ``out`` that does not fit.
    TypeError
        Not a floating-point array, or arrays of several libraries.
    BackendError
        The backend is unknown, not ready or not for these arrays.

    Notes
    -----
    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, the mean and variance over the trailing
    dimensions: Ba, Kiros & Hinton 2016, eq. 3; Wu & He 2018, eq. 1, 2, 4 and 6. This is PyTorch's
    layer norm, with a weight for each element; that of Wu & He has one for each channel, which is
    ``group_norm(x, 1, weight, bias)``. Statistics over C alone of N C H W are no trailing
    dimensions: move the axis first.

    Examples
    --------
    >>> import numpy as np
    >>> gnref.layer_norm(np.array([[1.0, 3.0], [10.0, 30.0]]), 2, eps=0.0)
    array([[-1.,  1.],
           [-1.,  1.]])
    """
    return passes.normalize(
        "layer",
        x,
        weight,
        bias,
        eps=eps,
        backend=backend,
        out=out,
        normalized_shape=normalized_shape,
    )


def layer_norm_forward(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    backend: str | None = None,
    out: Array | None = None,
) -> tuple[Array, Saved]:
    """Like `layer_norm`, and also return what `backward` needs.

    Parameters and errors are those of `layer_norm`.

    Returns
    -------
    y : array
        As from `layer_norm`.
    saved : Saved
        mean, var and rstd have the leading dimensions of x. It refers to x and weight: do not change
        them before `backward`.

    Examples
    --------
    >>> import numpy as np
    >>> y, saved = gnref.layer_norm_forward(np.array([[1.0, 3.0], [10.0, 30.0]]), 2)
    >>> saved.mean
    array([ 2., 20.])
    """
    return passes.forward(
        "layer", x, weight, bias, eps=eps, backend=backend, out=out, normalized_shape=normalized_shape
    )
