"""The exercises of tutorial 2: statistics by axes, and two whole norms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gnref.teaching.exercises.cases import draw
from gnref.teaching.exercises.exercise import Exercise, Mistake
from gnref.testing.problems import Problem

KEEPDIMS = (
    "Your statistics have lost the axes that they pool. NumPy lines shapes up from the right, so C meets W: "
    "print `mean.shape`."
)
UNSHAPED = (
    "`weight` and `bias` have the shape (C,), and NumPy lines that up with the last axis, W. "
    "Which shape puts C where x has it?"
)
UNBIASED = (
    "Your variance is divided by m - 1, a little too large. A norm gives these very numbers the spread 1: "
    "it estimates nothing beyond them."
)


def _square(norm: str) -> Problem:
    """One with W = C, where a shape (C,) in the wrong place raises nothing."""
    rng = np.random.default_rng(2)
    x, dy = rng.normal(1.0, 2.0, (2, 2, 3, 2, 3))
    weight, bias = rng.normal(size=(2, 3))
    return Problem(norm, x, dy, weight, bias, eps=0.1, num_groups=1 if norm == "group" else None)


def _also_square() -> Sequence[Problem]:
    """Problems of batch norm."""
    return [*draw(BATCH_NORM), _square("batch")]


def _one_group() -> Sequence[Problem]:
    """The paper's layer norm is group norm with one group."""
    return [*(problem.but(num_groups=1) for problem in draw(LAYER_NORM)), _square("group")]


BATCH_STATISTICS = Exercise(
    name="batch_statistics",
    tutorial=2,
    title="The statistics of batch norm",
    norm="batch",
    takes=("x",),
    answers=("mean", "var"),
    keepdims=True,
    solution="""\
def batch_statistics(x):
    axes = (0, 2, 3)
    mean = x.mean(axes, keepdims=True)
    var = ((x - mean) ** 2).mean(axes, keepdims=True)
    return mean, var
""",
    mistakes=(
        Mistake(
            "missing keepdims",
            "mean = x.mean(axes, keepdims=True)\n    var = ((x - mean) ** 2).mean(axes, keepdims=True)",
            "mean = x.mean(axes)\n    var = x.var(axes)",
            KEEPDIMS,
        ),
        Mistake(
            "missing keepdims before the subtraction",
            "mean = x.mean(axes, keepdims=True)",
            "mean = x.mean(axes)",
            KEEPDIMS,
        ),
        Mistake("n-1 variance", "((x - mean) ** 2).mean(axes, keep", "x.var(axes, ddof=1, keep", UNBIASED),
        Mistake(
            "std for var",
            "((x - mean) ** 2).mean(axes, keep",
            "x.std(axes, keep",
            "Your second answer is the standard deviation. The variance is in the units of x squared: try "
            "it on `2 * x`.",
        ),
        Mistake(
            "the mean is not subtracted",
            "(x - mean) ** 2",
            "x ** 2",
            "Your variance is the mean square of x itself: it changes when you add 100 to x, and a variance "
            "does not.",
        ),
        Mistake(
            "a sum for a mean",
            "** 2).mean(axes",
            "** 2).sum(axes",
            "Your variance is the sum of the squares, so it grows with the batch. Try it on two copies of "
            "the same images.",
        ),
        Mistake(
            "the axes of instance norm",
            "(0, 2, 3)",
            "(2, 3)",
            "You have one mean for each channel of each image: that is instance norm. Which axis is still "
            "to be pooled?",
        ),
        Mistake(
            "the axes of layer norm",
            "(0, 2, 3)",
            "(1, 2, 3)",
            "You have one mean for each image: that is layer norm. In batch norm every channel keeps its "
            "own.",
        ),
        Mistake(
            "all axes",
            "(0, 2, 3)",
            "(0, 1, 2, 3)",
            "You have one mean for everything, across the channels too. Count the means: there should be C.",
        ),
        Mistake(
            "over N alone",
            "(0, 2, 3)",
            "0",
            "Every pixel still has a mean of its own. The pixels of a channel are pooled as well.",
        ),
    ),
)

