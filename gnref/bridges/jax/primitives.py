"""Three operations that JAX differentiates, transposes, batches and compiles.

``normalize`` gives y and the statistics. ``move`` is its derivative along directions of x, weight and bias,
and linear in them: forward mode. ``differentiate`` gives the gradients, linear in dy: the backward pass. Each
of these two is the other's transpose. All three run gnref's kernels, in `gnref.bridges.jax.host`, so that a
training step is one call forward and one backward. The statistics are only remembered: they follow from x,
and what the derivatives by x say below includes their part.

Second derivatives are JAX's, of a formula, and so on to any order: see `gnref.bridges.jax.beyond`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching
from jax.interpreters.xla import apply_primitive
from jax.sharding import PartitionSpec

from gnref.bridges.jax.beyond import differentiate_again, move_again, second
from gnref.bridges.jax.call import Call, together
from gnref.bridges.jax.entry import on_host

Array = Any
Arrays = dict[str, Array]
Names = tuple[str, ...]


def primitive(task: str) -> Any:
    """A primitive that runs a task of `gnref.bridges.jax.host`: arrays of these names in, of those out."""
    p = Primitive(f"gnref_{task}")
    p.multiple_results = True
    p.def_impl(partial(apply_primitive, p))
    p.def_abstract_eval(types)
    batching.primitive_batchers[p] = partial(batch, p)
    on_host(p, task, results)
    return p


def bind(p: Any, call: Call, given: Arrays, outs: Names) -> Arrays:
    """Apply a primitive to arrays by name."""
    found = p.bind(*varying_alike(given.values()), call=call, names=tuple(given), outs=outs)
    return dict(zip(outs, found, strict=True))


def varying_alike(arrays: Iterable[Array]) -> list[Array]:
    """The arrays, all taken to differ along those axes of a `jax.shard_map` along which any of them does."""
    own = [(a, varying(typeof(a))) for a in arrays]
    axes = frozenset[str]().union(*(some for _, some in own))
    return [vary(a, tuple(axes - some)) if axes - some else a for a, some in own]


def typeof(a: Array) -> Any:
    """JAX's type of an array: its shape and dtype, and since JAX 0.6 how it is spread over devices."""
    return jax.typeof(a) if hasattr(jax, "typeof") else ShapedArray(a.shape, a.dtype)


def varying(kind: Any) -> frozenset[str]:
    """The axes of a `jax.shard_map` along which arrays of a type differ, where it keeps account of it."""
    found: frozenset[str] = getattr(getattr(kind, "mat", kind), "varying", getattr(kind, "vma", frozenset()))
    return found


def vary(a: Array, axes: tuple[str, ...]) -> Array:
    """An array, taken to differ along more axes."""
    cast = getattr(jax.lax, "pcast", None)
    return cast(a, axes, to="varying") if cast else jax.lax.pvary(a, axes)  # before JAX 0.9


def results(*arrays: Any, call: Call, names: Names, outs: Names) -> list[ShapedArray]:
    """The shapes and dtypes of what comes out."""
    front = together(call.leading(name, a.shape) for name, a in zip(names, arrays, strict=True))
    return [ShapedArray((*front, *call.shape_of(name)), call.dtype_of(name)) for name in outs]


def types(*kinds: Any, **params: Any) -> list[ShapedArray]:
    """The types of what comes out: in a `jax.shard_map` it varies as all that goes in does."""
    found, like = results(*kinds, **params), kinds[0]
    if not varying(like):
        return found
    spread = like.sharding.update(spec=PartitionSpec())
    return [like.update(shape=a.shape, dtype=a.dtype, sharding=spread) for a in found]


def batch(p: Any, arrays: Sequence[Array], axes: Sequence[int | None], **params: Any) -> Any:
    """vmap: put its axis in front, with length 1 where an array has none."""
    moved = [
        a[None] if axis is None else jnp.moveaxis(a, axis, 0) for a, axis in zip(arrays, axes, strict=True)
    ]
    found = p.bind(*moved, **params)
    return found, [0] * len(found)


normalize, move, differentiate = map(primitive, ("normalize", "move", "differentiate"))


def kept(given: Arrays) -> Arrays:
    """What both derivatives take beside that in which they are linear."""
    return {name: given[name] for name in ("x", "weight", "mean", "rstd") if name in given}


