"""A small stand-in for array_api_compat, the one package besides NumPy that `import gnref` needs.

It tells which library an array is of. NumPy and CuPy follow the array API by themselves in all that gnref
uses, so that their own modules serve as namespaces. Where the package is installed, this is not used.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

NAME, MARK = "array_api_compat", "stands_in"


def fill_in() -> bool:
    """Put the stand-in into `sys.modules`, unless the package is there; return whether it serves."""
    if NAME in sys.modules:
        return hasattr(sys.modules[NAME], MARK)
    if find_spec(NAME) is not None:
        return False
    module = ModuleType(NAME)
    setattr(module, MARK, True)
    for function in (
        *(is_array_api_obj, array_namespace, device),
        *(is_numpy_array, is_cupy_array, is_torch_array, is_jax_array),
    ):
        setattr(module, function.__name__, function)
    sys.modules[NAME] = module
    return True


def is_of(a: Any, module: str, name: str) -> bool:
    """Whether a is of a class of a library, which needs no import: who has an array has the library."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(a, kind)


def is_numpy_array(a: Any) -> bool:
    return isinstance(a, np.ndarray | np.generic)


def is_cupy_array(a: Any) -> bool:
    return is_of(a, "cupy", "ndarray")


def is_torch_array(a: Any) -> bool:
    return is_of(a, "torch", "Tensor")


def is_jax_array(a: Any) -> bool:
    return is_of(a, "jax", "Array")


def is_array_api_obj(a: Any) -> bool:
    return is_numpy_array(a) or is_cupy_array(a) or is_torch_array(a)


def array_namespace(*arrays: Any) -> ModuleType:
    """NumPy's or CuPy's own module."""
    if any(is_cupy_array(a) for a in arrays):
        return sys.modules["cupy"]
    if all(is_numpy_array(a) for a in arrays):
        return np
    raise TypeError("expected NumPy or CuPy arrays; others need array_api_compat")


def device(a: Any) -> Any:
    return "cpu" if is_numpy_array(a) else a.device
