"""Small problems take a way of their own; it must not show in the results."""

import numpy as np
import pytest
from numba import config

from gnref.kernels import cpu

if config.DISABLE_JIT:
    pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

SHAPES = [
    (2, 1, 8, 8, 256),
    (2, 3, 4, 2, 49),
    (1, 6, 5, 1, 9),
    (2, 1, 3, 1, 3136),
    (2, 256, 8, 8, 1),
    (1, 9, 3, 5, 1),
    (3, 1, 1, 100, 1),
    (2, 1, 2, 9000, 1),
    (300, 1, 1, 20, 1),
    (5, 2, 1, 1, 4),
]


def results(shape, dtype, center, scale=1.0):
    rng = np.random.default_rng(7)
    x, dy = (rng.normal(1, 2, shape).astype(dtype) for _ in range(2))
    x[0] *= dtype(scale)
    weight, bias = (rng.normal(size=shape[2:4]).astype(dtype) for _ in range(2))
    y, mean, var, rstd = cpu.forward(x, weight, bias, 1e-5, center)
    dx, dweight, dbias = cpu.backward(dy, x, mean, rstd, weight, center)
    return y, mean, var, rstd, dx, dweight.astype(dtype), dbias.astype(dtype)


def assert_same(shape, dtype, center, scale, monkeypatch):
    small = results(shape, dtype, center, scale)
    monkeypatch.setattr(cpu, "SMALL", 0)
    for a, b in zip(small, results(shape, dtype, center, scale), strict=True):
        if a is None:
            assert b is None
        else:
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_same_bits_either_way(shape, dtype, center, monkeypatch):
    assert_same(shape, dtype, center, 1.0, monkeypatch)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_set_out_of_range(shape, monkeypatch):
    assert_same(shape, np.float32, True, 1e30, monkeypatch)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_results_are_of_numpys_own_dtypes(shape):
    """A dtype object of another make is equal, not the same, and the next call would go the long way."""
    for a in results(shape, np.float32, True):
        assert a.dtype is np.dtype(a.dtype.name)
