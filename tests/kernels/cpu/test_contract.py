"""The seven functions of the contract equal those of the reference, and write to nothing but their results.

Every array lies between guards of NaN: what reads one shows in a result, what writes one is seen.
"""

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numba import config

from gnref.kernels import cpu, reference
from gnref.kernels.cpu.columns import BLOCK, ROWS
from gnref.kernels.cpu.sums import CHUNK
from gnref.testing.tolerances import WIDE, spacing, unit_roundoff

JIT = not config.DISABLE_JIT
DTYPES = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
WAYS = ["one thread", "prange", "thread pool"]
GUARD = 64

P_SLOT, S_SLOT = (1, 2, 17, 300), (1, 2, 17, 49, 130, 300)
LARGEST = 40_000 if JIT else 1_500


def grid(P, S):
    """All shapes (O, P, A, B, S) of which O, A and B are 1, 2 or 17; some of them without the compiler."""
    shapes = [(O, P, A, B, S) for O, A, B in product((1, 2, 17), repeat=3)]
    shapes = [shape for shape in shapes if prod(shape) <= LARGEST]
    return shapes if JIT else shapes[:: max(1, len(shapes) // 4)]


# Both sides of where something changes: chunks of a row, rows of a chunk, channels of a chunk; then of rows and
# of columns; then of one piece, of its tiles and of its parts; and sets of three chunks and more.
EDGES = [
    *[(1, 1, 1, 1, CHUNK + k) for k in (-1, 0, 1)],
    *[(1, 1, 2, 3, CHUNK // 3 + k) for k in (-1, 0, 1, 2)],
    *[(1, P, 2, 1, CHUNK // 4 + k) for P in (3, 4, 5) for k in (-1, 0, 1)],
    *[(2, 1, 1, 1, 2 * CHUNK + 1), (1, 2, 2, 2, CHUNK + 1), (1, 7, 1, 2, CHUNK // 2)],
    *[(2, P, 1, 3, 1) for P in (ROWS - 1, ROWS, ROWS + 1, 2 * ROWS + 1, 5 * ROWS)],
    *[(1, 9, 1, BLOCK + k, 1) for k in (-17, -16, -1, 0, 1, 16)],
    *[(1, ROWS + 1, 5, BLOCK // 5 + k, 1) for k in (0, 1)],
    *[(2, 1, 1, CHUNK + k, 1) for k in (-1, 0, 1, CHUNK + 1)],
    *[(9, 1, 2, 512 + k, 1) for k in (-1, 0, 1)],
    *[(O, 1, 2, 3, 1) for O in (191, 192, 193, 384, 3100)],
]
# Results of 2 MiB and more are written past the caches; sets of 1 MiB and more are shared by all cores.
LARGE = [
    *[(9, 1, 2, 3, 10_000), (4, 1, 1, 1, 262_145), (3, 5, 2, 2, 9_001), (1, 2, 3, 1, 90_001)],
    *[(3, 700, 16, 16, 1), (12, 60, 5, 200, 1), (1, 2600, 1, 208, 1), (2, 300, 11, 101, 1)],
    *[(40, 1, 2, 8192, 1), (13, 1, 1, 50_001, 1), (640, 1, 1, 1000, 1), (5, 1, 2, 66_000, 1)],
]
if not JIT:
    EDGES, LARGE = EDGES[2::4], []


def guarded(a):
    """The same numbers between guards of NaN."""
    whole = np.full(a.nbytes + 2 * GUARD * a.itemsize, 0xFF, np.uint8).view(a.dtype)
    middle = whole[GUARD:-GUARD].reshape(a.shape)
    middle[...] = a
    return middle


def is_guarded(a):
    """Whether an array's guards are whole."""
    whole = a if a.base is None else a.base
    whole = whole.view(np.uint8)
    size = GUARD * a.itemsize
    return bool((whole[:size] == 0xFF).all() and (whole[-size:] == 0xFF).all())


@dataclass
class Case:
    """Arguments for all seven functions, and room for what they write."""

    x: Any
    dy: Any
    weight: Any
    bias: Any
    center: bool
    eps: float = 1e-3

    @property
    def out(self):
        return guarded(np.zeros_like(self.x))

    @property
    def inputs(self):
        return [a for a in (self.x, self.dy, self.weight, self.bias) if a is not None]


def case(shape, dtype, seed=0, with_weight=True, with_bias=True, center=True):
    """Every set has its own offset and spread; the weight has the precision of a parameter."""
    rng = np.random.default_rng([seed, *shape])
    O, _, A, B, _ = shape
    offset, spread = rng.uniform(-3, 3, (O, 1, A, 1, 1)), 2.0 ** rng.uniform(-2, 2, (O, 1, A, 1, 1))
    x = spread * (rng.standard_normal(shape) + offset)
    params = rng.choice([-1, 1], (2, A, B)) * rng.uniform(0.5, 2, (2, A, B))
    params = params.astype(np.float64 if dtype == "float64" else np.float32)
    x, dy, weight, bias = (
        guarded(a)
        for a in (x.astype(DTYPES[dtype]), rng.standard_normal(shape).astype(DTYPES[dtype]), *params)
    )
    return Case(x, dy, weight if with_weight else None, bias if with_bias else None, center)


def all_seven(kernels, c, outs=None):
    """Every result by its name; those of given statistics are taken with the ones of `reference`."""
    outs = {name: {} if outs is None else {"out": outs[name]} for name in OUTS}
    O, P, _, B, S = c.x.shape
    given = mean, rstd = (guarded(a) for a in statistics(c))
    r = dict(zip(("y", "mean", "var", "rstd"), kernels.forward(c.x, c.weight, c.bias, c.eps, c.center, **outs["y"])))
    grads = kernels.backward(c.dy, c.x, mean if c.center else None, rstd, c.weight, c.center, **outs["dx"])
    r |= dict(zip(("dx", "dweight", "dbias"), grads, strict=True))
    r["count"], r["mean of moments"], r["M2"] = kernels.moments(c.x)
    r["y of given"] = kernels.apply(c.x, mean, rstd, c.weight, c.bias, **outs["y of given"])
    grads = kernels.backward_given(c.dy, c.x, mean, rstd, c.weight, **outs["dx of given"])
    r |= dict(zip(("dx of given", "dweight of given", "dbias of given"), grads, strict=True))
    sums = kernels.backward_sums(c.dy, c.x, mean, rstd, c.weight)
    r["sum of dxhat"], r["sum of dxhat xhat"] = sums
    shared = tuple(guarded(np.asarray(s) * 1.5) for s in reference.backward_sums(c.dy, c.x, *given, c.weight))
    r["dx of sums"] = kernels.backward_from_sums(c.dy, c.x, mean, rstd, c.weight, 2 * P * B * S, *shared, **outs["dx of sums"])
    assert all(is_guarded(a) for a in (*given, *shared))
    return r
