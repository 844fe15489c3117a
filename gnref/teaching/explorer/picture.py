"""The explorer as a picture, for places that show no widget: the same state, drawn by matplotlib."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from gnref.errors import MissingExtraError
from gnref.teaching.explorer.numbers import numbers_of, shared
from gnref.teaching.explorer.state import NORMS, State, flat
from gnref.teaching.oblique import FACES, OBLIQUE, Points
from gnref.teaching.palette import THEMES, hue, ink_on, mix
from gnref.teaching.plots import FONT
from gnref.teaching.sets import describe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cell = tuple[int, int, int]  # (n, c, pixel)
Paint = tuple[str, float, str]  # a cell's colour, its alpha (below 1 it is glass), and what is written on it

# Lengths are in inches, so that text keeps its distance.
INCHES = 6.4
WIDTH = 640  # of the picture on a page, in pixels; the file has half as many again
ABOVE, BELOW, BESIDE = 0.85, 0.5, 0.65  # the drawing: titles, the name of C, those of H·W and N
MOST, HIGHEST = 0.5, 4.5  # a cell's side, and the drawing
READABLE = 0.36  # a cell that has room for a number


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are, in cells: in a block or, if there are columns, in slices side by side."""

    N: int
    C: int
    P: int  # pixels, H·W
    columns: int

    def at(self, points: Any, n: int = 0) -> Points:
        """Where points (c, pixel, depth) of example n are on paper."""
        if not self.columns:
            block: Points = np.asarray(points, float) @ OBLIQUE
            return block
        row, column = divmod(n, self.columns)
        gap = _gap(self.P)
        return np.asarray(points, float)[..., :2] + (column * (self.C + gap), -row * (self.P + gap))

    def extent(self) -> tuple[Points, Points]:
        """The lower left and the upper right corner of everything."""
        corners = [(0, 0, 0), (self.C, self.P, self.N)]
        ends = np.concatenate([self.at(corners, n) for n in range(self.N)])
        return ends.min(0), ends.max(0)

    def sides(self, solid: Callable[[Cell], bool]) -> Iterator[tuple[Cell, str, Points]]:
        """The sides that can be seen, from back to front: what is nearer covers what is farther."""
        for n, c, p in product(reversed(range(self.N)), range(self.C), range(self.P)):
            for name in ["front"] if self.columns else FACES:
                dn, dc, dp = FACES[name][1]
                before = (n + dn, c + dc, p + dp)
                if not self.columns and self.holds(before) and (solid(before) or not solid((n, c, p))):
                    continue  # glass does not hide what is solid
                yield (n, c, p), name, self.corners((n, c, p), name)

    def holds(self, cell: Cell) -> bool:
        """Whether there is such a cell."""
        return all(0 <= i < size for i, size in zip(cell, (self.N, self.C, self.P), strict=True))

    def corners(self, cell: Cell, name: str) -> Points:
        """The corners of one side of a cell."""
        n, c, p = cell
        return self.at(np.add(FACES[name][0], (c, p, 0 if self.columns else n)), n)


@lru_cache(maxsize=8)
def png(state: State) -> str:
    """Return the picture as a PNG, in Base64.

    Examples
    --------
    >>> from gnref.teaching.explorer.state import state_of
    >>> png(state_of())[:11]
    'iVBORw0KGgo'
    """
    file = BytesIO()
    draw_state(state).savefig(file, format="png", dpi=150, metadata={"Software": None})
    return b64encode(file.getvalue()).decode("ascii")


