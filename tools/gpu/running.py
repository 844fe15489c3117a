"""One case on the device: every function of the kernel contract, with results as NumPy arrays."""

from __future__ import annotations

from collections import Counter
from typing import Any

import cupy
import numpy as np

from gnref.kernels.cuda import contract
from gpu.cases import Array, Case, Problem, given
from gpu.ways import going, poison, poisoned

Arrays = tuple[Any, Any, Any, Any]  # x, dy, weight and bias on the device
NAMES = ("y", "mean", "var", "rstd", "dx", "dweight", "dbias")


def there(p: Problem) -> Arrays:
    """The arrays of a problem on the device."""
    x, dy, weight, bias = (None if a is None else cupy.asarray(a) for a in p[:4])
    return x, dy, weight, bias


def shifted(p: Problem) -> Arrays:
    """The same, each one number further than where memory begins: no load of 16 bytes is aligned."""
    x, dy, weight, bias = (
        None if a is None else cupy.asarray(np.append(a.flat[:1], a))[1:].reshape(a.shape) for a in p[:4]
    )
    return x, dy, weight, bias


def turned(p: Problem) -> Arrays:
    """The same with the axes in reverse order in memory."""
    x, dy, weight, bias = (None if a is None else cupy.asarray(np.ascontiguousarray(a.T)).T for a in p[:4])
    return x, dy, weight, bias


def both_passes(
    p: Problem, way: str, arrays: Arrays | None = None, taken: Counter[str] | None = None
) -> dict[str, Array]:
    """Forward and backward on poisoned memory, into arrays that are there."""
    x, dy, weight, bias = there(p) if arrays is None else arrays
    with going(way, taken), poisoned():
        out, dx_out = (poison(cupy.empty(x.shape, x.dtype)) for _ in range(2))
        y, mean, var, rstd = contract.forward(x, weight, bias, p.eps, p.center, out)
        dx, dweight, dbias = contract.backward(dy, x, mean, rstd, weight, p.center, dx_out)
    results = dict(zip(NAMES, (y, mean, var, rstd, dx, dweight, dbias), strict=True))
    if y is not out or dx is not dx_out:
        raise AssertionError("out= was given, and the result is another array")
    if not same_bits(cupy.asnumpy(x), p.x) or not same_bits(cupy.asnumpy(dy), p.dy):
        raise AssertionError("x or dy was written to")
    return {name: cupy.asnumpy(a) for name, a in results.items() if a is not None}


def others(p: Problem, case: Case, way: str, count: int) -> dict[str, Array]:
    """The five functions that take statistics or halve a pass."""
    x, dy, weight, bias = there(p)
    mean, rstd = map(cupy.asarray, given(case))
    with going(way), poisoned():
        y = contract.apply(x, mean, rstd, weight, bias, poison(cupy.empty(x.shape, x.dtype)))
        dx, dweight, dbias = contract.backward_given(dy, x, mean, rstd, weight)
        sums = contract.backward_sums(dy, x, mean, rstd, weight)
        from_sums = contract.backward_from_sums(dy, x, mean, rstd, weight, count, *sums)
        _, own_mean, squares = contract.moments(x)
    results = {
        "apply": y,
        **{"backward_given dx": dx, "backward_given dweight": dweight, "backward_given dbias": dbias},
        **{"backward_sums dxhat": sums[0], "backward_sums dxhat*xhat": sums[1]},
        **{"backward_from_sums": from_sums, "moments mean": own_mean, "moments M2": squares},
    }
    return {name: cupy.asnumpy(a) for name, a in results.items()}


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays have the same bits, NaN included."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
