"""The exercises of tutorial 10: a variance that keeps its digits, Welford's update, Chan's merge."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnref.teaching.exercises.exercise import Exercise, Mistake, Symptom
from gnref.teaching.exercises.truth import Truth
from gnref.testing import data
from gnref.testing.problems import Array, Problem

FAR = 1 << 20  # an offset that leaves float32 four bits for fractions
LENGTHS = (7, 11, 9, 13, 15)  # no powers of two: means are rounded, but 15 numbers near FAR have an exact sum
APART = 1000  # what no variance of these numbers comes near


def row(x: Array) -> Problem:
    """One set."""
    return Problem("layer", x, x, normalized_shape=x.shape)


def far_rows() -> list[Problem]:
    """Whole numbers, at most 2 apart: in float32 all sums of them are exact, but the mean is not."""
    found = [row((data.values("integers", (m,), m) % 3 + FAR).astype(np.float32)) for m in LENGTHS]
    near = row(data.values("integers", (6,), 0).astype(np.float32))
    return [near, *found]


def exact_var(problem: Problem) -> float:
    """From the kit's exact oracle."""
    return float(Truth(problem)["var"])


def looks_unbiased(got: Any, right: Any, problem: Problem) -> bool:
    """Whether a variance is divided by m - 1, give or take what rounding does to it."""
    m = problem.set_size
    return bool(np.allclose(got * (m - 1), right * m, rtol=0.01))


def moments(x: Array) -> tuple[int, float, float]:
    """Count, mean and M2, from the kit's exact oracle."""
    if not x.size:
        return 0, 0.0, 0.0
    truth = Truth(row(x))
    return x.size, float(truth["mean"]), float(truth["var"]) * x.size


def rows() -> list[Problem]:
    """Numbers far enough from 0 that a mean and its neighbour are told apart."""
    return [row(data.values("normal", (m,), m) + 3.0) for m in (1, 2, 3, 8, 13)]


def before_the_last(problem: Problem) -> tuple[Any, ...]:
    """What Welford's update is given: the moments of all numbers but one, and this one."""
    return (*moments(problem.x[:-1]), float(problem.x[-1]))


