"""What the experiments' figures share: axes, a curve with the dots of its seeds, two panels side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from gnref.teaching.palette import THEMES, check_theme, hue
from gnref.teaching.paper import name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gnref.teaching.paper import Reported

# Hue, marker and line of a curve. Batch norm with other statistics keeps its hue and changes its line.
STYLES = {
    "batch": ("batch", "o", "-"),
    "layer": ("layer", "^", "-"),
    "instance": ("instance", "v", "-"),
    "group": ("group", "s", "-"),
    "frozen": ("batch", "X", ":"),
    "constant": ("batch", "X", ":"),
    "renorm": ("batch", "D", "--"),
}
SMALL, TEXT = 9, 11  # points


def panels(
    theme: str, *titles: str, size: tuple[float, float] = (9, 3.8), ratios: Sequence[float] | None = None
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel for each title, side by side, in the page's own colours.

    Parameters
    ----------
    theme : str
        "light" or "dark".
    titles : str
        Such as "measured here" and "the paper, ImageNet".
    size : tuple of float
        In inches; 9 wide fills a page.
    ratios : sequence of float, optional
        The widths of the panels to each other.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : list of matplotlib.axes.Axes
        As many as there are titles.

    Examples
    --------
    >>> figure, (left, right) = panels("light", "measured here", "the paper, ImageNet")
    >>> left.get_title()
    'measured here'
    """
    from matplotlib.figure import Figure

    check_theme(theme)
    figure = Figure(figsize=size, layout="constrained")
    figure.patch.set_facecolor(THEMES[theme].background)
    axes = list(figure.subplots(1, len(titles), squeeze=False, width_ratios=ratios)[0])
    for ax, title in zip(axes, titles, strict=True):
        plain(ax, theme)
        ax.set_title(title, color=THEMES[theme].ink, size=TEXT)
    return figure, axes


def plain(ax: Axes, theme: str) -> None:
    """Give axes the colours of a page: two spines, quiet ticks, no background."""
    muted = THEMES[theme].muted
    ax.patch.set_alpha(0)
    ax.tick_params(colors=muted, labelsize=SMALL)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(muted)


def label(ax: Axes, theme: str, x: str = "", y: str = "") -> None:
    """Say what the axes are."""
    ax.set_xlabel(x, color=THEMES[theme].muted, size=TEXT - 1)
    ax.set_ylabel(y, color=THEMES[theme].muted, size=TEXT - 1)


def powers(ax: Axes, xs: Sequence[float], names: Sequence[str] | None = None) -> None:
    """Put xs, such as 32, 16, ..., 2, at equal steps from left to right in the order given."""
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(xs), list(names or map(str, xs)))
    ax.minorticks_off()
    room = 2**0.25
    low, high = min(xs) / room, max(xs) * room
    ax.set_xlim(*((high, low) if xs[0] > xs[-1] else (low, high)))


def curve(
    ax: Axes,
    theme: str,
    norm: str,
    xs: Sequence[Any],
    values_by_x: Mapping[Any, Sequence[float]],
    *,
    label: str | None = None,
    line: str | None = None,
) -> None:
    """Draw the line through the means, and a dot for each seed.

    Parameters
    ----------
    ax : Axes
        Where.
    theme : str
        "light" or "dark".
    norm : str
        A key of `STYLES`.
    xs : sequence
        In the order of the line.
    values_by_x : mapping
        The values of the seeds at each x. An x without values is left out, and parts the line.
    label : str, optional
        What `legend` calls it; else as in the paper: "BN".
    line : str, optional
        matplotlib's line style, for a second curve of the same norm.

    Examples
    --------
    >>> figure, (ax,) = panels("light", "measured here")
    >>> curve(ax, "light", "batch", (32, 2), {32: [49.0, 51.0], 2: [68.6, 70.0]})
    >>> ax.lines[0].get_ydata().tolist()
    [50.0, 69.3]
    """
    of, marker, default = STYLES[norm]
    colour = hue(of, theme)
    means = [fmean(values_by_x[x]) if values_by_x.get(x) else float("nan") for x in xs]
    style = default if line is None else line
    ax.plot(xs, means, style, marker=marker, color=colour, lw=2, ms=6, label=label or name(norm), zorder=3)
    seeds = [(x, value) for x in xs for value in values_by_x.get(x, ())]
    if len(seeds) > sum(x in values_by_x for x in xs):  # one seed is its own mean
        ax.plot(*zip(*seeds, strict=True), ".", color=colour, alpha=0.55, ms=5, mew=0, zorder=2)


