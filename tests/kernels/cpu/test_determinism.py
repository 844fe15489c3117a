"""Results depend on a set's own numbers and (P, B, S) alone: not on threads, and not on its neighbours."""

import os
import subprocess
import sys
from math import prod
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import gnref
from gnref.kernels import cpu
from gnref.kernels.cpu.columns import BLOCK, ROWS
from gnref.kernels.cpu.sums import CHUNK


def random(shape, dtype):
    """x and dy."""
    return np.random.default_rng(shape).standard_normal((2, *shape)).astype(dtype)


# It prints a hash of all results, for 1, 2, 3 and 5 threads.
THREADS = """
import hashlib
import numba
import numpy as np
from gnref.kernels import cpu

SHAPES = [
    *[(40, 2, 2, 5, 97), (7, 1, 2, 3, 30_000), (1, 3, 1, 2, 70_001), (100, 30, 3, 8, 1), (2, 3000, 4, 7, 1)],
    *[(1, 1500, 2, 700, 1), (500, 1, 1, 200, 1), (3000, 1, 2, 20, 1), (3, 1, 1, 200_000, 1)],
]
rng = np.random.default_rng(0)
problems = [rng.standard_normal((2, *shape)).astype(np.float32) for shape in SHAPES]
for threads in (1, 2, 3, 5):
    numba.set_num_threads(threads)
    results = []
    for x, dy in problems:
        weight = np.linspace(1, 2, x[0, 0, :, :, 0].size, dtype=np.float32).reshape(x[0, 0, :, :, 0].shape)
        y, mean, var, rstd = cpu.forward(x, weight, weight, 1e-5, True)
        results += [y, mean, var, rstd, *cpu.backward(dy, x, mean, rstd, weight, True)]
        if len(x) < 100:  # `apply` starts all threads for each of the examples
            results += [cpu.apply(x, mean, rstd, weight, None)]
        results += cpu.backward_given(dy, x, mean, rstd, weight)
    print(*(hashlib.sha256(a.tobytes()).hexdigest()[:8] for a in results))
"""


