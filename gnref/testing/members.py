"""Which set and which parameter every element of x belongs to, as arrays of numbers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from gnref.testing.oracles.sets import set_key, weight_index
from gnref.testing.problems import Array, Problem


@lru_cache(maxsize=32)  # a law asks many times; a problem never changes
def set_ids(problem: Problem) -> Array:
    """Number the sets that share statistics: an int array of x's shape, without gaps."""
    key = set_key(problem, _indices(problem))
    ids = _number(key, problem.shape)
    return np.unique(ids, return_inverse=True)[1].reshape(problem.shape)


@lru_cache(maxsize=32)
def param_ids(problem: Problem) -> Array:
    """Number the weights: the position of each element's weight in the flattened parameter."""
    return _number(weight_index(problem, _indices(problem)), problem.shape)


def set_sums(problem: Problem, t: Array) -> Array:
    """Sum t over each set: one number per set, in the order of `set_ids`."""
    return np.bincount(set_ids(problem).ravel(), weights=np.ravel(t))


def set_sizes(problem: Problem) -> Array:
    """The number m of elements of each set."""
    return np.bincount(set_ids(problem).ravel())


def set_means(problem: Problem, t: Array) -> Array:
    """The mean of t over the set of every element: an array of x's shape."""
    means: Array = (set_sums(problem, t) / np.maximum(set_sizes(problem), 1))[set_ids(problem)]
    return means


def _indices(problem: Problem) -> tuple[Any, ...]:
    """The index of every element, as one array for each axis; oracles.sets compares such indices."""
    return tuple(np.indices(problem.shape))


def _number(key: tuple[Any, ...], shape: tuple[int, ...]) -> Array:
    """Make one number of several, in row-major order."""
    ids = np.zeros(shape, dtype=int)
    for part in key:
        ids = ids * (int(part.max(initial=0)) + 1) + part
    return ids
