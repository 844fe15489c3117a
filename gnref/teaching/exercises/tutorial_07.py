"""The exercises of tutorial 7: groups by G and by K, the end that is LayerNorm, and what a norm leaves."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnref.teaching.exercises.exercise import Exercise, Mistake, Symptom
from gnref.teaching.exercises.truth import Truth
from gnref.testing.problems import Problem

# (fixed, C, H, W, G); K = C // G
DIVIDED = (("G", 12, 5, 7, 4), ("K", 12, 5, 7, 4), ("G", 30, 4, 3, 5), ("K", 40, 6, 3, 5))


def _divided() -> list[Problem]:
    """One problem for each; its N, 1 or 2, tells whether G or K is fixed."""
    found = []
    for fixed, C, H, W, G in DIVIDED:
        x = np.zeros(("GK".index(fixed) + 1, C, H, W))
        found.append(Problem("group", x, x, num_groups=G))
    return found


def _named(problem: Problem) -> tuple[Any, ...]:
    """C, H, W, what is fixed, and its size."""
    N, C, H, W = problem.shape
    G = problem.num_groups or 1
    return (C, H, W, "GK"[N - 1], G if N == 1 else C // G)


def _groups_and_size(problem: Problem) -> tuple[int, int]:
    """G, and how many elements of an example there are for each."""
    G = problem.num_groups or 1
    return G, problem.x[0].size // G


GROUPS_AND_SIZE = Exercise(
    name="groups_and_size",
    tutorial=7,
    title="The groups of a norm, by G and by K",
    arguments=_named,
    oracle=_groups_and_size,
    answers=("G", "m"),
    problems=_divided,
    solution="""\
def groups_and_size(C, H, W, fixed, size):
    G = size if fixed == "G" else C // size
    m = C // G * H * W
    return G, m
""",
    mistakes=(
        Mistake(
            "G and K swapped",
            'fixed == "G"',
            'fixed == "K"',
            'Your two ways are swapped. With `fixed == "G"` the size is the number of groups itself.',
        ),
        Mistake(
            "size is always G",
            'size if fixed == "G" else C // size',
            "size",
            'You take `size` for the number of groups in both ways. With `fixed == "K"` it is how many '
            "channels each group has: how many groups does that make?",
        ),
        Mistake(
            "size is always K",
            'size if fixed == "G" else C // size',
            "C // size",
            'You take `size` for the channels of a group in both ways. With `fixed == "G"` it is the number '
            "of groups.",
        ),
        Mistake(
            "pixels left out",
            "C // G * H * W",
            "C // G",
            "Your m counts the channels of a group. All their pixels share the mean, too.",
        ),
        Mistake(
            "channels left out",
            "C // G * H * W",
            "H * W",
            "Your m counts the pixels of one channel, as in InstanceNorm. A group has C / G channels.",
        ),
        Mistake(
            "G channels in a set",
            "C // G * H * W",
            "G * H * W",
            "Your sets have G channels each. G is how many groups there are; a group has C / G channels.",
        ),
        Mistake(
            "all channels in a set",
            "C // G * H * W",
            "C * H * W",
            "Your m is all of an example, as in LayerNorm. It is shared out among G groups.",
        ),
    ),
)


def _one_group() -> list[Problem]:
    """Group norm with G = 1, in shapes whose sizes all differ."""
    rng = np.random.default_rng(7)
    found = []
    for shape, eps in (((2, 6, 3, 5), 1e-3), ((3, 4, 5, 2), 0.1), ((2, 5, 4, 7), 0.5)):
        x = rng.normal(1.0, 2.0, shape)
        weight, bias = rng.standard_normal((2, shape[1]))
        found.append(Problem("group", x, rng.standard_normal(shape), weight, bias, num_groups=1, eps=eps))
    return found


PAPER_LAYER_NORM = Exercise(
    name="paper_layer_norm",
    tutorial=7,
    title="The paper's LayerNorm, from PyTorch's",
    norm="group",
    takes=("x", "weight", "bias", "eps"),
    answers=("y",),
    problems=_one_group,
    solution="""\
