"""Derivatives beyond the backward pass, of what a framework differentiates: backward twice, and forward.

A target may say that it cannot: an exception is an honest answer, and the property is then reported as
refused; `require={"second_order": "exact"}` makes that a failure. Wrong numbers always are one. So is a
derivative that is left out: a backward pass in PyTorch whose results hang on nothing, and which is not marked
``once_differentiable``, drops out of a user's second loss without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from gnref.testing import data, oracles
from gnref.testing.members import param_ids, set_means
from gnref.testing.problems import Array, Problem
from gnref.testing.properties.oracles import NO_ZERO_EPS
from gnref.testing.properties.property import holds, wide, worst, worst_element
from gnref.testing.targets.target import (
    Directions,
    Finding,
    NotOffered,
    Refused,
    Second,
    Target,
    Unsupported,
    gradients,
)
from gnref.testing.tolerances import terms

SECOND, FORWARD_MODE = "second derivatives equal autograd", "forward mode equals autograd"
# In units of the terms that are summed. This is about formulas, whose mistakes are about as large as the
# terms. The problems are small and at most one spread away from 0, so that roundings are a million times
# smaller still in float64. What takes no float64 is asked in float32, where they may reach some 1e-4.
TOLERANCE = {"float64": 1e-6, "float32": 1e-3}
TELLS = 3  # elements of a set: of one, all derivatives by x are 0, and of two, but for eps
PROBLEMS: dict[str, Any] = {
    "oracle": "autograd",
    "requires": ("differentiates",),
    "examples": 0.25,
    "max_elements": 60,
    "batch_sizes": (2, 3),
    "dtypes": ("float64",),
    "kinds": ("normal", "integers"),
    "eps": NO_ZERO_EPS,
    "hard": False,
}


class Compared(NamedTuple):
    """An array that a target returned, the right one, and the sizes of the terms that it is the sum of."""

    name: str
    got: Array
    right: Array
    sizes: Array


Ask = Callable[[Any, Problem, Directions], list[Compared]]


@holds(SECOND, but=["batch_frozen"], museum=(20, 23), **PROBLEMS)
def second_order(target: Target, problem: Problem) -> float | None:
    """The gradients of a random sum of dx, dweight and dbias, by dy, x and weight."""
    return compared(SECOND, target, problem, _second)


@holds(FORWARD_MODE, but=["batch_frozen"], museum=(23,), **PROBLEMS)
def forward_mode(target: Target, problem: Problem) -> float | None:
    """How y changes along random directions of x, weight and bias."""
    return compared(FORWARD_MODE, target, problem, _forward_mode)


def compared(name: str, target: Target, problem: Problem, ask: Ask) -> float | None:
    """The worst error with each choice of weight and bias that the target takes, in tolerances."""
    if (
        problem.set_size < TELLS
        or problem.dtype not in TOLERANCE
        or not oracles.supports("autograd", problem)
    ):
        return None
    ratios, refusal = [], ""
    for made in with_and_without(problem):
        try:
            found = ask(target, made, directions(made))
        except Unsupported:
            continue
        except Refused as error:
            if not refuses_the_backward_pass(target, made):  # which belongs to another property
                refusal = refusal or f"{_parameters(made)} it {error}"
            continue
        limits = [TOLERANCE[made.dtype] * one.sizes for one in found]
        if wrong := [told for one, limit in zip(found, limits, strict=True) if (told := _wrong(one, limit))]:
            raise Finding(name, f"{_parameters(made)} {'; '.join(wrong)}")
        pairs = zip(found, limits, strict=True)
        ratios.append(worst(*((wide(one.got) - wide(one.right), limit) for one, limit in pairs)))
    if refusal:
        raise NotOffered(refusal, max(ratios, default=None))
    return max(ratios, default=None)


def _second(target: Any, problem: Problem, along: Directions) -> list[Compared]:
    """The three gradients, or two where there is no weight."""
    right = oracles.load("autograd").second(problem, *along)
    trios = zip(
        Second._fields, target.second(problem, along), right, second_sizes(problem, along), strict=True
    )
    return [Compared(f"grad_{name}", *trio) for name, *trio in trios if trio[1] is not None]


def _forward_mode(target: Any, problem: Problem, along: Directions) -> list[Compared]:
    """y_dot."""
    right = oracles.load("autograd").forward_mode(problem, *along)
    got = target.forward_mode(problem, along)
    return [Compared("y_dot", got, right, directional_sizes(problem, along))]


def _wrong(one: Compared, limit: Array) -> str:
    """Which element is wrong; "" if none is."""
    return worst_element(one.name, one.got, one.right, limit)


def _parameters(problem: Problem) -> str:
    """Which parameters there are, as the beginning of a sentence."""
    there = " and ".join(problem.parameters) or "no weight and no bias"
    return f"with {there}{' alone' * (len(problem.parameters) == 1 and problem.norm != 'rms')}:"


def with_and_without(problem: Problem) -> Iterator[Problem]:
    """The problem with both parameters, each alone and none: rules have been wrong for one choice of them."""
    shape = shape_of_parameters(problem)
    dtype = next((a.dtype for a in problem.parameters.values()), problem.x.dtype)
    weights = (data.nonzero(shape, problem.seed).astype(dtype), None)
    biases = (data.values("normal", shape, problem.seed + 1).astype(dtype), None)
    for weight, bias in product(weights, biases[problem.norm == "rms" :]):
        yield problem.but(weight=weight, bias=bias)


def shape_of_parameters(problem: Problem) -> tuple[int, ...]:
    """That of weight and bias, whether or not they are there."""
    return problem.normalized_shape or (problem.channels or 1,)


def directions(problem: Problem) -> Directions:
    """Random arrays like x and the parameters that are there; they follow neither x nor dy."""
    like = {"x": problem.x} | problem.parameters
    return Directions(
        **{
            name: data.values("normal", a.shape, problem.seed + 5 + i).astype(a.dtype)
            for i, (name, a) in enumerate(like.items())
        }
    )


def refuses_the_backward_pass(target: Target, problem: Problem) -> bool:
    """Whether it raises already where it is differentiated once."""
    try:
        gradients(target, problem)
    except Refused:
        return True
    return False


class Sizes:
    """Sums of absolute values, each as large as a derivative can be that has terms of that kind."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.terms, self.owner = problem, terms(problem), param_ids(problem)
        self.xhat = 1 + self.terms.xhat  # whose error does not vanish with it

    def of_param(self, a: Array | None) -> Array:
        """A parameter's absolute values in x's shape; 0 where it is absent."""
        return abs(wide(a)).ravel()[self.owner] if a is not None else 0 * self.xhat

    def mean(self, a: Array) -> Array:
        """Over each set."""
        return set_means(self.problem, a)

    def jacobian(self, v: Array) -> Array:
        """Of how xhat changes along v."""
        moved: Array = self.terms.rstd * (v + self.mean(v) + self.xhat * self.mean(v * self.xhat))
        return moved


def directional_sizes(problem: Problem, along: Directions) -> Array:
    """The sizes of y_dot, and of the second derivative by dy, which is y_dot along the same arrays."""
    s = Sizes(problem)
    by_x = s.terms.weight * s.jacobian(abs(wide(along.x)))
    total: Array = by_x + s.of_param(along.weight) * s.xhat + s.of_param(along.bias)
    return total


def second_sizes(problem: Problem, along: Directions) -> tuple[Array, Array, Array]:
    """The sizes of the gradients by dy, x and weight."""
    s, u = Sizes(problem), abs(wide(along.x))
    moved, dx = s.jacobian(u), s.jacobian(s.terms.g)
    by_x = s.jacobian(s.of_param(along.weight) * s.terms.dy) + s.terms.rstd * (
        s.xhat * s.mean(u * dx) + s.mean(s.terms.g * s.xhat) * moved + s.mean(u * s.xhat) * dx
    )
    by_weight = np.bincount(s.owner.ravel(), weights=(s.terms.dy * moved).ravel())
    return directional_sizes(problem, along), by_x, by_weight.reshape(shape_of_parameters(problem))
