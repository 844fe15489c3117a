"""Exercises of tutorial 11: the reader writes tests; they are tried on right kernels and on wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gnref.teaching.exercises.exercise import Exercise, Mistake, Symptom
from gnref.teaching.exercises.specimens import (
    RIGHT,
    SINGLE,
    STRIDED,
    asked_of,
    drawn_results,
    given_backward,
    given_forward,
    given_results,
    holds,
    within,
)
from gnref.testing.problems import Problem


def false_alarm(got: Any, right: Any, problem: Problem) -> bool:
    """Whether a test fails where it is to pass."""
    return bool(right) and not bool(got)


def misses(name: str) -> Callable[[Any, Any, Problem], bool]:
    """Whether a test passes a certain wrong kernel."""

    def shows(got: Any, right: Any, problem: Problem) -> bool:
        return problem.kind == name and bool(got) and not bool(right)

    return shows


def symptoms(alarm: str, missed: dict[str, str]) -> tuple[Symptom, ...]:
    """What to say of a test that is none of the known ones: what it accuses, or what it misses."""
    told = (
        Symptom(f"misses: {name}", misses(name), f"It says True {text}.") for name, text in missed.items()
    )
    return (Symptom("false alarm", false_alarm, f"It says False {alarm}."), *told)


# 11.1: dx sums to 0 over a set.

BACKWARD_MISSED = {
    "mean of g dropped": "of a backward pass that forgets the mean of weight dy",
    "weight after the sums": "of a backward pass that multiplies by weight after the two means, not before",
    "weight forgotten in the mean of g": "of a backward pass that takes the mean of dy for that of weight dy",
    STRIDED: "of a backward pass whose groups are every G-th channel",
}
BACKWARD_KERNELS = (RIGHT, *BACKWARD_MISSED, SINGLE, "dx is 0")


SUMS_TO_0 = Exercise(
    name="sums_to_0",
    tutorial=11,
    title="Test the backward pass by a law",
    solution="""\
def sums_to_0(backward, x, weight, num_groups):
    dy = np.random.default_rng(0).standard_normal(x.shape)
    dx = backward(dy, x, weight, num_groups)
    sums = dx.reshape(len(x), num_groups, -1).sum(axis=-1)
    return bool(np.abs(sums).max() < 1e-9)
""",
    problems=asked_of(BACKWARD_KERNELS, 2),
    takes=("backward", "x", "weight", "num_groups"),
    arguments=given_backward,
    oracle=holds("dx sums to 0 over a set"),
    mistakes=(
        Mistake(
            "dy is 1",
            "np.random.default_rng(0).standard_normal(x.shape)",
            "np.ones(x.shape)",
            "Kernels pass that treat weight wrongly, and yet you pass weight on. Is your `dy` constant? "
            "Then g minus its mean says little; choose one that has nothing to do with x or the sets.",
        ),
        Mistake(
            "weight is 1",
            "backward(dy, x, weight, num_groups)",
            "backward(dy, x, np.ones_like(weight), num_groups)",
            "All kernels pass whose mistake is where the weight stands. With a weight of 1 that makes no "
            "difference: does the backward pass get the weight that you are given?",
        ),
        Mistake(
            "strided sets",
            "dx.reshape(len(x), num_groups, -1).sum(axis=-1)",
            "dx.reshape(len(x), -1, num_groups, x[0, 0].size).sum(axis=(1, 3))",
            "Right kernels fail, and one passes whose groups are every G-th channel: do your sums run over "
            "those? A group is C/G channels that follow each other.",
        ),
        Mistake(
            "per channel",
            "dx.reshape(len(x), num_groups, -1).sum(axis=-1)",
            "dx.reshape(len(x), x.shape[1], -1).sum(axis=-1)",
            "Right kernels fail, and one passes that has a group for each channel: do your sums run over "
            "one channel each? A set is all the elements that share a mean.",
        ),
        Mistake(
            "exactly 0",
            "np.abs(sums).max() < 1e-9",
            "np.abs(sums).max() == 0",
            "Only a kernel that returns zeros passes. The terms of a sum are rounded, and have both signs: "
            "print the sums of a right kernel, and see how far from 0 they are.",
        ),
        Mistake(
            "one sum for all",
            ".sum(axis=-1)",
            ".sum()",
            "A kernel passes whose sets are others, and whose total is 0 all the same. Each set has a sum "
            "of its own: (N, G) of them.",
        ),
    ),
    symptoms=symptoms("of a kernel whose dx does sum to 0 over every set", BACKWARD_MISSED),
)

# 11.2: a changed set leaves the others.

FORWARD_MISSED = {
    STRIDED: "of a kernel whose groups are every G-th channel",
    "group: over all channels": "of a kernel that takes one mean over all groups of an example",
    "the first example's mean": "of a kernel that uses the first example's means in all others",
}
FORWARD_KERNELS = (RIGHT, *FORWARD_MISSED, SINGLE)


OTHERS_STAY = Exercise(
    name="others_stay",
    tutorial=11,
    title="The law that tells strided groups",
    solution="""\
