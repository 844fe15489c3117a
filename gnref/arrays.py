"""What gnref asks of an array: its library, its dtype, its strides, its memory."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import array_api_compat
import numpy as np

DTYPES = ("float16", "bfloat16", "float32", "float64")


def library(a: Any) -> str | None:
    """Name the library of an array ("numpy", "cupy", "torch", "jax", ...); None for anything else."""
    if type(a) is np.ndarray:
        return "numpy"
    if not array_api_compat.is_array_api_obj(a):
        return None
    if isinstance(a, np.ndarray):
        # A masked array or a matrix changes what arithmetic means; a memmap does not.
        return "numpy" if isinstance(a, np.memmap) else None
    if isinstance(a, np.generic):
        return None
    return namespace(a).__name__.removeprefix("array_api_compat.").partition(".")[0]


def namespace(a: Any) -> ModuleType:
    """Return the array-API namespace of an array."""
    xp: ModuleType = array_api_compat.array_namespace(a)
    return xp


def dtype_name(dtype: Any) -> str:
    """Name a dtype the same way in every library: "float32", "bfloat16", ..."""
    name = getattr(dtype, "name", None)
    return name if isinstance(name, str) else str(dtype).rpartition(".")[2]


def check_array(a: Any, name: str, like: Any = None) -> None:
    """Raise unless ``a`` is a floating-point array of one library (that of ``like``, if given)."""
    found = library(a)
    if found is None:
        raise TypeError(
            f"{name} is a {type(a).__module__}.{type(a).__qualname__}; "
            f"expected an array of {', '.join(DTYPES)}"
        )
    if dtype_name(a.dtype) not in DTYPES:
        raise TypeError(f"{name} has dtype {dtype_name(a.dtype)}; expected one of {', '.join(DTYPES)}")
    if like is None:
        return
    if found != library(like):
        raise TypeError(f"{name} is a {found} array and x is a {library(like)} array; expected one library")
    if found in ("numpy", "jax"):  # JAX itself moves what may be moved, and refuses the rest
        return
    own, other = array_api_compat.device(a), array_api_compat.device(like)
    if own != other:
        raise TypeError(f"{name} is on device {own} and x is on {other}; expected one device")


def cuda_device(tensor: Any) -> int | None:
    """The number of the CUDA device that a PyTorch tensor is on; None if it is on none."""
    index: int | None = tensor.device.index
    return index if tensor.device.type == "cuda" else None


def followed(**given: Any) -> str | None:
    """Name the first PyTorch tensor that autograd would follow through a function; None if there is none."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    for name, a in given.items():
        if not array_api_compat.is_torch_array(a):
            continue
        if a.requires_grad and torch.is_grad_enabled():
            return name
        if torch.autograd.forward_ad.unpack_dual(a).tangent is not None:  # forward mode
            return name
    return None


def traced(a: Any) -> bool:
    """Whether an array stands for PyTorch tensors that have no memory yet: in torch.compile, vmap, jvp."""
    if not array_api_compat.is_torch_array(a):
        return False
    if sys.modules["torch"].compiler.is_compiling():
        return True
    try:
        a.data_ptr()
    except RuntimeError:
        return True
    return False


def strides(a: Any) -> tuple[int, ...] | None:
    """Strides in some unit, or None where the library does not tell them (then: last axis fastest)."""
    own = getattr(a, "strides", None)
    if own is None and array_api_compat.is_torch_array(a):
        own = a.stride()
    return None if own is None or callable(own) else tuple(own)


def like_layout(a: Any, x: Any) -> Any:
    """Return ``a`` (x's shape and dtype) laid out in memory as a new array like x would be."""
    wanted = strides_like(x)
    if wanted is None or wanted == strides(a):
        return a
    if _long(wanted, a.shape) == _long(strides(a), a.shape):
        return _with_strides(a, wanted)
    target = empty_like(x)
    target[...] = a
    return target


def _with_strides(a: Any, wanted: Any) -> Any:
    """The same array with other strides along axes of length 1, by which some guess the order of axes."""
    if isinstance(a, np.ndarray):
        return np.lib.stride_tricks.as_strided(a, a.shape, wanted)
    return a.as_strided(a.shape, wanted) if array_api_compat.is_torch_array(a) else a


def empty_like(x: Any) -> Any:
    """Return a new array of x's shape, dtype, device and order of axes in memory."""
    if isinstance(x, np.ndarray):
        return np.empty_like(x, subok=False)
    return namespace(x).empty_like(x)


