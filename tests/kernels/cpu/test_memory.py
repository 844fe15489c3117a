"""No kernel takes a temporary of the size of x, where its result has a place."""

import tracemalloc

import numpy as np
import pytest

from gnref.kernels import cpu

SHAPES = {
    "rows": (8, 1, 8, 4, 5000),
    "rows of batch norm": (1, 64, 64, 1, 300),
    "columns": (8, 500, 8, 40, 1),
    "columns of batch norm": (1, 9000, 128, 1, 1),
    "trailing": (1000, 1, 1, 1300, 1),
    "trailing, few": (80, 1, 1, 20_000, 1),
}


def peak_of(run):
    """How many bytes of arrays there are at the same time, besides those that were there before."""
    run()  # what is compiled or loaded stays
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_there_is_no_temporary_of_the_size_of_x(shape):
    x, dy = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    out, weight = np.empty_like(x), np.ones(shape[2:4], np.float32)
    _, mean, _, rstd = cpu.forward(x, weight, weight, 1e-5, True)
    assert peak_of(lambda: cpu.forward(x, weight, weight, 1e-5, True, out)) < x.nbytes // 10
    assert peak_of(lambda: cpu.backward(dy, x, mean, rstd, weight, True, out)) < x.nbytes // 10
    if shape[0] == 1:  # all that takes given statistics is batch norm
        assert peak_of(lambda: cpu.apply(x, mean, rstd, weight, weight, out)) < x.nbytes // 10
        assert peak_of(lambda: cpu.backward_given(dy, x, mean, rstd, weight, out)) < x.nbytes // 10