def others_stay(forward, x, num_groups):
    group = slice(0, x.shape[1] // num_groups)
    changed = x.copy()
    changed[0, group] **= 2
    same = forward(x, num_groups) == forward(changed, num_groups)
    same[0, group] = True  # this set may change
    return bool(same.all())
""",
    problems=asked_of(FORWARD_KERNELS, 3),
    takes=("forward", "x", "num_groups"),
    arguments=given_forward,
    oracle=holds("a changed set leaves the others"),
    mistakes=(
        Mistake(
            "no copy",
            "changed = x.copy()",
            "changed = x",
            "Every kernel passes, and x is not what it was: both calls see the same numbers. Assignment "
            "copies no array.",
        ),
        Mistake(
            "the changed set is compared, too",
            "same[0, group] = True",
            "same[0, group] &= True",
            "Every kernel fails, right ones too. Do you compare the set that you changed? It may well come "
            "out differently.",
        ),
        Mistake(
            "G and K swapped",
            "slice(0, x.shape[1] // num_groups)",
            "slice(0, num_groups)",
            "Right kernels fail where G < K, and pass where G > K. Do you change G channels? A group has K "
            "= C/G of them, and who changes a part of it moves the rest.",
        ),
        Mistake(
            "a strided test",
            "slice(0, x.shape[1] // num_groups)",
            "slice(0, None, num_groups)",
            "The strided kernel passes and right ones fail: your test makes the mistake that it is to find. "
            "Which channels do you change?",
        ),
        Mistake(
            "the first example alone",
            "same.all()",
            "same[0].all()",
            "A kernel passes that lets the first example into the statistics of the others. Do you look at "
            "all examples?",
        ),
        Mistake(
            "the other examples alone",
            "same.all()",
            "same[1:].all()",
            "Kernels pass that mix the groups of one example. The other groups of the first example are "
            "sets as well: do you look at them?",
        ),
        Mistake(
            "any for all",
            "same.all()",
            "same.any()",
            "Every kernel passes. Is one element that stays the same enough for your test? All of them have "
            "to.",
        ),
    ),
    symptoms=symptoms("of a kernel whose sets do not touch each other", FORWARD_MISSED),
)

# 11.3: within 6 u (1 + |y|).

CLOSE_MISSED = {
    "above the tolerance": "where the error is 1.5 times the tolerance",
    "one element above the tolerance": "where one element is above the right one by 3 times the tolerance",
    "one element below the tolerance": "where one element is below the right one by 3 times the tolerance",
    "far off": "where the error is 3,000 times the tolerance",
    "one NaN": "where one element of y is NaN",
}


CLOSE_ENOUGH = Exercise(
    name="close_enough",
    tutorial=11,
    title="A tolerance in units of u",
    solution="""\
def close_enough(y, right):
    u = 2.0**-24
    return bool((np.abs(y - right) <= 6 * u * (1 + np.abs(right))).all())
""",
    problems=drawn_results,
    takes=("y", "right"),
    arguments=given_results,
    oracle=within,
    mistakes=(
        Mistake(
            "1e-2",
            "6 * u * (1 + np.abs(right))",
            "1e-2",
            "All passes but NaN, errors of 1e-3 included. That is thousands of roundings of a float32.",
        ),
        Mistake(
            "no absolute value of the error",
            "np.abs(y - right)",
            "(y - right)",
            "A y that is too small passes, however far off. An error below 0 is smaller than any tolerance: "
            "where is its absolute value?",
        ),
        Mistake(
            "NaN passes",
            "(np.abs(y - right) <= 6 * u * (1 + np.abs(right))).all()",
            "not (np.abs(y - right) > 6 * u * (1 + np.abs(right))).any()",
            "NaN passes: every comparison with it is False, so it is not above the tolerance either. Ask "
            "whether all are within, not whether one is outside.",
        ),
        Mistake(
            "no 1",
            "(1 + np.abs(right))",
            "np.abs(right)",
            "Right kernels fail next to y = 0, where the rounding of the mean is larger than y. Does your "
            "tolerance go to 0 there?",
        ),
        Mistake(
            "no |y|",
            "(1 + np.abs(right))",
            "1",
            "Right kernels fail at large |y|, where a rounding costs more. Is your tolerance the same for "
            "all y?",
        ),
        Mistake(
            "the spacing for u",
            "2.0**-24",
            "np.finfo(np.float32).eps",
            "Errors of 1.5 tolerances pass. `finfo.eps` is the distance from 1 to the next number, and "
            "rounding goes to the nearer neighbour: u is half of it.",
        ),
        Mistake(
            "u of float64",
            "2.0**-24",
            "2.0**-53",
            "Nothing passes, right kernels included. Is your u that of float64? y is float32.",
        ),
        Mistake(
            "the mean error",
            "(np.abs(y - right) <= 6 * u * (1 + np.abs(right))).all()",
            "np.mean(np.abs(y - right) / (6 * u * (1 + np.abs(right)))) <= 1",
            "One wrong element passes among many right ones. Do you ask for the average? Every element has "
            "to be close.",
        ),
    ),
    symptoms=symptoms("where every element is within the tolerance", CLOSE_MISSED),
)

EXERCISES = (SUMS_TO_0, OTHERS_STAY, CLOSE_ENOUGH)
