"""Between memory and vectors: sixteen elements of an array as float32 or float64, and back.

float16 and bfloat16 are unknown to Numba on a CPU. Arrays of them come as their bits, float16 as uint16
and bfloat16 as int16, and become float32 in `load` and 16 bits again in `store`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from gnref.kernels.cpu.options import inline
from gnref.kernels.cpu.vectors import (
    BITS16,
    BITS32,
    COMPUTED,
    DOUBLE,
    FLOAT,
    HALF,
    INDEX,
    LANES,
    MANGLED,
    STORED,
    Vector,
    call,
    first_lanes,
    splat,
    vector_of,
)


@intrinsic
def pointer(typingctx: Any, x: Any) -> Any:
    """Where an array's elements begin. Numba counts references to arrays: cores would wait."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.make_array(sig.args[0])(context, builder, args[0]).data

    return types.CPointer(x.dtype)(x), codegen


@intrinsic
def keep(typingctx: Any, x: Any) -> Any:
    """Nothing; but an array lives until its last use, and a `pointer` to it is none: this is one."""
    return types.void(x), lambda context, builder, sig, args: context.get_dummy_value()


@intrinsic
def part_of(typingctx: Any, x: Any, i: Any) -> Any:
    """Where x[i:] begins, for a pointer x."""
    return x(x, types.intp), lambda context, builder, sig, args: builder.gep(args[0], [args[1]])


def address(builder: Any, pointer: Any, i: Any) -> Any:
    """The address of element i, with no check and no index from the end."""
    return builder.gep(pointer, [i])


def decode(builder: Any, stored: Any) -> Any:
    """What lies in memory, as float32 or float64."""
    element = stored.type.element
    if element == HALF:
        return builder.fpext(stored, vector_of(FLOAT))
    if element == BITS16:  # bfloat16 is the upper half of a float32
        wide = builder.zext(stored, vector_of(BITS32))
        return builder.bitcast(builder.shl(wide, ir.Constant(wide.type, [16] * LANES)), vector_of(FLOAT))
    return stored


def encode(builder: Any, value: Any, element: ir.Type) -> Any:
    """A float32 or float64 vector, as it lies in memory."""
    if value.type.element == DOUBLE and element != DOUBLE:
        value = builder.fptrunc(value, vector_of(FLOAT))
    if element == HALF:
        return builder.fptrunc(value, vector_of(HALF))
    if element == BITS16:
        return round_to_bfloat16(builder, value)
    return value


def round_to_bfloat16(builder: Any, value: Any) -> Any:
    """To the nearest bfloat16, ties to even, in integers: a carry walks on into the exponent."""
    bits = builder.bitcast(value, vector_of(BITS32))

    def constant(number: int) -> Any:
        return ir.Constant(bits.type, [number] * LANES)

    odd = builder.and_(builder.lshr(bits, constant(16)), constant(1))
    rounded = builder.lshr(builder.add(bits, builder.add(odd, constant(0x7FFF))), constant(16))
    quiet = builder.or_(builder.lshr(bits, constant(16)), constant(0x40))  # a NaN stays one
    is_nan = builder.fcmp_unordered("uno", value, value)
    return builder.trunc(builder.select(is_nan, quiet, rounded), vector_of(BITS16))


def memory_type(array_type: Any) -> ir.Type:
    """How the elements of an array lie in memory."""
    return STORED[array_type.dtype]


@intrinsic
def load(typingctx: Any, x: Any, i: Any) -> Any:
    """Sixteen elements from x[i] on, as float32 or float64."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        element = memory_type(sig.args[0])
        pointer = address(builder, *args)
        pointer = builder.bitcast(pointer, vector_of(element).as_pointer())
        stored = builder.load(pointer)
        stored.align = element_bytes(element)
        return decode(builder, stored)

    return Vector(COMPUTED[x.dtype])(x, types.intp), codegen


@intrinsic
def load_first(typingctx: Any, x: Any, i: Any, n: Any) -> Any:
    """n < 16 elements from x[i] on, and zeros."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        element = memory_type(sig.args[0])
        raw = BITS16 if element == HALF else element
        pointer = address(builder, *args[:2])
        pointer = builder.bitcast(pointer, vector_of(raw).as_pointer())
        arguments = [
            pointer,
            ir.Constant(BITS32, element_bytes(element)),
            first_lanes(builder, args[2]),
            ir.Constant(vector_of(raw), [0] * LANES),
        ]
        stored = call(builder, f"llvm.masked.load.v16{MANGLED[raw]}.p0", vector_of(raw), arguments)
        return decode(builder, builder.bitcast(stored, vector_of(element)))

    return Vector(COMPUTED[x.dtype])(x, types.intp, types.intp), codegen


def element_bytes(element: ir.Type) -> int:
    """Bytes of one element in memory."""
    return {FLOAT: 4, DOUBLE: 8}.get(element, 2)


