"""Layouts: the same numbers at other places in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def plain(a: Array) -> Array:
    """The last axis fastest."""
    return np.ascontiguousarray(a).reshape(a.shape)


def channels_last(a: Array) -> Array:
    """Axis 1 fastest, as PyTorch's channels_last; the shape stays."""
    if a.ndim < 3:
        return plain(a)
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)


def fortran(a: Array) -> Array:
    """The first axis fastest."""
    return np.asfortranarray(a)


def every_second(a: Array) -> Array:
    """Every second element of a larger array, whose others are NaN."""
    larger = np.full(tuple(2 * size for size in a.shape), np.nan, dtype=a.dtype)
    view = larger[tuple(slice(None, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def backwards(a: Array) -> Array:
    """Negative strides on every axis."""
    reverse = tuple(slice(None, None, -1) for _ in a.shape)
    return np.ascontiguousarray(a[reverse]).reshape(a.shape)[reverse]


def read_only(a: Array) -> Array:
    """Not to be written."""
    copy = a.copy()
    copy.setflags(write=False)
    return copy


def odd_unit_strides(a: Array) -> Array:
    """Absurd strides on the axes of size 1, which mean nothing and must do nothing."""
    a = plain(a)
    strides = [
        s if size != 1 else 8 * (i + 1) for i, (s, size) in enumerate(zip(a.strides, a.shape, strict=True))
    ]
    return np.lib.stride_tricks.as_strided(a, a.shape, strides, writeable=False)


def broadcast(a: Array) -> Array:
    """A stride of 0: the first number of the last axis all along it. The only layout that changes numbers."""
    return np.broadcast_to(a[..., :1], a.shape)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "plain": plain,
    "channels_last": channels_last,
    "fortran": fortran,
    "every_second": every_second,
    "backwards": backwards,
    "read_only": read_only,
    "odd_unit_strides": odd_unit_strides,
    "broadcast": broadcast,
}
