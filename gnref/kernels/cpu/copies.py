"""A copy past the caches: the fastest that memory allows, which the benchmark measures the kernels by."""

from __future__ import annotations

from numba import prange

from gnref.kernels.cpu.options import function
from gnref.kernels.cpu.vectors import LANES, aligned, load, load_first, pointer, store_first, stream


@function
def copy_part(first, last, source, target):
    """Copy the elements first to last."""
    source, target = pointer(source), pointer(target)
    i = first
    start = min(aligned(target, i), last)
    if start > i:
        store_first(target, i, load_first(source, i, start - i), start - i)
        i = start
    while i + LANES <= last:
        stream(target, i, load(source, i))
        i += LANES
    if i < last:
        store_first(target, i, load_first(source, i, last - i), last - i)


def copy(pieces, first, last, source, target):
    """Copy the elements first to last, by all cores."""
    n = last - first
    for k in prange(pieces):
        copy_part(first + k * n // pieces, first + (k + 1) * n // pieces, source, target)
