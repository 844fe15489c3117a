"""Tensors for gnref's functions and results for PyTorch: the same memory there and back, and no copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from gnref.arrays import DTYPES
from gnref.dispatch import status
from gnref.errors import BackendError

Array = Any
Tensor = Any  # torch.Tensor


def lend(tensor: Tensor | None, name: str) -> Array | None:
    """What gnref's functions take: a NumPy array on a tensor's memory, or the tensor, on a CUDA device."""
    if tensor is None:
        return None
    check_tensor(tensor, name)
    if not tensor.is_cpu:
        return on_device(tensor, name)
    if tensor.layout is not torch.strided:
        raise TypeError(f"{name} has layout {tensor.layout}; expected a dense tensor, torch.strided")
    shared = bfloat16(name) if tensor.dtype is torch.bfloat16 else None
    try:
        if shared is not None:  # PyTorch's numpy() does not know it: 16 bits are 16 bits
            return tensor.detach().resolve_neg().view(torch.int16).numpy().view(shared)
        return tensor.numpy(force=True)  # not followed by autograd; on the CPU it copies nothing
    except (RuntimeError, TypeError) as error:
        kind = "nested tensor" if tensor.is_nested else type(tensor).__name__
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise TypeError(
            f"{name} is a {kind} of {dtype} that NumPy cannot read; expected an ordinary tensor of one of "
            f"{', '.join(DTYPES)}"
        ) from error


def check_tensor(tensor: Any, name: str) -> None:
    """Raise unless it is a tensor."""
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} has type {type(tensor).__name__}; expected a torch.Tensor")


def give(result: Array | None) -> Tensor | None:
    """A result as a tensor on the same memory."""
    if result is None or isinstance(result, torch.Tensor):
        return result
    if result.dtype.kind != "f":  # bfloat16
        return torch.from_numpy(result.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(result)


def on_device(tensor: Tensor, name: str) -> Tensor:
    """A tensor that is not on the CPU: for the `cuda` backend, if it is ready, or an error."""
    kind = tensor.device.type
    lacking = status("cuda") if kind == "cuda" else f"gnref has no kernels for {kind}"
    if lacking == "ready":
        return tensor.detach()
    raise BackendError(
        f"{name} is a tensor on {tensor.device}; expected one on the CPU ({lacking}). To train there, "
        "gnref.bridges.torch.convert(model, to='torch') gives the model torch.nn's own layers back"
    )


def bfloat16(name: str) -> np.dtype[Any]:
    """NumPy's bfloat16."""
    try:
        import ml_dtypes
    except ImportError:
        raise BackendError(
            f"{name} has dtype bfloat16, which NumPy takes from ml_dtypes, and that is not installed: "
            "pip install ml_dtypes"
        ) from None
    found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return found
