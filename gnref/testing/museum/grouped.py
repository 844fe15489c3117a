"""Group norm as most tutorials write it: N C H W is reshaped to N G K S, and the last two axes are averaged.

It is right. `gnref.testing.museum` changes one line of it at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
SHARED = (2, 3)


def grouped(a: Array, num_groups: int) -> Array:
    """(N, G, K, S), in the dtype that sums are taken in."""
    N, C = a.shape[:2]
    if C % num_groups != 0:
        raise ValueError(f"num_groups is {num_groups}; expected a divisor of C = {C}")
    work = np.float64 if a.dtype == np.float64 else np.float32
    return a.astype(work).reshape(N, num_groups, max(1, C // num_groups), -1)


def statistics(x4: Array, eps: float) -> tuple[Array, Array]:
    """x - mean and 1 / sqrt(var + eps)."""
    d = x4 - x4.mean(axis=SHARED, keepdims=True)
    return d, 1 / np.sqrt((d * d).mean(axis=SHARED, keepdims=True) + eps)


def per_channel(p: Array | None, absent: float, x: Array) -> Array:
    """Weight or bias as (C, 1)."""
    work = np.float64 if x.dtype == np.float64 else np.float32
    return np.full((x.shape[1], 1), absent, work) if p is None else p.astype(work)[:, None]


def forward(x: Array, num_groups: int, weight: Array | None, bias: Array | None, eps: float = 1e-5) -> Array:
    """y."""
    d, rstd = statistics(grouped(x, num_groups), eps)
    xhat = (d * rstd).reshape(*x.shape[:2], -1)
    y = xhat * per_channel(weight, 1.0, x) + per_channel(bias, 0.0, x)
    return y.reshape(x.shape).astype(x.dtype)


def backward(
    dy: Array, x: Array, num_groups: int, weight: Array | None, bias: Array | None, eps: float = 1e-5
) -> tuple[Array, Array | None, Array | None]:
    """dx, dweight and dbias."""
    d, rstd = statistics(grouped(x, num_groups), eps)
    xhat = d * rstd
    dy3 = dy.astype(xhat.dtype).reshape(*dy.shape[:2], -1)
    g = (dy3 * per_channel(weight, 1.0, x)).reshape(xhat.shape)
    mean_g, mean_g_xhat = (a.mean(axis=SHARED, keepdims=True) for a in (g, g * xhat))
    dx = rstd * (g - mean_g - xhat * mean_g_xhat)
    dweight, dbias = (dy3 * xhat.reshape(dy3.shape)).sum((0, 2)), dy3.sum((0, 2))
    return (
        dx.reshape(x.shape).astype(x.dtype),
        None if weight is None else dweight.astype(weight.dtype),
        None if bias is None else dbias.astype(bias.dtype),
    )


def functions(norm: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The forward and backward pass of group norm."""
    if norm != "group":
        raise ValueError(f"norm is {norm!r}; expected 'group'")
    return forward, backward