def moving(names: Names, tangents: Sequence[Any]) -> Arrays:
    """The directions that are not zero."""
    return {name: t for name, t in zip(names, tangents, strict=True) if not isinstance(t, ad.Zero)}


def fit(a: Array, shape: tuple[int, ...]) -> Array:
    """The sum over the axes in front that an array of this shape has only with length 1."""
    axes = tuple(i for i, (long, own) in enumerate(zip(a.shape, shape, strict=True)) if long != own)
    return jnp.sum(a, axis=axes, keepdims=True, dtype=a.dtype) if axes else a


def normalize_jvp(arrays: Any, tangents: Any, *, call: Call, names: Names, outs: Names) -> Any:
    """y, and y_dot by ``move``."""
    given = dict(zip(names, arrays, strict=True))
    found = bind(normalize, call, given, outs)
    still: list[Any] = [zero(a) for a in found.values()]
    dots = {f"{name}_dot": t for name, t in moving(names, tangents).items()}
    if dots:
        still[0] = bind(move, call, dots | kept(given | found), ("y_dot",))["y_dot"]
    return list(found.values()), still


def move_jvp(arrays: Any, tangents: Any, *, call: Call, names: Names, outs: Names) -> Any:
    """How y_dot moves: with the directions, along which it is linear; and with x and weight."""
    given, along = dict(zip(names, arrays, strict=True)), moving(names, tangents)
    found = bind(move, call, given, outs)
    dots = {name: t for name, t in along.items() if name.endswith("_dot")}
    parts = [bind(move, call, dots | kept(given), outs)["y_dot"]] if dots else []
    if along.keys() - dots and given.keys() & {"x_dot", "weight_dot"}:
        parts.append(second(move_again, call, given, along)["y_dot"])
    return list(found.values()), [total(parts, found["y_dot"])]


def differentiate_jvp(arrays: Any, tangents: Any, *, call: Call, names: Names, outs: Names) -> Any:
    """How the gradients move: with dy, in which they are linear; and with x and weight."""
    given, along = dict(zip(names, arrays, strict=True)), moving(names, tangents)
    found = bind(differentiate, call, given, outs)
    parts = []
    if "dy" in along:
        parts.append(bind(differentiate, call, {"dy": along["dy"]} | kept(given), outs))
    if along.keys() - {"dy"}:
        parts.append(second(differentiate_again, call, given, along))
    return list(found.values()), [total([p[n] for p in parts if n in p], a) for n, a in found.items()]


def total(parts: list[Array], like: Array) -> Any:
    """The sum of what there is; zero, as JAX knows it, if there is nothing."""
    return sum(parts[1:], parts[0]) if parts else zero(like)


def zero(like: Array) -> Any:
    """The derivative of what does not move, or, being whole numbers, cannot."""
    dtype = like.dtype if jnp.issubdtype(like.dtype, jnp.floating) else jax.dtypes.float0
    return ad.Zero(typeof(like).update(dtype=dtype))


def move_transpose(cotangents: Any, *arrays: Any, call: Call, names: Names, outs: Names) -> list[Any]:
    """The gradients by the directions: ``differentiate``."""
    wanted = {n: a.aval for n, a in zip(names, arrays, strict=True) if ad.is_undefined_primal(a)}
    (dy,) = cotangents
    if isinstance(dy, ad.Zero):
        return [ad.Zero(wanted[name]) if name in wanted else None for name in names]
    given = {"dy": dy} | kept({n: a for n, a in zip(names, arrays, strict=True) if n not in wanted})
    back = {name: "d" + name.removesuffix("_dot") for name in wanted}
    found = bind(differentiate, call, given, tuple(back.values()))
    return [fit(found[back[n]], wanted[n].shape) if n in wanted else None for n in names]


def differentiate_transpose(
    cotangents: Any, *arrays: Any, call: Call, names: Names, outs: Names
) -> list[Any]:
    """The gradient by dy: ``move``."""
    given = dict(zip(names, arrays, strict=True))
    dots = {f"{name[1:]}_dot": t for name, t in moving(outs, cotangents).items()}
    dy = given["dy"].aval
    found = fit(bind(move, call, dots | kept(given), ("y_dot",))["y_dot"], dy.shape) if dots else ad.Zero(dy)
    return [found if name == "dy" else None for name in names]


ad.primitive_jvps |= {normalize: normalize_jvp, move: move_jvp, differentiate: differentiate_jvp}
ad.primitive_transposes |= {move: move_transpose, differentiate: differentiate_transpose}
