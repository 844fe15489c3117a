"""Arrays as a kernel sees them that looks at their memory, and not at all of their strides."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["in_memory_order", "row_major", "with_strides_of"]

Array = np.ndarray[Any, Any]


def row_major(a: Array) -> tuple[int, ...]:
    """The strides that a C-contiguous array of this shape has, those of axes of size 1 included.

    Examples
    --------
    >>> row_major(np.zeros((2, 1, 3)))
    (24, 24, 8)
    """
    strides, step = [], a.itemsize
    for size in reversed(a.shape):
        strides.append(step)
        step *= max(1, size)
    return tuple(reversed(strides))


def in_memory_order(a: Array) -> Array:
    """The numbers from the address of ``a`` on, as if it were contiguous.

    Where they would lie outside of what ``a`` spans (strides of 0 or below it), ``a`` itself.

    Examples
    --------
    >>> in_memory_order(np.arange(6.0).reshape(2, 3).T).tolist()
    [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    """
    if any(stride <= 0 for stride, size in zip(a.strides, a.shape, strict=True) if size > 1):
        return a
    span = sum((size - 1) * stride for size, stride in zip(a.shape, a.strides, strict=True) if size > 1)
    if a.size == 0 or (a.size - 1) * a.itemsize > span:
        return a
    return np.lib.stride_tricks.as_strided(a, a.shape, row_major(a), writeable=False)


def with_strides_of(a: Array, other: Array) -> Array:
    """The numbers from the address of ``a`` on, found with the strides of another array of its shape.

    Where the two do not span the same memory, ``a`` itself.

    Examples
    --------
    >>> a = np.arange(6.0).reshape(2, 3)
    >>> with_strides_of(a, np.asfortranarray(a)).tolist()
    [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]
    """
    if a.size == 0 or any(stride <= 0 for stride in (*a.strides, *other.strides)):
        return a
    reach = [sum((n - 1) * s for n, s in zip(a.shape, b.strides, strict=True) if n > 1) for b in (a, other)]
    if a.itemsize != other.itemsize or reach[0] != reach[1]:
        return a
    return np.lib.stride_tricks.as_strided(a, a.shape, other.strides, writeable=False)
