"""Which way a set takes through a GPU, as a map: by its size, and by how many sets there are.

Nothing here is drawn by hand: `gnref.kernels.cuda.plan.plan`, which launches ask, is asked at every point.
It is arithmetic, so that the map needs neither a GPU nor CuPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gnref.axes import view
from gnref.errors import MissingExtraError
from gnref.kernels.cuda.plan import Limits, Plan, plan
from gnref.teaching.palette import NAMES, THEMES, check_theme, hue, ink_on
from gnref.teaching.themed import Themed, themed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What a block may ask for, less the 1 KB that the system keeps of it.
DEVICES = {"H100": Limits(132, 226 * 1024, True), "A100": Limits(108, 162 * 1024, False)}

# In the order in which they are tried; in greys, as a hue is a norm. Columns, channels last, are not drawn.
WAYS = ("registers", "cluster", "shared", "chunks")
GREYS = {
    "light": {"registers": "#45443C", "cluster": "#85847A", "shared": "#BDBCB1", "chunks": "#EBEAE2"},
    "dark": {"registers": "#E4E2D4", "cluster": "#A6A498", "shared": "#6C6B62", "chunks": "#35352F"},
}

CHANNELS, ITEMSIZE = 8, 4  # of the sets on the map: a group of channels, in float32
SIZES = 2.0 ** np.arange(10, 22, 0.125)  # bytes of a set, at the left of each column of the map
SETS = 2.0 ** np.arange(0, 17, 0.25)  # at the foot of each row
WIDTH, PANEL, TITLE, LEGEND = 7.4, 2.3, 0.4, 1.1  # in inches
NARROW = 20  # columns, on fewer than which the name of a way is turned


class Layer(NamedTuple):
    """A layer of a known network."""

    norm: str
    name: str
    shape: tuple[int, ...]
    itemsize: int
    num_groups: int | None = None

    @property
    def slots(self) -> tuple[int, int, int, int, int]:
        """The view (O, P, A, B, S), as the kernels get it."""
        last = self.shape[-1:] if self.norm == "layer" else None
        O, P, A, B, S = view(self.norm, self.shape, num_groups=self.num_groups, normalized_shape=last).x.slots
        return O, P, A, B, S

    @property
    def size(self) -> int:
        """The bytes of a set."""
        _, P, _, B, S = self.slots
        return P * B * S * self.itemsize

    @property
    def sets(self) -> int:
        """How many there are."""
        return self.slots[0] * self.slots[2]

    def plan(self, limits: Limits, backward: bool = False) -> Plan:
        """What a device would do."""
        return plan(self.slots, self.itemsize, limits, backward=backward)


LAYERS = (
    Layer("group", "ResNet at 56 × 56, 32 images", (32, 256, 56, 56), 4, 32),
    Layer("layer", "a transformer 4096 wide, 16 bits", (8192, 4096), 2),
    Layer("batch", "ResNet at 56 × 56, 32 images", (32, 256, 56, 56), 4),
    Layer("instance", "8 images of 64 × 224 × 224", (8, 64, 224, 224), 4),
    Layer("group", "8 clips of 16 frames of 56 × 56", (8, 256, 16, 56, 56), 4, 32),
    Layer("instance", "one image of 3 × 224 × 224", (1, 3, 224, 224), 4),
)


def accesses(way: str, backward: bool = False) -> int:
    """Return how many arrays as large as x go through memory: x in and y out, or x and dy in and dx out.

    A set that is not kept is read for its sums, and read again. (The second time part of it may still be
    in a cache.)

    Examples
    --------
    >>> accesses("registers"), accesses("chunks"), accesses("shared", backward=True)
    (2, 3, 3)
    """
    kept = way in ("registers", "cluster", "shared")
    return (3 if kept else 5) if backward else (2 if kept else 3)


def way_at(size: float, sets: float, limits: Limits, backward: bool = False) -> str:
    """Return the way of so many sets of about this many bytes.

    Examples
    --------
    >>> way_at(100_000, 1000, DEVICES["H100"]), way_at(100_000, 1000, DEVICES["A100"])
    ('cluster', 'shared')
    """
    S = max(1, round(size / (CHANNELS * 16))) * 16 // ITEMSIZE  # channels of whole 16-byte words
    return plan((max(1, round(sets)), 1, 1, CHANNELS, S), ITEMSIZE, limits, backward=backward).way


def way_map(limits: Limits, backward: bool = False) -> list[list[str]]:
    """Return the way in the middle of every cell of the map: a list for each of SETS, along SIZES."""
    sizes, sets = SIZES * 2**0.0625, SETS * 2**0.125
    return [[way_at(size, many, limits, backward) for size in sizes] for many in sets]


def draw_ways(theme: str = "light", devices: Mapping[str, Limits] = DEVICES) -> Figure:
    """Draw the map: a row of panels for each device, forward on the left and backward on the right.

    Across is the size of a set, up the number of sets; a grey is a way, and a dot a layer of `LAYERS`
    in the colour of its norm.

    Parameters
    ----------
    theme : str
        "light" or "dark".
    devices : mapping of str to Limits
        What is drawn, by name.

    Returns
    -------
    figure : matplotlib.figure.Figure
        For `gnref.teaching.themed.themed`, or `gnref.teaching.plots.save`.

    Raises
    ------
    ValueError
        The theme is not known.
    MissingExtraError
        matplotlib is not installed.
    """
    check_theme(theme)
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("figures need matplotlib: pip install 'gnref[plots]'") from error
    height = TITLE + len(devices) * (PANEL + TITLE) + LEGEND
    figure = Figure(figsize=(WIDTH, height))
    inner = {"left": 0.85 / WIDTH, "right": 1 - 0.25 / WIDTH, "wspace": 0.15, "hspace": TITLE / PANEL}
    inner |= {"bottom": (LEGEND + TITLE) / height, "top": 1 - TITLE / height}
    grid = figure.subplots(len(devices), 2, squeeze=False, sharex=True, sharey=True, gridspec_kw=inner)
    for row, (device, limits) in zip(grid, devices.items(), strict=True):
        for ax, backward in zip(row, (False, True), strict=True):
            _panel(ax, theme, limits, backward)
            ax.set_title(
                f"{device}, {'backward' if backward else 'forward'}", color=THEMES[theme].ink, size=11
            )
    for ax in grid[-1]:
        ax.set_xlabel("size of a set", color=THEMES[theme].ink)
    for ax in grid[:, 0]:
        ax.set_ylabel("number of sets", color=THEMES[theme].ink)
    _legend(figure, theme)
    return figure


def picture(devices: Mapping[str, Limits] = DEVICES) -> Themed:
    """Return the map for light and dark pages, with what it shows in words."""
    return themed(lambda theme: draw_ways(theme, devices), " ".join(_words(*one) for one in devices.items()))


def _words(device: str, limits: Limits) -> str:
    """What the two panels of a device show where there are many sets."""
    told = []
    for backward in (False, True):
        ways = way_map(limits, backward)[-1]
        starts = [i for i, way in enumerate(ways) if i == 0 or ways[i - 1] != way]
        parts = [f"{ways[i]}{f' from {_bytes(SIZES[i])}' if i else ''}" for i in starts]
        told.append(f"{'backward' if backward else 'forward'} {', '.join(parts)}")
    return f"{device}, many sets: {'; '.join(told)}. Where sets are few and large, chunks."


def _panel(ax: Any, theme: str, limits: Limits, backward: bool) -> None:
    """One map, with the names of the ways and the layers on it."""
    from matplotlib.colors import ListedColormap

    greys, ways = GREYS[theme], way_map(limits, backward)
    number = {way: i for i, way in enumerate(WAYS)}
    cells = np.array([[number[way] for way in row] for row in ways])
    left, right, top = np.log2(SIZES[0]), np.log2(SIZES[-1]) + 0.125, np.log2(SETS[-1]) + 0.25
    shown = {"cmap": ListedColormap(list(greys.values())), "vmin": -0.5, "vmax": len(WAYS) - 0.5}
    ax.imshow(
        cells, origin="lower", aspect="auto", interpolation="nearest", extent=(left, right, 0, top), **shown
    )
    for way in dict.fromkeys(ways[-1]):
        columns = [i for i, one in enumerate(ways[-1]) if one == way]
        middle, narrow = left + 0.125 * (columns[0] + columns[-1] + 1) / 2, len(columns) < NARROW
        style = {"color": ink_on(greys[way]), "size": 9.5, "ha": "center", "va": "top"}
        ax.text(middle, top - 0.5, way, rotation=90 if narrow else 0, **style)
    for i, layer in enumerate(LAYERS):
        _dot(ax, (np.log2(layer.size), np.log2(layer.sets)), i, theme)
    ax.set_xticks(range(10, 23, 3), [_bytes(2**i) for i in range(10, 23, 3)])
    ax.set_yticks(range(0, 17, 4), [f"{2**i:,}" for i in range(0, 17, 4)])
    ax.tick_params(colors=THEMES[theme].muted, labelsize=9)
    ax.spines[:].set_visible(False)


def _legend(figure: Figure, theme: str) -> None:
    """The layers by their numbers, below all panels."""
    width, height = figure.get_size_inches()
    ax = figure.add_axes((0, 0, 1, LEGEND / height), xlim=(0, width), ylim=(0, LEGEND))
    ax.set_axis_off()
    for i, layer in enumerate(LAYERS):
        at = 0.45 + 3.45 * (i % 2), LEGEND - 0.3 * (1 + i // 2)
        _dot(ax, at, i, theme)
        words = f"{NAMES[layer.norm]}: {layer.name}"
        ax.text(at[0] + 0.2, at[1], words, color=THEMES[theme].ink, size=9, va="center_baseline")


def _dot(ax: Any, at: tuple[float, float], i: int, theme: str) -> None:
    """A layer: its number, on its norm's colour."""
    colour = hue(LAYERS[i].norm, theme)
    ax.plot(*at, "o", ms=13, color=colour, mec=THEMES[theme].background, mew=1.3)
    style = {"color": ink_on(colour), "size": 9, "weight": "bold", "ha": "center", "va": "center_baseline"}
    ax.text(*at, str(i + 1), **style)


def _bytes(size: float) -> str:
    """A size in words: 512 B, 64 KB, 4 MB."""
    for unit, bits in (("MB", 20), ("KB", 10)):
        if size >= 1 << bits:
            return f"{size / (1 << bits):.3g} {unit}"
    return f"{size:.0f} B"
