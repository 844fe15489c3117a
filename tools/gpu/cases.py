"""The problems of the check: 5-slot views for every way through the kernels, and what is put into them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from gnref.bench.case import dtype_of

Array = np.ndarray[Any, Any]
Slots = tuple[int, int, int, int, int]

DTYPES = ("float32", "float16", "bfloat16", "float64")
UNIT = {"float32": 2.0**-24, "float64": 2.0**-53, "float16": 2.0**-11, "bfloat16": 2.0**-8}

# Small ones for every way: short runs and long ones, several sets in a block, odd sizes, one element.
ROWS: tuple[Slots, ...] = (
    *((3, 1, 2, 4, 16), (2, 1, 2, 3, 300), (3, 5, 2, 1, 36), (2, 3, 2, 2, 130)),
    *((2, 1, 1, 9, 131), (1, 1, 2, 40, 2), (4, 1, 1, 700, 1), (33, 1, 1, 129, 1), (5, 1, 3, 1, 1)),
)
COLUMNS: tuple[Slots, ...] = ((2, 7, 3, 1, 1), (2, 257, 3, 1, 1), (1, 300, 5, 7, 1), (3, 66, 1, 130, 1))
KINDS = ("ordinary", "offset", "huge", "tiny", "nan", "constant", "bare", "mixed", "no mean", "views")
OFFSET = {"float32": 1e6, "float64": 1e9, "float16": 1e3, "bfloat16": 1e3}
MANY = 41  # sets that are not cut short by forcing a way: see `correctness.case_ways`
HUGE = {"float32": 1e30, "bfloat16": 1e30, "float64": 1e200}
TINY = {"float32": 1e-18, "bfloat16": 1e-18, "float64": 1e-200}


class Case(NamedTuple):
    """A problem before its numbers are drawn."""

    slots: Slots
    dtype: str
    kind: str = "ordinary"
    seed: int = 0

    @property
    def name(self) -> str:
        """The case in words."""
        return f"{'x'.join(map(str, self.slots))} {self.dtype} {self.kind}"


class Problem(NamedTuple):
    """The arrays of a case, on the host."""

    x: Array
    dy: Array
    weight: Array | None
    bias: Array | None
    eps: float
    center: bool


def dtypes() -> tuple[str, ...]:
    """Those that NumPy can hold here: bfloat16 needs ml_dtypes."""
    return tuple(name for name in DTYPES if name != "bfloat16" or find_spec("ml_dtypes"))


def small(dtype: str, kind: str, seed: int) -> list[Case]:
    """The small views of one dtype and kind; none where that dtype has no such numbers."""
    if (kind in ("huge", "tiny") and dtype not in HUGE) or (
        kind == "mixed" and dtype in ("float32", "float64")
    ):
        return []
    return [Case(slots, dtype, kind, seed) for slots in (*ROWS, *COLUMNS)]


def sized(dtype: str, edges: Iterable[int], seed: int) -> list[Case]:
    """Sets of so many times 2 KB, pooled and over the last axis."""
    run = 2048 // dtype_of(dtype).itemsize
    slots = [s for items in edges for s in ((2, 1, 2, 1, items * run), (3, 1, 1, items * run, 1))]
    return [Case(s, dtype, "ordinary", seed) for s in slots]


def natural(dtype: str, edges: Iterable[int], multiprocessors: int, seed: int) -> list[Case]:
    """As many sets as fill this device, so that it chooses every way; very many; and few large ones."""
    run, many = 2048 // dtype_of(dtype).itemsize, max(multiprocessors // 2 + 1, MANY)
    pooled = [Case((many, 1, 1, 1, items * run), dtype, "ordinary", seed) for items in edges]
    other = [(1, 1, 1, 3, 20 * run), (2, 1000, 6, 4, 1), (3000, 1, 2, 3, 4), (1000, 1, 1, 20, 1)]
    return [*pooled, *(Case(slots, dtype, "ordinary", seed) for slots in other)]


def draw(case: Case) -> Problem:
    """Random numbers; dy, weight and bias are never constant."""
    rng = np.random.default_rng([case.seed, *case.slots, KINDS.index(case.kind), DTYPES.index(case.dtype)])
    dtype, (_, _, A, B, _) = dtype_of(case.dtype), case.slots
    x, dy = rng.standard_normal((2, *case.slots))
    weight, bias = rng.uniform(0.5, 2.0, (2, A, B)) * rng.choice([-1, 1], (2, A, B))
    eps, parameters = 1e-5, dtype
    if case.kind == "offset":
        x += OFFSET[case.dtype]
    elif case.kind in ("huge", "tiny"):
        scale = (HUGE if case.kind == "huge" else TINY)[case.dtype]
        x *= scale
        eps = 0.0 if case.dtype == "float64" else 1e-5 * scale**2
    elif case.kind == "nan":
        x[0, 0, 0, 0, 0] = np.nan
    elif case.kind == "constant":
        x[...] = 1234.567
        eps = 0.0
    elif case.kind == "mixed":
        parameters = np.dtype(np.float32)
    made = Problem(
        x.astype(dtype), dy.astype(dtype), weight.astype(parameters), bias.astype(parameters), eps, True
    )
    if case.kind == "bare":
        return made._replace(weight=None, bias=None)
    return made._replace(center=False, bias=None) if case.kind == "no mean" else made


def given(case: Case) -> tuple[Array, Array]:
    """mean and rstd that are no set's own."""
    rng = np.random.default_rng([case.seed, 1])
    mean, rstd = rng.uniform(0.5, 2.0, (2, case.slots[0], case.slots[2]))
    return mean, rstd


def everything(
    seed: int, quick: bool, names: tuple[str, ...], edges: Mapping[str, Sequence[int]], multiprocessors: int
) -> Iterator[Case]:
    """All cases, what matters most first; ``edges`` are those of `gpu.ways`, for each dtype."""
    for dtype in names:
        yield from small(dtype, "ordinary", seed)
    for dtype in names:
        yield from sized(dtype, edges[dtype], seed)
    for kind in KINDS[1:]:
        for dtype in names[: 2 if quick else None]:
            yield from small(dtype, kind, seed)
    for dtype in names:
        yield from natural(dtype, edges[dtype][:: 4 if quick else 2], multiprocessors, seed)
