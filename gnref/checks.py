"""What a number given by the user must be: each function returns it checked, or raises one sentence."""

from __future__ import annotations

from math import inf, isfinite
from numbers import Real
from operator import index
from typing import Any

from gnref.errors import ShapeError

Shape = tuple[int, ...]


def check_channel_axis(channel_axis: Any, shape: Shape, norm: str) -> int:
    """Return the channel axis counted from the front, or raise."""
    ndim = len(shape)
    if ndim < 2:
        raise ShapeError(
            f"x has shape {shape}; {norm} norm expects at least two dimensions, (N, C) or (N, C, *spatial)"
        )
    axis = _integer(channel_axis)
    if axis is None or not -ndim <= axis < ndim or axis % ndim == 0:
        raise ShapeError(
            f"channel_axis is {channel_axis!r}; expected an axis of x, shape {shape}, other than N: "
            f"1 to {ndim - 1}, or -1 to {1 - ndim}"
        )
    return axis % ndim


def check_num_groups(num_groups: Any, shape: Shape, axis: int) -> int:
    """Return G, or raise unless it is a positive integer that divides C."""
    C = shape[axis]
    G = _integer(num_groups)
    if G is None or G < 1:
        raise ShapeError(f"num_groups is {num_groups!r}; expected a positive integer that divides C = {C}")
    if C % G:
        divisors = ", ".join(str(d) for d in range(1, C + 1) if C % d == 0)
        raise ShapeError(f"num_groups is {G}, which does not divide C = {C}; expected one of {divisors}")
    return G


def check_virtual_batch_size(virtual_batch_size: Any, shape: Shape) -> int | None:
    """Return the virtual batch size (None: all of N), or raise unless it divides N."""
    if virtual_batch_size is None:
        return None
    N = shape[0]
    g = _integer(virtual_batch_size)
    if g is None or g < 1 or N % g:
        raise ShapeError(
            f"virtual_batch_size is {virtual_batch_size!r}; expected a positive integer that divides N = {N}"
        )
    return g


def check_normalized_shape(normalized_shape: Any, shape: Shape) -> int:
    """Return how many trailing dimensions are normalized, or raise."""
    single = _integer(normalized_shape)
    if single is not None:
        wanted: Any = (single,)
    else:
        try:
            wanted = tuple(_integer(size) for size in normalized_shape)
        except TypeError:
            wanted = ()
    if not wanted or shape[len(shape) - len(wanted) :] != wanted or len(wanted) > len(shape):
        raise ShapeError(
            f"normalized_shape is {normalized_shape!r}; expected the trailing dimensions of x, shape {shape}"
            + (f", such as {shape[-1]} or {shape}" if shape else "")
        )
    return len(wanted)


def check_positive(value: Any, name: str) -> int:
    """Return a positive integer, or raise."""
    number = _integer(value)
    if number is None or number < 1:
        raise ShapeError(f"{name} is {value!r}; expected a positive integer")
    return number


def check_bool(value: Any, name: str) -> bool:
    """Return True or False, or raise."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}; expected True or False")
    return value


def check_sizes(value: Any, name: str) -> Shape:
    """Return an int or a sequence of ints as a shape of at least one positive size, or raise."""
    single = _integer(value)
    try:
        sizes = (single,) if single is not None else tuple(_integer(size) for size in value)
    except TypeError:
        sizes = ()
    if not sizes or any(size is None or size < 1 for size in sizes):
        raise ShapeError(f"{name} is {value!r}; expected a positive integer or a sequence of them")
    return tuple(size for size in sizes if size is not None)


def check_momentum(momentum: Any) -> float | None:
    """Return momentum (None: the cumulative average), or raise unless it is a number from 0 to 1."""
    if momentum is None:
        return None
    number = _real(momentum)
    if number is None:
        raise TypeError(f"momentum is {momentum!r}; expected a number from 0 to 1, or None")
    if not 0 <= number <= 1:
        raise ValueError(f"momentum is {momentum!r}; expected a number from 0 to 1, or None")
    return number


def check_layer_axis(channel_axis: Any) -> int:
    """Return a channel axis that some x may have, or raise; x itself is checked when it comes."""
    axis = _integer(channel_axis)
    if axis is None or axis == 0:
        raise ShapeError(
            f"channel_axis is {channel_axis!r}; expected an axis other than N: an integer, not 0"
        )
    return axis


def _real(value: Any) -> float | None:
    """The value as a float (infinity if it is too large for one), or None if it is no real number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer; no argument means anything at such a size
        return inf


def _integer(value: Any) -> int | None:
    """The value as an int, or None if it is no integer (True is none either)."""
    try:
        return None if isinstance(value, bool) else index(value)
    except TypeError:
        return None


def check_eps(eps: Any) -> float:
    """Return eps as a float, or raise unless it is a finite number >= 0."""
    number = _real(eps)
    if number is None:
        raise TypeError(f"eps is {eps!r}; expected a number >= 0")
    if not isfinite(number) or number < 0:
        raise ValueError(f"eps is {eps!r}; expected a finite number >= 0")
    return number
