"""The picture of a reader's own result, as SVG in the colours of the verdict that it stands in.

Cells stand as in memory: examples downward, channels to the right, and each channel's pixels in a box.
Sets are parted by gaps. What is above 0 has the norm's colour, what is below 0 is grey.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from html import escape
from itertools import groupby
from math import prod
from typing import Any, NamedTuple

import numpy as np

from gnref.teaching.exercises.cases import Case
from gnref.teaching.exercises.exercise import Exercise
from gnref.teaching.exercises.truth import PER_ELEMENT, PER_SET, Truth
from gnref.testing.members import set_ids
from gnref.testing.problems import CHANNEL_NORMS, Array, Problem

WIDTH, HEIGHT = 560, 190  # of a picture at most, in CSS pixels
NARROW, WIDE = 1.0, 7.0  # gaps between boxes of one set, and between sets
EXAMPLES, LEVELS, BARS, MOST_NUMBERS = 3, 8, 40, 18
FONT = "system-ui,sans-serif"


class Picture(NamedTuple):
    """An SVG, and what it shows."""

    svg: str
    caption: str


class Blocks(NamedTuple):
    """An array as boxes: (N, C, H, W), and the number of the set of each (n, c)."""

    cells: Array
    sets: Array


def easiest(asked: Sequence[Case]) -> int:
    """The number of the problem that is drawn: the one with the fewest columns."""

    def columns(i: int) -> tuple[int, int]:
        problem = asked[i].problem
        across = problem.x.size // problem.shape[0] if problem.norm not in CHANNEL_NORMS else problem.shape[1]
        return across * (problem.shape[-1] if problem.rank > 2 else 1), problem.x.size

    return min(range(len(asked)), key=columns)


def picture_of(exercise: Exercise, case: Case, found: tuple[Any, ...]) -> Picture:
    """Draw a right answer to one problem."""
    pairs = list(zip(case.names, found, strict=True))
    name, value = next((pair for pair in pairs if pair[0] in PER_ELEMENT), pairs[0])
    if case.arguments and name in PER_ELEMENT and np.shape(value) == case.problem.shape:
        return _beside(case.problem, name, value)
    if case.arguments and name in PER_SET and np.size(value) == np.size(Truth(case.problem)[name]):
        if np.size(value) == 1:
            return words(
                f"{float(np.ravel(value)[0]):.4g}", f"Your {name} of {case.problem.set_size} numbers."
            )
        return _beside(case.problem, name, np.ravel(value)[set_ids(case.problem)], np.ravel(value))
    if isinstance(value, np.ndarray) and case.arguments and value.shape == case.problem.shape:
        return _alone(case.problem, name, value)
    if isinstance(value, np.ndarray) and value.ndim >= 2:
        return grid(value, f"Your {name}, in the shape {value.shape}.")
    if isinstance(value, np.ndarray) and value.ndim == 1 and 2 <= value.size <= BARS and case.arguments:
        return bars(value, f"Your {name}, one bar for each of the {value.size} numbers.")
    caption = f"Your {', '.join(case.names)} where {case.where}." if case.arguments else ""
    return words(" · ".join(_short(one) for _, one in pairs), caption)


def _beside(problem: Problem, name: str, value: Array, numbers: Array | None = None) -> Picture:
    """What went in on the left, and the result on the right, with a number in each set if there is one."""
    source = (
        "dy" if name in ("dx", "dxhat", "drstd", "dvar", "dmean", "mean_dxhat", "mean_dxhat_xhat") else "x"
    )
    one, other = blocks(problem, getattr(problem, source)), blocks(problem, value)
    scale = _scale(one.cells) if source == "x" and numbers is None else None
    drawn = [
        _panel(one, source, scale or _scale(one.cells), 0.0),
        _panel(other, f"your {name}", scale or _scale(other.cells), WIDTH / 2 + 8, numbers),
    ]
    left_out = problem.shape[0] - EXAMPLES if problem.norm in CHANNEL_NORMS else 0
    shown = f"the first {EXAMPLES} of {problem.shape[0]} examples" if left_out > 0 else "examples"
    caption = (
        f"{source} and your {name}: {shown} downward, channels to the right, pixels inside; gaps part the "
        "sets. In colour what is above 0, grey what is below."
    )
    if problem.norm not in CHANNEL_NORMS:
        caption = f"{source} and your {name}: a row is a set. In colour what is above 0, grey what is below."
    return Picture(_svg("".join(part for part, _ in drawn), max(h for _, h in drawn), caption), caption)


def _alone(problem: Problem, name: str, value: Array) -> Picture:
    """An array of x's shape, or a mask of it: the examples in which there is something to see."""
    first = int(np.argmax(np.any(value.reshape(len(value), -1), axis=1)))
    first = max(0, min(first, len(value) - EXAMPLES))
    shown = blocks(problem, np.asarray(value, float), first)
    drawn, height = _panel(shown, f"your {name}", _scale(shown.cells), 0.0)
    last = first + len(shown.cells) - 1
    which = f"Examples {first} to {last} downward" if last > first else "One example"
    caption = f"{which}, channels to the right, pixels inside; gaps part the sets."
    return Picture(_svg(drawn, height, caption), caption)