def draw_state(state: State) -> Figure:
    """Draw what the explorer shows in this state. It is light where the state leaves that to the page.

    Parameters
    ----------
    state : State
        From `gnref.teaching.explorer.state.state_of`.

    Returns
    -------
    figure : matplotlib.figure.Figure
        6.4 inches wide.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    theme = "dark" if state.theme == "dark" else "light"
    layout = Layout(state.n, state.c, state.h * state.w, _columns(state) if state.view == "slices" else 0)
    low, high = layout.extent()
    width, height = high - low
    scale = min((INCHES - 2 * BESIDE) / width, HIGHEST / height, MOST)
    figure, ax = _page(scale * height + ABOVE + BELOW, theme)

    def place(points: Any) -> Points:
        """From cells to inches."""
        inches: Points = (points - low) * scale + ((INCHES - scale * width) / 2, BELOW)
        return inches

    paint = _painter(state, theme)
    _draw_sides(ax, place, layout, paint, theme, scale)
    if state.task != "count":
        _draw_outline(ax, place, layout, state, paint, THEMES[theme].ink)
    _draw_axes(ax, place, layout, THEMES[theme].muted)
    _draw_titles(ax, scale * height + BELOW, state, theme)
    return figure


def _columns(state: State) -> int:
    """How many slices stand side by side: as many as leave the cells largest."""
    C, P = state.c, state.h * state.w

    def cell(columns: int) -> float:
        rows = -(-state.n // columns)
        return min(INCHES / (columns * (C + _gap(P))), HIGHEST / (rows * (P + _gap(P))), MOST)

    return max(range(1, state.n + 1), key=cell)


def _gap(P: int) -> float:
    """What is left between two slices, in cells: it holds a name, and cells may be small."""
    return max(0.9, P / 6)


def _page(height: float, theme: str) -> tuple[Figure, Any]:
    """An empty figure, without pyplot and its global state, and axes in inches that fill it."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("pictures need matplotlib: pip install 'gnref[plots]'") from error
    figure = Figure(figsize=(INCHES, height), facecolor=THEMES[theme].background)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, INCHES), ylim=(0, height))
    ax.set_axis_off()
    return figure, ax


def _painter(state: State, theme: str) -> Callable[[Cell], Paint]:
    """How each cell looks."""
    page, full = THEMES[theme], hue(NORMS[state.norm], theme)
    glass = (page.muted, 0.16, "")
    if state.task:  # nothing that gives the answer away
        return lambda cell: glass
    of = numbers_of(state)
    values = (of.dx if state.show == "dx" else of.x).reshape(state.n, state.c, -1)
    if state.show == "dx":
        same = of.same.reshape(values.shape)
        most = np.abs(values).max() or 1.0

        def strength(cell: Cell) -> Paint:
            # The square root, because one coefficient, the cell's own, is much larger than all others.
            share = 0.12 + 0.88 * float(np.sqrt(abs(values[cell]) / most))
            sign = hue("layer" if values[cell] < 0 else "batch", theme)
            return (mix(page.background, sign, share), 1.0, _number(values[cell])) if same[cell] else glass

        return strength
    numbers = shared(state)
    own, groups = numbers.flat[flat(state)], numbers.reshape(values.shape)
    per_example = numbers[0].max() + 1  # numbers of one example; the next one goes on from there

    def colour(cell: Cell) -> Paint:
        number = int(groups[cell])
        # A checkerboard: another tint wherever the next cell has another number.
        odd = number // per_example + number % per_example
        if state.show == "weight" and state.norm == "ln-pytorch":
            _, c, p = cell
            odd = c + p // state.w + p % state.w
        return full, 1.0 if number == own else page.tints[odd % 2], _number(values[cell])

    return colour


def _number(value: float) -> str:
    """Two digits, and no minus before a zero."""
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "\N{MINUS SIGN}")


