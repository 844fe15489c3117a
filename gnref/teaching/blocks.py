"""The block as text: each cell shows the label of its set, so that colour helps but is not needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from string import ascii_lowercase, ascii_uppercase

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.style import Style
from rich.text import Text

from gnref.teaching.palette import NAMES, hue, ink_on, mix
from gnref.teaching.sets import (
    FOUR,
    Sets,
    axis_names,
    check_block,
    default_groups,
    describe,
    left_out,
    set_numbers,
    shown,
)

GAP = "   "  # between two examples
ROWS = 9  # more pixels than this are abbreviated
# A terminal may be light or dark and does not say which: cells bring both their colours, and the tints
# are halfway to white, where black text is easy to read and neither background glares.
TINTS = (0.30, 0.55)


@dataclass(frozen=True, slots=True)
class Layout:
    """What fits on the screen: the indices shown along N, C and the pixels, and a cell's width."""

    examples: tuple[int, ...]
    channels: tuple[int, ...]
    pixels: tuple[int, ...]
    width: int


def print_blocks(
    console: Console,
    shape: Sequence[int],
    num_groups: int | None = None,
    norms: Sequence[str] = FOUR,
) -> None:
    """Print which cells of a block share a mean, for each norm: the paper's Fig. 2 as text.

    One grid per example, with a row for each pixel and a column for each channel; a bar stands
    between cells of different sets. What does not fit on the console is left out, and said.

    Parameters
    ----------
    console : rich.console.Console
        Where to. Without colour, without Unicode and in few columns it stays readable.
    shape : sequence of int
        (N, C, H, W); none, one or three spatial axes will do as well.
    num_groups : int, optional
        G of the group norm; absent, the smallest from two on that divides C.
    norms : sequence of str
        Keys of `gnref.teaching.palette.NAMES`.

    Raises
    ------
    ShapeError
        As in `gnref.teaching.sets.set_numbers`.
    """
    shape = check_block(shape)
    names = axis_names(shape)
    G = default_groups(shape[1]) if num_groups is None else num_groups
    many = [describe(norm, shape, G) for norm in norms]
    layout = _layout(shape, max((sets.count for sets in many), default=1), console.width)
    lines = [_intro(shape, names)]
    for sets in many:
        numbers = set_numbers(sets.norm, shape, G).reshape(*shape[:2], -1)
        lines += [Text(), *_heading(sets), *_grids(sets, numbers, layout)]
    lines += _left_out(layout, shape)
    for line in lines:
        if console.options.ascii_only:
            line.plain = line.plain.translate(str.maketrans("│…·×", "|~.x"))
        console.print(line, highlight=False)


def label(number: int, count: int) -> str:
    """Return what a cell shows of its set: a letter if 52 of them are enough, else the number.

    Examples
    --------
    >>> label(2, 12), label(28, 32), label(2, 100)
    ('C', 'c', '2')
    """
    return ascii_uppercase[number:][:1] or ascii_lowercase[number - 26] if count <= 52 else str(number)


def _layout(shape: tuple[int, ...], count: int, columns: int) -> Layout:
    """Everything if it fits, with room around the labels if that fits too; else as much as fits."""
    N, C = shape[:2]
    pixels = prod(shape[2:])
    rows = shown(pixels, ROWS if pixels <= ROWS else 4)
    digits = len(label(count - 1, count))
    for width in (digits + 2, digits):
        if _fitting(N, N, columns, width) >= C:
            return Layout(tuple(range(N)), tuple(range(C)), rows, width)
    # Many examples with few channels each, or the reverse? Six channels if that leaves two examples.
    choices = [(n, least) for least in (6, 3) for n in range(N, 1, -1)]
    n = next((n for n, least in choices if _fitting(n, N, columns, digits) >= min(least, C)), 1)
    fitting = _fitting(n, N, columns, digits)
    # The ellipsis takes the room of a channel.
    return Layout(shown(N, n), shown(C, C if fitting >= C else max(fitting - 1, 2)), rows, digits)


def _fitting(n: int, N: int, columns: int, width: int) -> int:
    """How many channels fit if n examples are shown; more than there may be."""
    ellipsis = 0 if n in (1, N) else 1 + len(GAP)
    room = (columns - ellipsis - len(GAP) * (n - 1)) // n
    return (room - 1) // (width + 1)


def _intro(shape: tuple[int, ...], names: tuple[str, ...]) -> Text:
    """The shape, and how to read the grids."""
    rows = f", rows the {'·'.join(names[2:])} pixels" if names[2:] else ""
    return Text.assemble(
        (f"{' × '.join(names)} = {' × '.join(map(str, shape))}", "bold"),
        f", {prod(shape):,} cells. Same label, same mean.\n",
        f"One grid per example n: columns are the C channels{rows}.",
    )


def _heading(sets: Sets) -> list[Text]:
    """The norm's name in its colour, what its statistics are per, how many, how large, the view."""
    badge = hue(sets.norm)
    name = NAMES[sets.norm] + (f", G = {sets.num_groups}" if sets.num_groups else "")
    return [
        Text.assemble(
            (f" {name} ", Style(color=ink_on(badge), bgcolor=badge, bold=True)),
            (f" statistics per {sets.per}", "bold"),
            f": {sets.tally}",
        ),
        Text(f" 5-slot view (O, P, A, B, S) = {sets.slots}"),
    ]


def _grids(sets: Sets, numbers: NDArray[np.int32], layout: Layout) -> list[Text]:
    """The lines of all examples side by side; numbers is (N, C, pixels)."""
    columns: list[list[Text]] = []
    for before, n in pairwise((-1, *layout.examples)):
        grid = _grid(sets, numbers[n], layout)
        if n > before + 1:
            columns.append([Text("…"), *(Text(" ") for _ in grid)])
        columns.append([Text(f"n = {n}".center(grid[0].cell_len)), *grid])
    return [Text(GAP).join(line) for line in zip(*columns, strict=True)]


def _grid(sets: Sets, numbers: NDArray[np.int32], layout: Layout) -> list[Text]:
    """The rows of one example; numbers is (C, pixels)."""
    rows: list[Text] = []
    for before, pixel in pairwise((-1, *layout.pixels)):
        row = _row(sets, numbers[:, pixel], layout)
        if pixel > before + 1:
            rows.append(Text("…".center(row.cell_len)))
        rows.append(row)
    return rows


def _row(sets: Sets, numbers: NDArray[np.int32], layout: Layout) -> Text:
    """One pixel of one example over its channels, with a bar wherever the set changes."""
    row = Text("│")
    for c, after in pairwise((*layout.channels, -1)):
        style = _style(sets, int(numbers[c]))
        row.append(label(int(numbers[c]), sets.count).center(layout.width), style)
        same = after != -1 and numbers[after] == numbers[c]
        row.append(*((" ", style) if same else ("│", "")))
        if after > c + 1:
            row.append(*(("… ", style) if same else ("…│", "")))
    return row


def _style(sets: Sets, number: int) -> Style:
    """The first set in the norm's full colour, the others in its two tints."""
    full = hue(sets.norm)
    colour = full if number == 0 else mix("#FFFFFF", full, TINTS[sets.tint(number)])
    return Style(color=ink_on(colour), bgcolor=colour, bold=number == 0)


def _left_out(layout: Layout, shape: tuple[int, ...]) -> list[Text]:
    """What the ellipses stand for."""
    words = left_out(
        n=(layout.examples, shape[0]),
        c=(layout.channels, shape[1]),
        pixel=(layout.pixels, prod(shape[2:])),
    )
    return [Text(), Text(f"Left out (…): {words}.")] if words else []
