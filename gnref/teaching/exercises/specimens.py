"""Right and wrong kernels on which tutorial 11 tries the tests that its readers write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from gnref.testing.mutants import MUTANTS, build, textbook
from gnref.testing.oracles import exact
from gnref.testing.problems import Array, Problem
from gnref.testing.properties import PROPERTIES
from gnref.testing.targets import Functions
from gnref.testing.tolerances import tolerance

Passes = tuple[Callable[..., Any], Callable[..., Any]]  # forward and backward
RIGHT, STRIDED, SINGLE = "a right kernel", "strided groups", "a kernel with a group for each channel"
SHAPES = (((2, 6, 2, 3), 2), ((3, 8, 2, 2), 4), ((2, 6, 3, 3), 3))  # G, next to the shape, is not C/G


@lru_cache
def kernel(name: str) -> Passes:
    """A kernel by its name: a right one, one of the kit's planted mistakes, or one with other groups."""
    if name in MUTANTS:
        return build(MUTANTS[name], "group")
    right = textbook.functions("group")
    if name == RIGHT:
        return right
    return regrouped(*right, groups_of=singles if name == SINGLE else strided)


def strided(C: int, num_groups: int) -> tuple[Array, int]:
    """The order of channels in which every G-th one is in one group, and G."""
    return np.arange(C).reshape(-1, num_groups).T.ravel(), num_groups


def singles(C: int, num_groups: int) -> tuple[Array, int]:
    """Every channel a group."""
    return np.arange(C), C


def regrouped(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    groups_of: Callable[[int, int], tuple[Array, int]],
) -> Passes:
    """The same passes with other groups: the channels change places, and change back."""

    def other_forward(x: Array, num_groups: int, weight: Array, bias: Array | None, eps: float) -> Any:
        order, G = groups_of(x.shape[1], num_groups)
        y, mean, rstd = forward(x[:, order], G, weight[order], None if bias is None else bias[order], eps)
        return y[:, np.argsort(order)], mean, rstd

    def other_backward(
        dy: Array, x: Array, mean: Array, rstd: Array, num_groups: int, weight: Array, bias: Array, eps: float
    ) -> Any:
        order, G = groups_of(x.shape[1], num_groups)
        dx, dweight, _ = backward(dy[:, order], x[:, order], mean, rstd, G, weight[order], None, eps)
        back = np.argsort(order)
        return dx[:, back], dweight[back], None

    return other_forward, other_backward


def asked_of(names: Sequence[str], shapes: int) -> Callable[[], list[Problem]]:
    """Problems that name a kernel as their kind, each of the kernels in several shapes."""

    def problems() -> list[Problem]:
        found = []
        for i, name in enumerate(names):
            for j in range(shapes):
                shape, G = SHAPES[(i + j) % len(SHAPES)]
                rng = np.random.default_rng([i, j])
                x, dy = rng.standard_normal((2, *shape))
                weight = rng.uniform(0.5, 2, shape[1]) * rng.choice([-1, 1], shape[1])
                found.append(Problem("group", x, dy, weight, num_groups=G, kind=name))
        return found

    return problems


def holds(name: str) -> Callable[[Problem], bool]:
    """Whether the kernel of a problem has a property: the kit says so."""

    def says(problem: Problem) -> bool:
        ratio = PROPERTIES[name].check(Functions(*kernel(problem.kind), norm="group"), problem)
        return ratio is not None and ratio <= 1

    return says


def given_backward(problem: Problem) -> tuple[Any, ...]:
    """The arguments of the reader's test of a backward pass."""
    forward, backward = kernel(problem.kind)

    def dx_of(dy: Array, x: Array, weight: Array, num_groups: int) -> Array:
        bias = np.zeros_like(weight)
        _, mean, rstd = forward(x, num_groups, weight, bias, problem.eps)
        found: Array = backward(dy, x, mean, rstd, num_groups, weight, bias, problem.eps)[0]
        return found

    return dx_of, problem.x, problem.weight, problem.num_groups


def given_forward(problem: Problem) -> tuple[Any, ...]:
    """The arguments of the reader's test of a forward pass."""
    forward, _ = kernel(problem.kind)

    def y_of(x: Array, num_groups: int) -> Array:
        C = x.shape[1]
        y: Array = forward(x, num_groups, np.ones(C), np.zeros(C), problem.eps)[0]
        return y

    return y_of, problem.x, problem.num_groups


ERRORS = {  # a kind of error, as a multiple of the tolerance (of each element), and where it is
    "right, rounded": (0.0, "all"),
    "within the tolerance at small y": (0.8, "small"),
    "within the tolerance at large y": (0.4, "large"),
    "above the tolerance": (1.5, "all"),
    "one element above the tolerance": (3.0, "largest"),
    "one element below the tolerance": (-3.0, "largest"),
    "far off": (3000.0, "all"),
    "one NaN": (np.nan, "largest"),
}


def given_results(problem: Problem) -> tuple[Any, ...]:
    """y in float32 with an error in it, and the right y in float64."""
    right = np.asarray(exact.y(problem), np.float64)
    times, where = ERRORS[problem.kind]
    y, size = right.copy(), np.abs(right)
    place = {
        "all": size >= 0,
        "small": size < np.quantile(size, 0.2),
        "large": size > np.quantile(size, 0.8),
        "largest": size == size.max(),
    }[where]
    y[place] += times * tolerance(problem).y[place]
    return y.astype(np.float32), right


def within(problem: Problem) -> bool:
    """Whether y is within the kit's tolerance of grade A."""
    y, right = given_results(problem)
    return bool((np.abs(y - right) <= tolerance(problem).y).all())


def drawn_results() -> list[Problem]:
    """One problem for each kind of error and two shapes, in float32."""
    found = asked_of(tuple(ERRORS), 2)()
    return [p.but(x=p.x.astype(np.float32), dy=p.dy.astype(np.float32), weight=None) for p in found]
