"""The problems that an answer is compared on: the kit's, with sizes that tell every axis from the others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import permutations
from math import prod
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from gnref.teaching.exercises.exercise import Exercise
from gnref.teaching.exercises.truth import Truth
from gnref.testing import data
from gnref.testing.problems import Problem
from gnref.testing.strategies import random_dy, statistics

MANY = 6  # problems for an exercise
MOST = 900  # elements, of which the exact oracle takes some 20 ms
LENGTHS = (5, 7, 8, 11, 13, 21, 34)  # of one-dimensional data
OPTIONS: dict[str, Sequence[Any]] = {
    "kinds": ("normal", "heavy_tailed"),
    "eps": (1e-3, 0.1, 0.5),
    "offsets": (0.0, 1.0, 3.0),
    "scales": (1.0,),
}


class Case(NamedTuple):
    """One problem, what the function is given, and the right results with their tolerances."""

    problem: Problem
    arguments: tuple[Any, ...]
    names: tuple[str, ...]
    right: tuple[Any, ...]
    limits: tuple[Any, ...]
    where: str  # which problem it is, in words


@cache
def cases(exercise: Exercise) -> tuple[Case, ...]:
    """Return the problems of an exercise, with right answers; equal calls give equal ones."""
    return tuple(case_of(exercise, problem) for problem in _problems(exercise))


def _problems(exercise: Exercise) -> Sequence[Problem]:
    """Those that the exercise names, or some that are drawn."""
    if exercise.problems is not None:
        return exercise.problems()
    if not exercise.is_function:  # a variable has one value; the oracle may ignore the problem
        return draw(exercise)[:1]
    return draw(exercise)


def case_of(exercise: Exercise, problem: Problem) -> Case:
    """One problem with its answer."""
    truth, shape = Truth(problem, exercise.keepdims), f"x has the shape {problem.shape}"
    where = shape if problem.num_groups is None else f"{shape}, G = {problem.num_groups}"
    if exercise.arguments is not None:
        arguments = exercise.arguments(problem)
        where = _in_words(exercise.parameters, arguments)
    else:
        arguments = tuple(truth[name] for name in exercise.takes)
    if exercise.oracle is None:
        right = tuple(truth[name] for name in exercise.answers)
        limits = tuple(truth.limit(name) for name in exercise.answers)
        return Case(problem, arguments, exercise.answers, right, limits, where)
    found = exercise.oracle(problem)
    several = len(exercise.answers) > 1
    right = tuple(found) if several else (found,)
    return Case(problem, arguments, exercise.answers or (exercise.name,), right, (None,) * len(right), where)


def _in_words(names: Sequence[str], arguments: Sequence[Any]) -> str:
    """What a function is given: the shape of the first array, and what is no array."""
    named = list(zip(names, arguments, strict=True))
    arrays = [f"{name} has the shape {a.shape}" for name, a in named if np.ndim(a) and hasattr(a, "shape")]
    plain = [f"{name} = {_plain(a)}" for name, a in named if isinstance(a, int | float | str | tuple)]
    return ", ".join(arrays[:1] + plain)


def _plain(value: Any) -> str:
    """A number, a word or a tuple of some; a number with a few digits."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_plain, value))})"
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def draw(exercise: Exercise) -> list[Problem]:
    """Problems of different shapes, filled as the kit fills its own; equal names give equal ones.

    They are fixed rather than searched for, so that a mistake is the same mistake on every machine, and
    each eps, offset and distribution is among them. `passes` asks those that Hypothesis finds.
    """
    options: dict[str, Sequence[Any]] = {**OPTIONS, **exercise.options}
    rng = np.random.default_rng(crc32(exercise.name.encode()))
    shapes = _shapes(exercise)
    picked = [shapes[i] for i in rng.permutation(len(shapes))[:MANY]]
    # Every option has each of its values about equally often, in an order of its own.
    values = {name: rng.permutation(np.resize(np.array(few), MANY)) for name, few in options.items()}
    seeds = rng.integers(2**16, size=MANY)
    return [
        _problem(
            exercise.norm,
            shape,
            split,
            kind=str(values["kinds"][i]),
            seed=int(seeds[i]),
            eps=float(values["eps"][i]),
            offset=float(values["offsets"][i]),
            scale=float(values["scales"][i]),
        )
        for i, (shape, split) in enumerate(picked)
    ]


def _problem(
    norm: str,
    shape: tuple[int, ...],
    split: dict[str, Any],
    kind: str,
    seed: int,
    eps: float,
    offset: float,
    scale: float,
) -> Problem:
    """One problem, in float64, with a weight and a bias that show."""
    params = split.get("normalized_shape", shape[1:2])
    given = dict(split, weight=data.nonzero(params, seed))
    if norm != "rms":
        given["bias"] = data.nonzero(params, seed + 1)
    if norm == "batch_frozen":
        given |= statistics(params, seed, offset, scale, "float64")
    x = (data.values(kind, shape, seed) + offset) * scale
    dy = random_dy("normal", shape, seed)
    return Problem(norm, x, dy, eps=eps * scale**2, kind=kind, seed=seed, grade="B", **given)


def _shapes(exercise: Exercise) -> list[tuple[tuple[int, ...], dict[str, Any]]]:
    """Shapes with their options: all sizes differ, G and K among them, so that a wrong axis shows."""
    found: list[tuple[tuple[int, ...], dict[str, Any]]] = []
    for rank in exercise.ranks:
        if exercise.norm in ("layer", "rms"):
            ordered = [(length,) for length in LENGTHS] if rank == 1 else _orders(rank)
            for i, shape in enumerate(ordered):
                found.append((shape, {"normalized_shape": shape[1 + i % (rank - 1) if rank > 1 else 0 :]}))
        elif exercise.norm == "group":
            for N, G, K, *spatial in _orders(rank + 1):
                if G * K not in (N, *spatial):
                    found.append(((N, G * K, *spatial), {"num_groups": G}))
        else:
            found += [(shape, {}) for shape in _orders(rank)]
    return found


def _orders(count: int) -> list[tuple[int, ...]]:
    """So many different sizes, in every order; the product is not too large."""
    orders = permutations((2, 3, 4, 5, 6, 7), count)
    return [sizes for sizes in orders if prod(sizes) <= MOST]
