"""One forward and one backward pass for the five norms, as a kernel's author writes them in NumPy.

The sets are rows, loaded in blocks with a mask for the last one; 16-bit numbers are summed in float32.
It is right. `gnref.testing.mutants` and `gnref.testing.museum` change one place of it at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
BLOCK = 8


def five_slots(norm: str, shape: tuple[int, ...], argument: Any) -> tuple[int, int, int, int, int]:
    """(O, P, A, B, S) of an array with the channels at axis 1."""
    if norm in ("layer", "rms"):
        D = prod(argument)
        return prod(shape[: len(shape) - len(argument)]), 1, 1, D, 1
    N, C, S = shape[0], shape[1], prod(shape[2:])
    if norm == "batch":
        return 1, N, C, 1, S
    if norm == "instance":
        return N, 1, C, 1, S
    G = argument
    if C % G != 0:
        raise ValueError(f"num_groups is {G}; expected a divisor of C = {C}")
    K = C // G
    return N, 1, G, K, S


def to_slots(a: Array, norm: str, argument: Any, channel_axis: int) -> Array:
    """(O, P, A, B, S), in the dtype that sums are taken in."""
    if norm not in ("layer", "rms"):
        a = np.moveaxis(a, channel_axis, 1)
    work = np.float64 if a.dtype == np.float64 else np.float32
    return a.astype(work).reshape(five_slots(norm, a.shape, argument))


def from_slots(a5: Array, like: Array, norm: str, channel_axis: int) -> Array:
    """The shape and dtype of another array."""
    if norm in ("layer", "rms"):
        return a5.reshape(like.shape).astype(like.dtype)
    first = np.moveaxis(like, channel_axis, 1)
    return np.moveaxis(a5.reshape(first.shape), 1, channel_axis).astype(like.dtype)


def to_rows(a5: Array) -> Array:
    """(O, A, m): one row for each set."""
    O, P, A, B, S = a5.shape
    return a5.transpose(0, 2, 1, 3, 4).reshape(O, A, P * B * S)


def from_rows(rows: Array, shape5: tuple[int, ...]) -> Array:
    """(O, P, A, B, S), from rows."""
    O, P, A, B, S = shape5
    return rows.reshape(O, A, P, B, S).transpose(0, 2, 1, 3, 4)


def load(rows: Array) -> tuple[Array, Array]:
    """Rows in whole blocks, filled up with 0, and a mask of what is there."""
    m = rows.shape[-1]
    lanes = np.arange((m + BLOCK - 1) // BLOCK * BLOCK)
    mask = lanes < m
    loaded = np.zeros((*rows.shape[:-1], len(lanes)), rows.dtype)
    loaded[..., :m] = rows
    return loaded, mask


def parameter(p: Array | None, absent: float, a5: Array) -> Array:
    """Weight or bias as (1, 1, A, B, 1)."""
    A, B = a5.shape[2:4]
    full = np.full(A * B, absent) if p is None else p
    return full.astype(a5.dtype).reshape(1, 1, A, B, 1)


def forward(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    norm: str,
    argument: Any,
    channel_axis: int,
) -> tuple[Array, Array, Array]:
    """y, mean and rstd."""
    x5 = to_slots(x, norm, argument, channel_axis)
    rows = to_rows(x5)
    m = rows.shape[-1]
    loaded, mask = load(rows)
    total = loaded.sum(-1)
    mean = total / m
    if norm == "rms":
        mean = np.zeros_like(mean)
    d = np.where(mask, loaded - mean[..., None], 0)
    squares = (d * d).sum(-1)
    var = squares / m
    rstd = 1 / np.sqrt(var + eps)
    xhat = from_rows((d * rstd[..., None])[..., :m], x5.shape)
    y5 = xhat * parameter(weight, 1.0, x5) + parameter(bias, 0.0, x5)
    return from_slots(y5, x, norm, channel_axis), mean, rstd.astype(x5.dtype)


def backward(
    dy: Array,
    x: Array,
    mean: Array,
    rstd: Array,
    weight: Array | None,
    bias: Array | None,
    norm: str,
    argument: Any,
    channel_axis: int,
) -> tuple[Array, Array | None, Array | None]:
    """dx, dweight and dbias, from the mean and rstd of the forward pass."""
    x5, dy5 = (to_slots(a, norm, argument, channel_axis) for a in (x, dy))
    rows = to_rows(x5)
    m = rows.shape[-1]
    loaded, mask = load(rows)
    xhat = np.where(mask, (loaded - mean[..., None]) * rstd[..., None], 0)
    g, _ = load(to_rows(dy5 * parameter(weight, 1.0, dy5)))
    mean_g = g.sum(-1) / m
    if norm == "rms":
        mean_g = np.zeros_like(mean_g)
    mean_g_xhat = (g * xhat).sum(-1) / m
    dx = rstd[..., None] * (g - mean_g[..., None] - xhat * mean_g_xhat[..., None])
    dx5 = from_rows(dx[..., :m], x5.shape)
    xhat5 = from_rows(xhat[..., :m], x5.shape)
    dweight = (dy5 * xhat5).sum((0, 1, 4))
    dbias = dy5.sum((0, 1, 4))
    return (
        from_slots(dx5, x, norm, channel_axis),
        None if weight is None else dweight.reshape(weight.shape).astype(weight.dtype),
        None if bias is None else dbias.reshape(bias.shape).astype(bias.dtype),
    )


def functions(norm: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The forward and backward pass of a norm, to be called like gnref's own functions."""
    if norm in ("batch", "instance"):
        return (
            lambda x, weight, bias, eps=1e-5, channel_axis=1: forward(
                x, weight, bias, eps, norm, None, channel_axis
            ),
            lambda dy, x, mean, rstd, weight, bias, eps=1e-5, channel_axis=1: backward(
                dy, x, mean, rstd, weight, bias, norm, None, channel_axis
            ),
        )
    if norm == "rms":
        return (
            lambda x, normalized_shape, weight, eps=1e-5: forward(
                x, weight, None, eps, norm, normalized_shape, 1
            ),
            lambda dy, x, mean, rstd, normalized_shape, weight, eps=1e-5: backward(
                dy, x, mean, rstd, weight, None, norm, normalized_shape, 1
            ),
        )
    return (
        lambda x, argument, weight, bias, eps=1e-5, channel_axis=1: forward(
            x, weight, bias, eps, norm, argument, channel_axis
        ),
        lambda dy, x, mean, rstd, argument, weight, bias, eps=1e-5, channel_axis=1: backward(
            dy, x, mean, rstd, weight, bias, norm, argument, channel_axis
        ),
    )
