"""The exercises of tutorial 13: what crosses machines, the statistics of shards, dx of one shard."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from gnref.teaching.exercises.exercise import Exercise, Mistake, Symptom
from gnref.teaching.exercises.truth import Truth
from gnref.testing import data
from gnref.testing.problems import Array, Problem

# 13.1: cut along C.

TOO_MANY = {
    "batch": "You count batch norm. Its sets go through all examples, but each stays within one channel, and "
    "a channel lies on one machine as a whole.",
    "instance": "You count instance norm, whose sets are one channel of one example: no cut along C reaches "
    "into them.",
    "group": "You count group norm. How many channels has a group here, and does the cut between channels 31 "
    "and 32 go through one?",
}
TOO_FEW = "You leave out the one whose sets go through all channels."


def answers() -> list[tuple[str, ...]]:
    """Every answer that names norms, and is not right."""
    names = (*TOO_MANY, "layer")
    sets = (chosen for size in range(len(names) + 1) for chosen in combinations(names, size))
    return [chosen for chosen in sets if chosen != ("layer",)]


def mistake(chosen: tuple[str, ...]) -> Mistake:
    """What to say of it: a sentence on every norm that is wrong."""
    written = "{" + ", ".join(f'"{name}"' for name in chosen) + "}" if chosen else "set()"
    hints = [TOO_MANY[name] for name in chosen if name in TOO_MANY]
    hints += [] if "layer" in chosen else [TOO_FEW]
    return Mistake(", ".join(chosen) or "none", '{"layer"}', written, " ".join(hints))


CROSSING = Exercise(
    name="crossing",
    tutorial=13,
    title="Cut along the channels",
    norm="layer",
    solution='crossing = {"layer"}\n',
    oracle=lambda problem: {"layer"},
    mistakes=tuple(map(mistake, answers())),
    symptoms=(
        Symptom(
            "another name",
            lambda got, right, problem: not got <= {*TOO_MANY, "layer"},
            'Your set has something else in it than the four names: `"batch"`, `"instance"`, `"group"` and '
            '`"layer"`, in small letters.',
        ),
    ),
)

# 13.2 and 13.3: a batch in shards.

CUTS = ((8, 3), (1, 6), (2, 2), (5, 4), (0, 6), (3, 7))  # the sizes of the first two shards: counts matter
OFFSETS = (3.0, 3.0, 3.0, 3.0, 3.0, 1e6)  # in the last one a difference of squares shows


def sizes(problem: Problem) -> list[int]:
    """How many examples each rank has."""
    first, second = CUTS[problem.seed]
    return [first, second, len(problem.x) - first - second]


def batches() -> list[Problem]:
    """Batches of numbers far from 0, whose examples drift, so that shards have means of their own."""
    found = []
    for seed in range(len(CUTS)):
        shape = (13 + seed, 3 + seed % 2)
        x = data.values("normal", shape, seed) + np.arange(shape[0])[:, None] / 2 + OFFSETS[seed]
        dy, weight = data.values("normal", shape, seed + 10), data.values("normal", shape[1:], seed + 20)
        found.append(Problem("batch", x, dy + 0.5, weight=weight + 2.0, eps=0.1, seed=seed))
    return found


def in_shards(problem: Problem, a: Array) -> list[Array]:
    """An array cut along N."""
    return np.split(a, np.cumsum(sizes(problem))[:-1])


def shard_moments(problem: Problem) -> tuple[Any, ...]:
    """Counts (R,), means and M2 (R, C)."""
    shards = in_shards(problem, problem.x)
    means = np.stack([shard.sum(0) / max(len(shard), 1) for shard in shards])
    M2 = np.stack([((shard - mean) ** 2).sum(0) for shard, mean in zip(shards, means, strict=True)])
    return np.array(sizes(problem)), means, M2


def whole_statistics(problem: Problem) -> tuple[Array, Array]:
    """From the kit's exact oracle."""
    truth = Truth(problem)
    return np.ravel(truth["mean"]), np.ravel(truth["var"])


def second_shard(problem: Problem) -> tuple[Any, ...]:
    """What rank 1 knows in the backward pass: its own dy and x, and what all have exchanged."""
    truth = Truth(problem)
    mean, rstd = np.ravel(truth["mean"]), np.ravel(truth["rstd"])
    xhat = (problem.x - mean) * rstd
    pairs = zip(in_shards(problem, problem.dy), in_shards(problem, problem.dy * xhat), strict=True)
    sums = np.array([[own.sum(0), with_xhat.sum(0)] for own, with_xhat in pairs])
    dy, x = (in_shards(problem, a)[1] for a in (problem.dy, problem.x))
    return dy, x, mean, rstd, problem.weight, np.array(sizes(problem)), sums


def second_dx(problem: Problem) -> Array:
    """From the kit's exact oracle."""
    return in_shards(problem, np.asarray(Truth(problem)["dx"]))[1]


def over_ranks(got: Any, right: Any, problem: Problem) -> bool:
    """Whether the sums were divided by the number of ranks."""
    dy, x, mean, rstd, weight, counts, sums = second_shard(problem)
    sum_dy, sum_dy_xhat = sums.sum(0) / len(counts)
    theirs = weight * rstd * (dy - sum_dy - (x - mean) * rstd * sum_dy_xhat)
    return np.shape(got) == np.shape(theirs) and bool(np.allclose(got, theirs, rtol=1e-9, atol=1e-9))


