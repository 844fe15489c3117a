"""The operations of `memory` and `vectors` in NumPy, for NUMBA_DISABLE_JIT."""

from __future__ import annotations

from typing import Any

import numpy as np

LANES = 16
Array = Any


class Vector(np.ndarray):
    """Sixteen numbers that stay float32 beside a float64 number, which is rounded first."""

    def same(self, other: Any) -> Array:
        """The other operand in this one's type."""
        return other if isinstance(other, Vector) else self.dtype.type(other)

    def __add__(self, other: Any) -> Array:
        return np.add(self, self.same(other))

    def __sub__(self, other: Any) -> Array:
        return np.subtract(self, self.same(other))

    def __mul__(self, other: Any) -> Array:
        return np.multiply(self, self.same(other))

    def __truediv__(self, other: Any) -> Array:
        return np.divide(self, self.same(other))


def decode(bits: Array) -> Array:
    """What lies in memory, as float32 or float64."""
    if bits.dtype == np.uint16:
        value = bits.view(np.float16).astype(np.float32)
    elif bits.dtype == np.int16:
        value = (bits.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        value = bits.copy()
    return value.view(Vector)


def encode(value: Array, dtype: Any) -> Array:
    """A float32 or float64 vector, as it lies in memory."""
    value = np.asarray(value)
    if dtype != np.float64:
        value = value.astype(np.float32)
    if dtype == np.uint16:
        return value.astype(np.float16).view(np.uint16)
    if dtype == np.int16:
        bits = value.view(np.uint32)
        rounded = (bits + (((bits >> 16) & 1) + 0x7FFF)) >> 16
        return np.where(np.isnan(value), (bits >> 16) | 0x40, rounded).astype(np.uint16).view(np.int16)
    return value


def pointer(x: Array) -> Array:
    """Where an array's elements begin."""
    return x


def keep(x: Array) -> None:
    """Nothing to do."""


def part_of(x: Array, i: int) -> Array:
    """Where x[i:] begins."""
    return x[i:]


def load(x: Array, i: int) -> Array:
    """Sixteen elements from x[i] on, as float32 or float64."""
    assert 0 <= i <= x.size - LANES
    return decode(x[i : i + LANES])


def load_first(x: Array, i: int, n: int) -> Array:
    """n < 16 elements from x[i] on, and zeros."""
    assert 0 <= i <= x.size - n
    assert 0 <= n < LANES
    whole = np.zeros(LANES, x.dtype)
    whole[:n] = x[i : i + n]
    return decode(whole)


def store(y: Array, i: int, value: Array) -> None:
    """Write sixteen elements from y[i] on."""
    assert 0 <= i <= y.size - LANES
    y[i : i + LANES] = encode(value, y.dtype)


def stream(y: Array, i: int, value: Array, second: Array) -> None:
    """Write thirty-two elements; y[i] must be `aligned`."""
    assert aligned(y, i) == i
    store(y, i, value)
    store(y, i + LANES, second)


def store_first(y: Array, i: int, value: Array, n: int) -> None:
    """Write the first n < 16 elements."""
    assert 0 <= i <= y.size - n
    assert 0 <= n < LANES
    y[i : i + n] = encode(value, y.dtype)[:n]


def number(x: Array, i: int) -> float:
    """x[i] as a float64."""
    assert 0 <= i < x.size
    return float(decode(x[i : i + 1])[0])


def put_number(y: Array, i: int, value: float) -> None:
    """Round a float64 into y[i]."""
    assert 0 <= i < y.size
    y[i : i + 1] = encode(np.full(1, value), y.dtype)


def aligned(y: Array, i: int) -> int:
    """The first j >= i at which y[j] starts a block of thirty-two elements in memory."""
    return i + -(int(y.ctypes.data) // int(y.itemsize) + i) % (2 * LANES)


def prefetch(x: Array, i: int) -> None:
    """Nothing to do."""


def filled(value: Any) -> Array:
    """Sixteen copies of a number."""
    return np.full(LANES, value).view(Vector)


def widen(value: Array) -> Array:
    """A float32 vector as float64; a float64 vector as it is."""
    return value.astype(np.float64)


def first(value: Array, n: int) -> Array:
    """The first n lanes, and zeros."""
    return np.where(np.arange(LANES) < n, value, value.dtype.type(0)).view(Vector)


def fma(a: Array, b: Array, c: Array) -> Array:
    """a * b + c, rounded once where a is float32."""
    wide = np.asarray(a, np.float64) * np.asarray(a.same(b)) + np.asarray(a.same(c))
    return wide.astype(a.dtype).view(Vector)


def total(value: Array) -> Any:
    """The sum of the sixteen lanes: halves with halves."""
    while value.size > 1:
        half = value.size // 2
        value = value[:half] + value[half:]
    return np.asarray(value)[0]


def accumulate(high: Array, low: Array, value: Array) -> tuple[Array, Array]:
    """high + low + value in twice the precision of value."""
    if value.dtype == np.float32:
        return high + value, low
    both = high + value
    part = both - high
    return both, low + ((high - (both - part)) + (value - part))


def computed(x: Array) -> Any:
    """The type that x is computed in."""
    return np.float64 if x.dtype == np.float64 else np.float32


def rounded(x: Array, value: float) -> float:
    """A float64 number rounded to the type that x is computed in."""
    return float(computed(x)(value))


def narrow(x: Array, value: Array) -> Array:
    """A float64 vector in the type that x is computed in."""
    return value.astype(computed(x))


def filled_like(x: Array, value: float) -> Array:
    """Sixteen copies of a number, in the type that x is computed in."""
    return np.full(LANES, value, computed(x)).view(Vector)


def where_above(a: Array, b: Array, value: Array, other: Array) -> Array:
    """The value in lanes where a > b, else the other."""
    chosen: Array = np.where(a > b, value, other)
    return chosen.view(Vector)


def any_above(a: Array, b: Array) -> bool:
    """Whether a > b in any lane."""
    return bool((a > b).any())