def blocks(problem: Problem, value: Array, first: int = 0) -> Blocks:
    """Take some examples of an array of x's shape apart into boxes of pixels."""
    if problem.norm not in CHANNEL_NORMS:
        size = prod(problem.normalized_shape or (1,))
        cells = value.reshape(-1, size, 1, 1)[first : first + 3 * EXAMPLES]
        return Blocks(cells, np.repeat(np.arange(len(cells))[:, None], size, axis=1))
    shape = problem.shape
    high, wide = prod(shape[2:-1]), prod(shape[-1:]) if len(shape) > 2 else 1
    cells = value.reshape(*shape[:2], high, wide)[first : first + EXAMPLES]
    return Blocks(cells, set_ids(problem).reshape(*shape[:2], -1)[first : first + EXAMPLES, :, 0])


def _scale(cells: Array) -> float:
    """The size that has the full colour: most are below it."""
    sizes = np.abs(cells)
    return float(np.quantile(sizes, 0.95)) or float(sizes.max()) or 1.0


def _panel(
    shown: Blocks, title: str, scale: float, left: float, numbers: Array | None = None
) -> tuple[str, float]:
    """One array, under its name; and how high it is."""
    N, C, H, W = shown.cells.shape
    across = _starts(shown.sets[0], W)
    down = _starts(shown.sets[:, 0], H)
    width, height = WIDTH / 2 - 8, HEIGHT - 24.0
    unit_x = (width - across.gaps) / (C * W)
    unit_y = min(unit_x * 1.6, (height - down.gaps) / (N * H), 22.0)
    unit_x = min(unit_x, unit_y * 1.6)

    def corner(n: int, c: int, h: int = 0) -> tuple[float, float]:
        return left + across.gap[c] + c * W * unit_x, 24 + down.gap[n] + (n * H + h) * unit_y

    parts = [_title(title, left), *_shades(shown.cells, scale, corner, (unit_x, unit_y))]
    middles: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for n in range(N):
        for c in range(C):
            x, y = corner(n, c)
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{W * unit_x:.1f}" height="{H * unit_y:.1f}" '
                'fill="none" style="stroke:var(--muted)" stroke-width=".6" stroke-opacity=".55"/>'
            )
            middles[int(shown.sets[n, c])].append((x + W * unit_x / 2, y + H * unit_y / 2))
    if numbers is not None and len(middles) <= MOST_NUMBERS:
        parts += [_number(numbers[number], np.mean(at, axis=0)) for number, at in middles.items()]
    return "".join(parts), 24 + down.gaps + N * H * unit_y + 2


def _shades(
    cells: Array, scale: float, corner: Callable[..., tuple[float, float]], unit: tuple[float, float]
) -> Iterator[str]:
    """One path for each shade; neighbours of one shade in a row are one rectangle."""
    paths: dict[tuple[bool, int], list[str]] = defaultdict(list)
    for at in np.ndindex(cells.shape[:3]):
        x, y = corner(*at)
        for shade, run in groupby(cells[at].tolist(), lambda value: _shade(value, scale)):
            wide = len(list(run)) * unit[0]
            paths[shade].append(f"M{x:.1f} {y:.1f}h{wide:.1f}v{unit[1]:.1f}h-{wide:.1f}z")
            x += wide
    for (above, level), drawn in sorted(paths.items()):
        colour, opacity = ("--hue", level / LEVELS) if above else ("--muted", level / LEVELS * 0.8)
        yield f'<path d="{"".join(drawn)}" style="fill:var({colour})" fill-opacity="{opacity:.2f}"/>'


