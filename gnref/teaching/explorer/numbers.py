"""The numbers of the explorer's block, for the picture and the text beside the widget."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from gnref.teaching.explorer.state import LIMITS, NORMS, State
from gnref.teaching.sets import describe, set_numbers

EPS = 1e-5


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the set of the picked cell shares, and what follows for each of its cells.

    Attributes
    ----------
    x : float64 array (N, C, H, W)
        The block.
    same : bool array (N, C, H, W)
        The cells of the set.
    m : int
        How many they are.
    mean, var, rstd : float
        Their mean, biased variance and 1 / sqrt(var + eps).
    xhat : float64 array (N, C, H, W)
        x normalized with them; only the cells of the set mean anything.
    dx : float64 array (N, C, H, W)
        What a dy of 1 at the picked cell adds to dx, without a weight; 0 outside the set.
    """

    x: NDArray[np.float64]
    same: NDArray[np.bool_]
    m: int
    mean: float
    var: float
    rstd: float
    xhat: NDArray[np.float64]
    dx: NDArray[np.float64]


def numbers_of(state: State) -> Numbers:
    """Return the numbers of a state.

    Examples
    --------
    >>> from gnref.teaching.explorer.state import state_of
    >>> numbers_of(state_of("in", n=1, c=2, h=1, w=2)).x
    array([[[[ 1.66, -1.78]],
    <BLANKLINE>
            [[-0.93, -0.97]]]])
    """
    x = block()[tuple(slice(size) for size in state.shape)]
    numbers = set_numbers(NORMS[state.norm], state.shape, state.g)
    same = numbers == numbers[state.cell]
    m, mean, var = int(same.sum()), float(x[same].mean()), float(x[same].var())
    rstd = 1 / np.sqrt(var + EPS)
    xhat = (x - mean) * rstd
    own = np.zeros(state.shape)
    own[state.cell] = 1
    dx = np.where(same, rstd * (own - (1 + xhat[state.cell] * xhat) / m), 0)
    return Numbers(x, same, m, mean, var, float(rstd), xhat, dx)


def shared(state: State) -> NDArray[np.int32]:
    """Return which cells share what is shown: a mean or, if the state says so, a weight."""
    if state.show != "weight":
        return set_numbers(NORMS[state.norm], state.shape, state.g)
    own = state.shape[1:] if state.norm == "ln-pytorch" else (state.c, 1, 1)
    weights = np.arange(prod(own), dtype=np.int32).reshape(own)
    return np.array(np.broadcast_to(weights, state.shape))


@cache
def block() -> NDArray[np.float64]:
    """Return the largest block; smaller ones are corners of it, so that a cell keeps its number.

    Park and Miller's generator (1988) works on integers, so that JavaScript finds the same bits.
    """
    seed, values = 1, []
    for _ in range(prod(LIMITS.values())):
        seed = 16807 * seed % (2**31 - 1)
        values.append((seed % 401 - 200) / 100)
    x = np.array(values).reshape(tuple(LIMITS.values()))
    x.flags.writeable = False
    return x


def alternative(state: State) -> str:
    """Return the picture in words, for those who do not see it.

    Examples
    --------
    >>> from gnref.teaching.explorer.state import state_of
    >>> print(alternative(state_of("in", n=1, c=2, h=1, w=2)))
    InstanceNorm over a block of N × C × H × W = 1 × 2 × 1 × 2: 2 means of 2 elements. The picked cell \
(0, 0, 0, 0) has x = 1.66; its set is n = 0, c = 0, all h and w, with mean -0.0600 and variance 2.9584; its \
xhat is 1.0000.
    """
    sets = describe(NORMS[state.norm], state.shape, state.g)
    size = " × ".join(map(str, state.shape))
    text = f"{state.title} over a block of N × C × H × W = {size}"
    if state.task:  # it would give the answer away
        mark = f"mark every cell that shares the mean of {state.cell}"
        return f"{text}. An exercise: {mark if state.task == 'mark' else 'count the means'}."
    of = numbers_of(state)
    n, c, _, _ = of.same.nonzero()
    where = f"n = {_span(n)}, c = {_span(c)}, all h and w"
    return (
        f"{text}: {sets.tally}. The picked cell {state.cell} has x = {of.x[state.cell]:.2f}; its set is "
        f"{where}, with mean {of.mean:.4f} and variance {of.var:.4f}; its xhat is {of.xhat[state.cell]:.4f}."
        f"{_in_colour(state, of)}"
    )


def _in_colour(state: State, of: Numbers) -> str:
    """What the picture shows beside the set, in one sentence; nothing if it shows the set alone."""
    if state.show == "weight":
        numbers = shared(state)
        many = _cells(int((numbers == numbers[state.cell]).sum()))
        last = 4 if state.norm == "ln-pytorch" else 2  # its weight has C, H and W; any other's has C
        index = ", ".join(map(str, state.cell[1:last]))
        return f" In full colour: the {many} with weight[{index}] of shape {state.shape[1:last]}."
    if state.show == "dx" and of.m > 1:
        return f" In colour: what its dy adds to dx in each of the {of.m} cells of its set, which sums to 0."
    return " Its dy reaches no dx." if state.show == "dx" else ""


def _cells(many: int) -> str:
    """A number of cells."""
    return f"{many} cell{'s' * (many > 1)}"


def _span(indices: NDArray[np.intp]) -> str:
    """From the first index to the last."""
    low, high = indices.min(), indices.max()
    return f"{low}" if low == high else f"{low} to {high}"
