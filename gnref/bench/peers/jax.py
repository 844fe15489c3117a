"""JAX on the CPU: jitted textbook formulas, with the channels where the row has them.

XLA makes quite different loops of formulas that mean the same, so several are tried: the variance as the
mean of squared differences, or as E[x^2] - E[x]^2 as in Flax; backward either the jitted vjp of these, made
outside so that the clock sees no forward pass, or the formula in closed form, of dy, x, weight, mean and
1/std.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gnref.bench.case import EPS, Case, Formula, formula
from gnref.bench.grid import Row
from gnref.bench.peers import Way

try:
    from jax import enable_x64
except ImportError:  # before JAX 0.8
    from jax.experimental import enable_x64

Array = Any  # jax.Array
Variance = Callable[[Array, Array, tuple[int, ...]], Array]


class Peer:
    """JAX jit; 16-bit arrays are computed in float32."""

    def __init__(self, threads: int) -> None:
        # What XLA takes for the size of its thread pool; read once, when it starts.
        os.environ["NPROC"] = str(threads)
        self.device = jax.devices("cpu")[0]

    def ways(self, case: Case) -> dict[str, Way]:
        """Each formula, jitted."""
        row, f = case.row, formula(case.row)
        with _precision(row):
            x, weight, bias, dy = (jax.device_put(jnp.array(a), self.device) for a in case[1:])
            if row.direction == "forward":
                return {
                    name: _way(row, jax.jit(_forward(f, variance)), x, weight, bias)
                    for name, variance in VARIANCES.items()
                }
            found = {"closed form": _way(row, jax.jit(_backward(f)), dy, x, weight, *jax.jit(_saved(f))(x))}
            for name, variance in VARIANCES.items():
                _, vjp = jax.vjp(jax.jit(_forward(f, variance)), x, weight, bias)
                found[f"vjp, {name}"] = _way(row, jax.jit(lambda vjp, dy: vjp(dy)), vjp, dy)
            return found


@contextmanager
def _precision(row: Row) -> Iterator[None]:
    """Allow float64 where the row has it."""
    with enable_x64(row.dtype == "float64"):
        yield


def _way(row: Row, function: Any, *arguments: Any) -> Way:
    """A function that returns when all is computed."""

    def run() -> Any:
        return jax.block_until_ready(function(*arguments))

    def run_in_float64() -> Any:
        with _precision(row):
            return jax.block_until_ready(function(*arguments))

    return Way(run_in_float64 if row.dtype == "float64" else run, _read)


def _read(results: Any) -> tuple[np.ndarray[Any, Any], ...]:
    """Results as NumPy arrays."""
    return tuple(np.asarray(a) for a in jax.tree.leaves(results))


def _differences(x: Array, mean: Array, axes: tuple[int, ...]) -> Array:
    return jnp.mean(jnp.square(x - mean), axes, keepdims=True)


def _squares(x: Array, mean: Array, axes: tuple[int, ...]) -> Array:
    return jnp.mean(jnp.square(x), axes, keepdims=True) - jnp.square(mean)


VARIANCES: dict[str, Variance] = {"mean of squared differences": _differences, "E[x^2] - E[x]^2": _squares}


def _widened(a: Array) -> Array:
    return a.astype(jnp.float32) if a.dtype.itemsize < 4 else a


def _saved(f: Formula) -> Callable[[Array], tuple[Array, Array]]:
    """What a forward pass saves: mean and 1/std."""

    def saved(x: Array) -> tuple[Array, Array]:
        wide = jnp.reshape(_widened(x), f.shape)
        mean = jnp.mean(wide, f.axes, keepdims=True)
        return mean, jax.lax.rsqrt(_differences(wide, mean, f.axes) + EPS)

    return saved


def _forward(f: Formula, variance: Variance) -> Callable[..., Array]:
    """y of x, weight and bias."""

    def forward(x: Array, weight: Array, bias: Array) -> Array:
        wide = jnp.reshape(_widened(x), f.shape)
        mean = jnp.mean(wide, f.axes, keepdims=True)
        xhat = (wide - mean) * jax.lax.rsqrt(variance(wide, mean, f.axes) + EPS)
        scale, shift = (jnp.reshape(p, f.param_shape) for p in (weight, bias))
        return (jnp.reshape(xhat, x.shape) * scale + shift).astype(x.dtype)

    return forward


def _backward(f: Formula) -> Callable[..., tuple[Array, Array, Array]]:
    """dx, dweight and dbias of dy and what the forward pass saved."""

    def backward(dy: Array, x: Array, weight: Array, mean: Array, rstd: Array) -> tuple[Array, Array, Array]:
        wide = _widened(dy)
        xhat = (jnp.reshape(_widened(x), f.shape) - mean) * rstd
        dxhat = jnp.reshape(wide * jnp.reshape(weight, f.param_shape), f.shape)
        via_mean = jnp.mean(dxhat, f.axes, keepdims=True)
        via_var = jnp.mean(dxhat * xhat, f.axes, keepdims=True)
        dx = jnp.reshape(rstd * (dxhat - via_mean - xhat * via_var), x.shape).astype(x.dtype)
        dweight = jnp.sum(wide * jnp.reshape(xhat, x.shape), f.param_axes)
        return dx, jnp.reshape(dweight, weight.shape), jnp.reshape(jnp.sum(wide, f.param_axes), weight.shape)

    return backward
