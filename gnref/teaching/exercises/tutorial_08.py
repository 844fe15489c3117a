"""The exercises of tutorial 8: folding a frozen norm away, re-measuring in pieces, and a score for masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnref.teaching.exercises.exercise import Exercise, Mistake
from gnref.teaching.exercises.truth import Truth
from gnref.testing.problems import Problem


def _kernel(problem: Problem) -> Any:
    """A convolution's weight (C_out, C_in, k, k), where the norm has x's C channels."""
    return np.ascontiguousarray(problem.x.swapaxes(0, 1))


def _folding(problem: Problem) -> tuple[Any, ...]:
    """What `fold` is called with."""
    names = ("running_mean", "running_var", "weight", "bias", "eps")
    return (_kernel(problem), *(Truth(problem)[name] for name in names))


def _folded(problem: Problem) -> tuple[Any, ...]:
    """The frozen norm of the kernel, without what it adds; and of an x of zeros, which is what it adds."""
    C = problem.shape[1]
    zeros, one = np.zeros(C), np.zeros((1, C))
    kernel = Truth(problem.but(running_mean=zeros, bias=zeros))["y"].swapaxes(0, 1)
    return kernel, Truth(problem.but(x=one, dy=one))["y"][0]


FOLD = Exercise(
    name="fold",
    tutorial=8,
    title="A frozen norm, folded into the convolution before it",
    norm="batch_frozen",
    arguments=_folding,
    answers=("new_kernel", "new_bias"),
    oracle=_folded,
    solution="""\
def fold(kernel, running_mean, running_var, weight, bias, eps):
    scale = weight / np.sqrt(running_var + eps)
    new_kernel = kernel * scale.reshape(-1, 1, 1, 1)
    new_bias = bias - running_mean * scale
    return new_kernel, new_bias
""",
    mistakes=(
        Mistake(
            "weight forgotten",
            "scale = weight / ",
            "scale = 1 / ",
            "Your scale has no weight in it. y is xhat times weight, and xhat is divided by the standard "
            "deviation.",
        ),
        Mistake(
            "scaled along C_in",
            "scale.reshape(-1, 1, 1, 1)",
            "scale.reshape(1, -1, 1, 1)",
            "Your scale lies along the second axis of the kernel, the channels that go in. The norm comes "
            "after the convolution: its channels are the ones that come out.",
        ),
        Mistake(
            "mean not scaled",
            "running_mean * scale",
            "running_mean",
            "Your bias subtracts the mean as it is. The mean leaves before the scaling, so it is scaled, "
            "too.",
        ),
        Mistake(
            "bias scaled",
            "bias - running_mean * scale",
            "(bias - running_mean) * scale",
            "Your bias is scaled. The norm adds it last, after weight and standard deviation.",
        ),
        Mistake(
            "mean added",
            "bias - running_mean",
            "bias + running_mean",
            "You add the mean. For an x that is the mean everywhere, y is the bias: try that.",
        ),
        Mistake(
            "mean forgotten",
            "bias - running_mean * scale",
            "bias + 0 * scale",
            "The mean is nowhere in your answer. What does the norm make of an x of zeros?",
        ),
        Mistake(
            "variance for its root",
            "np.sqrt(running_var + eps)",
            "(running_var + eps)",
            "You divide by the variance. xhat is x in units of the standard deviation, its root.",
        ),
        Mistake(
            "eps outside the root",
            "np.sqrt(running_var + eps)",
            "(np.sqrt(running_var) + eps)",
            "Your eps is added to the standard deviation. It belongs to the variance, under the root.",
        ),
    ),
)


def _batches(problem: Problem) -> tuple[Any, ...]:
    """Mean and variance of each image: batches of one image."""
    each = Truth(problem.but(norm="instance"))
    return each["mean"], each["var"]


def _pooled(problem: Problem) -> tuple[Any, ...]:
    """Mean and variance of all images as one batch."""
    return Truth(problem)["mean"], Truth(problem)["var"]


POOL = Exercise(
    name="pool",
    tutorial=8,
    title="The statistics of all data from those of its batches",
    norm="batch",
    arguments=_batches,
    answers=("mean", "var"),
    oracle=_pooled,
    solution="""\
def pool(means, variances):
    mean = means.mean(axis=0)
    within = variances.mean(axis=0)
    between = ((means - mean) ** 2).mean(axis=0)
    return mean, within + between
