"""Arrays of a library that is not NumPy, for exercises: in memory of their own, as strict as one can be.

What works on them works on CuPy, JAX and PyTorch, through `array_api_compat`. NumPy's functions do not, nor
does anything that would copy the numbers behind the reader's back.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

FUNCTIONS = (
    *("reshape", "permute_dims", "moveaxis", "expand_dims", "broadcast_to", "repeat", "astype"),
    *("mean", "var", "std", "sum", "prod", "max", "min"),
    *("sqrt", "square", "abs", "exp", "log", "pow"),
)
OPERATORS = ("add", "sub", "mul", "truediv", "pow", "lt", "le", "gt", "ge", "eq", "ne")
DTYPES = ("float32", "float64")


class Far:
    """An array that lies elsewhere: operators, a shape, a dtype, and no way into NumPy but `to_host`."""

    __array_ufunc__ = None  # NumPy's functions, and its arrays, refuse it

    def __init__(self, values: Any) -> None:
        self._values = np.asarray(values)

    def __array_namespace__(self, *, api_version: str | None = None) -> ModuleType:
        return far

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise TypeError("this array is not in NumPy's memory, and is copied there only by to_host")

    def __float__(self) -> float:
        raise TypeError("a number of this array would be waited for, and copied; keep it an array")

    def __getitem__(self, index: Any) -> Far:
        return Far(self._values[index])

    def __neg__(self) -> Far:
        return Far(-self._values)

    def __repr__(self) -> str:
        return f"Far(shape={self.shape}, dtype={self.dtype})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of every axis."""
        return self._values.shape

    @property
    def ndim(self) -> int:
        """How many axes."""
        return self._values.ndim

    @property
    def size(self) -> int:
        """How many numbers."""
        return self._values.size

    @property
    def dtype(self) -> Any:
        """Of its numbers."""
        return self._values.dtype


def to_host(a: Any) -> Any:
    """Copy an array into NumPy's memory, as `cupy.asnumpy` does; NumPy's own arrays stay as they are."""
    return a._values if isinstance(a, Far) else a


def on_far(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy's for arrays that lie elsewhere, and for no others."""

    def call(first: Any, /, *arguments: Any, **options: Any) -> Any:
        if not isinstance(first, Far):
            raise TypeError(f"expected an array of this library, not one of {type(first).__module__}")
        if "correction" in options:
            options["ddof"] = options.pop("correction")
        return Far(function(first._values, *map(to_host, arguments), **options))

    return call


def _operator(name: str, swapped: bool = False) -> Callable[[Far, Any], Any]:
    """An operator, for arrays of this library and Python's own numbers."""
    plain = getattr(operator, name)

    def call(self: Far, other: Any) -> Any:
        if not isinstance(other, Far) and type(other) not in (int, float, bool):
            return NotImplemented
        pair = (to_host(other), self._values) if swapped else (self._values, to_host(other))
        return Far(plain(*pair))

    return call


def _namespace() -> ModuleType:
    """The library's functions and dtypes, as a module."""
    made = ModuleType("far", "Functions of the array API, as many as exercises need.")
    for name in FUNCTIONS:
        setattr(made, name, on_far(getattr(np, name)))
    for name in DTYPES:
        setattr(made, name, np.dtype(name))
    return made


far = _namespace()
for _name in OPERATORS:
    setattr(Far, f"__{_name}__", _operator(_name))
    if _name in ("add", "sub", "mul", "truediv", "pow"):
        setattr(Far, f"__r{_name}__", _operator(_name, swapped=True))
