"""NumPy arrays of any kind as flat memory of a kind that the kernels are compiled for, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnref.kernels.cpu.reuse import LARGE, borrow
from gnref.kernels.cpu.vectors import LANES

Array = Any

STREAM = 1 << 21  # bytes: results from here on leave a core's own cache anyway, and are written past it
SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def are_usual(x5: Array, a: Array | None, b: Array | None) -> bool:
    """Whether arrays are what the kernels for small problems are compiled for; none missing, none empty."""
    dtype = x5.dtype
    if not (dtype is SINGLE or dtype is DOUBLE) or a is None or b is None or not x5.size:
        return False
    same = a.dtype is dtype and b.dtype is dtype
    return same and x5.flags.carray and a.flags.carray and b.flags.carray


def are_statistics(rstd: Array, mean: Array | None, center: bool) -> bool:
    """Whether statistics are what the kernels for small problems are compiled for."""
    if mean is None:
        return not center and rstd.dtype is DOUBLE and rstd.flags.carray
    return mean.dtype is rstd.dtype is DOUBLE and rstd.flags.carray and mean.flags.carray


BITS = {"float16": np.dtype(np.uint16), "bfloat16": np.dtype(np.int16)}


def flat(a5: Array) -> Array:
    """The elements in a row, as they lie in memory: a view wherever they do lie so.

    16 bits become integers. Other byte orders, places that are no multiple of the size, and memory that
    cannot be written are not what the kernels are compiled for.
    """
    dtype, flags = a5.dtype, a5.flags
    if (dtype is SINGLE or dtype is DOUBLE) and flags.carray:
        return a5.ravel()  # nearly always; it is a view
    if not (flags.c_contiguous and flags.aligned and dtype.isnative):
        a5 = np.require(a5, a5.dtype.newbyteorder("="), ["C", "A"])
    a = a5.reshape(-1)
    if a.dtype.itemsize == 2:
        a = a.view(BITS[a.dtype.name])
    return a if a.flags.writeable else np.asarray(Opened(a))


class Opened:
    """A read-only array that does not say so. The kernels do not write to it, but would be compiled again."""

    def __init__(self, a: Array) -> None:
        self.a = a

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """The array's own, with leave to write."""
        own = dict(self.a.__array_interface__)
        own["data"] = (own["data"][0], False)
        return own


def room(x5: Array, out: Array | None) -> tuple[Array, Array]:
    """Where a result goes, in slots and flat: out if it lies right, else a new array."""
    if out is not None and out.flags.carray and out.dtype.isnative:
        return out, flat(out)
    dtype = x5.dtype
    if dtype is SINGLE or dtype is DOUBLE:
        y = np.empty(x5.size, dtype) if x5.nbytes < STREAM else aligned_empty(x5.size, dtype)
        return y.reshape(x5.shape), y
    out = aligned_empty(x5.size, dtype.newbyteorder("=")).reshape(x5.shape)
    return out, flat(out)


def aligned_empty(n: int, dtype: np.dtype[Any]) -> Array:
    """An array that begins where a vector may be written past the caches: NumPy's own begin in mid-line."""
    nbytes = (n + 2 * LANES) * dtype.itemsize
    a = np.empty(nbytes, np.uint8) if nbytes < LARGE else borrow(nbytes)
    start = -a.__array_interface__["data"][0] % (2 * LANES * dtype.itemsize)
    return a[start : start + n * dtype.itemsize].view(dtype)


def as_given(y5: Array, x5: Array) -> Array:
    """A result in the byte order of x."""
    return y5 if y5.dtype == x5.dtype else y5.astype(x5.dtype)


def parameter(p: Array | None, x5: Array, default: float) -> Array:
    """A weight or bias, one number for each (a, b), in the type that x is computed in."""
    dtype = DOUBLE if x5.dtype.itemsize == 8 else SINGLE
    if p is None:
        return np.full(x5.shape[2] * x5.shape[3], default, dtype)
    if p.dtype is not dtype:
        with np.errstate(all="ignore"):  # a float64 weight may be more than float32 holds
            p = p.astype(dtype)
    return flat(p)


def own(mean: Array | None, rstd: Array) -> tuple[Array, Array]:
    """mean and rstd, flat; a kernel that does not center looks at no mean."""
    rstd = flat(np.asarray(rstd, np.float64))
    return rstd if mean is None else flat(np.asarray(mean, np.float64)), rstd
