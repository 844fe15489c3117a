"""Arrays inside larger buffers of NaN: what reads past an end sees NaN, what writes there is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gnref.testing.problems import Array

GUARD = 64  # elements on either side: what the widest vector load may reach


@dataclass(frozen=True)
class Guarded:
    """A buffer, and where an array lies in it.

    Attributes
    ----------
    buffer : array
        One-dimensional; one number, such as NaN, wherever the array is not.
    shape, strides : tuple of int
        Of the array; strides in elements.
    start : int
        The position of the array's first element in the buffer.
    writeable : bool
        Whether the array may be written to.
    """

    buffer: Array
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    start: int
    writeable: bool = True

    def view(self, buffer: Array, writeable: bool = True) -> Array:
        """The array in a buffer like this one."""
        steps = tuple(stride * buffer.itemsize for stride in self.strides)
        return np.lib.stride_tricks.as_strided(buffer[self.start :], self.shape, steps, writeable=writeable)

    def changed(self, buffer: Array) -> str:
        """Say whether bits of the array, or of what is around it, differ in a buffer; "" if none do."""
        before, after = (np.ascontiguousarray(a).view(f"u{a.itemsize}") for a in (self.buffer, buffer))
        where = before != after
        if not where.any():
            return ""
        own = np.zeros(len(where), bool)
        self.view(own)[...] = True
        return "around" if (where & ~own).any() else "inside"


def guarded(a: Array, fill: float = np.nan) -> Guarded:
    """Copy an array into a buffer, with its strides; NaN around it, or another number."""
    strides = tuple(stride // a.itemsize for stride in a.strides)
    reach = [(size - 1) * stride for size, stride in zip(a.shape, strides, strict=True) if size > 0]
    below, above = -sum(min(0, r) for r in reach), sum(max(0, r) for r in reach)
    buffer = np.full(below + above + 1 + 2 * GUARD, fill, a.dtype)
    made = Guarded(buffer, a.shape, strides, GUARD + below, bool(a.flags.writeable))
    made.view(buffer)[...] = a
    return made