def _shade(value: float, scale: float) -> tuple[bool, int]:
    """The sign of a number, and how strong its colour is."""
    return value > 0, int(np.clip(np.ceil(abs(value) / scale * LEVELS), 0, LEVELS))


def _number(value: float, at: Array) -> str:
    """The number of a set, in its middle; with an edge in the page's colour, to be read on any tint."""
    return (
        f'<text x="{at[0]:.1f}" y="{at[1] + 4:.1f}" font-size="11.5" text-anchor="middle" font-weight="600" '
        f'font-family="{FONT}" '
        'style="fill:var(--ink);stroke:var(--ground);stroke-width:3px;paint-order:stroke">'
        f"{value:.2f}</text>"
    )


class _Starts(NamedTuple):
    gap: list[float]
    gaps: float


def _starts(sets: Array, size: int) -> _Starts:
    """Where boxes begin along an axis: the gaps before each of them, and all gaps together."""
    gap, total = [], 0.0
    for i in range(len(sets)):
        if i:
            total += WIDE if sets[i] != sets[i - 1] else NARROW * (size > 1)
        gap.append(total)
    return _Starts(gap, total)


def grid(value: Array, caption: str) -> Picture:
    """An array of two or more axes, or a mask: rows downward."""
    cells = np.asarray(value, float).reshape(-1, value.shape[-1], 1, 1)[:24]
    sets = np.broadcast_to(np.arange(len(cells))[:, None] * 0, cells.shape[:2])
    drawn, height = _panel(Blocks(cells, sets), "", _scale(cells), 0.0)
    return Picture(_svg(drawn, height, caption), caption)


def bars(value: Array, caption: str) -> Picture:
    """A few numbers as bars from a line at 0."""
    most = float(np.abs(value).max()) or 1.0
    low, high = min(0.0, float(value.min())), max(0.0, float(value.max()))
    height, step = 90.0, min(36.0, WIDTH / value.size)
    zero = 6 + height * high / ((high - low) or 1.0)
    parts = []
    for i, number in enumerate(value.ravel().tolist()):
        tall = height * abs(number) / ((high - low) or most)
        top = zero - tall if number > 0 else zero
        colour = "--hue" if number > 0 else "--muted"
        parts.append(
            f'<rect x="{i * step + 3:.1f}" y="{top:.1f}" width="{step - 6:.1f}" '
            f'height="{max(tall, 0.8):.1f}" style="fill:var({colour})"/>'
        )
    parts.append(f'<path d="M0 {zero:.1f}H{value.size * step:.1f}" style="stroke:var(--muted)"/>')
    return Picture(_svg("".join(parts), height + 12, caption), caption)


def words(text: str, caption: str) -> Picture:
    """An answer that is a number or a word: itself."""
    size = 22 if len(text) < 40 else 14
    drawn = (
        f'<text x="0" y="26" font-size="{size}" font-weight="600" font-family="{FONT}" '
        f'style="fill:var(--hue)">{escape(text[:90])}</text>'
    )
    return Picture(_svg(drawn, 38, caption or text), caption)


def _title(text: str, left: float) -> str:
    """The name above a panel."""
    return (
        f'<text x="{left:.1f}" y="15" font-size="13" font-family="{FONT}" '
        f'style="fill:var(--ink)">{escape(text)}</text>'
    )


def _svg(inside: str, height: float, label: str) -> str:
    """An SVG element, with a text for those who do not see it."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" role="img" '
        f'aria-label="{escape(label)}">{inside}</svg>'
    )


def _short(value: Any) -> str:
    """A number, a word or a few numbers."""
    if isinstance(value, np.ndarray):
        if value.ndim == 0:
            return f"{value.item():.6g}" if value.dtype.kind == "f" else str(value.item())
        return ", ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in value.ravel().tolist()[:12])
    return ", ".join(map(str, sorted(value))) if isinstance(value, set | frozenset) else str(value)
