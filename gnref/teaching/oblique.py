"""The geometry of a block in oblique view: C to the right, the pixels upward, N into the depth."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gnref.teaching.sets import shown

Points = NDArray[np.float64]

MOST = {"n": 6, "c": 12, "pixel": 9}  # cells that are drawn along each axis
BREAK = 0.7  # the gap where cells are left out, in cells
# A step to the right, a step up, and a step into the depth, as they look on paper.
OBLIQUE = np.array([(1.0, 0.0), (0.0, 1.0), (0.55, 0.42)])

# The faces that the viewer can see: their corners, and what lies before them as a step (n, c, pixel).
FACES = {
    "front": ([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], (-1, 0, 0)),
    "right": ([(1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0)], (0, 1, 0)),
    "top": ([(0, 1, 0), (1, 1, 0), (1, 1, 1), (0, 1, 1)], (0, 0, 1)),
}


class Face(NamedTuple):
    """A side of a cell: which one, of which cell (n, c, pixel), and its four corners on paper."""

    side: str
    cell: tuple[int, int, int]
    corners: Points


class Block(NamedTuple):
    """The cells that are drawn: their indices along N, C and the pixels."""

    n: tuple[int, ...]
    c: tuple[int, ...]
    pixel: tuple[int, ...]

    @property
    def edges(self) -> Points:
        """How far the block reaches to the right, up and into the depth, in cells."""
        return np.array([places(indices)[-1] + 1 for indices in (self.c, self.pixel, self.n)])

    @property
    def extent(self) -> Points:
        """Width and height on paper, in cells."""
        extent: Points = self.edges @ OBLIQUE
        return extent


def block_of(shape: tuple[int, ...]) -> Block:
    """Return the cells to draw of a block of this shape, (N, C, *spatial): a few along each axis.

    Examples
    --------
    >>> block_of((2, 3, 2, 2))
    Block(n=(0, 1), c=(0, 1, 2), pixel=(0, 1, 2, 3))
    """
    sizes = (shape[0], shape[1], prod(shape[2:]))
    return Block(*(shown(size, most) for size, most in zip(sizes, MOST.values(), strict=True)))


def places(indices: tuple[int, ...]) -> Points:
    """Return where the cells begin along an axis, with a gap where some are left out.

    Examples
    --------
    >>> places((0, 1, 7))
    array([0. , 1. , 2.7])
    """
    return np.cumsum([0.0, *(1 + BREAK * (b > a + 1) for a, b in pairwise(indices))])


def faces(block: Block) -> Iterator[Face]:
    """Yield the faces that can be seen, from back to front: what is nearer covers what is farther."""
    behind = reversed(list(zip(block.n, places(block.n), strict=True)))
    across = list(zip(block.c, places(block.c), strict=True))
    upward = list(zip(block.pixel, places(block.pixel), strict=True))
    for (n, z), (c, x), (pixel, y) in product(behind, across, upward):
        for side, (corners, (dn, dc, dpixel)) in FACES.items():
            if n + dn in block.n and c + dc in block.c and pixel + dpixel in block.pixel:
                continue  # another cell hides it
            yield Face(side, (n, c, pixel), np.add(corners, (x, y, z)) @ OBLIQUE)
