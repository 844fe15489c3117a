"""The numbers of a row, and what every textbook formula needs to know of its axes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gnref.bench.grid import Row

Array = np.ndarray[Any, Any]
EPS = 1e-5


class Case(NamedTuple):
    """A row with its arrays."""

    row: Row
    x: Array
    weight: Array
    bias: Array
    dy: Array  # the gradient by y, for backward rows; else empty


class Formula(NamedTuple):
    """How to compute a norm with reshape, mean and broadcasting alone."""

    shape: tuple[int, ...]  # x with C split into G, K for group norm
    axes: tuple[int, ...]  # of that shape: those that share a mean
    param_shape: tuple[int, ...]  # the weight, ready to be broadcast to x
    param_axes: tuple[int, ...]  # of x: those that share a weight


def draw(row: Row, seed: int = 0) -> Case:
    """Draw the arrays of a row: x away from mean 0 and spread 1, and nothing constant."""
    rng = np.random.default_rng(seed)
    params = row.normalized_shape or (row.shape[row.channel_axis],)
    wide = np.float64 if row.dtype == "float64" else np.float32
    x = _normal(rng, row.shape, row.dtype, scale=2.0, shift=1.0)
    weight, bias = (rng.standard_normal(params, np.float32).astype(wide) for _ in range(2))
    dy = _normal(rng, row.shape if row.direction == "backward" else (0,), row.dtype)
    return Case(row, x, weight, bias, dy)


def formula(row: Row) -> Formula:
    """Say which axes of a row share a mean and which share a weight.

    Examples
    --------
    >>> formula(Row("group", "forward", (2, 6, 4, 4), num_groups=3))
    Formula(shape=(2, 3, 2, 4, 4), axes=(2, 3, 4), param_shape=(6, 1, 1), param_axes=(0, 2, 3))
    """
    shape, ndim = row.shape, len(row.shape)
    if row.norm == "layer":
        assert row.normalized_shape is not None
        trailing = tuple(range(ndim - len(row.normalized_shape), ndim))
        return Formula(shape, trailing, row.normalized_shape, tuple(range(trailing[0])))
    c = row.channel_axis % ndim
    spatial = tuple(axis for axis in range(1, ndim) if axis != c)
    param_shape = (shape[c], *(1 for _ in shape[c + 1 :]))
    if row.norm == "group":
        assert row.num_groups is not None
        split = (*shape[:c], row.num_groups, shape[c] // row.num_groups, *shape[c + 1 :])
        axes = tuple(axis for axis in range(1, ndim + 1) if axis != c)
        return Formula(split, axes, param_shape, (0, *spatial))
    axes = spatial if row.norm == "instance" else (0, *spatial)
    return Formula(shape, axes, param_shape, (0, *spatial))


def copied(case: Case) -> Case:
    """The case in memory of its own, so that no peer finds in the cache what another one left there."""
    return Case(case.row, *(a.copy() for a in case[1:]))


def dtype_of(name: str) -> np.dtype[Any]:
    """A NumPy dtype by its name, bfloat16 included."""
    if name == "bfloat16":
        import ml_dtypes

        dtype: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return dtype
    return np.dtype(name)


def _normal(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: str, scale: float = 1.0, shift: float = 0.0
) -> Array:
    """Normal numbers, drawn as float32, which is fast, and rounded to the dtype."""
    a = rng.standard_normal(shape, np.float32)
    a *= np.float32(scale)
    a += np.float32(shift)
    return a.astype(dtype_of(dtype), copy=False)
