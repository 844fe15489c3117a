"""The idea: a normalization is a choice of which axes share a mean and a variance.

Split C into G groups of K channels and ask every axis two questions: does it share statistics? does
it own a weight? The answers to both name a slot (shared without a weight names two: before the
channels in memory, or after them), and neighbours in memory with the same slot merge, so every norm
is one 5-slot view of the same memory, channels first and channels last (other strides are copied
where no view exists):

    (O, P, A, B, S)   O  outer: own statistics, no weight
                      P  pooled, before the channels in memory
                      A  affine: own statistics, own weight
                      B  both: pooled and weighted
                      S  pooled, after the channels in memory ("spatial")

Statistics are over (P, B, S), one for each of (O, A). weight and bias live on (A, B).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from gnref.checks import (
    check_channel_axis,
    check_normalized_shape,
    check_num_groups,
    check_virtual_batch_size,
)

Shape = tuple[int, ...]


class Answer(NamedTuple):
    """The two questions that every axis is asked."""

    shares_statistics: bool
    owns_weight: bool


OUTER = Answer(shares_statistics=False, owns_weight=False)
POOLED = Answer(shares_statistics=True, owns_weight=False)
AFFINE = Answer(shares_statistics=False, owns_weight=True)
BOTH = Answer(shares_statistics=True, owns_weight=True)


class Norm(NamedTuple):
    """One row of the table: the answer of every axis, and whether the mean is subtracted."""

    answers: Mapping[str, Answer]
    groups: str | None = None  # how C is split: into "C" groups of one channel, or into "G" groups
    center: bool = True

    @property
    def has_channels(self) -> bool:
        """Whether the norm knows a channel axis (batch, instance, group) or trailing axes."""
        return self.groups is not None


# THE TABLE. V virtual batches of N examples (V = 1 but for ghost batches), G groups of K channels, the
# spatial axes HW; for the norms over trailing axes: leading ("N") and trailing ("D").
NORMS: dict[str, Norm] = {
    "batch": Norm({"V": OUTER, "N": POOLED, "G": AFFINE, "K": BOTH, "HW": POOLED}, groups="C"),
    "instance": Norm({"V": OUTER, "N": OUTER, "G": AFFINE, "K": BOTH, "HW": POOLED}, groups="C"),
    "group": Norm({"V": OUTER, "N": OUTER, "G": AFFINE, "K": BOTH, "HW": POOLED}, groups="G"),
    "layer": Norm({"N": OUTER, "D": BOTH}),
    "rms": Norm({"N": OUTER, "D": BOTH}, center=False),
}


class Fold(NamedTuple):
    """A way to see an array in slots, and back: split axes, order them as in memory, merge them."""

    shape: Shape  # as the user sees it
    split: Shape  # with N as (V, N) and C as (G, K)
    order: Shape  # the split axes in memory order
    slots: Shape  # the merged shape

    @property
    def in_order(self) -> bool:
        """Whether the slots come as the axes do, so that folding is no more than reshaping."""
        long = [i for i in self.order if self.split[i] != 1]
        return long == sorted(long)

    def fold(self, xp: Any, a: Any) -> Any:
        """Return ``a`` in slots: a view wherever its strides allow one."""
        if type(a) is np.ndarray:
            return a.reshape(self.split).transpose(self.order).reshape(self.slots)
        return xp.reshape(xp.permute_dims(xp.reshape(a, self.split), self.order), self.slots)

    def unfold(self, xp: Any, a: Any) -> Any:
        """Return the slots ``a`` as the user sees the array."""
        in_memory = tuple(self.split[i] for i in self.order)
        back = tuple(sorted(range(len(self.order)), key=self.order.__getitem__))
        if type(a) is np.ndarray:
            return a.reshape(in_memory).transpose(back).reshape(self.shape)
        return xp.reshape(xp.permute_dims(xp.reshape(a, in_memory), back), self.shape)


@dataclass(frozen=True, slots=True)
class View:
    """The 5-slot view of a problem: one `Fold` each for x, for the statistics and for the weight.

    Attributes
    ----------
    x : Fold
        To (O, P, A, B, S).
    stats : Fold
        Of mean, var and rstd, to (O, A).
    params : Fold
        Of weight and bias, to (A, B).
    center : bool
        Whether the mean is subtracted (False for rms).
    """

    x: Fold
    stats: Fold
    params: Fold
    center: bool

    @property
    def set_size(self) -> int:
        """How many elements share one mean (the paper's m)."""
        _, P, _, B, S = self.x.slots
        return P * B * S


class _Axis(NamedTuple):
    """One axis of x after splitting (both parts keep the stride of the whole), and its answer."""

    size: int
    stride: int
    answer: Answer


def view(
    norm: str,
    shape: Sequence[int],
    strides: Sequence[int] | None = None,
    *,
    channel_axis: int = 1,
    num_groups: int | None = None,
    normalized_shape: int | Sequence[int] | None = None,
    virtual_batch_size: int | None = None,
) -> View:
    """Return the 5-slot view of an array of this shape and these strides.

    Parameters
    ----------
    norm : str
        A key of `NORMS`.
    shape, strides : sequence of int
        Of x. Strides in any unit; None means that the last axis is the fastest.
    channel_axis, num_groups, normalized_shape, virtual_batch_size
        As in `gnref.functional`; those that the norm does not have are ignored.

    Raises
    ------
    ShapeError
        For anything that does not fit the shape.

    Examples
    --------
    >>> view("group", (2, 6, 4, 4), num_groups=3).x.slots
    (2, 1, 3, 2, 16)
    >>> view("group", (2, 4, 4, 6), num_groups=3, channel_axis=-1).x.slots
    (2, 16, 3, 2, 1)
    >>> view("batch", (2, 6, 4, 4)).x.slots
    (1, 2, 6, 1, 16)
    >>> view("layer", (2, 5, 8), normalized_shape=8).x.slots
    (10, 1, 1, 8, 1)
    """
    shape = tuple(shape)
    if strides is None:
        strides = _c_strides(shape)
    if NORMS[norm].has_channels:
        axis = check_channel_axis(channel_axis, shape, norm)
        G = shape[axis] if NORMS[norm].groups == "C" else check_num_groups(num_groups, shape, axis)
        pools_examples = NORMS[norm].answers["N"].shares_statistics
        g = check_virtual_batch_size(virtual_batch_size, shape) if pools_examples else None
        return _channel_view(norm, shape, tuple(strides), axis, G, g)
    return _trailing_view(norm, shape, tuple(strides), check_normalized_shape(normalized_shape, shape))


@lru_cache(maxsize=1024)
def _channel_view(norm: str, shape: Shape, strides: Shape, c: int, G: int, g: int | None) -> View:
    """View of batch, instance and group: N is split into (V, N), C into (G, K)."""
    answers = NORMS[norm].answers
    n = shape[0] if g is None else g
    K = shape[c] // G if G else 1
    axes = [
        _Axis(1 if g is None else shape[0] // g, strides[0], answers["V"]),
        _Axis(n, strides[0], answers["N"]),
    ]
    for i in range(1, len(shape)):
        if i == c:
            axes.append(_Axis(G, strides[i], answers["G"]))
            axes.append(_Axis(K, strides[i], answers["K"]))
        else:
            axes.append(_Axis(shape[i], strides[i], answers["HW"]))
    kept = [a.size for a in axes if not a.answer.shares_statistics]
    # V is seen only where the user asked for virtual batches.
    return _build(norm, shape, axes, tuple(kept[1:] if g is None else kept), (shape[c],))


@lru_cache(maxsize=1024)
def _trailing_view(norm: str, shape: Shape, strides: Shape, ndim: int) -> View:
    """View of layer and rms: leading axes are outer, trailing ones are pooled and weighted."""
    answers = NORMS[norm].answers
    lead = len(shape) - ndim
    axes = [_Axis(shape[i], strides[i], answers["N" if i < lead else "D"]) for i in range(len(shape))]
    return _build(norm, shape, axes, shape[:lead], shape[lead:])


def _build(norm: str, shape: Shape, axes: list[_Axis], stats: Shape, params: Shape) -> View:
    """Assemble the three folds from the axes and their slots."""
    slots = _slots(axes)
    return View(
        x=_fold(axes, slots, (0, 1, 2, 3, 4), shape),
        stats=_fold(axes, slots, (0, 2), stats),
        params=_fold(axes, slots, (2, 3), params),
        center=NORMS[norm].center,
    )


def _slots(axes: list[_Axis]) -> list[tuple[int, int]]:
    """Pairs (slot, axis) in the order of the view: by slot, then as in memory, slowest first."""
    # An axis of size 1 has no stride worth the name: it fits anywhere, and is not asked.
    long = [i for i, axis in enumerate(axes) if axis.size > 1]
    memory = sorted(long, key=lambda i: abs(axes[i].stride), reverse=True)
    channels = [i for i in memory if axes[i].answer.owns_weight]
    if channels:
        before = memory[: memory.index(channels[0])]
    else:  # a single channel stands where the names put it
        named = [i for i, axis in enumerate(axes) if axis.answer.owns_weight]
        before = [i for i in long if i < named[0]]
    number = {OUTER: 0, AFFINE: 2, BOTH: 3}
    ones = [i for i in range(len(axes)) if i not in long]
    pairs = [(number.get(axes[i].answer, 1 if i in before else 4), i) for i in memory]
    pairs += [(number.get(axes[i].answer, 1), i) for i in ones]
    return sorted(pairs, key=lambda pair: pair[0])


def _fold(axes: list[_Axis], slots: list[tuple[int, int]], kept: Shape, shape: Shape) -> Fold:
    """The fold of an array that has only the axes of some slots."""
    present = [(slot, i) for slot, i in slots if slot in kept]
    own = sorted(i for _, i in present)
    return Fold(
        shape=shape,
        split=tuple(axes[i].size for i in own),
        order=tuple(own.index(i) for _, i in present),
        slots=tuple(prod(axes[i].size for slot, i in present if slot == k) for k in kept),
    )


def _c_strides(shape: Shape) -> Shape:
    """Strides, in elements, of an array whose last axis is the fastest."""
    return tuple(prod(max(size, 1) for size in shape[i + 1 :]) for i in range(len(shape)))
