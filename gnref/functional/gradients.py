"""The backward pass of every norm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gnref import passes
from gnref.arguments import NEEDS
from gnref.passes import Saved

Array = Any


def backward(
    dy: Array,
    saved: Saved,
    *,
    needs: Iterable[str] = NEEDS,
    out: Array | None = None,
) -> tuple[Array | None, Array | None, Array | None]:
    """Return the gradients of a loss by x, weight and bias, from its gradient dy by y.

    Parameters
    ----------
    dy : array
        Of x's shape and dtype, in any strides.
    saved : Saved
        From any ``*_forward`` function.
    needs : iterable of str
        Which of "x", "weight" and "bias" are wanted.
    out : array, optional
        Where dx goes: x's shape, dtype and layout, overlapping no input.

    Returns
    -------
    dx, dweight, dbias : array or None
        dx like x; dweight and dbias in the shape and dtype of their parameter. None for a parameter
        that is absent, and for what is not needed.

    Raises
    ------
    ShapeError, TypeError
        dy is not of x's shape, dtype or library.
    ValueError
        needs names something else, or ``out`` does not fit.

    Notes
    -----
    With dxhat = dy * weight and means over the set that shares a mean,

    ``dx = rstd * (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat))``

    which is the chain rule of Ioffe & Szegedy 2015, section 3, collapsed; rms norm lacks the first
    mean, the frozen norm both. dweight is the sum of dy * xhat and dbias that of dy, over all that
    shares a weight. Two calls with one ``saved`` give the same gradients: nothing accumulates.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0, 4.0, 7.0]])
    >>> y, saved = gnref.group_norm_forward(x, 2, weight=np.ones(4), bias=np.zeros(4))
    >>> dx, dweight, dbias = gnref.backward(np.array([[1.0, 0.0, 0.0, 2.0]]), saved)
    >>> dbias
    array([1., 0., 0., 2.])
    """
    return passes.backward(dy, saved, needs, out)
