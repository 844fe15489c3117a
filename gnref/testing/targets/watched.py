"""The arrays that a target makes while it is called, inside larger buffers too.

A wrapper around a kernel makes room for the results by ``empty_like(x)`` or a function like it. While a
target is called, these functions put NaN around what they return, and into it where it is to be empty: a
write past the end is seen afterwards, and an element that was never written is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any
from unittest.mock import patch

import numpy as np

GUARD = 64  # elements on either side
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
        if (
            not _floating(a.dtype)
            or a.ndim == 0
            or a.size == 0
            or not (_dense(a.shape, a.strides, a.itemsize))
        ):
            return a
        buffer = xp.full(a.size + 2 * GUARD, np.nan, a.dtype)
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
        plain = a.is_floating_point() and not a.requires_grad and a.layout == torch.strided
        if not plain or a.dim() == 0 or a.numel() == 0 or not _dense(a.shape, a.stride(), 1):
            return a
        buffer = torch.full((a.numel() + 2 * GUARD,), torch.nan, dtype=a.dtype, device=a.device)
        view = buffer.as_strided(a.shape, a.stride(), GUARD)
        buffers.append((buffer, a.numel()))
        return view.zero_() if name.startswith("zeros") else view

    return make


def _floating(dtype: Any) -> bool:
    return bool(dtype.kind == "f" or dtype.name == "bfloat16")


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
        a = np.asarray(back(buffer)).astype(np.float64)
        if not (np.isnan(a[:GUARD]).all() and np.isnan(a[GUARD + size :]).all()):
            return True
    return False
