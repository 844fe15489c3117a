"""What the runs on fine-tuning found, as figures: error by N, and masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gnref.teaching import paper
from gnref.teaching.lab import figures
from gnref.teaching.lab.experiment import Record
from gnref.teaching.lab.experiments.finetune_report import NAMES, errors
from gnref.teaching.lab.experiments.finetune_settings import NORMS, SIZES
from gnref.teaching.palette import THEMES, hue, mix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

GREYS = (0.06, 0.22, 0.42)  # of the classes: shares of ink in the page
REPORTED = {  # ResNet-50: the table, the row beside GN's, and how its norm is drawn
    "C4": (paper.FINE_TUNING_C4, "BN*", "GN", "frozen"),
    "FPN": (paper.FINE_TUNING, "ResNet-50, BN*", "ResNet-50, GN", "frozen"),
    "from\nscratch": (paper.FROM_SCRATCH, "ResNet-50, BN, synchronized", "ResNet-50, GN", "batch"),
}


def draw(records: Sequence[Record], theme: str = "light") -> Figure:
    """Return the figure: error by N, clear and in fog, and the paper's average precision."""
    titles = ("measured here, clear", "measured here, in fog", "the paper, COCO, ResNet-50")
    figure, (clear, fog, right) = figures.panels(theme, *titles)
    falling = SIZES[::-1]
    for ax, light in ((clear, "clear"), (fog, "fog")):
        for norm in NORMS:
            figures.curve(ax, theme, norm, falling, errors(records, norm, light), label=NAMES[norm])
        figures.powers(ax, falling)
        figures.label(ax, theme, x="N, mosaics a step", y="wrong pixels, %")
    top = max(ax.get_ylim()[1] for ax in (clear, fog))
    for ax in (clear, fog):
        ax.set_ylim(0, top)
        figures.name_ends(ax)
    _average_precision(right, theme)
    return figure


def _average_precision(ax: Axes, theme: str) -> None:
    """Some of the paper's box AP."""
    for x, (table, other, group, norm) in enumerate(REPORTED.values()):
        for row, drawn, place in ((group, "group", (0, 8)), (other, norm, (0, -15))):
            of, marker, _ = figures.STYLES[drawn]
            at, colour = table[row, "box AP"], hue(of, theme)
            ax.plot(x, at, marker, color=colour, ms=8)
            words: dict[str, Any] = {
                "color": colour,
                "size": figures.SMALL,
                "ha": "center",
                "textcoords": "offset points",
            }
            ax.annotate(f"{NAMES[drawn]} {table.cell(row, 'box AP')}", (x, at), xytext=place, **words)
    ax.set_xticks(range(len(REPORTED)), list(REPORTED))
    ax.set_xlim(-0.5, len(REPORTED) - 0.5)
    ax.set_ylim(33.3, 41.5)
    figures.label(ax, theme, y="box AP, more is better")


def unpacked(mask: str) -> Array:
    """Return a mask of a result, a digit for each pixel of a square, as an array (H, W)."""
    side = round(len(mask) ** 0.5)
    return np.array(list(mask), np.int64).reshape(side, side)


def draw_masks(
    theme: str,
    pictures: Mapping[str, Sequence[Array]],
    labels: Sequence[Array],
    predicted: Mapping[str, tuple[str, Sequence[Array]]],
    classes: Sequence[str],
) -> Figure:
    """Return rows of pictures, of the right masks and of predicted ones, whose wrong pixels have dots.

    Parameters
    ----------
    theme : str
        "light" or "dark".
    pictures : mapping
        Rows by name, each of images (3, H, W), 0 to 1.
    labels : sequence of ndarray
        The right masks, (H, W) of int.
    predicted : mapping
        Rows by name, each a norm of `figures.STYLES`, whose colour the dots have, and masks.
    classes : sequence of str
        Three names.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    ink, page = THEMES[theme].ink, THEMES[theme].background
    greys = [mix(page, ink, share) for share in GREYS]
    names = [*pictures, "right", *predicted]
    figure = Figure(figsize=(1.15 * len(labels) + 1.5, 1.15 * len(names) + 0.3), layout="constrained")
    figure.patch.set_facecolor(page)
    axes = dict(zip(names, figure.subplots(len(names), len(labels), squeeze=False), strict=True))
    for name, line in axes.items():
        line[0].set_ylabel(name, color=ink, size=figures.TEXT, rotation=0, ha="right", va="center")
        for ax in line:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
    for name, images in pictures.items():
        for ax, image in zip(axes[name], images, strict=True):
            ax.imshow(image.transpose(1, 2, 0).clip(0, 1))
    for name, (norm, masks) in {"right": ("batch", labels), **predicted}.items():
        for ax, mask, right in zip(axes[name], masks, labels, strict=True):
            ax.imshow(mask, cmap=ListedColormap(greys), vmin=0, vmax=2)
            down, across = np.nonzero(mask != right)
            ax.plot(across, down, ".", color=hue(figures.STYLES[norm][0], theme), ms=2.5, mew=0)
    swatches = [Patch(facecolor=grey, edgecolor=THEMES[theme].muted, lw=0.5) for grey in greys]
    words = figure.legend(swatches, list(classes), loc="outside lower center", ncols=3, frameon=False)
    for text in words.get_texts():
        text.set_color(ink)
    return figure
