"""The exercises of tutorial 9: means of a video, frames taken as images, and what more frames are worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gnref.teaching.exercises.exercise import Exercise, Mistake
from gnref.teaching.exercises.truth import Truth
from gnref.testing import data
from gnref.testing.problems import Array, Problem

# N C T H W with the G of each; no two of N, G, K and T are equal, so that a wrong axis shows.
CLIPS = (
    ((2, 12, 5, 2, 3), 4),
    ((3, 8, 5, 3, 2), 4),
    ((4, 6, 5, 2, 3), 2),
    ((2, 15, 4, 3, 2), 3),
    ((5, 12, 2, 2, 3), 3),
)


def _clips() -> Sequence[Problem]:
    """Videos of several shapes, no two frames at the same level."""
    found = []
    for seed, (shape, G) in enumerate(CLIPS):
        level = np.arange(shape[2], dtype=float).reshape(1, 1, -1, 1, 1)
        x = data.values("normal", shape, seed) + level
        eps = (1e-3, 0.1, 0.5)[seed % 3]
        found.append(Problem("group", x, x, num_groups=G, eps=eps, seed=seed, grade="B"))
    return found


CLIP_MEAN = Exercise(
    name="clip_mean",
    tutorial=9,
    title="GroupNorm's means of a video",
    norm="group",
    takes=("x", "num_groups"),
    answers=("mean",),
    problems=_clips,
    solution="""\
def clip_mean(x, num_groups):
    N, C, T, H, W = x.shape
    return x.reshape(N, num_groups, -1).mean(axis=2)
""",
    mistakes=(
        Mistake(
            "every frame for itself",
            "x.reshape(N, num_groups, -1).mean(axis=2)",
            "x.reshape(N, num_groups, C // num_groups, T, H, W).mean(axis=(2, 4, 5))",
            "Every frame has a mean of its own here. T is a spatial axis like H and W: all frames of a clip "
            "are pooled.",
        ),
        Mistake(
            "every channel for itself",
            "x.reshape(N, num_groups, -1)",
            "x.reshape(N, C, -1)",
            "Every channel has a mean of its own, as in InstanceNorm. The K channels of a group share one.",
        ),
        Mistake(
            "G and K swapped",
            "x.reshape(N, num_groups, -1)",
            "x.reshape(N, C // num_groups, -1)",
            "You made K groups of G channels. It is the other way round: G groups, with C / G channels each.",
        ),
        Mistake(
            "strided groups",
            "x.reshape(N, num_groups, -1).mean(axis=2)",
            "x.reshape(N, -1, num_groups, T * H * W).mean(axis=(1, 3))",
            "Your groups take every G-th channel. A group is K channels side by side, so G stands before K "
            "in the reshape.",
        ),
        Mistake(
            "batch pooled",
            "mean(axis=2)",
            "mean(axis=(0, 2))",
            "All clips of the batch share your means. In GroupNorm every clip has its own.",
        ),
        Mistake(
            "all channels",
            "x.reshape(N, num_groups, -1).mean(axis=2)",
            "x.reshape(N, -1).mean(axis=1)",
            "You have one mean for each clip, as in LayerNorm. Where did `num_groups` go?",
        ),
    ),
)


def _frame_by_frame(problem: Problem) -> Array:
    """Xhat of every frame as an image of its own, from the kit's exact oracle."""
    right = np.empty(problem.shape)
    for n, t in np.ndindex(problem.shape[0], problem.shape[2]):
        frame = np.ascontiguousarray(problem.x[n : n + 1, :, t])  # (1, C, H, W)
        right[n, :, t] = Truth(problem.but(x=frame, dy=frame))["xhat"][0]
    return right