def parts(problem: Problem) -> tuple[Any, ...]:
    """What a merge is given: two parts of unequal lengths, the second one moved."""
    cut = max(1, problem.x.size // 3)
    return moments(problem.x[:cut]), moments(problem.x[cut:])


CORRECTED_VAR = Exercise(
    name="corrected_var",
    tutorial=10,
    title="A variance that keeps its digits at any offset",
    norm="layer",
    problems=far_rows,
    arguments=lambda problem: (problem.x,),
    oracle=exact_var,
    answers=("var",),
    rtol=1e-5,
    solution="""\
def corrected_var(x):
    hi = x.mean()
    d = x - hi
    lo = d.mean()
    return (d * d).mean() - lo * lo
""",
    mistakes=(
        Mistake(
            "E[x^2] - E[x]^2",
            "(d * d).mean() - lo * lo",
            "(x * x).mean() - hi * hi",
            "This is the formula that cancels: you square x itself. Print the two terms where x is near a "
            "million.",
        ),
        Mistake(
            "not corrected",
            " - lo * lo",
            "",
            "These are two passes without the correction: at a large offset `hi` is rounded, and what it "
            "lacks is in every deviation. Print the mean of x - hi: it is not 0.",
        ),
        Mistake(
            "correction of the wrong sign",
            "- lo * lo",
            "+ lo * lo",
            "Your correction has the wrong sign. The mean of the squares about `hi` is too large; the shift "
            "rule says by how much.",
        ),
        Mistake(
            "correction not squared",
            "- lo * lo",
            "- lo",
            "You subtract the shift itself from a mean of squares. Compare the units: one is in those of x, "
            "the other in their square.",
        ),
        Mistake(
            "n-1",
            "(d * d).mean()",
            "(d * d).sum() / (x.size - 1)",
            "You divide by m - 1. The variance that normalizes is the biased one, of these m numbers and no "
            "others.",
        ),
    ),
    symptoms=(
        Symptom(
            "no variance",
            lambda got, right, problem: bool(np.any((got < 0) | (got > APART))),
            "Your variance is negative, or far above the squares of all distances in x: look at the size of "
            "the numbers that you square.",
        ),
        Symptom(
            "about m / (m - 1) times too large",
            looks_unbiased,
            "Your variance is about m / (m - 1) times the right one: divided by m - 1. The variance that "
            "normalizes is the biased one.",
        ),
    ),
)

WELFORD_UPDATE = Exercise(
    name="welford_update",
    tutorial=10,
    title="Welford's update",
    norm="layer",
    problems=rows,
    arguments=before_the_last,
    oracle=lambda problem: moments(problem.x),
    answers=("count", "mean", "M2"),
    solution="""\
def welford_update(count, mean, M2, x):
    count = count + 1
    delta = x - mean
    mean = mean + delta / count
    M2 = M2 + delta * (x - mean)
    return count, mean, M2
""",
    mistakes=(
        Mistake(
            "old mean twice",
            "delta * (x - mean)",
            "delta * delta",
            "Both factors of your step of M2 have the old mean, so M2 grows too fast. The first number "
            "alone shows it: its M2 should be 0.",
        ),
        Mistake(
            "new mean twice",
            "delta * (x - mean)",
            "(x - mean) * (x - mean)",
            "Both factors of your step of M2 have the new mean: the share of the earlier numbers, whose "
            "mean has moved, is missing. Try the numbers 0 and 2.",
        ),
        Mistake(
            "old count",
            "delta / count",
            "delta / (count - 1)",
            "You divide by the count from before x came: the first number divides by 0. How many numbers "
            "does the new mean belong to?",
        ),
        Mistake(
            "wrong way",
            "mean + delta / count",
            "mean - delta / count",
            "Your mean moves away from the new number. Try a number that is larger than the mean.",
        ),
        Mistake(
            "variance for M2",
            "delta * (x - mean)",
            "delta * (x - mean) / count",
            "M2 is a sum, not a mean: divide by the count once, when all numbers have come, and not at "
            "every step.",
        ),
    ),
)

MERGE = Exercise(
    name="merge",
    tutorial=10,
    title="Merge two parts",
    norm="layer",
    problems=lambda: [problem for problem in rows() if problem.x.size > 2],
    arguments=parts,
    oracle=lambda problem: moments(problem.x),
    answers=("count", "mean", "M2"),
    solution="""\
def merge(a, b):
    count_a, mean_a, M2_a = a
    count_b, mean_b, M2_b = b
    count = count_a + count_b
    delta = mean_b - mean_a
    mean = mean_a + delta * (count_b / count)
    M2 = M2_a + M2_b + delta * delta * (count_a * count_b / count)
    return count, mean, M2
""",
    mistakes=(
        Mistake(
            "no cross term",
            " + delta * delta * (count_a * count_b / count)",
            "",
            "You add the two M2 and nothing else. Try the parts (1, 0, 0) and (1, 2, 0): each alone has M2 "
            "= 0, but 0 and 2 together have not.",
        ),
        Mistake(
            "cross term with wrong counts",
            "count_a * count_b",
            "count_a * count_a",
            "The counts in your term of the two means are not those of both parts. It should be the same "
            "when a and b change places.",
        ),
        Mistake(
            "cross term not divided",
            "count_a * count_b / count",
            "count_a * count_b",
            "Your term of the two means is not divided by the common count. Try the parts (1, 0, 0) and (1, "
            "2, 0).",
        ),
        Mistake(
            "delta not squared",
            "delta * delta *",
            "delta *",
            "The distance of the two means enters your M2 without its square: it is negative where b lies "
            "below a.",
        ),
        Mistake(
            "means of equal weight",
            "delta * (count_b / count)",
            "delta * 0.5",
            "Your mean is halfway between the two, whatever the counts are. Which part should it be nearer "
            "to?",
        ),
        Mistake(
            "weights swapped",
            "delta * (count_b / count)",
            "delta * (count_a / count)",
            "Your mean goes towards b by a's share, and ends near the smaller part. Try a part of 1 and a "
            "part of 9 numbers.",
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (CORRECTED_VAR, WELFORD_UPDATE, MERGE)