@pytest.mark.parametrize(("layer", "module"), [("omp", "omppool"), ("workqueue", "workqueue")])
def test_the_number_of_threads_changes_no_bit(layer, module):
    pytest.importorskip(f"numba.np.ufunc.{module}", exc_type=ImportError)
    root = Path(gnref.__file__).parents[1]  # Python looks first where a program of -c runs
    own = os.environ | {"NUMBA_NUM_THREADS": "5", "NUMBA_THREADING_LAYER": layer}
    command = [sys.executable, "-c", THREADS]
    done = subprocess.run(command, cwd=root, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert len(set(lines)) == 1


# An example is what it is alone: its shape, and the options of the norm.

NORMS = {
    "instance": ((5, 6, 7), {}),
    "instance, in a cache or past it": ((3, 1500), {}),
    "instance, chunks": ((2, 2 * CHUNK + 3), {}),
    "instance, channels last": ((9, 9, 5), {"channel_axis": -1}),
    "instance, chunks of rows": ((ROWS + 9, 20), {"channel_axis": -1}),
    "group": ((6, 9, 9), {"num_groups": 2}),
    "group, in a cache or past it": ((6, 700), {"num_groups": 2}),
    "group, chunks": ((6, 31_111), {"num_groups": 2}),
    "group, channels last": ((9, 9, 6), {"num_groups": 2, "channel_axis": -1}),
    "group, blocks": ((9, BLOCK + 6), {"num_groups": 2, "channel_axis": -1}),
    "layer": ((40,), {"normalized_shape": (40,)}),
    "layer, two": ((3, 7, 5), {"normalized_shape": (7, 5)}),
    "layer, summed first": ((9000,), {"normalized_shape": (9000,)}),
    "layer, chunks": ((2 * CHUNK + 3,), {"normalized_shape": (2 * CHUNK + 3,)}),
    "rms": ((333,), {"normalized_shape": (333,)}),
}
BATCHES = [(name, N) for name, (shape, _) in NORMS.items() for N in (1, 2, 3, 255, 256, 257)]
BATCHES = [(name, N) for name, N in BATCHES if N * prod(NORMS[name][0]) < 3_000_000]


def run(name, x, dy):
    """y and dx."""
    norm, axes = name.partition(",")[0], NORMS[name][1]
    size = axes.get("normalized_shape") or x.shape[axes.get("channel_axis", 1)]
    weight, bias = np.random.default_rng(1).standard_normal((2, *np.atleast_1d(size))).astype(x.dtype)
    params = {"weight": weight} | ({"bias": bias} if norm != "rms" else {})
    y, saved = getattr(gnref, f"{norm}_norm_forward")(x, **axes, **params, backend="cpu")
    return y, gnref.backward(dy, saved)[0]


def assert_alone_is_the_same(name, N, dtype):
    x, dy = random((N, *NORMS[name][0]), dtype)
    whole = run(name, x, dy)
    for i in {0, N // 2, N - 1}:
        for a, one in zip(whole, run(name, x[i : i + 1], dy[i : i + 1]), strict=True):
            assert a[i : i + 1].tobytes() == one.tobytes()


@pytest.mark.parametrize(("name", "N"), BATCHES)
def test_an_example_is_what_it_is_alone(name, N):
    assert_alone_is_the_same(name, N, np.float32)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", NORMS)
def test_an_example_is_what_it_is_alone_in_every_type(name, dtype):
    assert_alone_is_the_same(name, 3, dtype)


# A set is what it is alone. In slots (O, P, A, B, S): a set is one index of O and A.

SHAPES = {
    "rows": (3, 1, 17, 2, 21),
    "rows of several": (3, 40, 5, 1, 130),
    "rows, chunks": (2, 1, 3, 1, CHUNK + 5),
    "columns": (3, 20, 33, 1, 1),
    "columns of several": (3, 20, 19, 3, 1),
    "columns, chunks": (2, ROWS + 9, 20, 1, 1),
    "columns, blocks": (1, 9, BLOCK + 5, 1, 1),
    "trailing": (3, 1, 17, 40, 1),
    "trailing, chunks": (2, 1, 3, CHUNK + 5, 1),
}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def shape(request):
    return request.param


def of_sets(x, dy):
    """What belongs to a set each: y, mean, var, rstd and dx."""
    y, mean, var, rstd = cpu.forward(x, None, None, 1e-5, True)
    dx = cpu.backward(dy, x, mean, rstd, None, True)[0]
    return y, dx, *(stat[:, None, :, None, None] for stat in (mean, var, rstd))


def assert_same(got, expected):
    names = "y", "dx", "mean", "var", "rstd"
    assert [n for n, a, b in zip(names, got, expected, strict=True) if a.tobytes() != b.tobytes()] == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_a_set_is_what_it_is_alone(shape, dtype):
    x, dy = random(shape, dtype)
    whole = of_sets(x, dy)
    for o, a in {(0, 0), (0, 1), (shape[0] - 1, shape[2] // 2), (shape[0] - 1, shape[2] - 1)}:
        own = slice(o, o + 1), slice(None), slice(a, a + 1)
        assert_same(of_sets(x[own], dy[own]), [result[own] for result in whole])


@pytest.mark.parametrize("number", [1e3, 1e30, np.nan])
def test_the_numbers_of_a_neighbour_change_nothing(shape, number):
    x, dy = random(shape, np.float32)
    x += 5
    before = of_sets(x, dy)
    own = x[0, :, 1]  # all but where it begins, from which its mean is guessed
    own[np.arange(own.size).reshape(own.shape) >= max(1, own.size // 32)] += np.float32(number)
    after = of_sets(x, dy)
    for others in (np.s_[:, :, :1], np.s_[:, :, 2:], np.s_[1:]):
        assert_same([a[others] for a in after], [a[others] for a in before])
