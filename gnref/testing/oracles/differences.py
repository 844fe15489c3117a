"""Derivatives of the loops by differences: complex steps, and central differences with an error bound.

Complex steps: Squire & Trapp 1998, f'(t) = Im f(t + ih) / h. Nothing is subtracted, so h can be so small
that its square vanishes. Central differences: extrapolated from h and h/2 as in Richardson 1911. Both
differentiate the loss sum(dy * y), whose gradients are what a backward pass returns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gnref.testing.oracles import bounds, loops
from gnref.testing.oracles.bounds import Direction
from gnref.testing.oracles.inputs import limit_of_formulas, refuse, widened
from gnref.testing.problems import Problem

Array = Any

# Fits the limits of the loops: H^2 vanishes beside a variance of 1e-200, H rstd^2 is above 1e-308 at 1e90.
H = 1e-120


def why_not(problem: Problem) -> str:
    """Say why these oracles do not take the problem: as `loops`, or var + eps == 0; "" if they do."""
    return loops.why_not(problem) or limit_of_formulas(problem)


def complex_step(problem: Problem) -> tuple[Array, Array | None, Array | None]:
    """Return dx, dweight and dbias in float64; None for an absent parameter.

    One complex step for each element of x, weight and bias, at the cost of a forward pass each.
    """
    refuse(why_not(problem))
    wide = widened(problem)
    arrays = {"x": wide.x, "weight": wide.weight, "bias": wide.bias}
    dx, dweight, dbias = (None if a is None else _by_steps(wide, arrays, name) for name, a in arrays.items())
    return dx, dweight, dbias


def central(problem: Problem, direction: Direction) -> float:
    """Return the derivative of sum(dy * y) along the direction (x_dot, weight_dot, bias_dot).

    None in the direction stands for 0. The error is at most `central_error`.
    """
    refuse(why_not(problem))
    wide = widened(problem)
    h = bounds.Q * bounds.radius(wide, direction)
    return (4 * _quotient(wide, direction, h / 2) - _quotient(wide, direction, h)) / 3


def central_error(problem: Problem, direction: Direction) -> float:
    """Return a bound on the error of `central`, derived in `gnref.testing.oracles.bounds`."""
    refuse(why_not(problem))
    return bounds.central_error(widened(problem), direction)


def central_within(problem: Problem, direction: Direction) -> tuple[float, float]:
    """Return `central` and `central_error`."""
    return central(problem, direction), central_error(problem, direction)


def _by_steps(problem: Problem, arrays: dict[str, Array | None], name: str) -> Array:
    """The gradient by one of the arrays, element by element."""
    a: Array = arrays[name]
    gradient = np.empty(a.shape)
    for k in np.ndindex(a.shape):
        stepped = a.astype(complex)
        stepped[k] += 1j * H
        gradient[k] = _loss(problem, **(arrays | {name: stepped})).imag / H
    return gradient


def _quotient(problem: Problem, direction: Direction, h: float) -> float:
    """The central difference quotient D(h) of the loss."""
    above, below = (_loss(problem, *_moved(problem, direction, t)) for t in (h, -h))
    return float((above - below) / (2 * h))


def _moved(problem: Problem, direction: Direction, t: float) -> list[Array | None]:
    """x, weight and bias, t along the direction."""
    arrays = (problem.x, problem.weight, problem.bias)
    return [
        a if a is None or a_dot is None else a + t * np.asarray(a_dot, np.float64)
        for a, a_dot in zip(arrays, direction, strict=True)
    ]


def _loss(problem: Problem, x: Array, weight: Array | None, bias: Array | None) -> Any:
    """sum(dy * y): a float, or complex if an array is."""
    return loops.total((problem.dy * loops.forward(problem, x, weight, bias)).ravel().tolist())
