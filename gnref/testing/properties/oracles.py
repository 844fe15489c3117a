"""Equality with oracles, which share no code with what they check."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from gnref.testing import data, oracles
from gnref.testing.problems import Array, Problem
from gnref.testing.properties.property import difference, holds, wide, worst
from gnref.testing.targets.target import Target, gradients
from gnref.testing.tolerances import WIDE, largest_result, tolerance, unit_roundoff

NO_ZERO_EPS = (1e-5, 1e-3, 0.5)


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


@holds(
    "y equals exact fractions",
    oracle="exact",
    museum=(1, 2, 3, 4, 6, 7, 8, 9, 43, 44, 50, 58, 59, 63, 64, 65, 66, 67, 68),
    examples=2,
    max_elements=120,
)
def y_exact(target: Target, problem: Problem) -> float | None:
    """The forward pass agrees with exact rational arithmetic, at every offset and scale."""
    return compare_y(target, problem, "exact")


@holds(
    "gradients equal exact fractions",
    oracle="exact",
    requires=("backward",),
    museum=(19, 25, 26, 27, 29, 31, 41),
    examples=2,
    max_elements=120,
)
def gradients_exact(target: Target, problem: Problem) -> float | None:
    """The backward pass agrees with the uncollapsed chain rule in exact rational arithmetic."""
    return compare_gradients(target, problem, "exact")


@holds("y equals plain loops", oracle="loops", own=True)
def y_loops(target: Target, problem: Problem) -> float | None:
    """The forward pass agrees with plain loops written from the papers' equations."""
    return compare_y(target, problem, "loops")


@holds(
    "gradients equal complex step",
    oracle="complex_step",
    requires=("backward",),
    own=True,
    max_elements=40,
    eps=NO_ZERO_EPS,
)
def gradients_complex_step(target: Target, problem: Problem) -> float | None:
    """The backward pass agrees with complex-step derivatives of the loops."""
    return compare_gradients(target, problem, "complex_step")