def strides_like(x: Any) -> tuple[int, ...] | None:
    """The strides that `empty_like` would give, without its memory: x may fill half of a device."""
    if isinstance(x, np.ndarray):  # the system gives memory when it is written, and this never is
        return np.empty_like(x, subok=False).strides
    if array_api_compat.is_torch_array(x):  # which has rules of its own, and a device without memory
        return tuple(sys.modules["torch"].empty_like(x, device="meta").stride())
    own = strides(x)
    return None if own is None else _by_numpys_rules(tuple(x.shape), own, x.dtype.itemsize)


def _by_numpys_rules(shape: tuple[int, ...], own: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """C order or Fortran's where the strides are so, else their order of axes without gaps. CuPy agrees."""
    if 0 in shape:  # any will do
        return own
    axes = range(len(shape))
    for order in (axes, axes[::-1]):
        made = _packed(shape, order, itemsize)
        if _long(made, shape) == _long(own, shape):
            return made
    return _packed(shape, sorted(axes, key=lambda axis: -abs(own[axis])), itemsize)


def _packed(shape: tuple[int, ...], order: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Strides without gaps for axes that come in this order in memory, the fastest last."""
    made, stride = [0] * len(shape), itemsize
    for axis in reversed(order):
        made[axis] = stride
        stride *= shape[axis]
    return tuple(made)


def check_out(out: Any, x: Any, inputs: dict[str, Any]) -> None:
    """Raise unless ``out`` can take a result of x's shape, dtype and layout without touching an input."""
    check_array(out, "out", x)
    if library(out) == "jax":
        raise TypeError("out is a jax array, which cannot be written; expected out=None")
    if tuple(out.shape) != tuple(x.shape) or out.dtype != x.dtype:
        found, wanted = dtype_name(out.dtype), dtype_name(x.dtype)
        if found == wanted:  # they differ in byte order
            found, wanted = out.dtype.str, x.dtype.str
        raise ValueError(
            f"out has shape {tuple(out.shape)} and dtype {found}; "
            f"expected those of x, {tuple(x.shape)} and {wanted}"
        )
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise ValueError("out is read-only; expected an array that can be written")
    shape, layout = tuple(x.shape), strides_like(x)
    laid_alike = _long(strides(out), shape) in (_long(strides(x), shape), _long(layout, shape))
    # A broadcast x, or a sliding window, has no layout that a result could take: any will do.
    if _overlaps_itself(out) or not (laid_alike or _overlaps_itself(x)):
        raise ValueError(f"out has strides {strides(out)}; expected the layout of x: {layout}")
    for name, a in inputs.items():
        if a is not None and _overlap(out, a):
            raise ValueError(f"out may share memory with {name}; expected an array that overlaps no input")


def _long(own: tuple[int, ...] | None, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The strides that matter: those of axes longer than 1."""
    if own is None or 0 in shape:
        return None
    return tuple(stride for stride, size in zip(own, shape, strict=True) if size > 1)


def _overlaps_itself(a: Any) -> bool:
    """Whether two elements may lie at one place."""
    if strides(a) is None or 0 in a.shape:
        return False
    reach = 1 if array_api_compat.is_torch_array(a) else a.dtype.itemsize  # the unit of its strides
    for stride, size in sorted(zip(map(abs, strides(a) or ()), a.shape, strict=True)):
        if size > 1 and stride < reach:
            return True
        reach = max(reach, stride * size) if size > 1 else reach
    return False


def _overlap(a: Any, b: Any) -> bool:
    """Whether two arrays of one library share memory, as far as the library can tell."""
    if isinstance(a, np.ndarray):
        try:
            return bool(np.shares_memory(a, b, max_work=10_000))  # type: ignore[arg-type]
        except np.exceptions.TooHardError:
            return True
    if array_api_compat.is_torch_array(a) or array_api_compat.is_cupy_array(a):
        # By their ends alone: CuPy's shares_memory sorts the addresses of all elements, and waits for it.
        return _span(a)[0] < _span(b)[1] and _span(b)[0] < _span(a)[1]
    try:
        return bool(np.shares_memory(np.asarray(a), np.asarray(b)))
    except (TypeError, ValueError, RuntimeError):  # memory that NumPy cannot look into
        return a is b


def _span(a: Any) -> tuple[int, int]:
    """First byte of a PyTorch tensor or a CuPy array, and the one after its last."""
    in_torch = array_api_compat.is_torch_array(a)
    itemsize = a.element_size() if in_torch else a.dtype.itemsize
    start, unit = (a.data_ptr(), itemsize) if in_torch else (a.data.ptr, 1)
    if 0 in a.shape:
        return int(start), int(start)
    reach = [unit * (size - 1) * stride for size, stride in zip(a.shape, strides(a) or (), strict=True)]
    before, behind = (sum(step for step in reach if (step > 0) == ahead) for ahead in (False, True))
    return int(start + before), int(start + behind + itemsize)