""",
    mistakes=(
        Mistake(
            "between forgotten",
            "return mean, within + between",
            "return mean, within",
            "Your variance is the mean of the batches' variances. Each of those is about its own batch's "
            "mean, and the means differ too: that is the variance that BN at N = 1 never sees.",
        ),
        Mistake(
            "within forgotten",
            "return mean, within + between",
            "return mean, between",
            "Your variance is that of the means alone. Inside each batch the data vary as well.",
        ),
        Mistake(
            "mean of squares",
            "((means - mean) ** 2)",
            "(means**2)",
            "Your means are squared as they are. What counts is how far each is from the mean of all: add "
            "10 to every means, and var must stay.",
        ),
        Mistake(
            "unbiased between",
            "((means - mean) ** 2).mean(axis=0)",
            "means.var(axis=0, ddof=1)",
            "Your variance of the means is divided by B - 1. These B batches are all the data that there "
            "are.",
        ),
        Mistake(
            "spread of the means",
            "((means - mean) ** 2).mean(axis=0)",
            "means.std(axis=0)",
            "You add the standard deviation of the means to variances. Squares go with squares.",
        ),
        Mistake(
            "standard deviations averaged",
            "within = variances.mean(axis=0)",
            "within = np.sqrt(variances).mean(axis=0) ** 2",
            "You average standard deviations and square the result. The variances themselves average.",
        ),
        Mistake(
            "channels averaged",
            "mean = means.mean(axis=0)\n    within = variances.mean(axis=0)\n"
            "    between = ((means - mean) ** 2).mean(axis=0)",
            "mean = means.mean(axis=1)\n    within = variances.mean(axis=1)\n"
            "    between = ((means - mean[:, None]) ** 2).mean(axis=1)",
            "You have one number for each batch. The batches are what is put together, along axis 0; the "
            "channels stay.",
        ),
    ),
)

CLASSES = 5  # of which one is in no mask


def _masks(problem: Problem) -> tuple[Any, ...]:
    """Labels of three images, predictions of which about half are right, and the number of classes."""
    rng = np.random.default_rng(problem.seed)
    shape, present = (3, *problem.shape[2:]), np.array([0, 1, 2, 4])
    labels = rng.choice(present, shape, p=(0.5, 0.25, 0.15, 0.1))
    guessed = rng.choice(present, shape, p=(0.1, 0.4, 0.3, 0.2))
    predicted = np.where(rng.random(shape) < 0.5, labels, guessed)
    labels[:, 0, 0], predicted[:, 0, 0] = present[:3], present[1:]  # no class has an empty union or labels
    labels[0, 0, 1], predicted[0, 0, 1] = 4, 4
    return predicted, labels, CLASSES


def _mean_iou(problem: Problem) -> float:
    """By sets of pixels."""
    predicted, labels, classes = _masks(problem)
    shares = []
    for k in range(classes):
        one, other = ({tuple(at) for at in np.argwhere(mask == k)} for mask in (predicted, labels))
        if one | other:
            shares.append(len(one & other) / len(one | other))
    return sum(shares) / len(shares)


MEAN_IOU = Exercise(
    name="mean_iou",
    tutorial=8,
    title="Mean intersection over union",
    norm="batch",
    arguments=_masks,
    oracle=_mean_iou,
    solution="""\
def mean_iou(predicted, labels, classes):
    shares = []
    for k in range(classes):
        found, there = predicted == k, labels == k
        both = (found & there).sum()
        either = (found | there).sum()
        if either > 0:
            shares.append(both / either)
    return np.mean(shares)
""",
    mistakes=(
        Mistake(
            "share of right pixels",
            "    return np.mean(shares)",
            "    return (predicted == labels).mean()",
            "Yours is the share of right pixels. There a small class hardly counts: with IoU every class "
            "has the same say.",
        ),
        Mistake(
            "over the right ones",
            "either = (found | there).sum()",
            "either = there.sum()",
            "You divide by the pixels that are of the class (this is called recall). Who predicts one class "
            "everywhere would score 1 on it.",
        ),
        Mistake(
            "over the predicted ones",
            "either = (found | there).sum()",
            "either = found.sum()",
            "You divide by the pixels that were predicted (this is called precision). A single right pixel "
            "would score 1.",
        ),
        Mistake(
            "both counted twice",
            "either = (found | there).sum()",
            "either = found.sum() + there.sum()",
            "Your union counts the pixels of the intersection twice: a perfect prediction scores 1/2.",
        ),
        Mistake(
            "Dice",
            "shares.append(both / either)",
            "shares.append(2 * both / (both + either))",
            "Yours is 2 * intersection over the sum of both areas (called Dice, or F1), which is never "
            "smaller than IoU.",
        ),
        Mistake(
            "absent class counts 0",
            "        if either > 0:\n            shares.append(both / either)",
            "        shares.append(both / either if either > 0 else 0)",
            "A class that is neither predicted nor there counts 0 with you, so a perfect prediction scores "
            "less than 1. Leave it out.",
        ),
        Mistake(
            "absent class counts 1",
            "        if either > 0:\n            shares.append(both / either)",
            "        shares.append(both / either if either > 0 else 1)",
            "A class that is neither predicted nor there counts 1 with you: points for nothing. Leave it "
            "out.",
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (FOLD, POOL, MEAN_IOU)
