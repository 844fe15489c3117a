"""The steps of both passes; each launches one kernel, or two where large sums are folded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cupy
import numpy as np

from gnref.errors import BackendError
from gnref.kernels.cuda.device import limits
from gnref.kernels.cuda.launch import MATRIX, NOTHING, PARTS, shape_of, start, structure, type_of
from gnref.kernels.cuda.plan import (
    BESIDE,
    CHUNK,
    DIVIDED,
    SCRATCH,
    WARP,
    Plan,
    blocks_of,
    lanes_of,
    plan,
    sets_of_part,
    up,
)

Array = Any
MOMENTS, SUMS, LINE, SLOPE = 4, 3, 5, 8  # numbers in these structures
FOLD = 256  # rows that are added at once


@dataclass(frozen=True, slots=True)
class Work:
    """Arrays in one piece of memory, and how the kernels will go over them."""

    x: Array
    weight: Array | None
    bias: Array | None
    way: Plan
    shape: Any  # `Shape` of items.cu
    slots: tuple[int, int, int, int, int]

    def piece(self, a: Array) -> Array:
        """An array like x in one piece, which begins where a strip can be loaded in one word; else a copy."""
        return in_one_piece(a, self.way.cut.strip)

    def room(self, out: Array | None) -> Array:
        """Where y or dx goes: out, if it is such a piece, or memory of its own."""
        fits = out is not None and out.flags.c_contiguous and begins_a_word(out, self.way.cut.strip)
        return out if fits else cupy.empty(self.slots, self.x.dtype)

    @property
    def sets(self) -> int:
        """How many sets there are."""
        return self.slots[0] * self.slots[2]

    @property
    def kept(self) -> tuple[Any, Any]:
        """weight and bias as a kernel's arguments."""
        return given(self.weight), given(self.bias)

    @property
    def types(self) -> tuple[str, str]:
        """Those of x and of the parameters, in the kernels."""
        some = self.weight if self.weight is not None else self.bias
        return type_of(self.x), type_of(self.x if some is None else some)

    def matrix(self, rows: int) -> Any:
        """`Matrix` of columns.cu, in chunks of so many rows."""
        lanes = lanes_of(self.way.cut)
        return structure(MATRIX, self.way.cut.strips, lanes, WARP // lanes, rows, up(self.slots[1], rows))


def work(
    x5: Array, weight: Array | None, bias: Array | None, center: bool, *, backward: bool = False
) -> Work:
    """Prepare a pass."""
    _, _, A, B, _ = x5.shape
    if max(*x5.shape, A * B) >= 2**31:
        raise BackendError(
            f"x is {x5.shape} as (O, P, A, B, S); the cuda backend expects each, and A*B, below 2**31"
        )
    way = plan(x5.shape, x5.itemsize, limits(x5.device.id), backward=backward)
    x = in_one_piece(x5, way.cut.strip)
    weight, bias = parameters(weight, bias, x, way.cut.strip)
    return Work(x, weight, bias, way, shape_of(x5.shape, way, center), x5.shape)


def in_one_piece(a: Array, strip: int) -> Array:
    """An array without gaps, which begins where so many of its numbers can be loaded in one word."""
    a = cupy.ascontiguousarray(a)
    return a if begins_a_word(a, strip) else a.copy()


def begins_a_word(a: Array, strip: int) -> bool:
    """Whether so many of an array's numbers, or 16 bytes of them, can be loaded at once at its beginning."""
    return bool(a.data.ptr % min(strip * a.itemsize, 16) == 0)


def parameters(
    weight: Array | None, bias: Array | None, x: Array, strip: int
) -> tuple[Array | None, Array | None]:
    """weight and bias in x's dtype or, unless both are, in that which x is computed in."""
    there = [p for p in (weight, bias) if p is not None]
    dtype = x.dtype if all(p.dtype == x.dtype for p in there) else computed(x)
    made = (None if p is None else in_one_piece(p.astype(dtype, copy=False), strip) for p in (weight, bias))
    return tuple(made)  # type: ignore[return-value]


def computed(x: Array) -> np.dtype[Any]:
    """What numbers of x's dtype are computed in."""
    return np.dtype(np.float64 if x.itemsize == 8 else np.float32)


def given(a: Array | None) -> Any:
    """An array as a kernel's argument, which may be absent."""
    return NOTHING if a is None else a


def numbers(*shape: int) -> Array:
    """Room for numbers in float64."""
    return cupy.empty(shape, np.float64)


def forward(w: Work, y: Array | None, eps: float) -> Array:
    """y, if there is room for it, and mean, var and rstd of every set as (3, sets)."""
    stats, eps, strip = numbers(3, w.sets), np.float64(eps), w.way.cut.strip
    if w.way.way in ("chunks", "columns"):
        parts = moments(w)
        lines = numbers(w.sets, LINE)
        found = w.shape, w.x, parts, stats, lines, eps
        start("set_statistics", w.types[:1], w.sets, w.way.team, found, SCRATCH)
        if y is not None:
            apply(w, y, lines, None, None)
        return stats
    template: tuple[Any, ...] = (*w.types, strip)
    names = {"registers": "forward", "cluster": "forward_cluster", "shared": "forward_shared"}
    template += (w.way.held, w.way.cluster) if w.way.way == "cluster" else ()
    arguments = w.shape, w.x, *w.kept, given(y), stats, eps
    start(names[w.way.way], template, w.way.grid, w.way.threads, arguments, w.way.shared)
    return stats


def moments(w: Work) -> Array:
    """Count, mean in two numbers and M2 of every item."""
    parts, template = numbers(w.sets * w.way.cut.items, MOMENTS), (w.types[0], w.way.cut.strip)
    if w.way.way == "columns":
        arguments = w.shape, w.matrix(CHUNK), w.x, parts
        start("column_moments", template, w.way.grid, w.way.threads, arguments, w.way.shared)
    else:
        start("item_moments", template, w.way.grid, w.way.threads, (w.shape, w.x, parts))
    return parts


def apply(w: Work, y: Array, lines: Array | None, mean: Array | None, rstd: Array | None) -> None:
    """y from lines that were found, or from statistics that are given."""
    template = (*w.types, w.way.cut.strip)
    arguments = w.x, *w.kept, y, given(lines), given(mean), given(rstd)
    if w.way.way == "columns":
        grid, matrix = blocks_of(w.slots, w.way.cut, w.way.rows), w.matrix(w.way.rows)
        start("column_apply", template, grid, w.way.threads, (w.shape, matrix, *arguments))
    else:
        start("apply", template, tasks(w), 256, (w.shape, *arguments))


def tasks(w: Work) -> int:
    """Blocks of 256 threads that go over all items one by one."""
    return up(w.sets * w.way.cut.items * w.way.cut.lanes, 256)


def backward(w: Work, dy: Array, mean: Array | None, rstd: Array, dx: Array) -> tuple[Array, Array]:
    """dx, dweight and dbias; the statistics are the sets' own."""
    if w.way.way in ("chunks", "columns"):
        slopes = numbers(w.sets, SLOPE)
        partial = set_sums(w, dy, mean, rstd, own=True, slopes=slopes)
        return gradients(w, dy, slopes, dx, partial)
    arguments = dy, w.x, w.kept[0], given(mean), rstd, dx
    template: tuple[Any, ...] = (*w.types, w.way.cut.strip)
    if w.way.cut.trailing:
        sets = w.way.sets
        parts = up(w.slots[0], sets)
        partial = cupy.empty((2, parts, w.slots[2] * w.slots[3]), computed(w.x))
        arguments = w.shape, structure(PARTS, parts, sets), *arguments, *partial
        start("backward_trailing", template, w.way.grid, w.way.threads, arguments, w.way.shared)
        return fold(w, partial)
    partial = numbers(2, w.slots[0], w.slots[2] * w.slots[3])
    names = {"registers": "backward", "cluster": "backward_cluster", "shared": "backward_shared"}
    template += (w.way.cluster,) if w.way.way == "cluster" else ()
    arguments = w.shape, *arguments, *partial
    start(names[w.way.way], template, w.way.grid, w.way.threads, arguments, w.way.shared)
    return fold(w, partial)


def set_sums(
    w: Work,
    dy: Array,
    mean: Array | None,
    rstd: Array,
    *,
    own: bool,
    slopes: Array | None = None,
    totals: Array | None = None,
) -> Array | None:
    """The sums of every set, into slopes or totals; and dweight and dbias of each example, as (2, O, A*B)."""
    parts = numbers(w.sets * w.way.cut.items, SUMS)
    if w.way.way == "columns":
        arguments = w.shape, w.matrix(CHUNK), dy, w.x, given(mean), rstd, parts
        template: tuple[Any, ...] = (w.types[0], w.way.cut.strip)
        start("column_sums", template, w.way.grid, w.way.threads, arguments, w.way.shared)
    else:
        arguments = w.shape, dy, w.x, w.kept[0], given(mean), rstd, parts
        start("item_sums", (*w.types, w.way.cut.strip), tasks(w), 256, arguments)
    partial = None if w.way.cut.trailing else numbers(2, w.slots[0], w.slots[2] * w.slots[3])
    both = (NOTHING, NOTHING) if partial is None else tuple(partial)
    arguments = w.shape, dy, w.x, w.kept[0], given(mean), rstd, parts
    arguments += np.int32(own), given(slopes), *both, given(totals)
    start("set_sums", w.types, w.sets, w.way.team, arguments, SCRATCH)
    return partial


def given_slopes(w: Work, mean: Array, rstd: Array, totals: Array, count: int) -> Array:
    """Slopes from the sums over all shards."""
    slopes = numbers(w.sets, SLOPE)
    arguments = w.shape, mean, rstd, totals, np.float64(max(count, 1)), slopes
    start("given_slopes", w.types[:1], up(w.sets, 256), 256, arguments)
    return slopes


def gradients(w: Work, dy: Array, slopes: Array, dx: Array, partial: Array | None) -> tuple[Array, Array]:
    """dx from slopes; and dweight and dbias, from what has been added of them or together with dx."""
    if partial is None:
        return fold(w, gradients_trailing(w, dy, slopes, None, None, dx))
    write_gradients(w, dy, slopes, dx)
    return fold(w, partial)


def write_gradients(w: Work, dy: Array, slopes: Array, dx: Array) -> None:
    """dx from slopes."""
    arguments, template = (dy, w.x, w.kept[0], slopes, dx), (*w.types, w.way.cut.strip)
    if w.way.way == "columns":
        grid, matrix = blocks_of(w.slots, w.way.cut, w.way.rows), w.matrix(w.way.rows)
        start("column_gradients", template, grid, w.way.threads, (w.shape, matrix, *arguments))
    else:
        start("gradients", template, tasks(w), 256, (w.shape, *arguments))


def gradients_trailing(
    w: Work, dy: Array, slopes: Array | None, mean: Array | None, rstd: Array | None, dx: Array | None
) -> Array:
    """dx, if there is room for it, and the parts of dweight and dbias, where each element has a weight."""
    O, _, A, B, _ = w.slots
    sets = sets_of_part(O, DIVIDED)
    parts = up(O, sets)
    partial = cupy.empty((2, parts, A * B), computed(w.x))
    arguments = structure(PARTS, parts, sets), dy, w.x, w.kept[0], given(slopes), given(mean), given(rstd)
    threads = parts * A * w.way.cut.strips
    template = (*w.types, w.way.cut.strip)
    start("gradients_trailing", template, up(threads, 256), 256, (w.shape, *arguments, given(dx), *partial))
    return partial


def fold(w: Work, partial: Array) -> tuple[Array, Array]:
    """dweight and dbias as (A, B), in the precision of the arithmetic, from their parts (2, parts, A*B)."""
    _, rows, width = partial.shape
    target = computed(w.x)
    while rows > 1 or partial.dtype != target:
        left = up(rows, FOLD)
        to = cupy.empty((2, left, width), target if left == 1 else np.dtype(np.float64))
        arguments = partial, to, np.int64(rows), np.int64(width), np.int32(FOLD)
        template = tuple("double" if a.dtype == np.float64 else "float" for a in (partial, to))
        memory = WARP * BESIDE * 8
        start("fold_parameters", template, up(width, WARP) * left * 2, WARP * BESIDE, arguments, memory)
        partial, rows = to, left
    shape = w.slots[2], w.slots[3]
    return partial[0, 0].reshape(shape), partial[1, 0].reshape(shape)
