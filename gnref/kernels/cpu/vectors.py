"""Sixteen numbers at a time: the few vector operations that the kernels are written in.

A compiler that is left to vectorize a sum chooses its order, needs leave to reassociate (which breaks
a mean that is kept in two numbers), and stops where two arrays might overlap. Here a vector is a type:
its operations become one LLVM instruction each, so the order of every addition is the one that is
written, the same on every machine, and no fastmath flag is needed anywhere.

float16 and bfloat16 are unknown to Numba on a CPU. Arrays of them come as their bits, float16 as uint16
and bfloat16 as int16, and become float32 in `load` and 16 bits again in `store`.

Under NUMBA_DISABLE_JIT each operation is a NumPy function of the same name, at the end of this file.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, register_model

LANES = 16
INDEX = ir.IntType(32)
HALF, FLOAT, DOUBLE = ir.HalfType(), ir.FloatType(), ir.DoubleType()
BITS16, BITS32 = ir.IntType(16), ir.IntType(32)

# How the elements of an array lie in memory, and the type that is computed in.
STORED = {types.float32: FLOAT, types.float64: DOUBLE, types.uint16: HALF, types.int16: BITS16}
COMPUTED = {t: types.float64 if t is types.float64 else types.float32 for t in STORED}
MANGLED = {FLOAT: "f32", DOUBLE: "f64", HALF: "f16", BITS16: "i16"}


class Vector(types.Type):  # type: ignore[misc]
    """The type of sixteen float32 or float64 numbers."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype})")


@register_model(Vector)
class VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    """A Vector is an LLVM vector."""

    def __init__(self, dmm: Any, fe_type: Vector) -> None:
        super().__init__(dmm, fe_type, vector_of(STORED[fe_type.dtype]))


def vector_of(element: ir.Type) -> ir.VectorType:
    """The LLVM type of sixteen elements."""
    return ir.VectorType(element, LANES)


def call(builder: Any, name: str, result: ir.Type, arguments: list[Any]) -> Any:
    """Call a function of LLVM's own."""
    signature = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), arguments)


def splat(builder: Any, value: Any) -> Any:
    """Sixteen copies of a number."""
    one = builder.insert_element(ir.Constant(vector_of(value.type), ir.Undefined), value, INDEX(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(INDEX, LANES), [0] * LANES))


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


def first_lanes(builder: Any, n: Any) -> Any:
    """A mask that is true in the first n lanes."""
    lanes = ir.Constant(ir.VectorType(BITS32, LANES), list(range(LANES)))
    return builder.icmp_unsigned("<", lanes, splat(builder, builder.trunc(n, BITS32)))


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


@intrinsic
def full_width(typingctx: Any) -> Any:
    """Let this function use the widest registers there are; LLVM halves 512 bits unless it is told."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        # llvmlite knows a list of attributes without this one, and checks in its own add().
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def filled(typingctx: Any, value: Any) -> Any:
    """Sixteen copies of a number."""
    return Vector(value)(value), lambda context, builder, sig, args: splat(builder, args[0])


@intrinsic
def widen(typingctx: Any, value: Any) -> Any:
    """A float32 vector as float64; a float64 vector as it is."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return args[0] if sig.args[0].dtype is types.float64 else builder.fpext(args[0], vector_of(DOUBLE))

    return Vector(types.float64)(value), codegen


