"""Memory for large results: that of earlier ones, which nobody holds any more.

An array of more than 32 MB is given back to the system as soon as it is freed, and the next one gets
fresh pages, each filled with zeros first: that takes longer than the kernel does. So what large results
leave is kept, at most `KEEP` bytes of it, and never used again while anything refers to it. The environment
variable GNREF_KEEP_MB sets another limit; 0 keeps nothing. Results above the limit get fresh pages.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any

LARGE = 1 << 25  # bytes: what is smaller is kept by the C library
STEP = 1 << 20  # bytes: results of nearly one size fit each other's memory


def limit() -> int:
    """How many bytes are kept."""
    given = os.environ.get("GNREF_KEEP_MB", "256")
    if not given.isdecimal():
        raise ValueError(f"GNREF_KEEP_MB is {given!r}; expected a whole number of megabytes, 0 or more")
    return int(given) << 20


KEEP = limit()

_kept: dict[int, list[Array]] = {}


def borrow(nbytes: int) -> Array:
    """So many bytes or more, as uint8. The memory comes back here when the last view of it is gone."""
    size = -(-nbytes // STEP) * STEP
    if size > KEEP:
        return np.empty(nbytes, np.uint8)
    try:
        raw = _kept[size].pop()
    except (KeyError, IndexError):
        raw = allocate(size)
    return np.asarray(Lent(raw))


def allocate(size: int) -> Array:
    """New memory; what is kept makes room for it if need be."""
    try:
        return np.empty(size, np.uint8)
    except MemoryError:
        _kept.clear()
        return np.empty(size, np.uint8)


def give_back(raw: Array, kept: dict[int, list[Array]] = _kept) -> None:
    """Keep memory for the next result; if that is too much, instead of all that was kept so far."""
    if raw.size + sum(size * len(arrays) for size, arrays in list(kept.items())) > KEEP:
        kept.clear()
    kept.setdefault(raw.size, []).append(raw)


class Lent:
    """The owner of a result's memory, as far as NumPy knows."""

    __slots__ = ("raw",)

    def __init__(self, raw: Array) -> None:
        self.raw = raw

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """The memory's own."""
        interface: dict[str, Any] = self.raw.__array_interface__
        return interface

    def __del__(self, give_back: Callable[[Array], None] = give_back) -> None:
        give_back(self.raw)  # a default, for at the end of the process names of this module are gone
