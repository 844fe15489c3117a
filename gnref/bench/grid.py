"""The rows of the benchmark, as data: a norm, a direction, and the array that it meets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import NamedTuple

NORMS = ("batch", "instance", "group", "layer")
DIRECTIONS = ("forward", "backward")

IMAGES = (  # N C H W: 103, 26, 6, 103, 3 and 0.1 MB
    (32, 256, 56, 56),
    (8, 256, 56, 56),
    (2, 256, 56, 56),
    (32, 64, 112, 112),
    (32, 512, 7, 7),
    (2, 64, 16, 16),
)
TOKENS = ((6272, 768), (8192, 1024), (512, 4096), (16384, 128))  # layer norm over the last axis
VIDEO = (2, 64, 16, 56, 56)  # N C T H W
MIDDLE = (8, 256, 56, 56)
ITEMSIZE = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
LARGE = 25e6  # bytes of x from which a row is a matter of memory alone


class Row(NamedTuple):
    """One line of the benchmark; weight and bias are always given."""

    norm: str
    direction: str
    shape: tuple[int, ...]  # of x as it is stored
    dtype: str = "float32"  # of x and dy; 16-bit arrays have float32 weights
    channel_axis: int = 1  # or -1; means nothing to layer norm
    num_groups: int | None = None
    normalized_shape: tuple[int, ...] | None = None

    @property
    def nbytes(self) -> int:
        """The size of x."""
        return prod(self.shape) * ITEMSIZE[self.dtype]

    @property
    def large(self) -> bool:
        """Whether x is large enough for the copy of it to be the limit."""
        return self.nbytes >= LARGE

    @property
    def layout(self) -> str:
        """Where the channels are: "last", or "" for the usual place."""
        return "last" if self.channel_axis == -1 else ""

    @property
    def name(self) -> str:
        """The row in words.

        Examples
        --------
        >>> Row("batch", "forward", (2, 16, 16, 64), channel_axis=-1).name
        'batch forward 2x16x16x64 float32 last'
        """
        return f"{self.norm} {self.direction} {self.size} {self.dtype} {self.layout}".rstrip()

    @property
    def size(self) -> str:
        """The shape in words."""
        return "x".join(map(str, self.shape))


def grid() -> list[Row]:
    """All rows, norm by norm, forward and backward beside each other."""
    return [row for norm in NORMS for row in _of_norm(norm)]


def quick() -> list[Row]:
    """A few rows that take less than a minute."""
    small = {"instance": (32, 512, 7, 7), "group": (2, 64, 16, 16)}
    return [
        *_both("batch", MIDDLE),
        *_both("instance", small["instance"])[:1],
        *_both("group", MIDDLE),
        *_both("group", small["group"])[:1],
        *_both("layer", TOKENS[0]),
    ]


def select(rows: Sequence[Row], norms: Sequence[str] = (), text: str = "") -> list[Row]:
    """Keep the rows of these norms whose name has every word of a text.

    Raises
    ------
    ValueError
        No row is left.
    """
    words = text.split()
    kept = [row for row in rows if not norms or row.norm in norms]
    kept = [row for row in kept if all(word in row.name for word in words)]
    if not kept:
        raise ValueError(f"--rows is {text!r}, which no row has in its name; one is {rows[0].name!r}")
    return kept


def _of_norm(norm: str) -> Iterator[Row]:
    """All rows of one norm."""
    for shape in IMAGES:
        yield from _both(norm, shape)
    if norm in ("batch", "group"):
        for shape in IMAGES:
            yield from _both(norm, (shape[0], *shape[2:], shape[1]), channel_axis=-1)
        yield from _both(norm, VIDEO)
    if norm == "layer":
        for tokens in TOKENS:
            yield from _both(norm, tokens)
    if norm == "group":
        for dtype in ("float16", "bfloat16", "float64"):
            yield from _both(norm, MIDDLE, dtype)


def _both(norm: str, shape: tuple[int, ...], dtype: str = "float32", channel_axis: int = 1) -> list[Row]:
    """A norm on an array, forward and backward."""
    G = (8 if shape[channel_axis] == 64 else 32) if norm == "group" else None
    normalized_shape = shape[1:] if norm == "layer" else None
    return [Row(norm, d, shape, dtype, channel_axis, G, normalized_shape) for d in DIRECTIONS]