BATCH_NORM = Exercise(
    name="batch_norm",
    tutorial=2,
    title="The whole of batch norm",
    norm="batch",
    takes=("x", "weight", "bias", "eps"),
    answers=("y",),
    problems=_also_square,
    solution="""\
def batch_norm(x, weight, bias, eps):
    axes = (0, 2, 3)
    mean = x.mean(axes, keepdims=True)
    var = x.var(axes, keepdims=True)
    xhat = (x - mean) / np.sqrt(var + eps)
    return xhat * weight.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)
""",
    mistakes=(
        Mistake("missing keepdims", "mean = x.mean(axes, keepdims=True)", "mean = x.mean(axes)", KEEPDIMS),
        Mistake(
            "missing keepdims in var",
            "x.var(axes, keepdims=True)",
            "x.var(axes)",
            "Your variance has lost the axes that it pools, so C meets W in the division: print `var.shape`.",
        ),
        Mistake("n-1 variance", "x.var(axes, ", "x.var(axes, ddof=1, ", UNBIASED),
        Mistake(
            "eps outside the root",
            "np.sqrt(var + eps)",
            "(np.sqrt(var) + eps)",
            "Your eps is added to the standard deviation. It belongs to the variance: what is rstd where "
            "var is 0?",
        ),
        Mistake(
            "eps forgotten",
            "np.sqrt(var + eps)",
            "np.sqrt(var)",
            "Your y does not depend on eps. What would it be for a constant channel?",
        ),
        Mistake(
            "var for std",
            "np.sqrt(var + eps)",
            "(var + eps)",
            "You divide by the variance, so that `2 * x` gives half as much. A deviation is measured in "
            "units of x, not of x squared.",
        ),
        Mistake(
            "weight and bias not shaped",
            "weight.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)",
            "weight + bias",
            UNSHAPED,
        ),
        Mistake(
            "weight and bias exchanged",
            "weight.reshape(1, -1, 1, 1) + bias.",
            "bias.reshape(1, -1, 1, 1) + weight.",
            "weight and bias have changed places: which one stretches, which one shifts?",
        ),
        Mistake(
            "weight forgotten",
            "xhat * weight.reshape(1, -1, 1, 1)",
            "xhat",
            "Your y does not depend on the weight.",
        ),
        Mistake(
            "bias forgotten",
            " + bias.reshape(1, -1, 1, 1)",
            "",
            "Your y does not depend on the bias: where xhat is 0, it is 0.",
        ),
        Mistake(
            "bias before weight",
            "xhat * weight.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)",
            "(xhat + bias.reshape(1, -1, 1, 1)) * weight.reshape(1, -1, 1, 1)",
            "Your weight multiplies the bias too. Where xhat is 0, y should be the bias alone.",
        ),
        Mistake(
            "the axes of instance norm",
            "(0, 2, 3)",
            "(2, 3)",
            "This is instance norm: each image has statistics of its own. What is the batch for?",
        ),
        Mistake(
            "the axes of layer norm",
            "(0, 2, 3)",
            "(1, 2, 3)",
            "This is layer norm: the channels of an image share one mean. In batch norm each channel has "
            "its own.",
        ),
    ),
)

LAYER_NORM = Exercise(
    name="layer_norm",
    tutorial=2,
    title="Layer norm, the paper's",
    norm="group",
    takes=("x", "weight", "bias", "eps"),
    answers=("y",),
    problems=_one_group,
    solution="""\
def layer_norm(x, weight, bias, eps):
    axes = (1, 2, 3)
    mean = x.mean(axes, keepdims=True)
    var = x.var(axes, keepdims=True)
    xhat = (x - mean) / np.sqrt(var + eps)
    return xhat * weight.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)
""",
    mistakes=(
        Mistake(
            "missing keepdims",
            "mean = x.mean(axes, keepdims=True)",
            "mean = x.mean(axes)",
            "A mean or a variance of yours has the shape (N,), and NumPy lines it up with W. It has to keep "
            "the axes that it pools.",
        ),
        Mistake("n-1 variance", "x.var(axes, ", "x.var(axes, ddof=1, ", UNBIASED),
        Mistake(
            "eps outside the root",
            "np.sqrt(var + eps)",
            "(np.sqrt(var) + eps)",
            "Your eps is added to the standard deviation. It belongs to the variance, before the root.",
        ),
        Mistake(
            "channels alone",
            "(1, 2, 3)",
            "1",
            "Each pixel has its own mean over the channels here, as transformers do it. The paper pools the "
            "pixels too.",
        ),
        Mistake(
            "pixels alone",
            "(1, 2, 3)",
            "(2, 3)",
            "This is instance norm: every channel has its own mean. How many means should an image have?",
        ),
        Mistake(
            "batch norm again",
            "(1, 2, 3)",
            "(0, 2, 3)",
            "This is batch norm still: y of one image changes with the other images. Which axis is a layer "
            "norm's own?",
        ),
        Mistake(
            "all axes",
            "(1, 2, 3)",
            "(0, 1, 2, 3)",
            "All images share one mean here. In layer norm no image knows of another.",
        ),
        Mistake(
            "weight and bias not shaped",
            "weight.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)",
            "weight + bias",
            UNSHAPED,
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (BATCH_STATISTICS, BATCH_NORM, LAYER_NORM)
