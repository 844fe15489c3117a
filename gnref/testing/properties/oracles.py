"""Equality with oracles, which share no code with what they check."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from gnref.testing import oracles
from gnref.testing.data import values
from gnref.testing.problems import Array, Problem
from gnref.testing.properties.law import law, wide, worst
from gnref.testing.targets import Target, gradients
from gnref.testing.tolerances import tolerance

NO_ZERO_EPS = (1e-5, 1e-3, 0.5)


def difference(got: Array | None, expected: Any) -> Any:
    """Got minus expected, exactly where the expected values are fractions."""
    if got is None or expected is None:
        return np.zeros(0) if got is expected else np.inf
    if got.shape != expected.shape:
        return np.inf
    if expected.dtype != object:
        return wide(got) - expected
    pairs = zip(wide(got).ravel(), expected.ravel(), strict=True)
    errors = [float(Fraction(float(a)) - b) if np.isfinite(a) else np.inf for a, b in pairs]
    return np.array(errors).reshape(got.shape)


def compare_y(target: Target, problem: Problem, name: str) -> float | None:
    """Compare the forward pass with an oracle's."""
    oracle = oracles.load(name)
    if not oracles.supports(name, problem):
        return None
    limit = tolerance(problem, oracle=name != "exact")
    return worst((difference(target.forward(problem).y, oracle.y(problem)), limit.y))


def compare_gradients(target: Target, problem: Problem, name: str) -> float | None:
    """Compare the backward pass with an oracle's."""
    oracle = oracles.load(name)
    if not oracles.supports(name, problem):
        return None
    limit = tolerance(problem, oracle=name != "exact")
    pairs = zip(
        gradients(target, problem),
        oracle.gradients(problem),
        (limit.dx, limit.dweight, limit.dbias),
        strict=True,
    )
    return worst(*((difference(got, expected), allowed) for got, expected, allowed in pairs))


@law("y equals exact fractions", oracle="exact", max_elements=120)
def y_exact(target: Target, problem: Problem) -> float | None:
    """The forward pass agrees with exact rational arithmetic, at every offset and scale."""
    return compare_y(target, problem, "exact")


@law("gradients equal exact fractions", oracle="exact", max_elements=120)
def gradients_exact(target: Target, problem: Problem) -> float | None:
    """The backward pass agrees with the uncollapsed chain rule in exact rational arithmetic."""
    return compare_gradients(target, problem, "exact")


@law("y equals plain loops", oracle="loops")
def y_loops(target: Target, problem: Problem) -> float | None:
    """The forward pass agrees with plain loops written from the papers' equations."""
    return compare_y(target, problem, "loops")


@law("gradients equal complex step", oracle="complex_step", max_elements=40, eps=NO_ZERO_EPS)
def gradients_complex_step(target: Target, problem: Problem) -> float | None:
    """The backward pass agrees with complex-step derivatives of the loops."""
    return compare_gradients(target, problem, "complex_step")


@law(
    "gradients equal differences",
    oracle="central_differences",
    max_elements=40,
    eps=NO_ZERO_EPS,
    hard=False,
)
def gradients_central(target: Target, problem: Problem) -> float | None:
    """A random directional derivative agrees with central differences of the loops."""
    oracle = oracles.load("central_differences")
    if not oracles.supports("central_differences", problem):
        return None
    arrays = (problem.x, problem.weight, problem.bias)
    direction = tuple(
        None if a is None else values("normal", a.shape, problem.seed + 10 + i) for i, a in enumerate(arrays)
    )
    expected, error = oracle.central(problem, direction)
    limit = tolerance(problem, oracle=True)
    total, allowed = -expected, error
    for dot, grad, bound in zip(
        direction, gradients(target, problem), (limit.dx, limit.dweight, limit.dbias), strict=True
    ):
        if dot is not None and grad is not None:
            total += float(np.sum(dot * wide(grad)))
            allowed += float(np.sum(np.abs(dot) * bound))
    return worst((total, allowed))


def enter_framework(name: str) -> None:
    """Enter the two laws of a framework's autograd."""

    @law(f"y equals {name}", oracle=name, eps=NO_ZERO_EPS)
    def y(target: Target, problem: Problem) -> float | None:
        return compare_y(target, problem, name)

    @law(f"gradients equal {name}", oracle=name, eps=NO_ZERO_EPS)
    def grads(target: Target, problem: Problem) -> float | None:
        return compare_gradients(target, problem, name)


for framework in ("autograd", "torch", "jax"):
    enter_framework(framework)
