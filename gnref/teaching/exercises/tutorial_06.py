"""The exercises of tutorial 6: ghost batches, the scatter of a batch's mean, and what N can change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gnref.teaching.exercises.cases import draw
from gnref.teaching.exercises.exercise import Exercise, Mistake
from gnref.teaching.exercises.truth import Truth
from gnref.testing import data
from gnref.testing.problems import Problem

SHAPES = (((6, 4, 5, 7), 2), ((6, 5, 7, 4), 3), ((8, 3, 7, 5), 2), ((8, 5, 3, 6), 4), ((10, 3, 4, 7), 2))


def _cut_batches() -> Sequence[Problem]:
    """Batches that are cut into pieces, whose number is not their size."""
    return [
        Problem("batch", x, x, eps=eps, virtual_batch_size=N, seed=seed, grade="B")
        for seed, (shape, N) in enumerate(SHAPES)
        for x, eps in [(data.values("normal", shape, seed) + seed, (1e-3, 0.1, 0.5)[seed % 3])]
    ]


GHOST = Exercise(
    name="ghost_batch_norm",
    tutorial=6,
    title="Batch norm with ghost batches",
    norm="batch",
    arguments=lambda problem: (problem.x, problem.virtual_batch_size, problem.eps),
    answers=("xhat",),
    problems=_cut_batches,
    solution="""\
def ghost_batch_norm(x, N, eps):
    pieces = x.reshape(-1, N, *x.shape[1:])
    mean = pieces.mean(axis=(1, 3, 4), keepdims=True)
    var = pieces.var(axis=(1, 3, 4), keepdims=True)
    return ((pieces - mean) / np.sqrt(var + eps)).reshape(x.shape)
""",
    mistakes=(
        Mistake(
            "N pieces",
            "x.reshape(-1, N, *x.shape[1:])",
            "x.reshape(N, -1, *x.shape[1:])",
            "You cut the batch into N pieces. It is to be cut into pieces of N images: print `pieces.shape`.",
        ),
        Mistake(
            "every few images",
            "pieces = x.reshape(-1, N, *x.shape[1:])\n"
            "    mean = pieces.mean(axis=(1, 3, 4), keepdims=True)\n"
            "    var = pieces.var(axis=(1, 3, 4), keepdims=True)",
            "pieces = x.reshape(N, -1, *x.shape[1:])\n"
            "    mean = pieces.mean(axis=(0, 3, 4), keepdims=True)\n"
            "    var = pieces.var(axis=(0, 3, 4), keepdims=True)",
            "Your pieces have N images each, but not N neighbours: the first image shares its mean with one "
            "far behind it. Which of the two new axes runs faster?",
        ),
        Mistake(
            "the whole batch",
            "pieces.mean(axis=(1, 3, 4), keepdims=True)\n    var = pieces.var(axis=(1, 3, 4), keepdims=True)",
            "pieces.mean(axis=(0, 1, 3, 4), keepdims=True)\n"
            "    var = pieces.var(axis=(0, 1, 3, 4), keepdims=True)",
            "All pieces share one mean: your answer is that of batch norm over the whole batch, whatever N "
            "is.",
        ),
        Mistake(
            "a variance for the whole batch",
            "pieces.var(axis=(1, 3, 4), keepdims=True)",
            "pieces.var(axis=(0, 1, 3, 4), keepdims=True)",
            "Each piece has its own mean, but all share one variance. Both are statistics, and both belong "
            "to a piece.",
        ),
        Mistake(
            "each image for itself",
            "pieces.mean(axis=(1, 3, 4), keepdims=True)\n    var = pieces.var(axis=(1, 3, 4), keepdims=True)",
            "pieces.mean(axis=(3, 4), keepdims=True)\n    var = pieces.var(axis=(3, 4), keepdims=True)",
            "Each image has statistics of its own: that is InstanceNorm, and N plays no part in it.",
        ),
        Mistake(
            "the channels are pooled",
            "pieces.mean(axis=(1, 3, 4), keepdims=True)\n    var = pieces.var(axis=(1, 3, 4), keepdims=True)",
            "pieces.mean(axis=(1, 2, 3, 4), keepdims=True)\n"
            "    var = pieces.var(axis=(1, 2, 3, 4), keepdims=True)",
            "All channels of a piece share one mean. In batch norm each channel has its own: after the "
            "reshape, which axis is C?",
        ),
        Mistake(
            "the pixels keep their means",
            "pieces.mean(axis=(1, 3, 4), keepdims=True)\n    var = pieces.var(axis=(1, 3, 4), keepdims=True)",
            "pieces.mean(axis=1, keepdims=True)\n    var = pieces.var(axis=1, keepdims=True)",
            "Every pixel has a mean of its own over the piece. Batch norm pools H and W, too.",
        ),
        Mistake(
            "missing keepdims",
            "pieces.mean(axis=(1, 3, 4), keepdims=True)",
            "pieces.mean(axis=(1, 3, 4))",
            "Your mean has the shape (pieces, C), which NumPy lines up with H and W, from the right. The "
            "pooled axes have to stay, with size 1.",
        ),
        Mistake(
            "variance over m - 1",
            "pieces.var(axis=(1, 3, 4), keepdims=True)",
            "pieces.var(axis=(1, 3, 4), ddof=1, keepdims=True)",
            "Your variance is divided by m - 1. The one that normalizes is divided by m, however small the "
            "piece.",
        ),
        Mistake(
            "eps outside the root",
            "np.sqrt(var + eps)",
            "(np.sqrt(var) + eps)",
            "You add eps to the standard deviation. It belongs to the variance, under the root.",
        ),
    ),
)


def _size(problem: Problem) -> int:
    """The N that a problem asks about: larger than the number of its images or not."""
    return (4, 16, 9)[problem.seed % 3]


SCATTER = Exercise(
    name="mean_variance",
    tutorial=6,
    title="How far batch means scatter",
    norm="instance",
    arguments=lambda problem: (problem.x, _size(problem)),
    oracle=lambda problem: Truth(problem)["mean"].var(axis=0) / _size(problem),
    problems=lambda: _independent_images(),
    solution="""\