def paper_curve(
    ax: Axes,
    theme: str,
    norm: str,
    table: Reported,
    row: str | None = None,
    *,
    label: str | None = None,
    line: str | None = None,
) -> None:
    """Draw a row of the paper's table, hollow where a figure has the status N.

    Parameters
    ----------
    ax, theme, norm, label, line
        As for `curve`.
    table : Reported
        Of `gnref.teaching.paper`.
    row : str, optional
        Where it is not called as the norm is.

    Examples
    --------
    >>> from gnref.teaching.paper import CHANNELS_PER_GROUP
    >>> figure, (ax,) = panels("light", "the paper, ImageNet")
    >>> paper_curve(ax, "light", "group", CHANNELS_PER_GROUP)
    >>> ax.lines[1].get_xdata().tolist()  # status N
    [32, 16, 8, 4, 2]
    """
    figures = table.row(row or norm)
    curve(ax, theme, norm, list(figures), {x: [y] for x, y in figures.items()}, label=label, line=line)
    hollow = [(x, value) for x, value in figures.items() if table.status(row or norm, x) == "N"]
    if hollow:
        of, marker, _ = STYLES[norm]
        page = THEMES[theme].background
        ax.plot(*zip(*hollow, strict=True), marker, color=hue(of, theme), ms=6, mfc=page, zorder=4)


def legend(ax: Axes, theme: str, **options: Any) -> None:
    """Name the curves, in ink, without a frame; options as of matplotlib's, such as loc."""
    made = ax.legend(frameon=False, fontsize=SMALL + 1, **options)
    for text in made.get_texts():
        text.set_color(THEMES[theme].ink)


def name_ends(ax: Axes, gap: float = 0.075) -> None:
    """Write the name of every curve at its right end, in its colour; the limits of y then stay.

    Parameters
    ----------
    ax : Axes
        With all its curves.
    gap : float
        Least distance of two names, as a share of the axes' height: those that are closer are moved apart.
    """
    low, high = ax.get_ylim()
    ax.set_ylim(low, high)
    ends = []
    for line in ax.lines:
        xy = np.array(line.get_xydata(), float)
        xy = xy[np.isfinite(xy[:, 1])]
        if len(xy) and not str(line.get_label()).startswith("_"):
            ends.append(((xy[-1, 1] - low) / (high - low), xy[-1, 0], line))
    ends.sort(key=lambda end: float(end[0]))
    for place, (_, x, line) in zip(_apart([end[0] for end in ends], gap), ends, strict=True):
        ax.annotate(
            str(line.get_label()),
            (x, place),
            xycoords=("data", "axes fraction"),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            color=line.get_color(),
            size=TEXT,
            weight="bold",
            annotation_clip=False,
        )


def _apart(places: Sequence[float], gap: float) -> list[float]:
    """Sorted places, moved as little as keeps a gap: those too close share the room around their mean."""
    blocks: list[list[float]] = []
    for place in places:
        blocks.append([place])
        while (
            len(blocks) > 1 and fmean(blocks[-1]) - fmean(blocks[-2]) < gap * sum(map(len, blocks[-2:])) / 2
        ):
            last = blocks.pop()
            blocks[-1] += last
    return [fmean(block) + gap * (i - (len(block) - 1) / 2) for block in blocks for i in range(len(block))]
