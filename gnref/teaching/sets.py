"""Which cells of an N x C x H x W block share a mean: the 5-slot view of `gnref.axes`, read backwards.

The statistics of a norm live on its slots (O, A), so numbering those and unfolding the numbers to the
block's own shape labels every cell with its set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gnref.axes import NORMS, View, view
from gnref.errors import ShapeError

FOUR = ("batch", "layer", "instance", "group")  # Wu & He 2018, Fig. 2, in its order
MAX_CELLS = 2**27  # their numbers take 512 MB


@dataclass(frozen=True, slots=True)
class Sets:
    """How a norm divides a block into sets of cells, one shared statistic each.

    Attributes
    ----------
    norm : str
        A key of `gnref.axes.NORMS`.
    per : str
        The axes that tell one set from another: "C", "N", "N C" or "N G".
    num_groups : int or None
        G, for group norm alone.
    statistic : str
        What a set shares first of all: "mean", for rms "mean square".
    slots : tuple of int
        (O, P, A, B, S), the 5-slot view.
    """

    norm: str
    per: str
    num_groups: int | None
    statistic: str
    slots: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many sets there are."""
        return self.slots[0] * self.slots[2]

    @property
    def size(self) -> int:
        """How many elements are in a set (the paper's m)."""
        return prod(self.slots) // self.count

    @property
    def tally(self) -> str:
        """How many sets, and how large, in words: "6 means of 36 elements"."""
        many = f"{self.count:,} {self.statistic}{'s' if self.count > 1 else ''}"
        return f"{many} of {self.size:,} element{'s' if self.size > 1 else ''}"

    def tint(self, number: int) -> int:
        """0 or 1, never the same for two sets that touch face to face: a checkerboard over (O, A)."""
        A = self.slots[2]
        return (number // A + number % A) % 2


def set_numbers(norm: str, shape: Sequence[int], num_groups: int | None = None) -> NDArray[np.int32]:
    """Number the sets of a norm, 0, 1, ... in the order in which they appear, cell by cell.

    Parameters
    ----------
    norm : str
        "batch", "layer", "instance", "group" or "rms". Layer and rms are the paper's, over C, H and W.
    shape : sequence of int
        Of the block: (N, C, H, W); any number of spatial axes will do.
    num_groups : int, optional
        G; group norm needs it, the others ignore it.

    Returns
    -------
    numbers : int array of ``shape``
        Two cells have the same number if, and only if, they share a mean.

    Raises
    ------
    ShapeError
        A size is no positive integer, or G does not divide C.
    ValueError
        The norm is not known.

    Examples
    --------
    >>> set_numbers("group", (2, 4, 1, 1), num_groups=2)[:, :, 0, 0]
    array([[0, 0, 1, 1],
           [2, 2, 3, 3]], dtype=int32)
    """
    v = _view(norm, check_block(shape), num_groups)
    outer, _, A, _, _ = v.x.slots
    numbers = np.arange(outer * A, dtype=np.int32).reshape(outer, 1, A, 1, 1)
    cells = v.x.unfold(np, np.broadcast_to(numbers, v.x.slots))
    return np.require(cells, requirements=["C", "W"])  # unfold may return the broadcast: read-only


def describe(norm: str, shape: Sequence[int], num_groups: int | None = None) -> Sets:
    """Return how a norm divides a block of this shape; arguments and errors as in `set_numbers`.

    Examples
    --------
    >>> sets = describe("group", (4, 6, 3, 3), num_groups=2)
    >>> sets.per, sets.count, sets.size, sets.slots
    ('N G', 8, 27, (4, 1, 2, 3, 9))
    """
    v = _view(norm, check_block(shape), num_groups)
    row = NORMS[norm]
    own = [name for name, answer in row.answers.items() if not answer.shares_statistics]
    # V counts virtual batches, and a block has one. In the table G splits C; C groups are the channels.
    per = " ".join(row.groups if name == "G" and row.groups else name for name in own if name != "V")
    statistic = "mean" if row.center else "mean square"
    return Sets(norm, per, num_groups if row.groups == "G" else None, statistic, v.x.slots)


def default_groups(C: int) -> int:
    """Return the G that pictures take unless told: the fewest groups, at least two, that divide C.

    That is two for any even C, as in the paper's Fig. 2. (Networks take more: the paper's G is 32.)

    Examples
    --------
    >>> [default_groups(C) for C in (6, 9, 1)]
    [2, 3, 1]
    """
    return next((G for G in range(2, C + 1) if C % G == 0), 1)


def axis_names(shape: Sequence[int]) -> tuple[str, ...]:
    """Return a letter for each axis: N, C and, counted from the last, W, H and T.

    Examples
    --------
    >>> axis_names((4, 6, 3, 3))
    ('N', 'C', 'H', 'W')
    """
    if not 2 <= len(shape) <= 5:
        raise ShapeError(f"the block has shape {tuple(shape)}; expected N C, N C W, N C H W or N C T H W")
    return ("N", "C", *"THW"[5 - len(shape) :])


def shown(size: int, limit: int) -> tuple[int, ...]:
    """Return the indices to show of an axis: all, or the first ones and the last, ``limit`` in all.

    Examples
    --------
    >>> shown(3, 4), shown(64, 4)
    ((0, 1, 2), (0, 1, 2, 63))
    """
    if size <= limit:
        return tuple(range(size))
    return (*range(limit - 1), size - 1) if limit > 1 else (0,)


def left_out(**axes: tuple[tuple[int, ...], int]) -> str:
    """Return in words what an abbreviated picture leaves out of each axis: (indices shown, size).

    Examples
    --------
    >>> left_out(n=((0, 1, 7), 8), c=((0,), 2), pixel=((0, 1, 2), 3))
    'n = 2 to 6, c = 1'
    """
    ends = ((name, *pair) for name, (kept, size) in axes.items() for pair in pairwise((*kept, size)))
    gaps = ((name, a + 1, b - 1) for name, a, b in ends if b > a + 1)
    return ", ".join(f"{name} = {a}" if a == b else f"{name} = {a} to {b}" for name, a, b in gaps)


def check_block(shape: Sequence[Any]) -> tuple[int, ...]:
    """Return the shape as a tuple of ints, or raise unless there is a block to speak of."""
    try:
        sizes = tuple(index(size) for size in shape)
    except TypeError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise ShapeError(f"the block has shape {tuple(shape)}; expected positive integers N, C, H and W")
    if prod(sizes) > MAX_CELLS:
        raise ShapeError(
            f"the block has shape {sizes}, {prod(sizes):,} cells; expected at most {MAX_CELLS:,}"
        )
    return sizes


def _view(norm: str, shape: tuple[int, ...], num_groups: int | None) -> View:
    """The 5-slot view; the paper's layer norm is over all axes but N."""
    if norm not in NORMS:
        raise ValueError(f"norm is {norm!r}; expected one of {', '.join(NORMS)}")
    return view(norm, shape, num_groups=num_groups, normalized_shape=shape[1:])
