"""From the kernels in the .cu files to a launch: compiled when first used, and kept by CuPy on disk."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cupy
import numpy as np

from gnref.kernels.cuda.plan import STATIC, Plan, Slots

Array = Any

# In the order in which they build on one another.
FILES = (
    "numbers",
    "teams",
    "items",
    "moments",
    "careful",
    "forward",
    "sums",
    "backward",
    "trailing",
    "columns",
)
OPTIONS = ("-std=c++17",)
TYPES = {"float16": "half16", "bfloat16": "bfloat16", "float32": "float", "float64": "double"}
NOTHING = np.uint64(0)  # no array

WIDE = ("sets", "A", "P", "B", "S", "n", "m")
NARROW = (
    *("strips", "rows", "blocks", "pieces", "piece", "items", "lanes", "team", "trailing", "center"),
    *("columns", "chunks"),
)
SHAPE = np.dtype([(name, np.int64) for name in WIDE] + [(name, np.int32) for name in NARROW], align=True)
MATRIX = np.dtype([(name, np.int32) for name in ("strips", "lanes", "slots", "rows", "chunks")], align=True)
PARTS = np.dtype([("parts", np.int32), ("sets", np.int32)], align=True)


@cache
def source() -> str:
    """All kernels as one text, which knows its files and lines."""
    here = Path(__file__).parent
    return "".join(
        f'#line 1 "{name}.cu"\n{(here / f"{name}.cu").read_text(encoding="utf-8")}' for name in FILES
    )


@cache
def kernel(name: str) -> Any:
    """A kernel with its template arguments, such as "forward<float, float, 4, 1>"."""
    module = cupy.RawModule(code=source(), options=OPTIONS, name_expressions=[name])
    return module.get_function(name)


def start(
    name: str, template: tuple[Any, ...], grid: int, threads: int, arguments: tuple[Any, ...], shared: int = 0
) -> None:
    """Launch a kernel on the current stream."""
    run = kernel(f"{name}<{', '.join(map(str, template))}>")
    if shared > STATIC and run.max_dynamic_shared_size_bytes < shared:
        run.max_dynamic_shared_size_bytes = shared
    run((grid,), (threads,), arguments, shared_mem=shared)


def type_of(a: Array) -> str:
    """The name of an array's dtype in the kernels."""
    return TYPES[a.dtype.name]


def shape_of(slots: Slots, way: Plan, center: bool) -> Any:
    """What the kernels are told of a view: `Shape` of items.cu."""
    O, P, A, B, S = slots
    cut, shape = way.cut, np.zeros((), SHAPE)
    values = {
        **{"sets": O * A, "A": A, "P": P, "B": B, "S": S, "n": B * S, "m": P * B * S},
        **{name: getattr(cut, name) for name in NARROW if hasattr(cut, name)},
        **{"team": way.team, "center": center},
    }
    for name, value in values.items():
        shape[name] = value
    return shape


def structure(dtype: np.dtype[Any], *values: int) -> Any:
    """A small structure of numbers as a kernel's argument."""
    return np.array(values, dtype)
