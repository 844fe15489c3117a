"""The exercises of tutorial 1: which cells share a mean, as axes, as a mask, and as a count."""

from __future__ import annotations

from typing import Any

from gnref.teaching.exercises.exercise import Exercise, Mistake
from gnref.teaching.sets import FOUR, describe
from gnref.testing.oracles.sets import set_ids
from gnref.testing.problems import Problem

CHANNEL_MEAN = Exercise(
    name="channel_mean",
    tutorial=1,
    title="BatchNorm's means, ready to be subtracted",
    norm="batch",
    takes=("x",),
    answers=("mean",),
    keepdims=True,
    solution="""\
def channel_mean(x):
    return x.mean(axis=(0, 2, 3), keepdims=True)
""",
    mistakes=(
        Mistake(
            "axes not kept",
            ", keepdims=True",
            "",
            "The numbers are right, but the shape is `(C,)`. NumPy lines shapes up from the right, so "
            "`x - mean` would lay C along W: the axes that are averaged have to stay, with size 1.",
        ),
        Mistake(
            "batch not pooled",
            "(0, 2, 3)",
            "(2, 3)",
            "Each example has means of its own here, as in InstanceNorm. "
            "One axis is left that BatchNorm averages over.",
        ),
        Mistake(
            "channels pooled",
            "(0, 2, 3)",
            "(1, 2, 3)",
            "You have one mean for each example, as in LayerNorm. "
            "Which axis tells the means of BatchNorm apart?",
        ),
        Mistake(
            "pixels not pooled",
            "(0, 2, 3)",
            "0",
            "Each pixel has a mean of its own here. Count them: BatchNorm has C, whatever H and W are.",
        ),
        Mistake(
            "everything pooled",
            "(0, 2, 3)",
            "(0, 1, 2, 3)",
            "There is a single mean for the whole block. Each channel should have its own.",
        ),
        Mistake(
            "a sum",
            ".mean(",
            ".sum(",
            "These are sums over the right cells; a mean is the sum divided by how many there are.",
        ),
    ),
)


def cell_of(problem: Problem) -> tuple[int, ...]:
    """Some cell of a problem's block."""
    return tuple((problem.seed // 7**axis) % size for axis, size in enumerate(problem.shape))


def mates_of(problem: Problem) -> Any:
    """The cells that share a mean with that one, from the kit's own rule of the sets."""
    ids = set_ids(problem)
    return ids == ids[cell_of(problem)]


MATES = Exercise(
    name="mates",
    tutorial=1,
    title="The set of a cell, as a mask",
    norm="group",
    arguments=lambda problem: (problem.shape, problem.num_groups, cell_of(problem)),
    oracle=mates_of,
    solution="""\
def mates(shape, num_groups, cell):
    n, c, h, w = np.indices(shape)
    K = shape[1] // num_groups
    return (n == cell[0]) & (c // K == cell[1] // K)
""",
    mistakes=(
        Mistake(
            "batch pooled",
            "(n == cell[0]) & ",
            "",
            "Your sets reach through the whole batch. The examples of a batch share no mean in GroupNorm.",
        ),
        Mistake(
            "strided groups",
            "c // K == cell[1] // K",
            "c % num_groups == cell[1] % num_groups",
            "Your groups take every G-th channel. A group is K channels side by side: "
            "print the channels of one set.",
        ),
        Mistake(
            "G and K swapped",
            "K = shape[1] // num_groups",
            "K = num_groups",
            "Your groups have G channels each, and there are K of them. "
            "It is the other way round: G groups of K channels.",
        ),
        Mistake(
            "one channel",
            "c // K == cell[1] // K",
            "c == cell[1]",
            "Your sets hold a single channel, as in InstanceNorm. The whole group shares one mean.",
        ),
        Mistake(
            "all channels",
            " & (c // K == cell[1] // K)",
            "",
            "Your sets hold all channels of an example, as in LayerNorm. Other groups have other means.",
        ),
        Mistake(
            "one pixel",
            "return (n == cell[0])",
            "return (h == cell[2]) & (w == cell[3]) & (n == cell[0])",
            "Your set has one pixel of each channel. All pixels of the group's channels share the mean.",
        ),
    ),
)

NUMBER_OF_MEANS = Exercise(
    name="number_of_means",
    tutorial=1,
    title="How many means there are",
    norm="group",
    arguments=lambda problem: (*problem.shape, problem.num_groups),
    answers=FOUR,
    oracle=lambda problem: tuple(describe(norm, problem.shape, problem.num_groups).count for norm in FOUR),
    solution="""\
def number_of_means(N, C, H, W, G):
    return C, N, N * C, N * G  # batch, layer, instance, group
""",
    mistakes=(
        Mistake(
            "sizes of the sets",
            "C, N, N * C, N * G ",
            "N * H * W, C * H * W, H * W, C // G * H * W ",
            "You counted the cells of one set. Asked is how many sets there are, each with its mean.",
        ),
        Mistake(
            "batch and layer swapped",
            "C, N, N",
            "N, C, N",
            "The first two are swapped. Which of these two norms has a mean for each channel, "
            "and which for each example?",
        ),
        Mistake(
            "groups of the whole batch",
            "N * G",
            "G",
            "The last number is G, as though a group had one mean in the whole batch. "
            "Does GroupNorm average over examples?",
        ),
        Mistake(
            "channels of a group",
            "N * G",
            "N * (C // G)",
            "The last number counts the K channels of a group, and not the groups: what is G, and what is K?",
        ),
        Mistake(
            "instances of the whole batch",
            "N * C",
            "C",
            "The third number is C, as though examples shared the mean of a channel. That is BatchNorm.",
        ),
        Mistake(
            "one mean per pixel",
            "C, N, N",
            "C, N * H * W, N",
            "The second number gives each pixel a mean, as the LayerNorm of a transformer does. "
            "The paper's averages over H and W, too.",
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (CHANNEL_MEAN, MATES, NUMBER_OF_MEANS)
