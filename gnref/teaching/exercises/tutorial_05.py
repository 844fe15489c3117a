"""The exercises of tutorial 5: running statistics, the two modes, and the gradient in evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gnref.teaching.exercises.cases import draw
from gnref.teaching.exercises.exercise import Exercise, Mistake
from gnref.teaching.exercises.truth import Truth
from gnref.testing.problems import Problem

REVERSED = (
    "Your momentum weights the old value. That is the convention of Keras, ONNX and Flax; here, as in "
    "PyTorch, "
    "it weights the new one: with momentum = 0 nothing may move."
)
BIASED = (
    "Your running variance takes the biased variance, 1/n. It estimates the variance of all data from one "
    "batch, "
    "and that one is too small on average: by which factor?"
)

UPDATE = Exercise(
    name="update",
    tutorial=5,
    title="One step of the running statistics",
    norm="batch",
    takes=("running_mean", "running_var", "x", "momentum"),
    answers=("new_running_mean", "new_running_var"),
    solution="""\
def update(running_mean, running_var, x, momentum):
    n = x.size // x.shape[1]
    mean = x.mean((0, 2, 3))
    var = x.var((0, 2, 3)) * n / (n - 1)
    new_mean = (1 - momentum) * running_mean + momentum * mean
    new_var = (1 - momentum) * running_var + momentum * var
    return new_mean, new_var
""",
    mistakes=(
        Mistake(
            "momentum reversed",
            "(1 - momentum) * running_mean + momentum * mean\n"
            "    new_var = (1 - momentum) * running_var + momentum * var",
            "momentum * running_mean + (1 - momentum) * mean\n"
            "    new_var = momentum * running_var + (1 - momentum) * var",
            REVERSED,
        ),
        Mistake("biased running variance", " * n / (n - 1)", "", BIASED),
        Mistake(
            "n counts images",
            "n = x.size // x.shape[1]",
            "n = x.shape[0]",
            "Your n is the number of images. It is the number of elements that share a mean, pixels and all.",
        ),
        Mistake(
            "n counts everything",
            "n = x.size // x.shape[1]",
            "n = x.size",
            "Your n is the size of x. A channel's variance is made from the elements of that channel alone.",
        ),
        Mistake(
            "std for var",
            "x.var((0, 2, 3)) * n / (n - 1)",
            "np.sqrt(x.var((0, 2, 3)) * n / (n - 1))",
            "You average standard deviations. What is kept is the variance: try it on `2 * x`.",
        ),
        Mistake(
            "var about the running mean",
            "x.var((0, 2, 3))",
            "((x - running_mean.reshape(1, -1, 1, 1)) ** 2).mean((0, 2, 3))",
            "Your variance is about the running mean. A batch's variance is about its own mean.",
        ),
        Mistake(
            "the old value is not shrunk",
            "(1 - momentum) * running_mean + momentum * mean\n    new_var = (1 - momentum) * running_var",
            "running_mean + momentum * mean\n    new_var = running_var",
            "Your two weights add up to more than 1, so the running statistics grow without end.",
        ),
        Mistake(
            "no average",
            "(1 - momentum) * running_mean + momentum * mean\n"
            "    new_var = (1 - momentum) * running_var + momentum * var",
            "mean\n    new_var = var",
            "You keep the last batch and nothing of those before it, as momentum = 1 would.",
        ),
        Mistake(
            "one statistic for each image",
            "mean = x.mean((0, 2, 3))\n    var = x.var((0, 2, 3))",
            "mean = x.mean((2, 3))\n    var = x.var((2, 3))",
            "Your batch has a mean for each channel of each image; batch norm pools the images too.",
        ),
    ),
)


def _both_modes() -> Sequence[Problem]:
    """Every problem twice: in training, and in evaluation, which is the frozen norm."""
    found = draw(STEP)[:4]
    given = [{name: Truth(p)[name] for name in ("running_mean", "running_var")} for p in found]
    return [*found, *(p.but(norm="batch_frozen", **own) for p, own in zip(found, given, strict=True))]


def _given(problem: Problem) -> tuple[Any, ...]:
    """What `step` is called with."""
    names = ("x", "running_mean", "running_var", "momentum", "eps")
    return (*(Truth(problem)[name] for name in names), problem.norm == "batch")


def _after(problem: Problem) -> tuple[Any, ...]:
    """What `step` returns: in evaluation the running statistics are as they were."""
    new = "new_" if problem.norm == "batch" else ""
    return tuple(Truth(problem)[name] for name in ("xhat", f"{new}running_mean", f"{new}running_var"))


STEP = Exercise(
    name="step",
    tutorial=5,
    title="One layer, two modes",
    norm="batch",
    takes=("x", "running_mean", "running_var", "momentum", "eps", "training"),
    arguments=_given,
    answers=("xhat", "running_mean", "running_var"),
    oracle=_after,
    problems=_both_modes,
    solution="""\