@intrinsic
def store(typingctx: Any, y: Any, i: Any, value: Any) -> Any:
    """Write sixteen elements from y[i] on."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        element = memory_type(sig.args[0])
        pointer = address(builder, *args[:2])
        pointer = builder.bitcast(pointer, vector_of(element).as_pointer())
        builder.store(encode(builder, args[2], element), pointer, align=element_bytes(element))
        return context.get_dummy_value()

    return types.void(y, types.intp, value), codegen


@intrinsic
def stream(typingctx: Any, y: Any, i: Any, value: Any, second: Any) -> Any:
    """Write thirty-two elements past the caches, without reading their lines first; y[i] must be `aligned`.

    Two vectors, because two of 16 bits make a line: one that waited half full would be written twice.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        element = memory_type(sig.args[0])
        pointer = builder.bitcast(address(builder, *args[:2]), vector_of(element).as_pointer())
        halves = [encode(builder, v, element) for v in args[2:]]
        if element_bytes(element) == 2:
            order = ir.Constant(ir.VectorType(INDEX, 2 * LANES), list(range(2 * LANES)))
            halves = [builder.shuffle_vector(*halves, order)]
            pointer = builder.bitcast(pointer, halves[0].type.as_pointer())
        for k, value in enumerate(halves):
            place = builder.gep(pointer, [INDEX(k)])
            written = builder.store(value, place, align=LANES * max(element_bytes(element), 4))
            written.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(BITS32, 1)]))
        return context.get_dummy_value()

    return types.void(y, types.intp, value, value), codegen


@intrinsic
def store_first(typingctx: Any, y: Any, i: Any, value: Any, n: Any) -> Any:
    """Write the first n < 16 elements."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        element = memory_type(sig.args[0])
        raw = BITS16 if element == HALF else element
        pointer = address(builder, *args[:2])
        pointer = builder.bitcast(pointer, vector_of(raw).as_pointer())
        value = builder.bitcast(encode(builder, args[2], element), vector_of(raw))
        arguments = [
            value,
            pointer,
            ir.Constant(BITS32, element_bytes(element)),
            first_lanes(builder, args[3]),
        ]
        call(builder, f"llvm.masked.store.v16{MANGLED[raw]}.p0", ir.VoidType(), arguments)
        return context.get_dummy_value()

    return types.void(y, types.intp, value, types.intp), codegen


@intrinsic
def number(typingctx: Any, x: Any, i: Any) -> Any:
    """x[i] as a float64."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        element = memory_type(sig.args[0])
        pointer = builder.bitcast(address(builder, *args), element.as_pointer())
        value = decode(builder, splat(builder, builder.load(pointer)))
        value = builder.extract_element(value, INDEX(0))
        return value if value.type == DOUBLE else builder.fpext(value, DOUBLE)

    return types.float64(x, types.intp), codegen


@intrinsic
def put_number(typingctx: Any, y: Any, i: Any, value: Any) -> Any:
    """Round a float64 into y[i].

    Not a `store_first` of one element: LLVM 20 writes two bfloat16 where a mask is known to have one lane.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        element = memory_type(sig.args[0])
        pointer = builder.bitcast(address(builder, *args[:2]), element.as_pointer())
        encoded = encode(builder, splat(builder, args[2]), element)
        builder.store(builder.extract_element(encoded, INDEX(0)), pointer)
        return context.get_dummy_value()

    return types.void(y, types.intp, types.float64), codegen


@intrinsic
def aligned(typingctx: Any, y: Any, i: Any) -> Any:
    """The first j >= i at which y[j] starts a block of thirty-two elements in memory."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        size = element_bytes(memory_type(sig.args[0]))
        word = args[1].type
        place = builder.ptrtoint(address(builder, *args), word)
        mask = word(2 * LANES - 1)
        past = builder.and_(builder.udiv(place, word(size)), mask)  # elements past a boundary
        return builder.add(args[1], builder.and_(builder.sub(word(2 * LANES), past), mask))

    return types.intp(y, types.intp), codegen


@intrinsic
def prefetch(typingctx: Any, x: Any, i: Any) -> Any:
    """Ask for the line of x[i] before it is needed; i may be past the end."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = builder.bitcast(address(builder, *args), ir.IntType(8).as_pointer())
        read, second_level, data = BITS32(0), BITS32(2), BITS32(1)
        call(builder, "llvm.prefetch.p0", ir.VoidType(), [pointer, read, second_level, data])
        return context.get_dummy_value()

    return types.void(x, types.intp), codegen


if config.DISABLE_JIT:
    from gnref.kernels.cpu.twins import *  # type: ignore[assignment]  # noqa: F403


@inline
def take(x: Any, i: Any, n: Any) -> Any:
    """The next numbers of a row, of which n are left."""
    return load(x, i) if n >= LANES else load_first(x, i, n)


@inline
def put(y: Any, i: Any, v: Any, n: Any) -> None:
    """Write the next numbers of a row, of which n are left."""
    if n < LANES:
        store_first(y, i, v, n)
    else:
        store(y, i, v)