@holds(
    "gradients equal differences",
    oracle="central_differences",
    requires=("backward",),
    museum=(19,),
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


def compare_all(target: Target, problem: Problem, oracle: str) -> float | None:
    """The worse of y and the gradients; None unless the oracle knows all that the target gives."""
    found = [compare_y(target, problem, oracle)]
    if "backward" in target.abilities:
        found.append(compare_gradients(target, problem, oracle))
    told = [ratio for ratio in found if ratio is not None]
    return max(told) if len(told) == len(found) else None


# Around the sizes of tiles, where kernels change their ways; with counts that float16 cannot hold.
LENGTHS = (31, 33, 65, 127, 129, 255, 257, 300, 513, 1021, 1025, 2049, 4096, 4099, 8193, 25_088, 70_001)


@holds(
    "long sets equal math.fsum",
    oracle="fsum",
    museum=(4, 12, 13, 58, 60),
    examples=1.5,
    lengths=LENGTHS,
    offsets=(0.0, 0.0, 1.0, 1e6, 1e1, 1e2, 1e3, 1e6),  # at 1e6 a cancelling variance is NaN or clamped
)
def long_sets(target: Target, problem: Problem) -> float | None:
    """y and gradients of sets of up to 140,002 elements: around the sizes of tiles, and beyond counters."""
    return compare_all(target, problem, "fsum")


@holds(
    "sets beyond 65,535 equal math.fsum",
    oracle="fsum",
    museum=(12, 13),
    examples=0.15,
    batch_sizes=(1,),
    lengths=(70_001,),
)
def very_long_sets(target: Target, problem: Problem) -> float | None:
    """The same beyond the counters of 16 bits, and the largest float16."""
    fair = problem.set_size > 2**16 and problem.x.size < 3 * 70_001  # for the sake of time
    return long_sets(target, problem) if fair else None


@holds(
    "sets of whole tiles equal math.fsum",
    oracle="fsum",
    examples=1.25,
    lengths=(64, 128, 256, 512, 1024, 2048, 4096, 8192),
)
def whole_tiles(target: Target, problem: Problem) -> float | None:
    """The same where nothing is left over: kernels go another way there, and most real sizes are such."""
    return long_sets(target, problem)


@holds(
    "tiles on every axis equal autograd",
    oracle="autograd",
    museum=(27, 59, 60),
    examples=1.25,
    tiles=True,
    max_elements=2**16,
    kinds=("normal", "integers"),
    eps=NO_ZERO_EPS,
    channel_axes=False,
    virtual=(False,),
    hard=False,
)
def tiles_everywhere(target: Target, problem: Problem) -> float | None:
    """N, G, K and H*W at once as large as tiles and larger: a bug may need two of them."""
    return compare_all(target, problem, "autograd")


@holds(
    "many channels equal math.fsum",
    norms=["batch", "instance", "group"],
    oracle="fsum",
    museum=(60,),
    examples=0.3,
    lengths=(33, 65, 130, 259, 515, 1030),
    channel_axes=False,
)
def many_channels(target: Target, problem: Problem) -> float | None:
    """y and gradients of up to 6180 channels, in few groups or in up to 515."""
    N, C, length, *ones = problem.shape
    shape, groups = (N, length, C, *ones), problem.num_groups
    if groups is not None and problem.seed % 2:
        groups = length // next(K for K in range(2, length) if length % K == 0)
    elif groups is not None:
        shape = (N, C * length, 1, *ones)
    given: dict[str, Any] = {"x": problem.x.reshape(shape), "dy": problem.dy.reshape(shape)}
    for name, param in (("weight", problem.weight), ("bias", problem.bias)):
        if param is not None:
            given[name] = data.nonzero(shape[1:2], problem.seed + len(given)).astype(param.dtype)
    made = problem.but(num_groups=groups, **given)
    if made.set_size == 1:  # has no answer in batch norm, and may be refused in the others
        return None
    if made.dtype == "float16" and largest_result(made) > 60_000:  # which the strategy saw to, in other sets
        return None
    return long_sets(target, made)


@holds(
    "saved statistics equal exact",
    oracle="exact",
    requires=("statistics",),
    museum=(38, 41),
    max_elements=120,
)
def statistics(target: Target, problem: Problem) -> float | None:
    """mean, var and rstd are what they say, one for each set; rms norm has no mean."""
    if not oracles.supports("exact", problem):
        return None
    exact, forward = oracles.load("exact").statistics(problem), target.forward(problem)
    saved = {name: getattr(forward, name) for name in ("mean", "var", "rstd")}
    if problem.grade == "A" and (saved["mean"] is None) != (problem.norm == "rms"):
        return float("inf")
    shape = tuple(max(key[i] for key in exact) + 1 for i in range(len(next(iter(exact)))))
    pairs = []
    for name, stat in saved.items():
        if stat is None or (name == "mean" and problem.norm == "rms"):
            continue
        if stat.shape != shape and (problem.grade == "A" or stat.size != len(exact)):
            return float("inf")
        pairs += [_statistic(problem, name, stat.reshape(shape)[key], exact[key]) for key in exact]
    return worst(*pairs)


def _statistic(problem: Problem, name: str, got: Any, exact: Any) -> tuple[float, float]:
    """The error of one set's mean, var or rstd, and its tolerance.

    The variance is a sum of m terms, added in whatever order in the statistics' own precision u; a kernel
    may take x - mean, its square and the first few sums in the precision v of x, a rounding each. In grade
    B all sums may run in v.
    """
    mean, var, rstd = (float(value) for value in exact)
    u = unit_roundoff(got.dtype)
    v = unit_roundoff(WIDE.get(problem.x.dtype.name, problem.x.dtype))
    relative, of_mean = 8 * v + u * np.sqrt(problem.x.size), 4 * (u * abs(mean) + v * var**0.5)
    if problem.grade != "A":
        m, spread = problem.set_size, (var + problem.eps) ** 0.5
        by_mean = (2 + m / 2) * max(u, v) * (abs(mean) + var**0.5)
        r = by_mean / spread if spread > 0 else 0.0
        relative, of_mean = 2 * (4 + m / 2) * max(u, v) + r * (2 + r) * 2, by_mean
    with np.errstate(invalid="ignore"):
        error = float(Fraction(float(got)) - exact[0]) if name == "mean" and np.isfinite(got) else None
        if name == "mean":
            return (np.inf if error is None else error), of_mean
        return float(got) - (var if name == "var" else rstd), relative * (var if name == "var" else rstd)


def enter_framework(name: str) -> None:
    """Enter the two properties of a framework's autograd."""

    @holds(f"y equals {name}", oracle=name, own=True, eps=NO_ZERO_EPS)
    def y(target: Target, problem: Problem) -> float | None:
        return compare_y(target, problem, name)

    @holds(f"gradients equal {name}", oracle=name, requires=("backward",), own=True, eps=NO_ZERO_EPS)
    def grads(target: Target, problem: Problem) -> float | None:
        return compare_gradients(target, problem, name)


for framework in ("autograd", "torch", "jax"):
    enter_framework(framework)
