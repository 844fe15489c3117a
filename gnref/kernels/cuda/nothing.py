"""What the contract asks of a view without elements: nothing to launch."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

Array = Any


def statistics(x5: Array, eps: float) -> tuple[Array, Array, Array]:
    """mean, var and rstd of sets that have no elements, or of no sets."""
    shape = x5.shape[0], x5.shape[2]
    rstd = 1.0 / eps**0.5 if eps > 0.0 else 0.0
    return cupy.zeros(shape, np.float64), cupy.zeros(shape, np.float64), cupy.full(shape, rstd, np.float64)


def like(x5: Array) -> Array:
    """y or dx."""
    return cupy.empty(x5.shape, x5.dtype)


def gradients(x5: Array) -> tuple[Array, Array, Array]:
    """dx, dweight and dbias."""
    shape = x5.shape[2], x5.shape[3]
    return like(x5), cupy.zeros(shape, np.float64), cupy.zeros(shape, np.float64)
