"""What a forward and a backward pass ask of the arrays beside x, and of ``needs``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from gnref.arrays import check_array, dtype_name
from gnref.axes import View
from gnref.errors import ShapeError

Array = Any
NEEDS = ("x", "weight", "bias")


def is_usual(param: Array | None, v: View, x: Array) -> bool:
    """Whether a parameter needs no further look: looking at it takes longer."""
    return param is None or (
        type(param) is np.ndarray is type(x) and param.dtype is x.dtype and param.shape == v.params.shape
    )


def check_params(v: View, x: Array, **params: Array | None) -> None:
    """Raise unless every parameter that is there has x's library and the shape that v asks for."""
    for name, param in params.items():
        if param is None:
            continue
        check_array(param, name, like=x)
        if tuple(param.shape) != v.params.shape:
            meaning = "one number per channel" if len(v.params.shape) == 1 else "the normalized_shape"
            raise ShapeError(
                f"{name} has shape {tuple(param.shape)}; expected {v.params.shape}, {meaning} "
                f"(x has shape {tuple(x.shape)})"
            )


def check_dy(dy: Array, x: Array) -> None:
    """Raise unless dy has x's library, shape and dtype."""
    check_array(dy, "dy", like=x)
    if tuple(dy.shape) != tuple(x.shape):
        raise ShapeError(f"dy has shape {tuple(dy.shape)}; expected that of x, {tuple(x.shape)}")
    if dtype_name(dy.dtype) != dtype_name(x.dtype):
        raise TypeError(f"dy has dtype {dtype_name(dy.dtype)}; expected that of x, {dtype_name(x.dtype)}")


def check_needs(needs: Iterable[str]) -> tuple[str, ...]:
    """Return needs as a tuple, or raise unless it names inputs."""
    try:
        wanted = (needs,) if isinstance(needs, str) else tuple(needs)
    except TypeError:
        raise TypeError(f"needs is {needs!r}; expected names among {', '.join(NEEDS)}") from None
    for name in wanted:
        if name not in NEEDS:
            raise ValueError(f"needs has {name!r}; expected names among {', '.join(NEEDS)}")
    return wanted
