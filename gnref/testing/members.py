"""Sums and means over the sets that share statistics, for tolerances and properties."""

from __future__ import annotations

import numpy as np

from gnref.testing.oracles.sets import param_ids, set_ids
from gnref.testing.problems import Array, Problem

__all__ = ["param_ids", "set_ids", "set_means", "set_sizes", "set_sums"]


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
