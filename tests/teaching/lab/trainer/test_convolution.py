import numpy as np
import pytest

from gnref.teaching.lab.trainer.convolution import Convolution, places, to_columns


def make(*args, **options):
    return Convolution(*args, rng=np.random.default_rng(0), **options)


def by_hand(x, weight, stride):
    """One place at a time, in loops."""
    k = weight.shape[2]
    margins = [(0, 0), (0, 0), *((k // 2, k // 2) for _ in x.shape[2:])]
    padded, S = np.pad(x, margins), places(x.shape, stride)
    y = np.empty((len(x), len(weight), *S))
    for place in np.ndindex(S):
        seen = padded[:, None, :, *(slice(i * stride, i * stride + k) for i in place)]  # (N, 1, C, k, ..., k)
        y[:, :, *place] = (seen * weight).sum(axis=tuple(range(2, seen.ndim)))
    return y


@pytest.mark.parametrize("S", [(7,), (6, 5), (1, 1), (3, 4, 2)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_the_formula(kernel, stride, S):
    layer = make(2, 3, kernel, ndim=len(S), stride=stride, dtype="float64")
    x = np.random.default_rng(1).standard_normal((2, 2, *S))
    np.testing.assert_allclose(layer.forward(x), by_hand(x, layer.weight, stride), rtol=1e-12, atol=1e-13)


def test_columns_are_what_the_kernel_sees():
    x = np.arange(1, 13).reshape(1, 2, 2, 3)
    rows = to_columns(x, kernel=3, stride=2)  # the places (0, 0) and (0, 2)
    assert rows.shape == (2, 9 * 2)
    assert rows[0].reshape(3, 3, 2)[..., 0].tolist() == [[0, 0, 0], [0, 1, 2], [0, 4, 5]]
    assert rows[1].reshape(3, 3, 2)[..., 1].tolist() == [[0, 0, 0], [8, 9, 0], [11, 12, 0]]


def test_results_are_contiguous_and_x_is_left_alone():
    layer, x = make(2, 3), np.ones((2, 2, 4, 4), np.float32)
    y = layer.forward(x)
    dx = layer.backward(y)
    assert all(a.flags.c_contiguous for a in (y, dx, layer.grads["weight"]))
    assert y.dtype == dx.dtype == layer.grads["weight"].dtype == np.float32
    assert np.array_equal(x, np.ones_like(x))


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_he_initialization(ndim):
    weight = make(40, 50, 3, ndim=ndim, dtype="float64").weight
    assert weight.shape == (50, 40, *[3] * ndim)
    assert weight.var() == pytest.approx(2 / (40 * 3**ndim), rel=0.1)
    assert weight.mean() == pytest.approx(0, abs=0.05 * weight.std())


def test_the_first_layer_need_not_have_dx():
    layer, x = make(2, 3), np.ones((2, 2, 4, 4), np.float32)
    layer.backward(layer.forward(x))
    expected, layer.needs_dx = layer.grads["weight"], False
    assert not layer.backward(layer.forward(x)).any()
    assert np.array_equal(layer.grads["weight"], expected)


def test_bad_arguments():
    with pytest.raises(ValueError, match="kernel is 4; expected an odd number"):
        make(2, 3, 4)
    with pytest.raises(ValueError, match="x has C = 5; expected C_in = 2"):
        make(2, 3).forward(np.ones((1, 5, 4, 4)))