def paper_layer_norm(x, weight, bias, eps):
    xhat = gnref.layer_norm(x, x.shape[1:], eps=eps)
    return xhat * weight[:, None, None] + bias[:, None, None]
""",
    mistakes=(
        Mistake(
            "only the last axis",
            "x.shape[1:]",
            "x.shape[-1:]",
            "You normalize over W alone. The paper's LayerNorm has one mean for each example: over which "
            "axes is that?",
        ),
        Mistake(
            "only the pixels",
            "x.shape[1:]",
            "x.shape[2:]",
            "You normalize over H and W: each channel has a mean of its own, and this is InstanceNorm, the "
            "other end.",
        ),
        Mistake(
            "the batch, too",
            "x.shape[1:]",
            "x.shape",
            "You have one mean for the whole batch. An example's y would depend on its neighbours.",
        ),
        Mistake(
            "eps left out",
            ", eps=eps",
            "",
            "Your eps is the default, 1e-5, and not the one that is passed.",
        ),
        Mistake(
            "weight along the pixels",
            "weight[:, None, None]",
            "weight",
            "NumPy lines shapes up from the right, so a weight of shape (C,) meets W. It needs two axes of "
            "size 1 behind it.",
        ),
        Mistake(
            "no bias",
            " + bias[:, None, None]",
            "",
            "Your y does not depend on the bias: where xhat is 0, it is 0.",
        ),
        Mistake(
            "weight before normalizing",
            "xhat = gnref.layer_norm(x, x.shape[1:], eps=eps)\n    return xhat * weight[:, None, None]",
            "xhat = gnref.layer_norm(x * weight[:, None, None], x.shape[1:], eps=eps)\n    return xhat",
            "You multiply x by the weight before it is normalized. The weight belongs to xhat.",
        ),
    ),
)

SURVIVES = Exercise(
    name="survives",
    tutorial=7,
    title="What is left of a channel's mean",
    norm="group",
    takes=("x", "num_groups", "eps"),
    oracle=lambda problem: np.asarray(Truth(problem)["xhat"], dtype=np.float64).mean(axis=(2, 3)),
    solution="""\
def survives(x, num_groups, eps):
    xhat = gnref.group_norm(x, num_groups, eps=eps)
    return xhat.mean(axis=(2, 3))
""",
    mistakes=(
        Mistake(
            "LayerNorm",
            "gnref.group_norm(x, num_groups,",
            "gnref.group_norm(x, 1,",
            "Your groups hold all channels, whatever G is: that is the paper's LayerNorm.",
        ),
        Mistake(
            "G and K swapped",
            "gnref.group_norm(x, num_groups,",
            "gnref.group_norm(x, x.shape[1] // num_groups,",
            "You make K groups of G channels. `num_groups` is G.",
        ),
        Mistake(
            "eps left out",
            ", eps=eps",
            "",
            "Your eps is the default, 1e-5, and not the one that is passed.",
        ),
        Mistake(
            "not normalized",
            "gnref.group_norm(x, num_groups, eps=eps)",
            "x",
            "These are the means of x itself. What is asked for is what the norm leaves of them.",
        ),
        Mistake(
            "averaged over the batch",
            "axis=(2, 3)",
            "axis=(0, 2, 3)",
            "You average over the examples, too. Each example has means of its own here: (N, C) of them.",
        ),
        Mistake(
            "one row left",
            "axis=(2, 3)",
            "axis=3",
            "You average along W alone, and each row of pixels keeps a mean of its own.",
        ),
        Mistake(
            "the mean of the squares",
            "xhat.mean(",
            "(xhat**2).mean(",
            "You average squares. What a channel's mean is needs the sign.",
        ),
    ),
    symptoms=(
        Symptom(
            "all zero",
            lambda got, right, problem: bool(got.size > 0 and np.abs(got).max() < 1e-9),
            "Your means are all 0. They would be if each channel were a group of its own (InstanceNorm), or "
            "if you averaged over a whole group: take the mean over the pixels of one channel.",
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (GROUPS_AND_SIZE, PAPER_LAYER_NORM, SURVIVES)