def _draw_sides(ax: Any, place: Any, layout: Layout, paint: Any, theme: str, scale: float) -> None:
    """The sides of all cells, and the numbers where there is room for them and nothing before them."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba

    # Light comes from above and from the left.
    light = {"front": ("#FFFFFF", 0.0), "top": ("#FFFFFF", 0.16), "right": ("#000000", 0.10)}
    polygons, colours = [], []
    for cell, name, corners in layout.sides(lambda cell: paint(cell)[1] == 1):
        colour, alpha, label = paint(cell)
        polygons.append(place(corners))
        colours.append(to_rgba(mix(colour, *light[name]), alpha))
        outer = layout.columns or (cell[0] == 0 and alpha == 1)
        if name == "front" and outer and scale >= READABLE:
            ink = ink_on(colour) if alpha == 1 else THEMES[theme].ink
            _write(ax, polygons[-1].mean(0), label, ink, 18 * scale, va="center_baseline")
    edge: dict[str, Any] = {"edgecolors": THEMES[theme].background, "linewidths": 0.8, "joinstyle": "round"}
    ax.add_collection(PolyCollection(polygons, facecolors=colours, **edge), autolim=False)


def _draw_outline(ax: Any, place: Any, layout: Layout, state: State, paint: Any, ink: str) -> None:
    """The picked cell: its outline shows through whatever is before it, but faintly."""
    n, c, h, w = state.cell
    cell = (n, c, h * state.w + w)
    for name in ["front"] if layout.columns else FACES:
        dn, dc, dp = FACES[name][1]
        before = (n + dn, c + dc, cell[2] + dp)
        seen = bool(layout.columns) or not (layout.holds(before) and paint(before)[1] == 1)
        style = {"alpha": 1.0, "linewidth": 2.0} if seen else {"alpha": 0.5, "linewidth": 1.0}
        corners = place(layout.corners(cell, name))
        ax.fill(*corners.T, fill=False, edgecolor=ink, joinstyle="round", zorder=3, **style)


def _draw_axes(ax: Any, place: Any, layout: Layout, muted: str) -> None:
    """An arrow and a name along each axis; over slices, their numbers."""
    N, C, P = layout.N, layout.C, layout.P
    first = (N - 1) // layout.columns * layout.columns if layout.columns else 0  # at the lower left
    corner, right, up = place(layout.at([(0, 0, 0), (C, 0, 0), (0, P, 0)], first))
    _arrow(ax, corner - (0, 0.1), right - (0, 0.1), muted)
    _write(ax, (corner + right) / 2 - (0, 0.32), f"C = {C}", muted)
    _arrow(ax, corner - (0.1, 0), up - (0.1, 0), muted)
    _write(ax, (corner + up) / 2 - (0.18, 0), f"H·W = {P}", muted, rotation=90, ha="right", va="center")
    if not layout.columns:
        back = place(layout.at((C, 0, N)))
        beside = np.array((0.09, -0.07))
        _arrow(ax, right + beside, back + beside, muted)
        _write(ax, (right + back) / 2 + (0.2, -0.16), f"N = {N}", muted, ha="left")
        return
    for n in range(N):
        x, y = place(layout.at((C / 2, P, 0), n))
        _write(ax, (x, y + 0.07), f"n = {n}", muted)


def _arrow(ax: Any, start: Points, end: Points, colour: str) -> None:
    """An arrow from here to there."""
    arrow = {"arrowstyle": "->", "color": colour, "lw": 1, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=arrow)


def _draw_titles(ax: Any, top: float, state: State, theme: str) -> None:
    """The norm, and what is in colour."""
    size = " × ".join(map(str, state.shape))
    what = {
        "mean": describe(NORMS[state.norm], state.shape, state.g).tally,
        "weight": "in full colour: the cells that share a weight",
        "dx": f"in colour: where dy of {state.cell} reaches dx",
    }[state.show]
    if state.task:
        cell = f"mark every cell that shares the mean of {state.cell}"
        what = {"mark": cell, "count": "how many means are there?"}[state.task]
    middle = INCHES / 2
    _write(ax, (middle, top + 0.52), state.title, hue(NORMS[state.norm], theme), 13, weight="bold")
    _write(ax, (middle, top + 0.28), f"N × C × H × W = {size}; {what}", THEMES[theme].ink, 9.5)


def _write(ax: Any, at: Any, text: str, colour: str, size: float = 9, **style: Any) -> None:
    """One line of text."""
    style = {"ha": "center", "va": "baseline"} | style
    ax.text(*at, text, color=colour, fontsize=size, family=FONT, zorder=4, **style)