def mean_variance(x, N):
    image_means = x.mean(axis=(2, 3))
    return image_means.var(axis=0) / N
""",
    mistakes=(
        Mistake(
            "the pixels as independent",
            "image_means = x.mean(axis=(2, 3))\n    return image_means.var(axis=0) / N",
            "H, W = x.shape[2:]\n    return x.var(axis=(0, 2, 3)) / (N * H * W)",
            "This would be right if all pixels were independent. Those of one image err together: what are "
            "the independent numbers here?",
        ),
        Mistake(
            "an image as one pixel",
            "image_means = x.mean(axis=(2, 3))\n    return image_means.var(axis=0) / N",
            "return x.var(axis=(0, 2, 3)) / N",
            "You start from the variance of a pixel. A batch's mean averages N image means: how far do "
            "*those* scatter?",
        ),
        Mistake(
            "the variance inside the images",
            "image_means = x.mean(axis=(2, 3))\n    return image_means.var(axis=0) / N",
            "return x.var(axis=(2, 3)).mean(axis=0) / N",
            "You take the variance inside the images. What moves a batch's mean is how images differ from "
            "each other.",
        ),
        Mistake(
            "N forgotten",
            "image_means.var(axis=0) / N",
            "image_means.var(axis=0)",
            "This is the variance for a batch of one image. The mean of N independent numbers scatters less.",
        ),
        Mistake(
            "the root of N",
            ".var(axis=0) / N",
            ".var(axis=0) / np.sqrt(N)",
            "You divide the variance by the root of N. It is the standard deviation that falls so; the "
            "variance falls as N.",
        ),
        Mistake(
            "the standard deviation",
            "return image_means.var(axis=0) / N",
            "return np.sqrt(image_means.var(axis=0) / N)",
            "This is the standard deviation of a batch's mean. The variance is asked for: its square.",
        ),
        Mistake(
            "the channels are pooled",
            "x.mean(axis=(2, 3))",
            "x.mean(axis=(1, 2, 3))",
            "You have one number for all channels. Batch norm has a mean per channel, so the answer has the "
            "shape (C,).",
        ),
        Mistake(
            "over m - 1",
            "image_means.var(axis=0)",
            "image_means.var(axis=0, ddof=1)",
            "You divide by the number of images less 1, as an estimate from a sample would. Here x holds "
            "all images there are, and batches are drawn from them.",
        ),
    ),
)


def _independent_images() -> Sequence[Problem]:
    """Images with a brightness each, so that pixels of one image err together."""
    problems = draw(Exercise("mean_variance", 6, "", "", norm="instance"))
    brightness = [data.values("normal", (*p.shape[:2], 1, 1), p.seed) for p in problems]
    return [p.but(x=p.x + 2 * b) for p, b in zip(problems, brightness, strict=True)]


def _those_that_look_at_n(_: Any) -> set[str]:
    return {"batch", "renorm"}


MOVED = Exercise(
    name="moved",
    tutorial=6,
    title="What N can change",
    oracle=_those_that_look_at_n,
    solution='moved = {"batch", "renorm"}\n',
    mistakes=(
        Mistake(
            "Batch Renormalization left out",
            '{"batch", "renorm"}',
            '{"batch"}',
            "One is missing. Batch Renormalization leans on running statistics, but starts from the batch's "
            "own, and its correction has bounds.",
        ),
        Mistake(
            "constant statistics",
            '{"batch", "renorm"}',
            '{"batch", "renorm", "constant"}',
            'The statistics of "constant" are those of the first 32 images, which were never cut. Can N '
            "reach them?",
        ),
        Mistake(
            "instance norm",
            '{"batch", "renorm"}',
            '{"batch", "renorm", "instance"}',
            "InstanceNorm takes its statistics from one channel of one image. Whether that image is in a "
            "piece of 32 or of 2, they are the same.",
        ),
        Mistake(
            "layer norm",
            '{"batch", "renorm"}',
            '{"batch", "renorm", "layer"}',
            "LayerNorm takes its statistics from one image, all channels of it. Its neighbours in the batch "
            "play no part.",
        ),
        Mistake(
            "group norm",
            '{"batch", "renorm"}',
            '{"batch", "renorm", "group"}',
            "GroupNorm takes its statistics from some channels of one image: it does not know what a batch "
            "is.",
        ),
        Mistake(
            "all of them",
            '{"batch", "renorm"}',
            '{"batch", "renorm", "layer", "instance", "group", "constant"}',
            "Not all of them. SGD's batch stays at 32 here, so N matters only to a norm whose statistics "
            "are shared by several images.",
        ),
        Mistake(
            "the two exchanged",
            '{"batch", "renorm"}',
            '{"layer", "instance", "group", "constant"}',
            "These are the ones that N leaves alone. Asked for are those that it changes.",
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (GHOST, SCATTER, MOVED)
