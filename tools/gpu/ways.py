"""The kernels made to go a certain way, and their memory filled with NaN before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cupy
import numpy as np

from gnref.kernels.cuda import plan, steps
from gnref.kernels.cuda.device import limits
from gpu.cases import Slots

MOST_ITEMS = 400  # more than any way but chunks holds
OWN_CHOICE = "chosen"  # by the library itself


def ways_of(slots: Slots, itemsize: int) -> tuple[str, ...]:
    """The ways that a view can go on this device, forward or backward."""
    cut = plan.cut_of(slots, itemsize)
    if cut.columns:
        return ("columns",)
    there = [
        way
        for way in ("registers", "cluster", "shared")
        if any(
            getattr(plan, way)(slots, cut, limits(cupy.cuda.Device().id), backward)
            for backward in (False, True)
        )
    ]
    return (*there, "chunks")


def chosen(way: str, slots: Slots, itemsize: int, device: plan.Limits, backward: bool) -> plan.Plan:
    """The plan of a way; in chunks where there is none."""
    cut = plan.cut_of(slots, itemsize)
    if way == OWN_CHOICE or cut.columns:
        return plan.plan(slots, itemsize, device, backward=backward)
    found = None if way == "chunks" else getattr(plan, way)(slots, cut, device, backward)
    return found or plan.chunks(slots, cut)


@contextmanager
def going(way: str, taken: Counter[str] | None = None) -> Iterator[None]:
    """In which every plan is of one way; ``taken`` counts what was really taken."""

    def forced(slots: Slots, itemsize: int, device: plan.Limits, *, backward: bool = False) -> plan.Plan:
        found = chosen(way, slots, itemsize, device, backward)
        if taken is not None:
            taken[label(found, backward)] += 1
        return found

    with replaced(steps, "plan", forced):
        yield


@contextmanager
def replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    """In which something in a module is something else."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def label(found: plan.Plan, backward: bool) -> str:
    """A way in words, with all that makes it another kernel."""
    words = [found.way]
    words += [f"of {found.cluster}"] if found.cluster > 1 else []
    words += ["held twice"] if found.held > 1 else []
    return " ".join([*words, "backward" if backward else "forward", *(["trailing"] * found.cut.trailing)])


def reached(itemsize: int) -> dict[str, tuple[int, int]]:
    """Every way that the library may choose on this device for sets of whole items of 2 KB: from, to."""
    device, run = limits(cupy.cuda.Device().id), 2048 // itemsize
    found: dict[str, tuple[int, int]] = {}
    for items in range(1, MOST_ITEMS + 1):
        for last in ((1, items * run), (items * run, 1)):
            for backward in (False, True):
                slots = (device.multiprocessors, 1, 1, *last)
                name = label(plan.plan(slots, itemsize, device, backward=backward), backward)
                found[name] = (found.get(name, (items, 0))[0], items)
    return found


def edges(itemsize: int) -> list[int]:
    """The sizes of sets on both sides of every edge between two ways, in items of 2 KB."""
    both = {items for first, last in reached(itemsize).values() for items in (first, last)}
    return sorted(both - {MOST_ITEMS})


@contextmanager
def poisoned() -> Iterator[None]:
    """In which new memory is NaN in every type until it is written, as it is for `cupy.empty` of gnref."""
    real = cupy.empty

    def empty(*arguments: Any, **options: Any) -> Any:
        return poison(real(*arguments, **options))

    with replaced(cupy, "empty", empty):
        yield


def poison(a: Any) -> Any:
    """Fill an array in one piece with NaN."""
    if a.size:
        a.reshape(-1).view(np.uint8).fill(255)
    return a
