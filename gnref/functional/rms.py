"""RMS norm: the trailing dimensions, without a mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gnref import passes
from gnref.passes import Saved

Array = Any


def rms_norm(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    *,
    eps: float = 1e-5,
    backend: str | None = None,
    out: Array | None = None,
) -> Array:
    r"""Divide by the root mean square over the trailing dimensions; no mean is subtracted.

    Parameters
    ----------
    x : array, (\*leading, \*normalized_shape)
        float16, bfloat16, float32 or float64; any strides.
        Any number of leading dimensions, none included.
    normalized_shape : int or sequence of int
        x's trailing dimensions, up to all of them.
    weight : array, normalized_shape, optional
        Scale of each element; absent, 1.
    eps : float
        Added to the mean square, inside the square root. >= 0.
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
        normalized_shape is empty or not x's trailing dimensions, or weight has another shape.
    ValueError
        eps negative or not finite; an ``out`` that does not fit.
    TypeError
        Not a floating-point array, or arrays of several libraries.
    BackendError
        The backend is unknown, not ready or not for these arrays.

    Notes
    -----
    ``y = x / sqrt(mean(x^2) + eps) * weight``: Zhang & Sennrich 2019, eq. 4 (which has no eps).

    Examples
    --------
    >>> import numpy as np
    >>> gnref.rms_norm(np.array([[2.0, -2.0], [30.0, 30.0]]), 2, eps=0.0)
    array([[ 1., -1.],
           [ 1.,  1.]])
    """
    return passes.normalize(
        "rms",
        x,
        weight,
        None,
        eps=eps,
        backend=backend,
        out=out,
        normalized_shape=normalized_shape,
    )


def rms_norm_forward(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    *,
    eps: float = 1e-5,
    backend: str | None = None,
    out: Array | None = None,
) -> tuple[Array, Saved]:
    """Like `rms_norm`, and also return what `backward` needs.

    Parameters and errors are those of `rms_norm`.

    Returns
    -------
    y : array
        As from `rms_norm`.
    saved : Saved
        var is the mean square and mean is None; var and rstd have the leading dimensions of x. It
        refers to x and weight: do not change them before `backward`.

    Examples
    --------
    >>> import numpy as np
    >>> y, saved = gnref.rms_norm_forward(np.array([[2.0, -2.0], [30.0, 30.0]]), 2)
    >>> saved.var
    array([  4., 900.])
    """
    return passes.forward(
        "rms", x, weight, None, eps=eps, backend=backend, out=out, normalized_shape=normalized_shape
    )
