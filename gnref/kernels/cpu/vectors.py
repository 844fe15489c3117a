"""Sixteen numbers at a time: the few vector operations that the kernels are written in.

A compiler that is left to vectorize a sum chooses its order, needs leave to reassociate (which breaks
a mean that is kept in two numbers), and stops where two arrays might overlap. Here a vector is a type:
its operations become one LLVM instruction each, so the order of every addition is the one that is
written, the same on every machine, and no fastmath flag is needed anywhere. With AVX-512 each is one
instruction of the processor as well (vsubps, vfmadd231ps and vmovntps on zmm registers), with AVX two.

Under NUMBA_DISABLE_JIT each operation is a NumPy function of the same name, in `twins`.
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


def first_lanes(builder: Any, n: Any) -> Any:
    """A mask that is true in the first n lanes."""
    lanes = ir.Constant(ir.VectorType(BITS32, LANES), list(range(LANES)))
    return builder.icmp_unsigned("<", lanes, splat(builder, builder.trunc(n, BITS32)))


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
