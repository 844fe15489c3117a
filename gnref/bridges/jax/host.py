"""What runs on NumPy's arrays when JAX calls: gnref's kernels, once for each example of a vmap.

An array may have axes in front, where vmap put them, of length 1 where it is the same for all. Where no
parameter has them, they are folded into N, and one call does it all; else it is a loop.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from gnref import calculus
from gnref.axes import Fold
from gnref.bridges.jax.call import KIND, Call, together
from gnref.dispatch import choose, kernels
from gnref.passes import Saved, quiet

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]


def run(task: str, call: Call, given: Arrays, into: Arrays) -> None:
    """Compute what ``into`` names, and write it there."""
    function = TASKS[task]
    if given["x"].shape == call.shape:
        return function(call, given, into)
    front = together(call.leading(name, a.shape) for name, a in given.items())
    whole = together_call(call, front, given, into)
    if whole is not None:
        return function(whole, reshaped(whole, given), reshaped(whole, into))
    for index in np.ndindex(front):
        one = {name: at(call, name, a, index) for name, a in given.items()}
        function(call, one, {name: a[index] for name, a in into.items()})
    return None


def together_call(call: Call, front: tuple[int, ...], given: Arrays, into: Arrays) -> Call | None:
    """The call that does all examples at once, if one does."""
    for name, a in given.items():
        own = call.leading(name, a.shape)
        if own != front if KIND[name] in ("x", "stat") else prod(own) != 1:
            return None
    if any(KIND[name] in ("weight", "bias") for name in into):  # each example has a gradient of its own
        return None
    return call.folded(prod(front))


def reshaped(call: Call, arrays: Arrays) -> Arrays:
    """The arrays of one call."""
    return {name: a.reshape(call.shape_of(name)) for name, a in arrays.items()}


def at(call: Call, name: str, a: Array, index: tuple[int, ...]) -> Array:
    """An array's part for one example."""
    own = call.leading(name, a.shape)
    found: Array = a[tuple(0 if n == 1 else i for i, n in zip(index, own, strict=True))]
    return found


def normalize(call: Call, given: Arrays, into: Arrays) -> None:
    """y and the statistics."""
    v = call.view
    weight, bias = (folded(v.params, given.get(name)) for name in ("weight", "bias"))
    x5, out5 = v.x.fold(np, given["x"]), v.x.fold(np, into["y"])
    with quiet():
        y5, mean, _, rstd = kernels(backend()).forward(x5, weight, bias, call.eps, v.center, out5)
        if y5 is not out5:
            out5[...] = y5
    for name, stat in (("mean", mean), ("rstd", rstd)):
        if name in into:
            number(into[name])[...] = v.stats.unfold(np, stat)


def differentiate(call: Call, given: Arrays, into: Arrays) -> None:
    """Of dx, dweight and dbias those that are asked for."""
    v = call.view
    mean, rstd = (folded(v.stats, statistic(given, name)) for name in ("mean", "rstd"))
    weight, out5 = folded(v.params, given.get("weight")), folded(v.x, into.get("dx"))
    dy5, x5 = v.x.fold(np, given["dy"]), v.x.fold(np, given["x"])
    with quiet():
        dx5, dweight, dbias = kernels(backend()).backward(dy5, x5, mean, rstd, weight, v.center, out5)
        if out5 is not None and dx5 is not out5:
            out5[...] = dx5
        for name, gradient in (("dweight", dweight), ("dbias", dbias)):
            if name in into:
                into[name][...] = v.params.unfold(np, gradient)


def move(call: Call, given: Arrays, into: Arrays) -> None:
    """y_dot, along what directions are given."""
    mean, rstd, bias_dot = statistic(given, "mean"), statistic(given, "rstd"), given.get("bias_dot")
    x, weight = given["x"], given.get("weight")
    saved = Saved(  # of bias the shape and the dtype alone are looked at
        call.norm, x, weight, bias_dot, call.eps, mean, None, rstd, call.view, backend(), straight=False
    )
    into["y_dot"][...] = calculus.jvp(saved, given.get("x_dot"), given.get("weight_dot"), bias_dot)


def folded(fold: Fold, a: Array | None) -> Array | None:
    """An array in slots: in the same memory, as its last axis is the fastest."""
    return None if a is None else fold.fold(np, a)


def statistic(given: Arrays, name: str) -> Array | None:
    """A statistic as float64; None for the mean of rms norm."""
    return number(given[name]) if name in given else None


def number(bits: Array) -> Array:
    """Pairs of 32 bits as float64, in the same memory."""
    return bits.view(np.float64)[..., 0]


def backend() -> str:
    """What NumPy arrays take."""
    return choose(np.empty(0), None)


TASKS: dict[str, Callable[[Call, Arrays, Arrays], None]] = {
    "normalize": normalize,
    "differentiate": differentiate,
    "move": move,
}
