"""The rows as a picture: how much of the speed of a copy gnref and each peer reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gnref.bench.grid import DIRECTIONS, NORMS, Row
from gnref.bench.peers import PEERS
from gnref.bench.report import SHORT
from gnref.bench.results import Result
from gnref.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# In inches.
LABELS, PANEL, GAP, RIGHT = 2.05, 4.3, 0.55, 0.55  # the width of the names, a panel, and beside each
LINE, HEAD, FOOT = 0.2, 1.38, 0.84  # a row; above and below all rows
SPACE = 1.6  # lines that the name of a norm takes
FONT = ["DejaVu Sans", "sans-serif"]  # the first comes with matplotlib: the same text everywhere
INK, MUTED, GRID = "#1F2328", "#59636E", "#E3E6EA"
BAR, OUT = "#3B82C4", "#BBD6EF"  # gnref: into a new array, and with out=
TITLES = {"batch": "BatchNorm", "instance": "InstanceNorm", "group": "GroupNorm", "layer": "LayerNorm"}
# Okabe and Ito's colours for colour-blind readers, and a shape for each that tells them apart without any.
MARKS = {
    "torch": ("#D55E00", "o", 30),
    "compile": ("#E69F00", "^", 34),
    "jax": ("#009E73", "D", 22),
    "onnxruntime": ("#CC79A7", "s", 26),
    "openvino": ("#1F2328", "P", 34),
    "numpy": ("#7A828C", "X", 30),
}
Key = tuple[Any, ...]


def draw(machine: Mapping[str, Any], results: Sequence[Result]) -> Figure:
    """Draw gnref as bars and the peers as marks, forward and backward; 1 is the speed of a copy.

    Parameters
    ----------
    machine : mapping
        From `gnref.bench.machine.describe`.
    results : sequence of Result
        Those without a limit are left out.

    Returns
    -------
    figure : matplotlib.figure.Figure

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("figures need matplotlib: pip install 'gnref[bench]'") from error
    results = [result for result in results if result.limit is not None]
    directions = [d for d in DIRECTIONS if any(r.row.direction == d for r in results)]
    places, headings, depth = _places(result.row for result in results)
    width = LABELS + len(directions) * (PANEL + GAP) - GAP + RIGHT
    height = HEAD + LINE * depth + FOOT
    figure = Figure(figsize=(width, height), facecolor="white")
    most = max((share for result in results for share in _shares(result)), default=1.0)
    for i, direction in enumerate(directions):
        box = (LABELS + i * (PANEL + GAP), FOOT, PANEL, LINE * depth)
        ax = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
        _prepare(ax, direction, depth, max(1.08, most + 0.04))
        for result in results:
            if result.row.direction == direction:
                _row(ax, places[_key(result.row)], result)
        if i == 0:
            _names(ax, places, headings)
    _heading(figure, machine, results)
    return figure


def _key(row: Row) -> Key:
    """What the forward and the backward row of a line have in common."""
    return tuple(value for name, value in row._asdict().items() if name != "direction")


def _shares(result: Result) -> list[float]:
    """All numbers that a line shows."""
    peers = (outcome.timing for outcome in result.peers.values())
    shares = (result.share_of(t) for t in (result.own, result.own_out, *peers) if t is not None)
    return [share for share in shares if share is not None]


def _places(rows: Iterable[Row]) -> tuple[dict[Key, float], dict[str, float], float]:
    """The height of each line and of each norm's name, counted downward in lines."""
    unique = {_key(row): row for row in rows}
    places, headings, depth = {}, {}, 0.0
    for norm in NORMS:
        own = [key for key, row in unique.items() if row.norm == norm]
        if own:
            headings[norm] = depth + SPACE - 0.75
            depth += SPACE
        for key in own:
            places[key] = depth + 0.5
            depth += 1
    return places, headings, depth + 0.4


