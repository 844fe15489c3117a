"""BatchNorm with the statistics of its first batch."""

import numpy as np

import gnref
from gnref.teaching.lab.trainer.constant import ConstantNorm

RNG = np.random.default_rng(0)
FIRST, SECOND = RNG.normal(3.0, 2.0, (2, 4, 3, 5, 5))


def after_the_first():
    layer = ConstantNorm(3, dtype="float64")
    return layer, layer.forward(FIRST)


def test_the_first_batch_is_normalized_as_by_batch_norm():
    assert np.array_equal(after_the_first()[1], gnref.batch_norm(FIRST))


def test_later_batches_get_the_first_ones_statistics_which_stay():
    layer, _ = after_the_first()
    y = layer.train().forward(SECOND)
    mean, var = FIRST.mean((0, 2, 3), keepdims=True), FIRST.var((0, 2, 3), ddof=1, keepdims=True)
    assert np.allclose(y, (SECOND - mean) / np.sqrt(var + layer.eps), rtol=0, atol=1e-12)
    assert np.allclose(layer.running_mean, mean.ravel())
    assert layer.num_batches_tracked == 1


def test_training_and_evaluation_are_one_function_and_no_image_knows_another():
    layer, _ = after_the_first()
    y = layer.train().forward(SECOND)
    assert np.array_equal(layer.train().forward(SECOND[:1]), y[:1])
    assert np.array_equal(layer.eval().forward(SECOND), y)


def test_weight_and_bias_still_learn_and_dx_is_that_of_constants():
    layer, _ = after_the_first()
    layer.weight[...] = [1.0, -2.0, 0.5]
    layer.train().forward(SECOND)
    dx = layer.backward(np.ones_like(SECOND))
    scale = layer.weight / np.sqrt(layer.running_var + layer.eps)
    assert np.allclose(dx, scale.reshape(1, 3, 1, 1), rtol=0, atol=1e-12)
    assert set(layer.grads) == {"weight", "bias"}