MERGE_SHARDS = Exercise(
    name="merge_shards",
    tutorial=13,
    title="Statistics of a batch in shards",
    norm="batch",
    problems=batches,
    arguments=shard_moments,
    oracle=whole_statistics,
    answers=("mean", "var"),
    solution="""\
def merge_shards(counts, means, M2):
    n = counts.sum()
    weights = counts[:, None]
    mean = (weights * means).sum(0) / n
    between = (weights * (means - mean) ** 2).sum(0)
    return mean, (M2.sum(0) + between) / n
""",
    mistakes=(
        Mistake(
            "mean of means",
            "(weights * means).sum(0) / n",
            "means.mean(0)",
            "Your mean gives each shard the same weight, whatever its size. A shard of 8 examples should "
            "count 8 times as much as one of 1.",
        ),
        Mistake(
            "nothing between",
            "(M2.sum(0) + between)",
            "M2.sum(0)",
            "Your variance has only what is spread *within* the shards. How far their means are apart is "
            "missing: two shards of constants, 0 and 2, are not a constant batch.",
        ),
        Mistake(
            "between unweighted",
            "(weights * (means - mean) ** 2)",
            "((means - mean) ** 2)",
            "The distance of a shard's mean from the common one counts once for every element of the shard, "
            "and you count it once for the shard.",
        ),
        Mistake(
            "n-1",
            "between) / n",
            "between) / (n - 1)",
            "You divide by n - 1. What normalizes is the biased variance, divided by n; the unbiased one is "
            "for the running statistics.",
        ),
        Mistake(
            "mean of the shards' variances",
            "(M2.sum(0) + between) / n",
            "(M2 / weights).mean(0)",
            "You average the shards' own variances. That leaves out how far their means are apart, and gives "
            "small shards too much weight.",
        ),
        Mistake(
            "not divided",
            "(M2.sum(0) + between) / n",
            "M2.sum(0) + between",
            "This is the M2 of the whole batch: a sum. The variance is M2 divided by n.",
        ),
        Mistake(
            "the means alone",
            "(M2.sum(0) + between) / n",
            "((means - mean) ** 2).mean(0)",
            "Your variance has only how far the shards' means are apart. What is spread within the shards, "
            "M2, is missing.",
        ),
        Mistake(
            "standard deviation",
            "(M2.sum(0) + between) / n",
            "np.sqrt((M2.sum(0) + between) / n)",
            "This is the standard deviation. The variance is its square.",
        ),
        Mistake(
            "swapped",
            "mean, (M2.sum(0) + between) / n",
            "(M2.sum(0) + between) / n, mean",
            "First the mean, then the variance: yours have changed places.",
        ),
    ),
)

SHARD_DX = Exercise(
    name="shard_dx",
    tutorial=13,
    title="dx of one shard",
    norm="batch",
    problems=batches,
    arguments=second_shard,
    oracle=second_dx,
    answers=("dx",),
    solution="""\
def shard_dx(dy, x, mean, rstd, weight, counts, sums):
    n = counts.sum()
    sum_dy, sum_dy_xhat = sums.sum(0)
    xhat = (x - mean) * rstd
    return weight * rstd * (dy - sum_dy / n - xhat * sum_dy_xhat / n)
""",
    mistakes=(
        Mistake(
            "the shard's count",
            "counts.sum()",
            "len(dy)",
            "You divide the sums of the whole batch by the count of this shard alone. The means of the "
            "formula are over the whole set, and the set crosses the ranks.",
        ),
        Mistake(
            "the shard's sums",
            "sum_dy, sum_dy_xhat = sums.sum(0)",
            "sum_dy, sum_dy_xhat = dy.sum(0), (dy * (x - mean) * rstd).sum(0)",
            "Your two sums are those of this shard. Every x of the batch moves the mean and the variance, so "
            "every dy of the batch is in dx: add the sums of all ranks.",
        ),
        Mistake(
            "the average over ranks",
            "sums.sum(0)",
            "sums.mean(0)",
            "You average the sums over the ranks. They are sums: add them, and divide by the number of "
            "elements, not by the number of ranks as well.",
        ),
        Mistake(
            "weight twice",
            "= sums.sum(0)",
            "= weight * sums.sum(0)",
            "The weight is in your two sums, and once more in front of the bracket.",
        ),
        Mistake(
            "no way through the mean",
            " - sum_dy / n",
            "",
            "The path through the mean is missing: the mean of dy, over the whole batch.",
        ),
        Mistake(
            "no way through the variance",
            " - xhat * sum_dy_xhat / n",
            "",
            "The path through the variance is missing: xhat times the mean of dy * xhat, over the whole "
            "batch.",
        ),
        Mistake(
            "sums swapped",
            "sum_dy, sum_dy_xhat = ",
            "sum_dy_xhat, sum_dy = ",
            "Your two sums have changed places: `sums[r]` is first the sum of dy, then that of dy * xhat.",
        ),
        Mistake(
            "no rstd",
            "weight * rstd * (dy",
            "weight * (dy",
            "dx is in the units of dy divided by those of x: the factor rstd in front is missing.",
        ),
        Mistake(
            "not divided",
            "sum_dy / n - xhat * sum_dy_xhat / n",
            "sum_dy - xhat * sum_dy_xhat",
            "You subtract the sums. The formula has means: divide by the n of the whole batch.",
        ),
        Mistake(
            "no weight",
            "weight * rstd * (dy",
            "rstd * (dy",
            "The weight is missing: y is weight * xhat + bias.",
        ),
        Mistake(
            "weight on dy alone",
            "weight * rstd * (dy",
            "rstd * (weight * dy",
            "You weight dy, but not the two sums, which are of dy without the weight.",
        ),
    ),
    symptoms=(
        Symptom(
            "the number of ranks",
            over_ranks,
            "Your two sums are divided by the number of ranks, `len(counts)`. Means are over all examples: n "
            "is the sum of the counts.",
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (CROSSING, MERGE_SHARDS, SHARD_DX)