@intrinsic
def first(typingctx: Any, value: Any, n: Any) -> Any:
    """The first n lanes, and zeros."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zero = ir.Constant(args[0].type, [0.0] * LANES)
        return builder.select(first_lanes(builder, args[1]), args[0], zero)

    return value(value, types.intp), codegen


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once; b and c may be numbers."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        result = args[0].type
        vectors = [v if v.type == result else splat(builder, v) for v in args]
        return call(builder, f"llvm.fma.v16{MANGLED[result.element]}", result, vectors)

    return a(a, *(t if t == a else a.dtype for t in (b, c))), codegen


@intrinsic
def accumulate(typingctx: Any, high: Any, low: Any, value: Any) -> Any:
    """high + low + value in twice the precision of value: in float64 for float32, as two sums for float64."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        high, low, value = args
        if sig.args[2].dtype is types.float32:
            high = builder.fadd(high, builder.fpext(value, vector_of(DOUBLE)))
        else:  # what the addition loses (Knuth 1969, 4.2.2, theorem B) is kept in low
            both = builder.fadd(high, value)
            part = builder.fsub(both, high)
            lost_high = builder.fsub(high, builder.fsub(both, part))
            low = builder.fadd(low, builder.fadd(lost_high, builder.fsub(value, part)))
            high = both
        return context.make_tuple(builder, sig.return_type, [high, low])

    wide = Vector(types.float64)
    return types.UniTuple(wide, 2)(wide, wide, value), codegen


@intrinsic
def rounded(typingctx: Any, x: Any, value: Any) -> Any:
    """A float64 number rounded to the type that x is computed in."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if COMPUTED[sig.args[0].dtype] is types.float64:
            return args[1]
        return builder.fpext(builder.fptrunc(args[1], FLOAT), DOUBLE)

    return types.float64(x, types.float64), codegen


@intrinsic
def narrow(typingctx: Any, x: Any, value: Any) -> Any:
    """A float64 vector in the type that x is computed in."""
    dtype = COMPUTED[x.dtype]

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return args[1] if dtype is types.float64 else builder.fptrunc(args[1], vector_of(FLOAT))

    return Vector(dtype)(x, value), codegen


@intrinsic
def any_above(typingctx: Any, a: Any, b: Any) -> Any:
    """Whether a > b in any lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        lanes = builder.bitcast(builder.fcmp_ordered(">", *args), ir.IntType(LANES))
        return builder.icmp_unsigned("!=", lanes, ir.Constant(lanes.type, 0))

    return types.boolean(a, a), codegen


@intrinsic
def where_above(typingctx: Any, a: Any, b: Any, value: Any, other: Any) -> Any:
    """The value in lanes where a > b, else the other."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *args[:2]), *args[2:])

    return value(a, a, value, value), codegen


@intrinsic
def filled_like(typingctx: Any, x: Any, value: Any) -> Any:
    """Sixteen copies of a number, in the type that x is computed in."""
    dtype = COMPUTED[x.dtype]
    return Vector(dtype)(x, dtype), lambda context, builder, sig, args: splat(builder, args[1])


@intrinsic
def total(typingctx: Any, value: Any) -> Any:
    """The sum of the sixteen lanes: halves with halves."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        v, n = args[0], LANES
        while n > 1:
            n //= 2
            low, high = (ir.Constant(ir.VectorType(INDEX, n), list(range(k, k + n))) for k in (0, n))
            v = builder.fadd(builder.shuffle_vector(v, v, low), builder.shuffle_vector(v, v, high))
        return builder.extract_element(v, INDEX(0))

    return value.dtype(value), codegen


def _operator(symbol: Callable[[Any, Any], Any], instruction: str) -> None:
    """Let a symbol work on two vectors, and on a vector and a number."""

    class Types(AbstractTemplate):  # type: ignore[misc]
        def generic(self, args: Any, kws: Any) -> Any:
            a, b = args
            if isinstance(a, Vector) and (b == a or isinstance(b, types.Number)):
                return signature(a, a, b if b == a else a.dtype)
            return None

    infer_global(symbol)(Types)

    @lower_builtin(symbol, Vector, types.Any)
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        a, b = args
        return getattr(builder, instruction)(a, b if b.type == a.type else splat(builder, b))


_operator(operator.add, "fadd")
_operator(operator.sub, "fsub")
_operator(operator.mul, "fmul")
_operator(operator.truediv, "fdiv")


if config.DISABLE_JIT:
    from gnref.kernels.cpu.twins import *  # type: ignore[assignment]  # noqa: F403
