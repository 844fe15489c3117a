"""The limit that memory sets: the fastest copy of x.

A copy reads and writes an array once, as a forward pass has to at least; a backward pass has to read two
and write one. What copies fastest depends on the machine and the size, so three ways are tried.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from gnref.bench.case import Array

STREAM = "gnref.kernels.cpu"
LEAST_PIECE = 1 << 16  # bytes below which it is not worth waking a thread


def copies(x: Array, pool: ThreadPoolExecutor, threads: int) -> dict[str, Callable[[], Any]]:
    """Return functions that copy x to an array that is there already.

    Parameters
    ----------
    x : array
        It is copied once more, to have memory of its own.
    pool : ThreadPoolExecutor
        Of at least ``threads`` threads.
    threads : int
        How many may copy at once.
    """
    source: Array = np.ascontiguousarray(x).view(np.uint8).reshape(-1).copy()
    target = np.zeros_like(source)
    found: dict[str, Callable[[], Any]] = {"copy, one thread": lambda: np.copyto(target, source)}
    if threads > 1 and source.size >= threads * LEAST_PIECE:
        found["copy, threads"] = _threaded(target, source, pool, threads)
    stream = streaming()
    if stream is not None:
        floats = (target.view(np.float32), source.view(np.float32))
        found["copy, streaming"] = lambda: stream(*floats)
    return found


def streaming() -> Callable[[Array, Array], Any] | None:
    """gnref's own loop, whose stores bypass the cache; None where the cpu backend is not there."""
    if find_spec("numba") is None:
        return None
    try:
        module = import_module(STREAM)
    except ImportError:
        return None
    copy: Callable[[Array, Array], Any] | None = getattr(module, "copy", None)
    return copy


def _threaded(target: Array, source: Array, pool: ThreadPoolExecutor, threads: int) -> Callable[[], Any]:
    """np.copyto of one piece by each thread; it lets go of Python's lock."""
    pieces = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    (first, *others) = pieces

    def run() -> None:
        futures = [pool.submit(np.copyto, *piece) for piece in others]
        np.copyto(*first)
        wait(futures)

    return run
