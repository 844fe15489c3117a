"""Equality with oracles, which share no code with what they check."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from gnref.testing import oracles
from gnref.testing.problems import Array, Problem
from gnref.testing.properties.property import holds, wide, worst
from gnref.testing.targets import Forward, Target, gradients
from gnref.testing.tolerances import WIDE, tolerance, unit_roundoff

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
    limit = tolerance(problem, oracle=name)
    return worst((difference(target.forward(problem).y, oracle.y(problem)), limit.y))


def compare_gradients(target: Target, problem: Problem, name: str) -> float | None:
    """Compare the backward pass with an oracle's."""
    oracle = oracles.load(name)
    if not oracles.supports(name, problem):
        return None
    limit = tolerance(problem, oracle=name)
    pairs = zip(
        gradients(target, problem),
        oracle.gradients(problem),
        (limit.dx, limit.dweight, limit.dbias),
        strict=True,
    )
    return worst(*((difference(got, expected), allowed) for got, expected, allowed in pairs))


@holds("y equals exact fractions", oracle="exact", max_elements=120)
def y_exact(target: Target, problem: Problem) -> float | None:
    """The forward pass agrees with exact rational arithmetic, at every offset and scale."""
    return compare_y(target, problem, "exact")


@holds("gradients equal exact fractions", oracle="exact", max_elements=120)
def gradients_exact(target: Target, problem: Problem) -> float | None:
    """The backward pass agrees with the uncollapsed chain rule in exact rational arithmetic."""
    return compare_gradients(target, problem, "exact")


@holds("y equals plain loops", oracle="loops")
def y_loops(target: Target, problem: Problem) -> float | None:
    """The forward pass agrees with plain loops written from the papers' equations."""
    return compare_y(target, problem, "loops")


@holds("gradients equal complex step", oracle="complex_step", max_elements=40, eps=NO_ZERO_EPS)
def gradients_complex_step(target: Target, problem: Problem) -> float | None:
    """The backward pass agrees with complex-step derivatives of the loops."""
    return compare_gradients(target, problem, "complex_step")


@holds(
    "gradients equal differences",
    oracle="central_differences",
    max_elements=40,
    eps=NO_ZERO_EPS,
    hard=False,
)
def gradients_central(target: Target, problem: Problem) -> float | None:
    """A derivative by one element, of x, weight or bias, agrees with central differences of the loops."""
    oracle = oracles.load("central_differences")
    if not oracles.supports("central_differences", problem):
        return None
    direction = one_element(problem)
    expected, error = oracle.central(problem, direction)
    limit = tolerance(problem, oracle="loops")
    total, allowed = -expected, error
    for dot, grad, bound in zip(
        direction, gradients(target, problem), (limit.dx, limit.dweight, limit.dbias), strict=True
    ):
        if dot is not None and grad is not None:
            total += float(np.sum(dot * wide(grad)))
            allowed += float(np.sum(np.abs(dot) * bound))
    return worst((total, allowed))


def one_element(problem: Problem) -> tuple[Array | None, Array | None, Array | None]:
    """A direction (x_dot, weight_dot, bias_dot) that moves a single element: an error cannot hide in it."""
    rng = np.random.default_rng(problem.seed)
    arrays = (problem.x, problem.weight, problem.bias)
    dots = [None if a is None else np.zeros(a.shape) for a in arrays]
    dot = rng.choice([i for i, a in enumerate(dots) if a is not None])
    dots[dot].flat[rng.integers(dots[dot].size)] = 1.0
    return dots[0], dots[1], dots[2]


@holds("long sets equal math.fsum", oracle="fsum", lengths=(300, 1021, 4096, 25_088, 70_001))
def long_sets(target: Target, problem: Problem) -> float | None:
    """Errors do not grow with the length of a set: y and gradients, m up to 140,002."""
    one, other = compare_y(target, problem, "fsum"), compare_gradients(target, problem, "fsum")
    return None if one is None or other is None else max(one, other)


@holds("saved statistics equal exact", oracle="exact", max_elements=120)
def statistics(target: Target, problem: Problem) -> float | None:
    """mean, var and rstd are what they say, in the shapes that are promised; rms norm has no mean."""
    if not oracles.supports("exact", problem):
        return None
    exact, forward = oracles.load("exact").statistics(problem), target.forward(problem)
    if (forward.mean is None) != (problem.norm == "rms"):
        return float("inf")
    shape = tuple(max(key[i] for key in exact) + 1 for i in range(len(next(iter(exact)))))
    saved = [stat for stat in (forward.mean, forward.var, forward.rstd) if stat is not None]
    if any(stat.shape != shape for stat in saved):
        return float("inf")
    return max(_statistics_of_set(problem, forward, key, exact[key]) for key in exact)


def _statistics_of_set(problem: Problem, forward: Forward, key: Any, exact: Any) -> float:
    """Compare one set's statistics.

    The variance is a sum of m terms, added in whatever order in the statistics' own precision u; a kernel
    may take x - mean, its square and the first few sums in the precision v of x, a rounding each.
    """
    mean, var, rstd = (float(value) for value in exact)
    u = unit_roundoff(forward.var.dtype)
    v = unit_roundoff(WIDE.get(problem.x.dtype.name, problem.x.dtype))
    relative = 8 * v + u * np.sqrt(problem.x.size)
    pairs = [
        (float(forward.var[key]) - var, relative * var),
        (float(forward.rstd[key]) - rstd, relative * rstd),
    ]
    if forward.mean is not None:
        pairs.append(
            (float(Fraction(float(forward.mean[key])) - exact[0]), 4 * (u * abs(mean) + v * var**0.5))
        )
    return worst(*pairs)


def enter_framework(name: str) -> None:
    """Enter the two properties of a framework's autograd."""

    @holds(f"y equals {name}", oracle=name, eps=NO_ZERO_EPS)
    def y(target: Target, problem: Problem) -> float | None:
        return compare_y(target, problem, name)

    @holds(f"gradients equal {name}", oracle=name, eps=NO_ZERO_EPS)
    def grads(target: Target, problem: Problem) -> float | None:
        return compare_gradients(target, problem, name)


for framework in ("autograd", "torch", "jax"):
    enter_framework(framework)
