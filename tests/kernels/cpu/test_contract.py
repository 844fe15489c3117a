"""The seven functions of the contract equal those of the reference, and write to nothing but their results.

Every array lies between guards of NaN: what reads one shows in a result, what writes one is seen.
"""

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numba import config

import gnref
from gnref.kernels import cpu, reference
from gnref.kernels.cpu import trailing_backward
from gnref.kernels.cpu.columns import BLOCK, ROWS
from gnref.kernels.cpu.rows import SHORT
from gnref.kernels.cpu.sums import CHUNK
from gnref.testing.tolerances import WIDE, spacing, unit_roundoff

JIT = not config.DISABLE_JIT  # without the compiler there are fewer shapes, and indices are asserted
DTYPES = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
GUARD = 64

# Scratch is as long as whole vectors are, and its end is not written before it is read (and ignored).
pytestmark = [] if JIT else pytest.mark.filterwarnings("ignore::RuntimeWarning")
with_compiler = pytest.mark.skipif(not JIT, reason="no matter of the compiler")
LARGEST = 15_000 if JIT else 300


def grid(P, S):
    """All shapes (O, P, A, B, S) with 1, 2 and 17 for O, A and B that are not too large."""
    shapes = [(O, P, A, B, S) for O, A, B in product((1, 2, 17), repeat=3)]
    shapes = [shape for shape in shapes if prod(shape) <= LARGEST]
    return shapes if JIT else shapes[:: 1 + len(shapes) // 3]


# Both sides of every edge: a chunk of a row, in a channel and between two, and a chunk of rows; a set that
# is done at once; rows and columns of a chunk; a set in one piece, its blocks, its parts. And several chunks.
EDGES = [
    *[(1, 1, 1, 1, CHUNK + k) for k in (-1, 0, 1)],
    *[(1, 1, 2, 3, CHUNK // 3 + k) for k in (0, 1, 2)],
    *[(1, P, 2, 1, CHUNK // 4 + k) for P in (3, 4, 5) for k in (-1, 0, 1)],
    *[(2, 1, 1, 1, 2 * CHUNK + 1), (1, 2, 2, 2, CHUNK + 1), (1, 7, 1, 2, CHUNK // 2)],
    *[(3, 1, 2, 1, SHORT + k) for k in (-1, 0, 1)],
    *[(2, 4, 3, 2, SHORT // 8 + k) for k in (-1, 0, 1)],
    *[(2, ROWS * n + k, 1, 3, 1) for n in (1, 2, 5) for k in (-1, 0, 1)],
    *[(1, 9, 1, BLOCK + k, 1) for k in (-17, -16, -1, 0, 1, 16)],
    *[(1, ROWS + 1, 5, BLOCK // 5 + k, 1) for k in (0, 1)],
    *[(2, 1, 1, CHUNK + k, 1) for k in (-1, 0, 1, CHUNK + 1)],
    *[(9, 1, 2, trailing_backward.BLOCK + k, 1) for k in (-1, 0, 1)],
    *[(O, 1, 2, 3, 1) for O in (191, 192, 193, 384)],
]
# Results of 2 MiB are written past the caches; sets of 1 MiB are shared by all cores.
LARGE = [
    *[(9, 1, 2, 3, 10_000), (2, 1, 1, 1, 262_145), (3, 5, 2, 2, 9_001), (1, 2, 3, 1, 90_001)],
    *[(3, 700, 16, 16, 1), (12, 45, 5, 200, 1), (1, 2600, 1, 208, 1), (2, 300, 11, 101, 1)],
    *[
        (33, 1, 2, 8192, 1),
        (11, 1, 1, 50_001, 1),
        (640, 1, 1, 832, 1),
        (5, 1, 2, 66_000, 1),
        (3100, 1, 2, 90, 1),
    ],
]
if not JIT:  # 8 KiB and 4 KiB
    LARGE = [
        (4, 1, 2, 3, 130),
        (1, 1, 1, 1, 6 * CHUNK + 1),
        (2, 5, 2, 2, 130),
        (4, 20, 4, 8, 1),
        (1, 150, 3, 7, 1),
    ]
    LARGE += [(20, 1, 2, 64, 1), (7, 1, 1, 333, 1), (1, 1, 2, 6 * CHUNK + 1, 1), (200, 1, 1, 16, 1)]


def guarded(a):
    """The same numbers between guards of NaN."""
    whole = np.full(a.nbytes + 2 * GUARD * a.itemsize, 0xFF, np.uint8).view(a.dtype)
    middle = whole[GUARD : GUARD + a.size].reshape(a.shape)
    middle[...] = a
    return middle


def is_guarded(a):
    """Whether its guards are whole."""
    whole, size = a.base.view(np.uint8), GUARD * a.itemsize
    return bool((whole[:size] == 0xFF).all() and (whole[-size:] == 0xFF).all())


def spread(stat):
    """(O, A), or a number, to what broadcasts against (O, P, A, B, S)."""
    return np.asarray(stat)[..., :, None, :, None, None] if np.ndim(stat) else stat


@dataclass
class Case:
    """What the seven functions take: mean and rstd are not quite those of x."""

    x: Any
    dy: Any
    weight: Any
    bias: Any
    mean: Any
    rstd: Any
    center: bool
    eps: float = 1e-3

    @property
    def set_size(self):
        _, P, _, B, S = self.x.shape
        return P * B * S


def case(shape, dtype="float32", weight=True, bias=True, center=True):
    """Every set has its own offset and spread; 16 bits come with parameters in 32."""
    rng = np.random.default_rng(shape)
    O, _, A, B, _ = shape
    mean, std = rng.uniform(-9, 9, (O, A)), 2.0 ** rng.uniform(-2, 2, (O, A))
    x, dy = rng.standard_normal((2, *shape))
    x, dy = (guarded(a.astype(DTYPES[dtype])) for a in (x * spread(std) + spread(mean), dy))
    params = rng.choice([-1, 1], (2, A, B)) * rng.uniform(0.5, 2, (2, A, B))
    params = [guarded(p.astype(WIDE.get(dtype, dtype))) for p in params]
    weight, bias = (p if wanted else None for p, wanted in zip(params, (weight, bias), strict=True))
    return Case(x, dy, weight, bias, guarded(mean), guarded(1 / std), center)


def widened(c):
    """The same case in float64."""
    arrays = {name: getattr(c, name) for name in ("x", "dy", "weight", "bias")}
    return replace(c, **{name: a if a is None else a.astype(np.float64) for name, a in arrays.items()})


def exact(c):
    """What the reference returns in float64, and what `backward` and `backward_from_sums` take besides."""
    wide = widened(c)
    _, mean, _, rstd = reference.forward(wide.x, None, None, c.eps, c.center)
    stats = mean if mean is None else guarded(mean), guarded(rstd)
    sums = [guarded(1.5 * s) for s in reference.backward_sums(wide.dy, wide.x, c.mean, c.rstd, wide.weight)]
    return results(reference, wide, stats, sums), stats, sums


def results(run, c, stats, sums, out=lambda name: {}):
    """What the seven functions return, by name."""
    given = c.mean, c.rstd, c.weight
    forward = run.forward(c.x, c.weight, c.bias, c.eps, c.center, **out("y"))
    backward = run.backward(c.dy, c.x, *stats, c.weight, c.center, **out("dx"))
    backward_given = run.backward_given(c.dy, c.x, *given, **out("dx given"))
    from_sums = run.backward_from_sums(c.dy, c.x, *given, 2 * c.set_size, *sums)
    r = {"y given": run.apply(c.x, *given, c.bias, **out("y given")), "dx from sums": from_sums}
    r |= zip(("y", "mean", "var", "rstd"), forward, strict=True)
    r |= zip(("dx", "dweight", "dbias"), backward, strict=True)
    r |= zip(("dx given", "dweight given", "dbias given"), backward_given, strict=True)
    r |= zip(("count", "own mean", "M2"), run.moments(c.x), strict=True)
    r |= zip(("sum g given", "sum g xhat given"), run.backward_sums(c.dy, c.x, *given), strict=True)
    return r


def limits(c, mean, rstd):
    """How far results may be off for that mean and rstd: `gnref.testing.tolerances`, in slots."""
    wide, store = widened(c), c.x.dtype
    u = unit_roundoff(WIDE.get(store.name, store)) * (1 if store != np.float64 else 2)  # both may be off
    w = 1.0 if c.weight is None else abs(wide.weight)[:, :, None]
    b = 0.0 if c.bias is None else abs(wide.bias)[:, :, None]
    xhat, dy = abs(wide.x - spread(mean)) * spread(rstd), abs(wide.dy)
    g, own, shared = w * dy, (1, 3, 4), (0, 1, 4)
    by_mean, by_var = (t.sum(own, keepdims=True) / max(c.set_size, 1) for t in (g, g * xhat))
    y, dx = w * (1 + xhat) + b, spread(rstd) * (g + by_mean + xhat * by_var)
    narrow = store.name in WIDE
    return {
        "y": 6 * u * y + (spacing(w * xhat + b, store) / 2 if narrow else 0.0),
        "dx": 10 * u * dx + (spacing(dx, store) / 2 if narrow else 0.0),
        "dweight": 10 * u * (dy * (1 + xhat)).sum(shared),
        "dbias": 10 * u * dy.sum(shared),
        "sum g": 10 * u * g.sum(own),
        "sum g xhat": 10 * u * (g * (1 + xhat)).sum(own),
    }


def allowed(c, r):
    """How far each result may be off, if the exact ones are r."""
    u, v = 2.0**-53, unit_roundoff(WIDE.get(c.x.dtype.name, c.x.dtype))
    relative = 8 * v + u * c.x.size**0.5  # as "saved statistics equal exact" has it
    mean = 4 * (u * abs(r["own mean"]) + v * (r["M2"] / max(c.set_size, 1)) ** 0.5)
    given = {f"{name} given": limit for name, limit in limits(c, c.mean, c.rstd).items()}
    own = limits(c, 0.0 if r["mean"] is None else r["mean"], r["rstd"])
    stats = {name: relative * r[name] for name in ("var", "rstd", "M2")} | {"mean": mean, "own mean": mean}
    return own | given | stats | {"count": 0, "dx from sums": given["dx given"]}


def assert_all_agree(c):
    """All results are within their limits and in the room that is given, and nothing else is written."""
    room = {}

    def out(name):
        room[name] = guarded(np.zeros_like(c.x))
        return {"out": room[name]}

    expected, stats, sums = exact(c)
    arrays = [a for a in (c.x, c.dy, c.weight, c.bias, c.mean, c.rstd, *stats, *sums) if a is not None]
    before = [a.tobytes() for a in arrays]
    got, limit = results(cpu, c, stats, sums, out), allowed(c, expected)
    for name, e in expected.items():
        assert_close(got[name], e, limit[name], f"{name} of {c.x.shape}")
    assert all(got[name] is a and a.dtype == c.x.dtype for name, a in room.items())
    assert [a.tobytes() for a in arrays] == before
    assert all(is_guarded(a) for a in (*arrays, *room.values())), c.x.shape


def assert_close(got, expected, limit, what):
    if expected is None:
        assert got is None, what
        return
    assert np.shape(got) == np.shape(expected), what
    error = abs(np.asarray(got, np.float64) - expected)
    assert (error <= limit).all(), f"{what} off by {(error / limit).max():.3g} of what is allowed"


@pytest.fixture(params=DTYPES)
def dtype(request):
    return request.param


@pytest.mark.parametrize("S", [1, 2, 17, 49, 130, 300])
@pytest.mark.parametrize("P", [1, 2, 17, 300])
def test_small_problems(dtype, P, S):
    for k, shape in enumerate(grid(P, S)):
        options = {"weight": k % 2 == 0, "bias": k % 3 == 0}
        for center in (True, False):
            assert_all_agree(case(shape, dtype, center=center, **options))


@pytest.mark.parametrize("n", range(1, 34) if JIT else [3, 15, 29])
def test_any_number_of_columns(dtype, n):
    for shape in ((2, 3, 1, 2, n), (2, 9, 1, n, 1), (2, 9, n, 1, 1), (2, 1, 2, n, 1), (200, 1, 1, n, 1)):
        assert_all_agree(case(shape, dtype))


@pytest.mark.parametrize("dtype", DTYPES if JIT else ["float32", "float64"])
@pytest.mark.parametrize("shape", EDGES if JIT else EDGES[::2], ids=str)
def test_both_sides_of_an_edge(dtype, shape):
    assert_all_agree(case(shape, dtype, center=shape[0] != 2))


@pytest.mark.parametrize("shape", LARGE, ids=str)
def test_large_problems(shape):
    assert_all_agree(case(shape))


@pytest.mark.parametrize("empty", range(5))
@pytest.mark.parametrize("S", [1, 3])
def test_a_slot_of_size_0(empty, S):
    shape = [2, 3, 2, 3, S]
    shape[empty] = 0
    for dtype, center in product(DTYPES, (True, False)):
        assert_all_agree(case(tuple(shape), dtype, center=center))


# Where an array lies, and in which order of bytes.


def read_only(a):
    copy = a.copy()
    copy.flags.writeable = False
    return copy


def transposed(a):
    return np.ascontiguousarray(a.T).T


def every_second(a):
    larger = np.full((*a.shape[:-1], 2 * a.shape[-1]), np.nan, a.dtype)
    larger[..., ::2] = a
    return larger[..., ::2]


def backwards(a):
    return np.ascontiguousarray(a[::-1])[::-1]


def one_byte_off(a):
    room = np.empty(a.nbytes + 1, np.uint8)[1:]
    moved = room.view(a.dtype).reshape(a.shape)
    moved[...] = a
    return moved


def other_byte_order(a):
    return a.astype(a.dtype.newbyteorder())


def broadcast(a):
    return np.broadcast_to(a[..., :1], a.shape)


NAMES = "x", "dy", "weight", "bias", "mean", "rstd"
LAYOUTS = [read_only, transposed, every_second, backwards, one_byte_off, other_byte_order, broadcast]
REGIMES = {"rows": (2, 3, 2, 3, 20), "columns": (2, 5, 2, 9, 1), "trailing": (5, 1, 2, 30, 1)}


def compiled():
    """For how many kinds of arguments there is code."""
    own = [*vars(cpu).values(), *cpu.SMALL_FORWARD, *cpu.SMALL_BACKWARD]
    kernels = [getattr(f, "serial", f) for f in own]
    return sum(len(f.overloads) for f in kernels if hasattr(f, "overloads"))


def assert_same_bits(got, expected):
    for name, e in expected.items():
        g = got[name]
        same = g == e if e is None or isinstance(e, int) else g.astype(e.dtype).tobytes() == e.tobytes()
        assert same, name


@with_compiler
@pytest.mark.parametrize("shape", REGIMES.values(), ids=REGIMES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_where_arrays_lie_changes_no_bit(dtype, layout, shape):
    if layout is other_byte_order and dtype == "bfloat16":
        pytest.skip("ml_dtypes has no other byte order")
    c = case(shape, dtype)
    moved = replace(c, **{name: layout(getattr(c, name)) for name in NAMES})
    plain = replace(c, **{name: getattr(moved, name).astype(getattr(c, name).dtype, "C") for name in NAMES})
    others = [[layout(a) for a in pair] for pair in exact(plain)[1:]]
    expected = results(cpu, plain, *([a.astype(np.float64, "C") for a in pair] for pair in others))
    before = compiled()
    assert_same_bits(results(cpu, moved, *others), expected)
    assert compiled() == before


@with_compiler
@pytest.mark.parametrize("shape", REGIMES.values(), ids=REGIMES)
@pytest.mark.parametrize("layout", [transposed, every_second, backwards, one_byte_off, other_byte_order])
def test_room_that_a_kernel_cannot_use_is_left_alone(layout, shape):
    c = case(shape)
    _, *others = exact(c)
    rooms = []

    def out(name):
        rooms.append(layout(np.full_like(c.x, 77)))
        return {"out": rooms[-1]}

    got = results(cpu, c, *others, out)
    assert_same_bits(got, results(cpu, c, *others))
    for name, room in zip(("y", "dx", "dx given", "y given"), rooms, strict=True):
        assert got[name] is room or (room == 77).all(), name


# Threads.

SHARED = [
    *[(17, 1, 2, 2, 17), (5, 3, 2, 3, 17), (14, 5, 3, 2, 1), (30, 1, 2, 49, 1), (200, 1, 2, 3, 1)],
    *[(2, 1, 1, 2, CHUNK + 1), (1, 1, 1, 1, 7 * CHUNK + 5), (1, 7 * ROWS + 3, 1, 3, 1)],
    *[(1, ROWS + 1, 2, BLOCK + 1, 1), (2, 1, 1, 7 * CHUNK + 9, 1)],
]
if JIT:
    SHARED += [*LARGE, (1, 50, 2, 1, CHUNK // 2), (3, 300, 2, 17, 1)]


def assert_launches_agree(launched, c):
    stats, sums = (c.mean, c.rstd), cpu.backward_sums(c.dy, c.x, c.mean, c.rstd, c.weight)
    launched("one thread")
    expected = results(cpu, c, stats, sums)
    for way in ("prange", "thread pool"):
        launched(way)
        assert_same_bits(results(cpu, c, stats, sums), expected)


@pytest.mark.parametrize("shape", SHARED, ids=str)
def test_every_way_to_launch_gives_the_same_bits(launched, shape):
    assert_launches_agree(launched, case(shape))


@with_compiler
@pytest.mark.parametrize("shape", SHARED[:5], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_every_way_to_launch_gives_the_same_bits_in_every_type(launched, dtype, shape):
    assert_launches_agree(launched, case(shape, dtype))


@with_compiler
def test_indices_are_in_bounds():
    """Without the compiler the operations are their twins, which assert it."""
    own = {
        "NUMBA_DISABLE_JIT": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": str(Path(gnref.__file__).parents[1]),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "float32", __file__]
    done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
