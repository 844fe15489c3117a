"""At the edges: very many sets, and options that have no meaning."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnref.testing.members import param_ids
from gnref.testing.problems import Array, Problem
from gnref.testing.properties.property import apart, difference, holds, results, wide, worst
from gnref.testing.targets.target import Refused, Target
from gnref.testing.tolerances import terms, tolerance

ROWS = 2**16 + 37  # more than an unsigned counter of 16 bits has, or an axis of a grid of CUDA's
LARGEST = 6  # elements of each, for the sake of time
LATE = 256.0


@holds(
    "many sets are like few",
    but=["batch_frozen"],
    museum=(28, 61),
    examples=0.3,
    batch_sizes=(2,),
    lengths=(2, 3, 5),
    affine=True,
    kinds=("normal", "integers"),
    channel_axes=False,
    layouts=("plain",),
    dtypes=("float32", "float64"),
    virtual=(False,),
    hard=False,
)
def many_sets(target: Target, problem: Problem) -> float | None:
    """The same few sets over and over, in 65,573 examples, channels or groups of them: each as among few.

    Batch norm's sets are its channels; of one channel, the examples are as many, each as often as the others.
    """
    axis = _axis_of_sets(problem)
    size = (problem.num_groups or problem.shape[1]) if axis == 1 else problem.shape[0]
    whole = problem.normalized_shape is not None and len(problem.normalized_shape) == problem.rank
    if whole or size == 1 or problem.x.size > LARGEST * size:
        return None
    # In no order: where an index turns over, another set shows. What comes late is large, or its loss would
    # be less than the rounding of such long sums (not in batch norm's examples, where it moves the others).
    index = np.random.default_rng(problem.seed).permutation(-(-ROWS // size) * size) % size
    late = np.where((np.arange(len(index)) >= 2**16) & (problem.norm != "batch" or axis == 1), LATE, 1.0)
    groups = None if problem.num_groups is None or axis == 0 else len(index)
    if groups is not None:  # all channels of a group
        K = problem.shape[1] // size
        index, late = (index[:, None] * K + np.arange(K)).ravel(), np.repeat(late, K)
    along = late.reshape([-1 if i == axis else 1 for i in range(problem.rank)])
    x, dy, few = np.take(problem.x, index, axis), np.take(problem.dy, index, axis), problem
    many = few.but(x=x, dy=(dy * along).astype(dy.dtype), **_params(few, index, axis))
    many = many if groups is None else many.but(num_groups=groups)
    small, large, limit, limits = results(target, few), results(target, many), tolerance(few), tolerance(many)
    pairs: list[tuple[Any, Any]] = []
    for name, factor in (("y", 1.0), ("dx", along)):
        if name not in small or name not in large:
            continue
        if small[name].shape != few.shape:
            return float("inf")
        allowed = getattr(limits, name) + np.take(getattr(limit, name), index, axis) * factor
        pairs.append((apart(large[name], wide(np.take(small[name], index, axis)) * factor), allowed))
    if axis == 1:
        for name in [k for k in ("dweight", "dbias") if k in small and k in large]:
            allowed = 2 * getattr(limit, name)[index] * late
            pairs.append((apart(large[name], wide(small[name])[index] * late), allowed))
    else:
        pairs += _sums(few, many, large)
    return worst(*pairs)


def _axis_of_sets(problem: Problem) -> int:
    """Where there are to be many: at C in batch norm, and by the seed in instance and group norm."""
    if problem.norm == "batch":
        return int(problem.channels != 1)
    return int(problem.norm in ("instance", "group") and problem.seed % 2 == 1)


def _params(problem: Problem, index: Array, axis: int) -> dict[str, Array]:
    """The parameters of many channels, where the channels are what is many."""
    params = {"weight": problem.weight, "bias": problem.bias}
    return {k: p[index] for k, p in params.items() if p is not None and axis == 1}


def _sums(few: Problem, many: Problem, large: dict[str, Array]) -> list[tuple[Any, Any]]:
    """dweight and dbias of many sets, summed in float64."""
    owner, dy = param_ids(many).ravel(), many.dy.astype(np.float64)
    summands = {"dweight": (few.weight, dy * terms(many).signed_xhat), "dbias": (few.bias, dy)}
    pairs = []
    for name, (param, summand) in summands.items():
        if param is not None and name in large:
            expected = np.bincount(owner, weights=summand.ravel()).reshape(param.shape)
            sizes = np.bincount(owner, weights=np.abs(summand).ravel()).reshape(param.shape)
            own = owner.size / param.size * 2.0**-53 * sizes  # of this running sum in float64
            pairs.append((difference(large[name], expected), getattr(tolerance(many), name) + own))
    return pairs


@holds("a wrong num_groups is refused", norms=["group"], exact=True, museum=(48,), examples=0.2, hard=False)
def wrong_groups(target: Target, problem: Problem) -> float | None:
    """G that does not divide C has no meaning, and raises."""
    C = problem.channels or 1
    wrong = C + 1 if problem.seed % 2 else next((g for g in range(2, C) if C % g), C + 1)
    try:
        target.forward(problem.but(num_groups=wrong))
    except (Refused, ValueError):
        return 0.0
    return float("inf")
