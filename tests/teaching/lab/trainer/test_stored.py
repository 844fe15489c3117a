"""Stored statistics: measured as the net will see them, exchanged, and nothing else touched."""

import numpy as np
import pytest

import gnref
from gnref.teaching.lab.trainer.network import Network
from gnref.teaching.lab.trainer.parts import ReLU
from gnref.teaching.lab.trainer.segmenter import features
from gnref.teaching.lab.trainer.stored import remeasure, store, stored
from gnref.teaching.lab.trainer.training import norms, set_mode

RNG = np.random.default_rng(0)
X = RNG.normal(2.0, 3.0, (6, 3, 8, 8)).astype(np.float32)


def test_evaluation_after_measuring_is_what_training_gives():
    net = features(gnref.BatchNorm, rng=np.random.default_rng(1))
    trained = net.forward(X)  # of one batch, with its own statistics
    remeasure(net, X)
    set_mode(net, "eval")
    n = X[:, 0, ::4, ::4].size  # of the smallest set; running variances are n / (n - 1) times a batch's
    assert np.allclose(net.forward(X), trained, rtol=0, atol=6 / n * np.abs(trained).max())
    remeasure(net, 100 * X)
    assert not np.allclose(net.forward(X), trained, rtol=0, atol=0.5 * np.abs(trained).max())


def test_statistics_are_those_of_all_of_x():
    net = Network(gnref.BatchNorm(3, dtype="float64"), ReLU(), gnref.GroupNorm(1, 3))
    remeasure(net, X)
    ((mean, var),) = stored(net)
    assert np.allclose(mean, X.mean((0, 2, 3)), rtol=1e-5)
    assert np.allclose(var, X.astype(np.float64).var((0, 2, 3), ddof=1), rtol=1e-5)


@pytest.mark.parametrize("mode", ["train", "eval", "frozen"])
def test_measuring_changes_statistics_alone(mode):
    net = Network(gnref.BatchNorm(3, momentum=0.3))
    (norm,) = norms(net)
    getattr(norm, {"frozen": "freeze"}.get(mode, mode))()
    weight, bias = norm.weight.copy(), norm.bias.copy()
    remeasure(net, X)
    assert (norm.mode, norm.momentum) == (mode, 0.3)
    assert np.array_equal([norm.weight, norm.bias], [weight, bias])
    assert norm.running_mean.min() > 1


def test_what_is_put_back_is_what_was_stored():
    net = Network(gnref.BatchNorm(3))
    before = stored(net)
    remeasure(net, X)
    after = stored(net)
    store(net, before)
    assert np.array_equal(stored(net), before)
    assert not np.array_equal(before, after)


def test_what_was_stored_is_a_copy_on_both_ways():
    net = Network(gnref.BatchNorm(3))
    before = stored(net)
    norms(net)[0].running_mean[:] = 7
    assert before[0][0].tolist() == [0, 0, 0]
    store(net, before)
    norms(net)[0].running_var[:] = 7
    assert before[0][1].tolist() == [1, 1, 1]


def test_group_norm_stores_nothing():
    net = Network(gnref.GroupNorm(1, 3))
    assert stored(net) == []
    assert np.array_equal(net.forward(X), (remeasure(net, X), net.forward(X))[1])


def test_measuring_that_fails_leaves_the_modes():
    network = Network(gnref.BatchNorm(2).freeze())
    with pytest.raises(gnref.ShapeError):
        remeasure(network, np.ones((4, 3)))
    assert (network.parts[0].mode, network.parts[0].momentum) == ("frozen", 0.1)