PER_FRAME = Exercise(
    name="per_frame",
    tutorial=9,
    title="Frames as images",
    norm="group",
    arguments=lambda problem: (problem.x, problem.num_groups, problem.eps),
    oracle=_frame_by_frame,
    problems=_clips,
    solution="""\
def per_frame(x, num_groups, eps):
    N, C, T, H, W = x.shape
    frames = x.swapaxes(1, 2).reshape(N * T, C, H, W)
    y = gnref.group_norm(frames, num_groups, eps=eps)
    return y.reshape(N, T, C, H, W).swapaxes(1, 2)
""",
    mistakes=(
        Mistake(
            "reshaped without moving T",
            "x.swapaxes(1, 2).reshape(N * T, C, H, W)\n"
            "    y = gnref.group_norm(frames, num_groups, eps=eps)\n"
            "    return y.reshape(N, T, C, H, W).swapaxes(1, 2)",
            "x.reshape(N * T, C, H, W)\n"
            "    y = gnref.group_norm(frames, num_groups, eps=eps)\n"
            "    return y.reshape(N, C, T, H, W)",
            "The shapes fit, but your images are no frames: in memory T runs faster than C, so a reshape "
            "alone takes frames for channels. T has to stand beside N first.",
        ),
        Mistake(
            "T is not moved on the way in",
            "x.swapaxes(1, 2).reshape(N * T, C, H, W)\n"
            "    y = gnref.group_norm(frames, num_groups, eps=eps)\n"
            "    return y.reshape(N, T, C, H, W).swapaxes(1, 2)",
            "x.reshape(N * T, C, H, W)\n"
            "    y = gnref.group_norm(frames, num_groups, eps=eps).reshape(N, T, C, H, W)\n"
            "    return y.swapaxes(1, 2)",  # in other words: with the next mistake it would be the first
            "On the way in, T has to stand beside N before the two can become one axis: `x.swapaxes(1, 2)`.",
        ),
        Mistake(
            "T is not moved back",
            "y.reshape(N, T, C, H, W).swapaxes(1, 2)",
            "y.reshape(N, C, T, H, W)",
            "The images are right, but not the way back: they lie in memory as N, T, C, H, W. Reshape to "
            "that, and then move T.",
        ),
        Mistake(
            "T stays beside N",
            "y.reshape(N, T, C, H, W).swapaxes(1, 2)",
            "y.reshape(N, T, C, H, W)",
            "Your result is N T C H W: the numbers are right, and one step is left on the way back.",
        ),
        Mistake(
            "the whole clip",
            "frames = x.swapaxes(1, 2).reshape(N * T, C, H, W)\n"
            "    y = gnref.group_norm(frames, num_groups, eps=eps)\n"
            "    return y.reshape(N, T, C, H, W).swapaxes(1, 2)",
            "return gnref.group_norm(x, num_groups, eps=eps)",
            "That is the norm of the video: all frames of a clip share a mean. Here every frame is to have "
            "its own.",
        ),
        Mistake(
            "eps left out",
            ", eps=eps",
            "",
            "Your eps is the usual 1e-5, whatever eps is given. Pass it on.",
        ),
    ),
)


def _numbers(problem: Problem) -> tuple[Any, ...]:
    """Sigma, N, T and rho."""
    sigma, rho = ((1.0, 0.9), (2.0, 0.5), (0.5, 0.98), (3.0, 0.0), (1.5, 0.3))[problem.seed]
    return sigma, problem.shape[0], problem.shape[2], rho


def _by_covariances(problem: Problem) -> float:
    """The spread of a mean of numbers whose covariance matrix is written out."""
    sigma, N, T, rho = _numbers(problem)
    clip = sigma**2 * ((1 - rho) * np.eye(T) + rho)  # (T, T)
    return float(np.sqrt(np.kron(np.eye(N), clip).mean()))  # a mean gives all pairs the same weight


SPREAD = Exercise(
    name="spread_of_mean",
    tutorial=9,
    title="What more frames are worth",
    norm="batch",
    arguments=_numbers,
    oracle=_by_covariances,
    problems=_clips,
    solution="""\
def spread_of_mean(sigma, N, T, rho):
    return sigma * np.sqrt((1 + (T - 1) * rho) / (N * T))
""",
    mistakes=(
        Mistake(
            "all frames independent",
            "(1 + (T - 1) * rho) / (N * T)",
            "1 / (N * T)",
            "This is right for N T independent numbers, rho = 0. Frames of one clip vary together.",
        ),
        Mistake(
            "a clip counts once",
            "(1 + (T - 1) * rho) / (N * T)",
            "1 / N",
            "This is right where all frames of a clip are equal, rho = 1. With rho below 1 every further "
            "frame adds a little.",
        ),
        Mistake(
            "a frame paired with itself",
            "(T - 1)",
            "T",
            "In a clip of one frame there is no pair, and rho must drop out. Each frame has T - 1 others.",
        ),
        Mistake(
            "clips vary together",
            "(T - 1)",
            "(N * T - 1)",
            "You let all frames of the batch vary together. Those of different clips are independent.",
        ),
        Mistake(
            "N and T swapped",
            "(T - 1)",
            "(N - 1)",
            "You count the other clips of the batch. What varies with a frame is the other frames of its "
            "clip.",
        ),
        Mistake(
            "the variance",
            "sigma * np.sqrt((1 + (T - 1) * rho) / (N * T))",
            "sigma**2 * (1 + (T - 1) * rho) / (N * T)",
            "This is the variance of the mean. Its spread is the root of that.",
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (CLIP_MEAN, PER_FRAME, SPREAD)
