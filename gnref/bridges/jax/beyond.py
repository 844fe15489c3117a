"""Second derivatives: JAX's own, of a formula in JAX's operations; it may go on from there to any order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gnref.bridges.jax.call import KIND, Call, together
from gnref.kernels.reference import reciprocal_std, widest

Array = Any
Arrays = dict[str, Array]


def second(function: Callable[..., Arrays], call: Call, given: Arrays, along: Arrays) -> Arrays:
    """A derivative of a derivative along x and weight, where they move, for every example of a vmap."""
    arrays = given | {f"{name}_along": along[name] for name in ("x", "weight") if name in along}
    arrays = {name: a for name, a in arrays.items() if KIND.get(name) != "stat" and name != "bias_dot"}
    leading = {name: call.leading(name.removesuffix("_along"), a.shape) for name, a in arrays.items()}
    front = together(leading.values())
    mapped: Callable[..., Arrays] = partial(function, call)
    for i in reversed(range(len(front))):
        axes = {name: 0 if own[i] == front[i] else None for name, own in leading.items()}
        mapped = jax.vmap(mapped, in_axes=(axes,))
    same = {name: tuple(i for i, n in enumerate(own) if n != front[i]) for name, own in leading.items()}
    return mapped({name: jnp.squeeze(a, same[name]) for name, a in arrays.items()})


@partial(jax.jit, static_argnums=0)
def move_again(call: Call, arrays: Arrays) -> Arrays:
    """The derivative of y_dot."""
    dots = {name: arrays[f"{name}_dot"] for name in ("x", "weight") if f"{name}_dot" in arrays}

    def y_dot(inputs: Arrays) -> Array:
        return slope(partial(formula, call), inputs, dots)

    return {"y_dot": slope(y_dot, inputs_of(arrays), directions(arrays))}


@partial(jax.jit, static_argnums=0)
def differentiate_again(call: Call, arrays: Arrays) -> Arrays:
    """The derivatives of dx and dweight; dbias is the sum of dy, and has none."""

    def gradients(inputs: Arrays) -> Arrays:
        (found,) = jax.vjp(partial(formula, call), inputs)[1](arrays["dy"])
        return {f"d{name}": a for name, a in found.items()}

    found: Arrays = slope(gradients, inputs_of(arrays), directions(arrays))
    return found


def formula(call: Call, inputs: Arrays) -> Array:
    """y without a bias, which makes no difference here: y = (x - mean) / sqrt(var + eps) * weight.

    It is gnref's reference but for the order of its sums, which JAX would compile for seconds.
    """
    v, mean = call.view, partial(jnp.mean, axis=(1, 3, 4), keepdims=True)
    x = v.x.fold(jnp, inputs["x"]).astype(widest(jnp))  #  (O, P, A, B, S)
    s = scale(x, call.eps)  #                              (O, 1, A, 1, 1)
    xc = x * s  #                                          (O, P, A, B, S)
    if v.center:  # twice: what is left of the mean is subtracted as well
        xc = xc - mean(xc)
        xc = xc - mean(xc)
    y = xc * reciprocal_std(mean(xc * xc), s * call.eps * s)
    if "weight" in inputs:
        y = y * v.params.fold(jnp, inputs["weight"]).astype(y.dtype)[None, None, :, :, None]
    return v.x.unfold(jnp, y).astype(inputs["x"].dtype)


def scale(x: Array, eps: float) -> Array:
    """A power of two for each set, which brings it near 1: squares and cubes stay in range."""
    largest = jnp.max(jnp.abs(x), axis=(1, 3, 4), keepdims=True, initial=eps**0.5)
    exponent = jnp.frexp(jax.lax.stop_gradient(largest))[1]
    return jnp.ldexp(jnp.ones_like(largest), -exponent)


def slope(function: Callable[[Arrays], Any], inputs: Arrays, dots: Arrays) -> Any:
    """The derivative of a function along directions of some of its inputs."""
    whole = {name: dots[name] if name in dots else jnp.zeros_like(a) for name, a in inputs.items()}
    return jax.jvp(function, (inputs,), (whole,))[1]


def inputs_of(arrays: Arrays) -> Arrays:
    """x and weight."""
    return {name: arrays[name] for name in ("x", "weight") if name in arrays}


def directions(arrays: Arrays) -> Arrays:
    """Those of x and weight."""
    return {name: arrays[f"{name}_along"] for name in ("x", "weight") if f"{name}_along" in arrays}
