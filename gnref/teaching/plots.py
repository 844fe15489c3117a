"""The block as a figure: the paper's Fig. 2 for any shape, one block for each norm."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from gnref.errors import MissingExtraError
from gnref.teaching.oblique import OBLIQUE, Block, Points, block_of, faces
from gnref.teaching.palette import NAMES, THEMES, check_theme, fill, hue, mix
from gnref.teaching.sets import (
    FOUR,
    Sets,
    axis_names,
    check_block,
    default_groups,
    describe,
    left_out,
    set_numbers,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# All coordinates are in inches, so that text keeps its distance from a block of any shape.
PANEL = 2.5  # the width that a norm has
LEFT, RIGHT = 0.40, 0.55  # of it, beside the block, for the names of H·W and N
CELL = 0.30  # the side of a cell at most
HEIGHT = 2.2  # of a block at most
ABOVE, BELOW = 0.95, 0.50  # the block: the title, the name of C
EDGE, LINE, CHARACTER = 0.2, 0.19, 0.066  # of the caption: its margin, a line, a letter on average
FONT = ["DejaVu Sans", "sans-serif"]  # the first comes with matplotlib: the same text everywhere


def draw_blocks(
    shape: Sequence[int],
    num_groups: int | None = None,
    norms: Sequence[str] = FOUR,
    theme: str = "light",
) -> Figure:
    """Draw which cells of a block share a mean, for each norm: Wu & He 2018, Fig. 2, for this shape.

    The set of the first cell has the norm's colour; the other sets have two quiet tints of it, such
    that sets that touch differ. What is too large to draw is left out, and said.

    Parameters
    ----------
    shape : sequence of int
        (N, C, H, W); none, one or three spatial axes will do as well.
    num_groups : int, optional
        G of the group norm; absent, the smallest from two on that divides C.
    norms : sequence of str
        Keys of `gnref.teaching.palette.NAMES`.
    theme : str
        "light" or "dark".

    Returns
    -------
    figure : matplotlib.figure.Figure
        See `save`.

    Raises
    ------
    ShapeError
        As in `gnref.teaching.sets.set_numbers`.
    ValueError
        The norms or the theme are not known.
    MissingExtraError
        matplotlib is not installed.
    """
    shape = check_block(shape)
    check_theme(theme)
    G = default_groups(shape[1]) if num_groups is None else num_groups
    many = [describe(norm, shape, G) for norm in norms]
    block = block_of(shape)
    width, height = block.extent
    side = min(CELL, (PANEL - LEFT - RIGHT) / width, HEIGHT / height)
    caption = _caption(shape, block, columns=int((PANEL * len(many) - 2 * EDGE) / CHARACTER))
    bottom = BELOW + LINE * len(caption) + 0.1
    figure, ax = _page((PANEL * len(many), bottom + side * height + ABOVE), theme)
    for i, line in enumerate(caption):
        _write(ax, (EDGE, bottom - BELOW - LINE * (i + 1) + 0.05), line, THEMES[theme].muted, ha="left")
    for i, sets in enumerate(many):
        middle = PANEL * (i + 0.5) + (LEFT - RIGHT) / 2
        corner = np.array([middle - side * width / 2, bottom])
        _draw_cells(ax, corner, side, block, sets, theme, set_numbers(sets.norm, shape, G))
        _draw_axes(ax, corner, side * block.edges, shape, theme)
        _draw_title(ax, (middle, bottom + side * height), sets, theme)
    return figure


def save(figure: Figure, path: str | Path, overwrite: bool = False) -> None:
    """Write a figure to a .png or .svg file; equal figures give equal files.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        From `draw_blocks`.
    path : str or Path
        Its suffix chooses the format. In an .svg the text is text.
    overwrite : bool
        Whether a file that exists may be replaced.

    Raises
    ------
    ValueError
        Another suffix.
    FileExistsError
        The file exists, and overwrite is False.
    """
    import matplotlib

    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".png", ".svg"):
        raise ValueError(f"the figure's path is {str(path)!r}; expected one that ends in .png or .svg")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{str(path)!r} exists already; expected a new path, or overwrite=True")
    # Leave out the date and matplotlib's version, which would make equal figures differ.
    metadata = {"Software": None} if suffix == ".png" else {"Date": None, "Creator": None}
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "gnref"}):
        figure.savefig(path, format=suffix[1:], dpi=160, metadata=metadata)


def _page(size: tuple[float, float], theme: str) -> tuple[Figure, Any]:
    """An empty figure, without pyplot and its global state, and axes in inches that fill it."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("figures need matplotlib: pip install 'gnref[plots]'") from error
    figure = Figure(figsize=size, facecolor=THEMES[theme].background)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, size[0]), ylim=(0, size[1]))
    ax.set_axis_off()
    return figure, ax


