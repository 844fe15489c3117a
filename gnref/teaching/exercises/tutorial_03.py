"""The exercises of tutorial 3: group norm is one reshape."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from gnref.axes import view
from gnref.teaching.exercises.exercise import Exercise, Mistake
from gnref.testing.problems import Problem

GROUP_MEAN = Exercise(
    name="group_mean",
    tutorial=3,
    title="One mean per group, by one reshape",
    norm="group",
    takes=("x", "num_groups"),
    answers=("mean",),
    solution="""\
def group_mean(x, num_groups):
    N, C, H, W = x.shape
    rows = x.reshape(N, num_groups, C // num_groups, H, W)
    return rows.mean(axis=(2, 3, 4))
""",
    mistakes=(
        Mistake(
            "strided groups",
            "num_groups, C // num_groups, H, W)\n    return rows.mean(axis=(2, 3, 4))",
            "C // num_groups, num_groups, H, W)\n    return rows.mean(axis=(1, 3, 4))",
            "Your groups are strided: channels 0, G, 2G, ... share a mean. Feed it an x whose entries "
            "are their channel numbers: the mean of group 0 should be that of 0, 1, ..., K - 1.",
        ),
        Mistake(
            "K groups of G channels",
            "(N, num_groups, C // num_groups, H, W)",
            "(N, C // num_groups, num_groups, H, W)",
            "You made K groups of G channels. Both axes divide C, so NumPy does not object; count the "
            "means that you get for one example.",
        ),
        Mistake(
            "the pixels keep their means",
            "axis=(2, 3, 4)",
            "axis=2",
            "You average over the channels of a group, and each pixel keeps a mean of its own. Which "
            "axes does group norm pool besides K?",
        ),
        Mistake(
            "the channels keep their means",
            "axis=(2, 3, 4)",
            "axis=(3, 4)",
            "You average over the pixels, and each channel keeps a mean of its own: that is InstanceNorm.",
        ),
        Mistake(
            "the batch is pooled",
            "axis=(2, 3, 4)",
            "axis=(0, 2, 3, 4)",
            "You average over the examples, too: one example's mean would depend on its neighbours in "
            "the batch.",
        ),
        Mistake(
            "the axes are kept",
            "axis=(2, 3, 4))",
            "axis=(2, 3, 4), keepdims=True)",
            "The numbers are right, and the pooled axes are still there, with size 1. That is how they "
            "will be wanted in the next exercise; here the shape is (N, G).",
        ),
    ),
)

GROUP_NORM = Exercise(
    name="group_norm",
    tutorial=3,
    title="The whole group norm",
    norm="group",
    takes=("x", "num_groups", "weight", "bias", "eps"),
    answers=("y",),
    solution="""\
def group_norm(x, num_groups, weight, bias, eps):
    N, C, H, W = x.shape
    rows = x.reshape(N, num_groups, C // num_groups, H, W)
    mean = rows.mean(axis=(2, 3, 4), keepdims=True)
    var = rows.var(axis=(2, 3, 4), keepdims=True)
    xhat = ((rows - mean) / np.sqrt(var + eps)).reshape(N, C, H, W)
    return xhat * weight[:, None, None] + bias[:, None, None]
""",
    mistakes=(
        Mistake(
            "K groups of G channels",
            "rows = x.reshape(N, num_groups, C // num_groups, H, W)",
            "rows = x.reshape(N, C // num_groups, num_groups, H, W)",
            "You normalize K groups of G channels. With G = K nobody would notice; print the shape of "
            "your mean.",
        ),
        Mistake(
            "channels moved",
            "    rows = x.reshape(N, num_groups, C // num_groups, H, W)\n",
            "    x = x.reshape(N, C // num_groups, num_groups, H, W).swapaxes(1, 2)\n"
            "    rows = x.reshape(N, num_groups, C // num_groups, H, W)\n",
            "You moved the channels into another order before normalizing, as strided groups do, and y comes "
            "out in that order. The channels of a group lie side by side already: nothing has to move.",
        ),
        Mistake(
            "strided groups",
            """\
    rows = x.reshape(N, num_groups, C // num_groups, H, W)
    mean = rows.mean(axis=(2, 3, 4), keepdims=True)
    var = rows.var(axis=(2, 3, 4), keepdims=True)
""",
            """\
    rows = x.reshape(N, C // num_groups, num_groups, H, W)
    mean = rows.mean(axis=(1, 3, 4), keepdims=True)
    var = rows.var(axis=(1, 3, 4), keepdims=True)
""",
            "Your groups are strided: channels 0, G, 2G, ... share their statistics. The K channels of a "
            "group are neighbours.",
        ),
        Mistake(
            "LayerNorm",
            "rows = x.reshape(N, num_groups, C // num_groups, H, W)",
            "rows = x.reshape(N, 1, C, H, W)",
            "All groups of an example share one mean: your y is that of the paper's LayerNorm, whatever "
            "G is.",
        ),
        Mistake(
            "InstanceNorm",
            "rows = x.reshape(N, num_groups, C // num_groups, H, W)",
            "rows = x.reshape(N, C, 1, H, W)",
            "Every channel has a mean of its own: your y is that of InstanceNorm, whatever G is.",
        ),
        Mistake(
            "missing keepdims",
            "mean = rows.mean(axis=(2, 3, 4), keepdims=True)",
            "mean = rows.mean(axis=(2, 3, 4))",
            "A mean or a variance of yours has the shape (N, G). NumPy lines shapes up from the right, so N "
            "and G meet H and W: the pooled axes have to stay, with size 1.",
        ),
        Mistake(
            "variance over m - 1",
            "rows.var(axis=(2, 3, 4), keepdims=True)",
            "rows.var(axis=(2, 3, 4), ddof=1, keepdims=True)",
            "Your variance is divided by m - 1. The one that normalizes is divided by m, the size of "
            "the set.",
        ),
        Mistake(
            "eps outside the root",
            "np.sqrt(var + eps)",
            "(np.sqrt(var) + eps)",
            "You add eps to the standard deviation. It belongs to the variance, under the root: the two "
            "differ most where the variance is small, which is where eps matters.",
        ),
        Mistake(
            "divided by the variance",
            "np.sqrt(var + eps)",
            "(var + eps)",
            "You divide by the variance. Double x, and y should stay nearly as it is; yours is halved.",
        ),
        Mistake(
            "no weight",
            "xhat * weight[:, None, None] + bias",
            "xhat + bias",
            "Your y does not depend on the weight.",
        ),
        Mistake(
            "no bias",
            " + bias[:, None, None]",
            "",
            "Your y does not depend on the bias: where xhat is 0, it is 0.",
        ),
        Mistake(
            "weight along the pixels",
            "weight[:, None, None]",
            "weight",
            "An array of the shape (C,), as weight and bias are, meets one of x's shape. NumPy lines shapes "
            "up from the right, so C meets W: it needs two axes of size 1 after C.",
        ),
        Mistake(
            "weight before normalizing",
            "    xhat = ((rows - mean)",
            "    weight, rows = weight * 0 + 1, rows * weight.reshape(1, num_groups, -1, 1, 1)\n"
            "    xhat = ((rows - mean)",
            "You multiply x by the weight before it is normalized, and xhat is what the weight belongs to.",
        ),
    ),
)


def _slots(problem: Problem) -> tuple[int, ...]:
    """The slots of a channels-last x, from its axes and strides."""
    found: tuple[int, ...] = view(
        problem.norm, problem.shape, channel_axis=-1, num_groups=problem.num_groups
    ).x.slots
    return found


def _named(problem: Problem) -> tuple[Any, ...]:
    """The norm, the sizes of N, H, W and C, and G."""
    return (problem.norm, *problem.shape, problem.num_groups)


def _channels_last() -> list[Problem]:
    """Three norms in shapes (N, H, W, C) whose sizes all differ."""
    shapes = [((2, 4, 5, 12), 4), ((5, 3, 4, 6), 2), ((3, 5, 2, 8), 4)]
    pairs = [
        (np.zeros(shape), G, norm) for norm, (shape, G) in product(("group", "batch", "instance"), shapes)
    ]
    return [Problem(norm, x, x, channel_axis=-1, num_groups=G) for x, G, norm in pairs]


SLOTS = Exercise(
    name="slots_channels_last",
    tutorial=3,
    title="The slots, channels last",
    takes=("norm", "N", "H", "W", "C", "G"),
    answers=("O", "P", "A", "B", "S"),
    arguments=_named,
    oracle=_slots,
    problems=_channels_last,
    solution="""\
def slots_channels_last(norm, N, H, W, C, G):
    if norm == "batch":
        return 1, N * H * W, C, 1, 1
    if norm == "instance":
        return N, H * W, C, 1, 1
    return N, H * W, G, C // G, 1
""",
    mistakes=(
        Mistake(
            "pixels after the channels",
            """\
    if norm == "batch":
        return 1, N * H * W, C, 1, 1
    if norm == "instance":
        return N, H * W, C, 1, 1
    return N, H * W, G, C // G, 1
""",
            """\
    if norm == "batch":
        return 1, N, C, 1, H * W
    if norm == "instance":
        return N, 1, C, 1, H * W
    return N, 1, G, C // G, H * W
""",
            "These are the slots of N C H W. Where the channels come last, nothing lies behind them in "
            "memory: which slot is for what is pooled before them?",
        ),
        Mistake(
            "G and K swapped",
            "G, C // G, 1",
            "C // G, G, 1",
            "In the row of GroupNorm A and B are swapped. A counts the groups, each with a mean of its "
            "own; B their channels, which share it.",
        ),
        Mistake(
            "batch norm keeps its examples",
            "return 1, N * H * W, C, 1, 1",
            "return N, H * W, C, 1, 1",
            "In your row of BatchNorm each example has statistics of its own. Does N share them there?",
        ),
        Mistake(
            "group norm by channel",
            "return N, H * W, G, C // G, 1",
            "return N, H * W, C, 1, 1",
            "In your row of GroupNorm each channel is in A, with a mean of its own: it is the row of "
            "InstanceNorm.",
        ),
        Mistake(
            "K counted as C",
            "G, C // G, 1",
            "G, C, 1",
            "The five numbers of a view multiply to the size of x. Yours for GroupNorm are G times too "
            "large: how many channels are in one group?",
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (GROUP_MEAN, GROUP_NORM, SLOTS)