def _prepare(ax: Any, direction: str, depth: float, right: float) -> None:
    """Axes without a frame, a line at every quarter, and a strong one at the copy."""
    ax.set(xlim=(0, right), ylim=(depth, 0), yticks=[])
    ticks = [0, 0.25, 0.5, 0.75, 1]
    ax.set_xticks(ticks, ["0", "25%", "50%", "75%", "100%"], color=MUTED, fontsize=8, family=FONT)
    ax.tick_params(length=0, pad=4)
    ax.spines[:].set_visible(False)
    ax.set_axisbelow(True)
    for x in ticks[:-1]:
        ax.axvline(x, color=GRID, lw=0.8, zorder=0)
    ax.axvline(1, color=INK, lw=1.1, zorder=1)
    ax.text(1, 0.1, "a copy of x", color=INK, fontsize=8, ha="center", va="bottom", family=FONT)
    ax.text(0, 0.1, direction, color=INK, fontsize=11, weight="bold", va="bottom", family=FONT)


def _row(ax: Any, y: float, result: Result) -> None:
    """One line: gnref's bar, its length in words, and the marks of the peers."""
    share, out = result.share_of(result.own), result.share
    assert share is not None
    if out is not None:
        ax.barh(y, out, height=0.62, color=OUT, zorder=2 if out > share else 3)  # the shorter one in front
    ax.barh(y, share, height=0.62, color=BAR, zorder=2.5)
    ax.text(
        1.005, y, f"{out or share:.0%}", transform=ax.get_yaxis_transform(), color=MUTED, fontsize=7.5,
        va="center", family=FONT,
    )  # fmt: skip
    for name, (colour, marker, size) in MARKS.items():
        outcome = result.peers.get(name)
        if outcome is not None and outcome.timing is not None:
            at = result.share_of(outcome.timing)
            ax.scatter(
                at, y, s=size, color=colour, marker=marker, ec="white", lw=0.7, zorder=4, clip_on=False
            )


def _names(ax: Any, places: Mapping[Key, float], headings: Mapping[str, float]) -> None:
    """What each line is, beside the first panel."""
    style = {"transform": ax.get_yaxis_transform(), "va": "center", "ha": "right", "family": FONT}
    for norm, y in headings.items():
        ax.text(-0.02, y, TITLES[norm], color=INK, fontsize=10, weight="bold", **style)
    for (_, shape, dtype, channel_axis, *_), y in places.items():
        more = ("" if dtype == "float32" else f"  {SHORT[dtype]}") + ("  last" if channel_axis == -1 else "")
        ax.text(-0.02, y, "×".join(map(str, shape)) + more, color=MUTED, fontsize=8, **style)


def _heading(figure: Any, machine: Mapping[str, Any], results: Sequence[Result]) -> None:
    """Title, what is shown where and by which mark."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    width, height = figure.get_size_inches()
    left = 0.2 / width

    def write(inches: float, text: str, **style: Any) -> None:
        figure.text(left, 1 - inches / height, text, family=FONT, va="baseline", **style)

    write(0.36, "How close to the speed of memory", color=INK, fontsize=14, weight="bold")
    threads = f"{machine['threads']} thread{'s' if machine['threads'] > 1 else ''}"
    write(0.61, f"{machine['processor']}, {threads}; longer is faster", color=MUTED, fontsize=9)
    handles: list[Any] = [Patch(color=BAR, label="gnref")]
    if any(result.own_out is not None for result in results):
        handles.append(Patch(color=OUT, label="gnref, out="))
    present = {name for result in results for name, o in result.peers.items() if o.timing is not None}
    for name, (colour, marker, size) in MARKS.items():
        if name in present:
            style: dict[str, Any] = {"ls": "", "mec": "white", "mew": 0.7, "ms": size**0.5 + 1}
            handles.append(Line2D([], [], color=colour, marker=marker, label=PEERS[name].title, **style))
    legend = figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(left, 1 - 0.76 / height), ncols=len(handles),
        frameon=False, prop={"family": FONT, "size": 9}, borderpad=0, borderaxespad=0, handletextpad=0.4,
        columnspacing=1.3, handlelength=1.3,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_color(INK)
    note = (
        "100% is the speed of the fastest copy of x, which reads it once and writes it once; backward, two "
        "arrays are read and one is written.\n"
        "The numbers at the right are gnref's, with out= where it was measured. last: channels last."
    )
    figure.text(
        left, 0.15 / height, note, color=MUTED, fontsize=8, family=FONT, va="bottom", linespacing=1.35
    )
