"""A copy past the caches: the fastest that memory allows, which the benchmark measures the kernels by."""

from __future__ import annotations

from numba import prange

from gnref.kernels.cpu.memory import aligned, load, load_first, pointer, store, store_first, stream
from gnref.kernels.cpu.options import function, inline
from gnref.kernels.cpu.vectors import LANES


@inline
def copy_short(i, last, source, target):
    """Copy the elements i to last in the usual way."""
    while i + LANES <= last:
        store(target, i, load(source, i))
        i += LANES
    if i < last:
        store_first(target, i, load_first(source, i, last - i), last - i)


@function
def copy_part(first, last, source, target):
    """Copy the elements first to last."""
    source, target = pointer(source), pointer(target)
    start = min(aligned(target, first), last)
    copy_short(first, start, source, target)
    while start + 2 * LANES <= last:
        stream(target, start, load(source, start), load(source, start + LANES))
        start += 2 * LANES
    copy_short(start, last, source, target)


def copy(pieces, first, last, source, target):
    """Copy the elements first to last, by all cores."""
    n = last - first
    for k in prange(pieces):
        copy_part(first + k * n // pieces, first + (k + 1) * n // pieces, source, target)