def step(x, running_mean, running_var, momentum, eps, training):
    n = x.size // x.shape[1]
    batch_mean, batch_var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    if training:
        mean, var = batch_mean, batch_var
        running_mean = (1 - momentum) * running_mean + momentum * batch_mean
        running_var = (1 - momentum) * running_var + momentum * batch_var * n / (n - 1)
    else:
        mean, var = running_mean, running_var
    rstd = 1 / np.sqrt(var + eps)
    xhat = (x - mean.reshape(1, -1, 1, 1)) * rstd.reshape(1, -1, 1, 1)
    return xhat, running_mean, running_var
""",
    mistakes=(
        Mistake(
            "updating in evaluation",
            "    else:\n        mean, var = running_mean, running_var\n",
            "    else:\n        mean, var = running_mean, running_var\n"
            "        running_mean = (1 - momentum) * running_mean + momentum * batch_mean\n"
            "        running_var = (1 - momentum) * running_var + momentum * batch_var * n / (n - 1)\n",
            "Your running statistics move in evaluation, too: the model learns from the test data, and "
            "asking it "
            "twice gives two answers.",
        ),
        Mistake(
            "running statistics in training",
            "        mean, var = batch_mean, batch_var\n",
            "        mean, var = running_mean, running_var\n",
            "In training you normalize with the running statistics. There xhat of a batch has the mean 0: "
            "print `xhat.mean((0, 2, 3))`.",
        ),
        Mistake(
            "the moved statistics in training",
            "        mean, var = batch_mean, batch_var\n"
            "        running_mean = (1 - momentum) * running_mean + momentum * batch_mean\n"
            "        running_var = (1 - momentum) * running_var + momentum * batch_var * n / (n - 1)\n",
            "        running_mean = (1 - momentum) * running_mean + momentum * batch_mean\n"
            "        running_var = (1 - momentum) * running_var + momentum * batch_var * n / (n - 1)\n"
            "        mean, var = running_mean, running_var\n",
            "In training you normalize with the running statistics as they are after the step. Training "
            "uses those of the batch alone.",
        ),
        Mistake(
            "batch statistics in evaluation",
            "    else:\n        mean, var = running_mean, running_var\n",
            "    else:\n        mean, var = batch_mean, batch_var\n",
            "In evaluation you normalize with the batch's own statistics, so an image's result depends on "
            "its neighbours.",
        ),
        Mistake(
            "modes exchanged",
            "if training:",
            "if not training:",
            "Your two modes have changed places: which of them may look at the batch?",
        ),
        Mistake(
            "never updated",
            "        running_mean = (1 - momentum) * running_mean + momentum * batch_mean\n"
            "        running_var = (1 - momentum) * running_var + momentum * batch_var * n / (n - 1)\n",
            "",
            "Your running statistics never move: in evaluation they would still be the 0 and 1 of the start.",
        ),
        Mistake(
            "unbiased variance normalizes",
            "        mean, var = batch_mean, batch_var\n",
            "        mean, var = batch_mean, batch_var * n / (n - 1)\n",
            "In training you normalize with the unbiased variance. That one is for the running variance; "
            "xhat takes 1/n.",
        ),
        Mistake("biased running variance", " * n / (n - 1)", "", BIASED),
        Mistake(
            "momentum reversed",
            "(1 - momentum) * running_mean + momentum * batch_mean\n"
            "        running_var = (1 - momentum) * running_var + momentum * batch_var",
            "momentum * running_mean + (1 - momentum) * batch_mean\n"
            "        running_var = momentum * running_var + (1 - momentum) * batch_var",
            REVERSED,
        ),
        Mistake(
            "eps outside the root",
            "np.sqrt(var + eps)",
            "(np.sqrt(var) + eps)",
            "Your eps is added to the standard deviation. It belongs to the variance, in both modes.",
        ),
    ),
)

EVAL_BACKWARD = Exercise(
    name="eval_backward",
    tutorial=5,
    title="The gradient in evaluation",
    norm="batch_frozen",
    takes=("dy", "x", "running_mean", "running_var", "weight", "eps"),
    answers=("dx", "dweight", "dbias"),
    solution="""\
