"""Data whose mean and variance are exact in any order of summation, so that nothing hides in a tolerance.

A set of m >= 3 elements is made of the blocks (-1, -1, 2), (-2, 0, 0, 2) and (-2, -1, 0, 1, 2), a set of 2
is (-1, 1): whole numbers with the mean 0 and the variance 2 (or 1). With a whole number added and all of it
times a power of two, every sum that a kernel takes is exact, in whatever order, and eps can be chosen so that
rstd is a power of two. What is left is one rounding of each result, even in 16 bits.
"""

from __future__ import annotations

import numpy as np

from gnref.testing.members import param_ids, set_ids, set_means, set_sizes
from gnref.testing.problems import Array, Problem
from gnref.testing.properties.property import difference, holds, results, worst
from gnref.testing.targets.target import Target
from gnref.testing.tolerances import WIDE, spacing, terms, unit_roundoff

BLOCKS = {3: (-1.0, -1.0, 2.0), 4: (-2.0, 0.0, 0.0, 2.0), 5: (-2.0, -1.0, 0.0, 1.0, 2.0)}
SHIFT = 64.0  # of dy, which makes its sums larger than 16 bits can hold
ROOTS = (2.0, 4.0, 1.5, 3.0, 16 / 7)  # of var + eps: the first two make powers of two of rstd


def pattern(m: int) -> Array:
    """m whole numbers with the mean 0 and the variance 2 (m = 2: 1, m = 1: 0).

    Examples
    --------
    >>> pattern(7)
    array([-1., -1.,  2., -2.,  0.,  0.,  2.])
    """
    if m < 3:
        return np.array([-1.0, 1.0] if m == 2 else [0.0] * m)
    sizes = [3] * (m // 3)
    for i in range(m % 3):  # one or two elements more: make a block of 3 one of 4 or 5
        sizes[-1 - i % len(sizes)] += 1
    return np.array([value for size in sizes for value in BLOCKS[size]])


def exact_problem(problem: Problem) -> Problem:
    """A problem of the same shape and options, filled with such data."""
    rng, m = np.random.default_rng(problem.seed), int(set_sizes(problem).max())
    flat, ids = np.empty(problem.x.size), set_ids(problem).ravel()
    offset = float(rng.choice([0, 1, 3, 8])) if problem.norm != "rms" else 0.0
    for number in range(int(ids.max()) + 1):
        flat[ids == number] = (
            rng.permutation(pattern(m)) * rng.choice([-1, 1]) + offset + number % 3 * (problem.norm != "rms")
        )
    root, scale = ROOTS[problem.seed % 5], 2.0 ** int(rng.integers(-3, 4))
    variance = 2.0 if m > 2 else m - 1.0
    shifted = bool(rng.integers(2))
    given = {
        "x": (flat.reshape(problem.shape) * scale).astype(problem.x.dtype),
        "dy": (rng.integers(-3, 4, problem.shape) + SHIFT * shifted).astype(problem.x.dtype),
    }
    if problem.weight is not None:
        # 0 is where residual branches start: a backward pass that divides by the weight fails there
        weight = rng.choice([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0], problem.weight.shape)
        if not shifted and problem.x.dtype.itemsize == 2 < problem.weight.dtype.itemsize:
            weight = weight * (1 + 0.95 * unit_roundoff(problem.x.dtype))  # which 16 bits cannot hold
        given["weight"] = weight.astype(problem.weight.dtype)
    if problem.bias is not None:  # with another root, the sum would be a second rounding
        whole = rng.integers(-3, 4, problem.bias.shape) * (root in (2.0, 4.0))
        given["bias"] = whole.astype(problem.bias.dtype)
    return problem.but(**given, eps=(root**2 - variance) * scale**2)


@holds("exact data: one rounding", but=["batch_frozen"], museum=(12,), kinds=("integers",), hard=False)
def exact_data(target: Target, problem: Problem) -> float | None:
    """Where every sum is exact, y, dx, dweight and dbias are right to one rounding, in 16 bits too."""
    made = exact_problem(problem)
    found, expected = results(target, made), _expected(made)
    limits = _limits(made, expected)
    return worst(
        *((difference(found[name], expected[name]), limits[name]) for name in found if name in expected)
    )


def _expected(made: Problem) -> dict[str, Array]:
    """y and the gradients in float64, whose sums are exact here."""
    t, owner = terms(made), param_ids(made).ravel()
    weight = (
        np.ones(made.shape)
        if made.weight is None
        else made.weight.astype(float).ravel()[owner].reshape(made.shape)
    )
    bias = (
        np.zeros(made.shape)
        if made.bias is None
        else made.bias.astype(float).ravel()[owner].reshape(made.shape)
    )
    dy = made.dy.astype(np.float64)
    mean_g = 0.0 if made.norm == "rms" else set_means(made, t.signed_g)
    dx = t.rstd * (t.signed_g - mean_g - t.signed_xhat * set_means(made, t.signed_g * t.signed_xhat))
    expected = {"y": t.signed_xhat * weight + bias, "dx": dx}
    for name, param, summand in (("dweight", made.weight, dy * t.signed_xhat), ("dbias", made.bias, dy)):
        if param is not None:
            sums = np.bincount(owner, weights=summand.ravel(), minlength=param.size)
            expected[name] = sums.reshape(param.shape)
    return expected


def _limits(made: Problem, expected: dict[str, Array]) -> dict[str, Array]:
    """Half a unit in the last place of each result, and a few roundings of the arithmetic before it."""
    t, store = terms(made), made.x.dtype
    u = unit_roundoff(WIDE.get(store.name, store))
    owner = param_ids(made).ravel()
    terms_of_dx = t.rstd * (t.g + t.mean_g + (t.xhat + t.x * u) * t.mean_g_xhat)
    before = {
        "y": 8 * u * (t.weight * (1 + t.xhat + t.x + t.mean_x) + t.bias),
        "dx": 8
        * u
        * (terms_of_dx + t.rstd * t.x * t.mean_g_xhat + t.rstd * t.xhat * set_means(made, t.g * t.x)),
    }
    # xhat may be rounded in each of the terms, which here have few digits: the sum's error stays small.
    for name, summand in (("dweight", t.dy * (1 + t.xhat + t.x + t.mean_x)), ("dbias", t.dy)):
        if name in expected:
            shape = expected[name].shape
            before[name] = 8 * u * np.bincount(owner, weights=summand.ravel()).reshape(shape)
    limits = {}
    for name, exact in expected.items():
        param = {"dweight": made.weight, "dbias": made.bias}.get(name)
        dtype = store if param is None else param.dtype
        limits[name] = before[name] + spacing(np.abs(exact), dtype) / 2
    return limits
