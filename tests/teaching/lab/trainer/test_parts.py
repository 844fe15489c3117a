import numpy as np
import pytest

from gnref.teaching.lab.trainer.parts import GlobalMean, Linear, MeanPool, ReLU, Upsample


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def test_relu_has_slope_0_at_0():
    relu = ReLU()
    assert relu.forward(np.array([-2.0, 0.0, 3.0])).tolist() == [0, 0, 3]
    assert relu.backward(np.array([5.0, 5.0, 5.0])).tolist() == [0, 0, 5]


@pytest.mark.parametrize("sizes", [(2,), (2, 3), (1, 2, 2)])
def test_a_pool_is_the_mean_of_each_block(sizes):
    x = normal(2, 3, *(2 * k for k in sizes))
    y = MeanPool(*sizes).forward(x)
    for place in np.ndindex(y.shape[2:]):
        block = x[:, :, *(slice(i * k, (i + 1) * k) for i, k in zip(place, sizes, strict=True))]
        np.testing.assert_allclose(y[:, :, *place], block.reshape(2, 3, -1).mean(axis=2), rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 4, 5), (1, 1, 4), (1, 1, 4, 4, 4)])
def test_a_pool_of_blocks_that_do_not_fit(shape):
    with pytest.raises(
        ValueError, match=r"x has shape .*; expected \(N, C, \*S\) with S in blocks of \(2, 2\)"
    ):
        MeanPool(2, 2).forward(np.ones(shape))


def test_pooling_undoes_upsampling():
    x = normal(2, 3, 4, 5)
    np.testing.assert_array_equal(MeanPool(2, 2).forward(Upsample().forward(x)), x)


def test_the_global_mean_of_images_and_of_clips():
    for x in (normal(2, 3, 4, 5), normal(2, 3, 2, 4, 5)):
        expected = x.mean(axis=tuple(range(2, x.ndim)), dtype="float64")
        np.testing.assert_allclose(GlobalMean().forward(x), expected, atol=1e-6)


def test_a_linear_layer_begins_with_the_variance_of_its_input():
    line = Linear(400, 300, rng=np.random.default_rng(0))
    y = line.forward(normal(50, 400, seed=1))
    assert y.shape == (50, 300)
    assert y.var() == pytest.approx(1, rel=0.05)
    assert not line.bias.any()


PARTS = {
    "ReLU": (ReLU(), (2, 3, 4, 4)),
    "mean pool": (MeanPool(2, 2), (2, 3, 4, 4)),
    "upsample": (Upsample(), (2, 3, 4, 4)),
    "global mean": (GlobalMean(), (2, 3, 4, 4)),
    "linear": (Linear(3, 2, rng=np.random.default_rng(0)), (2, 3)),
}


@pytest.mark.parametrize("name", PARTS)
def test_float32_stays_float32_and_inputs_are_left_alone(name):
    part, shape = PARTS[name]
    x = normal(*shape)
    dy = part.forward(x) + 1
    dx = part.backward(dy)
    assert dy.dtype == dx.dtype == np.float32
    assert all(grad.dtype == np.float32 for grad in part.grads.values())
    assert np.array_equal(x, normal(*shape))
    assert np.array_equal(dy, part.forward(x) + 1)