def _write(
    ax: Any, at: Sequence[float], text: str, color: str, size: float = 9, ha: str = "center", **style: Any
) -> None:
    """One line of text; on its baseline, which does not depend on the font's measures."""
    ax.text(*at, text, color=color, fontsize=size, ha=ha, va="baseline", family=FONT, **style)


def _draw_cells(
    ax: Any, corner: Points, side: float, block: Block, sets: Sets, theme: str, numbers: Any
) -> None:
    """The faces of all cells, in the colours of their sets."""
    from matplotlib.collections import PolyCollection

    numbers = numbers.reshape(*numbers.shape[:2], -1)
    # Light comes from above and from the left.
    light = {"front": ("#FFFFFF", 0.0), "top": ("#FFFFFF", 0.16), "right": ("#000000", 0.10)}
    polygons, colours = [], []
    for face in faces(block):
        number = int(numbers[face.cell])
        colour = hue(sets.norm, theme) if number == 0 else fill(sets.norm, sets.tint(number), theme)
        polygons.append(corner + side * face.corners)
        colours.append(mix(colour, *light[face.side]))
    edge: dict[str, Any] = {"edgecolors": THEMES[theme].background, "linewidths": 0.8, "joinstyle": "round"}
    ax.add_collection(PolyCollection(polygons, facecolors=colours, **edge), autolim=False)


def _draw_axes(ax: Any, corner: Points, edges: Points, shape: tuple[int, ...], theme: str) -> None:
    """An arrow and a name along each of the three edges."""
    right, up, depth = np.diag(edges) @ OBLIQUE
    muted = THEMES[theme].muted
    starts = corner + np.array([(0, -0.10), (-0.10, 0), (right[0] + 0.09, -0.07)])
    for start, way in zip(starts, (right, up, depth), strict=True):
        ax.annotate("", start + way, start, arrowprops={"arrowstyle": "->", "color": muted, "lw": 1})
    spatial = "·".join(axis_names(shape)[2:])
    _write(ax, corner + right / 2 + (0, -0.28), f"C = {shape[1]:,}", muted)
    _write(ax, corner + right + depth / 2 + (0.2, -0.16), f"N = {shape[0]:,}", muted, ha="left")
    if spatial:
        name = f"{spatial} = {prod(shape[2:]):,}"
        _write(ax, corner + up / 2 + (-0.18, 0), name, muted, rotation=90, rotation_mode="anchor")


def _draw_title(ax: Any, top: tuple[float, float], sets: Sets, theme: str) -> None:
    """The name of the norm in its colour, what its statistics are per, how many, how large."""
    x, y = top
    name = NAMES[sets.norm] + (f", G = {sets.num_groups}" if sets.num_groups else "")
    _write(ax, (x, y + 0.60), name, hue(sets.norm, theme), size=13, weight="bold")
    _write(ax, (x, y + 0.38), f"statistics per {sets.per}", THEMES[theme].ink, size=9.5)
    _write(ax, (x, y + 0.19), sets.tally, THEMES[theme].muted)


def _caption(shape: tuple[int, ...], block: Block, columns: int) -> list[str]:
    """Lines that say how to read the figure, and what it leaves out."""
    text = (
        f"{' × '.join(axis_names(shape))} = {' × '.join(map(str, shape))}. The cells in full colour share "
        "their statistics; elsewhere, a change of tint is a change of set."
    )
    missing = left_out(n=(block.n, shape[0]), c=(block.c, shape[1]), pixel=(block.pixel, prod(shape[2:])))
    return wrap(text, columns) + (wrap(f"Not drawn: {missing}.", columns) if missing else [])
