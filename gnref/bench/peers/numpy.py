"""NumPy as in a textbook: the formulas, one array operation after the other, in one thread.

Forward: Ioffe & Szegedy 2015, Algorithm 1, and Wu & He 2018, eq. 1, 2 and 6. Backward: the chain rule of
Ioffe & Szegedy 2015, section 3, collapsed, from the mean and 1/std that the forward pass had.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gnref.bench.case import EPS, Case, Formula, copied, formula
from gnref.bench.peers import Way

Array = np.ndarray[Any, Any]


class Peer:
    """Plain NumPy; 16-bit arrays are computed in float32."""

    def __init__(self, threads: int) -> None:
        pass  # NumPy has one

    def ways(self, case: Case) -> dict[str, Way]:
        """One way."""
        f, (row, x, weight, bias, dy) = formula(case.row), copied(case)
        if row.direction == "forward":
            return {"": Way(lambda: forward(f, x, weight, bias), lambda y: (y,))}
        mean, rstd = statistics(f, widened(x))
        return {"": Way(lambda: backward(f, dy, x, weight, mean, rstd), tuple)}


def widened(a: Array) -> Array:
    """16-bit numbers as float32; NumPy has no fast arithmetic for them."""
    return a.astype(np.float32) if a.dtype.itemsize < 4 else a


def statistics(f: Formula, x: Array) -> tuple[Array, Array]:
    """Mean and 1/std, broadcast to the formula's shape."""
    grouped = x.reshape(f.shape)
    mean = grouped.mean(f.axes, keepdims=True)
    var = grouped.var(f.axes, keepdims=True)
    return mean, 1 / np.sqrt(var + np.asarray(EPS, x.dtype))


def forward(f: Formula, x: Array, weight: Array, bias: Array) -> Array:
    """y."""
    wide = widened(x)
    mean, rstd = statistics(f, wide)
    xhat = ((wide.reshape(f.shape) - mean) * rstd).reshape(x.shape)
    y = xhat * weight.reshape(f.param_shape) + bias.reshape(f.param_shape)
    return y.astype(x.dtype, copy=False)


def backward(
    f: Formula, dy: Array, x: Array, weight: Array, mean: Array, rstd: Array
) -> tuple[Array, Array, Array]:
    """dx, dweight and dbias."""
    wide = widened(dy)
    xhat = (widened(x).reshape(f.shape) - mean) * rstd
    dxhat = (wide * weight.reshape(f.param_shape)).reshape(f.shape)
    via_mean = dxhat.mean(f.axes, keepdims=True)
    via_var = (dxhat * xhat).mean(f.axes, keepdims=True)
    dx = rstd * (dxhat - via_mean - xhat * via_var)
    dweight = (wide * xhat.reshape(x.shape)).sum(f.param_axes).reshape(weight.shape)
    dbias = wide.sum(f.param_axes).reshape(weight.shape)
    return dx.reshape(x.shape).astype(x.dtype, copy=False), dweight, dbias
