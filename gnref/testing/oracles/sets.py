"""Which elements share a mean and a variance, and which weight each element uses.

Wu & He 2018 write every norm as one computation over S_i, the set of the elements k that share the
statistics of the element i = (i_N, i_C, i_H, i_W):

======== ============================================================ =====
batch    S_i = {k : k_C = i_C}                                        eq. 3
layer    S_i = {k : k_N = i_N}                                        eq. 4
instance S_i = {k : k_N = i_N, k_C = i_C}                             eq. 5
group    S_i = {k : k_N = i_N, k_C // (C/G) = i_C // (C/G)}           eq. 7
======== ============================================================ =====

with one weight and one bias for each channel (eq. 6). Here layer norm, and rms norm with it, is over the
trailing dimensions with a weight for each element of them (Ba, Kiros & Hinton 2016, eq. 4). A virtual batch
of g examples splits S_i of batch norm by k_N // g (Hoffer, Hubara & Soudry 2017, Algorithm 1).

Only indices are compared here: no reshape and no strides, which is what the library is built on.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import Any

import numpy as np

from gnref.testing.problems import CHANNEL_NORMS, Problem

Array = Any
Index = tuple[Any, ...]  # of ints; of arrays of ints, for many elements at once


def set_key(problem: Problem, i: Any) -> Any:
    """Return what names the set S_i of the element x[i].

    Two elements share a mean and a variance if and only if their keys are equal: (i_C,) in batch norm,
    (i_N // g, i_C) with virtual batches of g, (i_N, i_C) in instance norm, (i_N, i_C // K) in group norm, the
    leading indices in layer and rms norm. In the frozen norm (i_C,) says whose statistics are used.
    """
    if problem.norm not in CHANNEL_NORMS:
        return i[: _leading(problem)]
    i_N, i_C = i[0], i[problem.channel_axis]
    if problem.norm == "instance":
        return i_N, i_C
    if problem.norm == "group":
        assert problem.num_groups is not None
        C = problem.shape[problem.channel_axis]
        return i_N, i_C // (C // problem.num_groups)
    if problem.norm == "batch" and problem.virtual_batch_size is not None:
        return i_N // problem.virtual_batch_size, i_C
    return (i_C,)


def weight_index(problem: Problem, i: Any) -> Any:
    """Return where in weight and bias the parameters of x[i] stand: (i_C,), or the trailing indices."""
    if problem.norm not in CHANNEL_NORMS:
        return i[_leading(problem) :]
    return (i[problem.channel_axis],)


def by_set(problem: Problem) -> dict[Index, list[Index]]:
    """Return every set, by its key, as the list of its elements' indices."""
    sets: dict[Index, list[Index]] = defaultdict(list)
    for i in np.ndindex(problem.shape):
        sets[set_key(problem, i)].append(i)
    return dict(sets)


@lru_cache(maxsize=32)  # many ask, and a problem never changes
def set_ids(problem: Problem) -> Array:
    """Number the sets from 0, without gaps: an int array of x's shape."""
    ids = _number(set_key(problem, tuple(np.indices(problem.shape))), problem.shape)
    return np.unique(ids, return_inverse=True)[1].reshape(problem.shape)


@lru_cache(maxsize=32)
def param_ids(problem: Problem) -> Array:
    """Return the position of each element's weight in the flattened parameter: an array of x's shape."""
    return _number(weight_index(problem, tuple(np.indices(problem.shape))), problem.shape)


def _number(key: tuple[Any, ...], shape: tuple[int, ...]) -> Array:
    """Make one number of an index, in row-major order; each part of it is an array."""
    ids = np.zeros(shape, dtype=int)
    for part in key:
        ids = ids * (int(part.max(initial=0)) + 1) + part
    return ids


def _leading(problem: Problem) -> int:
    """How many dimensions of x stand before the normalized ones."""
    assert problem.normalized_shape is not None
    return len(problem.shape) - len(problem.normalized_shape)
