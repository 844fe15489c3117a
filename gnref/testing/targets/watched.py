"""The arrays that a target makes while it is called, inside larger buffers too.

A wrapper around a kernel makes room for the results by ``empty_like(x)`` or a function like it. While a
target is called, these functions put NaN around what they return, and into it where it is to be empty: a
write past the end is seen afterwards, and an element that was never written is NaN.

The NaN around it is one that no computation gives, a signalling one: who reads it gets another NaN, so that a
NaN that is written there is seen, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any
from unittest.mock import patch

import numpy as np

from gnref.testing.targets.guarded import GUARD

# The bits of the NaN around an array, each byte other than 0, 1 and 255.
CANARIES = {"float16": 0x7DA5, "bfloat16": 0x7FA5, "float32": 0x7FA5A5A5, "float64": 0x7FF5A5A5A5A5A5A5}
NAMES = ("empty", "zeros", "empty_like", "zeros_like")

Buffers = list[tuple[Any, int]]  # each with the number of elements that belong to the array


@contextmanager
def watched(module: Any, make: Callable[..., Any]) -> Iterator[Buffers]:
    """Exchange a module's functions that make arrays, and yield the buffers that they make.

    Parameters
    ----------
    module : module
        NumPy, CuPy or PyTorch.
    make : callable
        ``make(buffers, name, original, *args, **words)`` returns the array, inside a buffer that it adds to
        ``buffers``; or what the original returns.
    """
    buffers: Buffers = []

    def exchanged(name: str) -> Callable[..., Any]:
        original = getattr(module, name)
        return lambda *args, **words: make(buffers, name, original, *args, **words)

    with ExitStack() as stack:
        for name in NAMES:
            stack.enter_context(patch.object(module, name, exchanged(name)))
        yield buffers


def make_array(xp: Any) -> Callable[..., Any]:
    """How NumPy and CuPy make one."""

    def make(buffers: Buffers, name: str, original: Any, *args: Any, **words: Any) -> Any:
        a = original(*args, **words)
        plain = a.dtype.name in CANARIES and a.ndim > 0 and a.size > 0
        if not plain or not _dense(a.shape, a.strides, a.itemsize):
            return a
        buffer = xp.full(a.size + 2 * GUARD, np.nan, a.dtype)
        _surround(buffer.view(_unsigned(a.dtype)), a.size, CANARIES[a.dtype.name])
        view = xp.lib.stride_tricks.as_strided(buffer[GUARD:], a.shape, a.strides)
        buffers.append((buffer, a.size))
        if name.startswith("zeros"):
            view[...] = 0
        return view

    return make


def make_tensor(torch: Any) -> Callable[..., Any]:
    """How PyTorch makes one."""

    def make(buffers: Buffers, name: str, original: Any, *args: Any, **words: Any) -> Any:
        a = original(*args, **words)
        name_of_dtype = str(a.dtype).removeprefix("torch.")
        plain = name_of_dtype in CANARIES and not a.requires_grad and a.layout == torch.strided
        if not plain or a.dim() == 0 or a.numel() == 0 or not _dense(a.shape, a.stride(), 1):
            return a
        buffer = torch.full((a.numel() + 2 * GUARD,), torch.nan, dtype=a.dtype, device=a.device)
        bits = buffer.view(getattr(torch, f"int{8 * a.element_size()}"))
        _surround(bits, a.numel(), CANARIES[name_of_dtype])
        view = buffer.as_strided(a.shape, a.stride(), GUARD)
        buffers.append((buffer, a.numel()))
        return view.zero_() if name.startswith("zeros") else view

    return make


def _unsigned(dtype: Any) -> str:
    """The unsigned integers of as many bytes, in the same order."""
    return f"{dtype.byteorder}u{dtype.itemsize}"


def _surround(bits: Any, size: int, canary: int) -> None:
    """Put the canary around an array of that size in the middle."""
    bits[:GUARD] = canary
    bits[GUARD + size :] = canary


def _dense(shape: Any, strides: Any, item: int) -> bool:
    """Whether elements lie side by side, in whatever order of the axes."""
    pairs = zip(shape, strides, strict=True)
    expected = item
    for size, stride in sorted(((n, s) for n, s in pairs if n > 1), key=lambda pair: pair[1]):
        if stride != expected:
            return False
        expected *= size
    return bool(expected == item * prod(shape))


def overrun(buffers: Buffers, back: Callable[[Any], Any]) -> bool:
    """Whether something was written around one of the arrays."""
    for buffer, size in buffers:
        a = np.asarray(back(buffer))
        changed = a.view(_unsigned(a.dtype)) != CANARIES[a.dtype.name]
        if changed[:GUARD].any() or changed[GUARD + size :].any():
            return True
    return False