def eval_backward(dy, x, running_mean, running_var, weight, eps):
    rstd = 1 / np.sqrt(running_var + eps)
    xhat = (x - running_mean.reshape(1, -1, 1, 1)) * rstd.reshape(1, -1, 1, 1)
    dxhat = dy * weight.reshape(1, -1, 1, 1)
    dx = dxhat * rstd.reshape(1, -1, 1, 1)
    dweight = (dy * xhat).sum((0, 2, 3))
    dbias = dy.sum((0, 2, 3))
    return dx, dweight, dbias
""",
    mistakes=(
        Mistake(
            "the statistics terms of training",
            "dx = dxhat * ",
            "dx = (dxhat - dxhat.mean((0, 2, 3), keepdims=True)\n"
            "          - xhat * (dxhat * xhat).mean((0, 2, 3), keepdims=True)) * ",
            "Your dx is that of training, with the paths through the mean and the variance. Do the running "
            "statistics depend on x?",
        ),
        Mistake(
            "the mean's term of training",
            "dx = dxhat * ",
            "dx = (dxhat - dxhat.mean((0, 2, 3), keepdims=True)) * ",
            "Your dx subtracts a mean, the path through the batch's mean. In evaluation the mean does not "
            "depend on x.",
        ),
        Mistake(
            "weight forgotten",
            "dxhat = dy * weight.reshape(1, -1, 1, 1)",
            "dxhat = dy",
            "Your dx does not depend on weight, yet y is xhat times weight plus bias.",
        ),
        Mistake(
            "rstd forgotten",
            "dx = dxhat * rstd.reshape(1, -1, 1, 1)",
            "dx = dxhat",
            "Your dx is the gradient by xhat. One factor is left between xhat and x.",
        ),
        Mistake(
            "dweight from x",
            "(dy * xhat)",
            "(dy * x)",
            "Your dweight is a sum of dy times x. What does weight multiply in the forward pass?",
        ),
        Mistake(
            "dweight with weight in it",
            "(dy * xhat)",
            "(dxhat * xhat)",
            "Your dweight is multiplied by weight. y is linear in weight, so its slope does not depend on "
            "it.",
        ),
        Mistake(
            "means for sums",
            "(dy * xhat).sum((0, 2, 3))\n    dbias = dy.sum((0, 2, 3))",
            "(dy * xhat).mean((0, 2, 3))\n    dbias = dy.mean((0, 2, 3))",
            "Your dweight and dbias are means. Every element that a weight touches adds its own share to "
            "the loss.",
        ),
        Mistake(
            "summed over N alone",
            "(dy * xhat).sum((0, 2, 3))\n    dbias = dy.sum((0, 2, 3))",
            "(dy * xhat).sum(0)\n    dbias = dy.sum(0)",
            "Your dweight and dbias have one number for each pixel. Which elements share one weight?",
        ),
        Mistake(
            "eps outside the root",
            "np.sqrt(running_var + eps)",
            "(np.sqrt(running_var) + eps)",
            "Your eps is added to the standard deviation. It belongs to the variance, here as in training.",
        ),
        Mistake(
            "xhat of the batch",
            "(x - running_mean.reshape(1, -1, 1, 1)) * rstd.reshape(1, -1, 1, 1)\n",
            "(x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + eps)\n",
            "Your xhat is made with the batch's own statistics. The forward pass of evaluation did not use "
            "those.",
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (UPDATE, STEP, EVAL_BACKWARD)
