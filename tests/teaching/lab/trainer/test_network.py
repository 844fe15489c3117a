import numpy as np
import pytest

import gnref
from gnref.teaching.lab.trainer.convolution import Convolution
from gnref.teaching.lab.trainer.nets import block
from gnref.teaching.lab.trainer.network import Network, Residual
from gnref.teaching.lab.trainer.parts import MeanPool, ReLU


def rng():
    return np.random.default_rng(0)


def test_a_network_runs_forward_from_the_first_and_back_from_the_last():
    network, x = Network(ReLU(), MeanPool(2)), np.array([[[-1.0, 3.0]]])
    assert network.forward(x).tolist() == [[[1.5]]]  # pooled first, it would be 1
    assert network.backward(np.ones((1, 1, 1))).tolist() == [[[0, 0.5]]]


def test_walk_finds_every_layer_once():
    made = block(gnref.BatchNorm, 2, 4, rng=rng())
    network = Network(Network(ReLU()), made)
    kinds = [type(part).__name__ for part in network.walk()]
    branch = ["Convolution", "BatchNorm", "ReLU", "Convolution", "BatchNorm"]
    assert kinds == ["ReLU", *branch, "Convolution", "BatchNorm"]
    assert len(set(map(id, network.walk()))) == 8


def test_a_new_block_passes_x_on():
    branch = Network(Convolution(3, 3, rng=rng()), gnref.GroupNorm(1, 3))
    x = rng().standard_normal((2, 3, 4, 4)).astype("float32")
    made = Residual(branch)
    assert np.array_equal(made.forward(x), np.maximum(x, 0))
    dy = np.ones_like(x)
    assert np.array_equal(made.backward(dy), dy * (x > 0))
    assert branch.parts[1].grads["weight"].any()  # it will not stay 0


def test_only_the_branch_s_last_norm_starts_at_0():
    made = block(gnref.BatchNorm, 2, 4, rng=rng())
    weights = [part.weight for part in made.walk() if isinstance(part, gnref.BatchNorm)]
    assert [set(weight) for weight in weights] == [{1}, {0}, {1}]  # the last is the shortcut's


def test_both_ways_give_a_gradient():
    """With branch(x) = xhat and shortcut(x) = x, dx is that of the norm plus dy."""
    norm = gnref.BatchNorm(2, dtype="float64")
    made = Residual(Network(norm))
    norm.weight[...], norm.bias[...] = 1, 9  # the ReLU passes all on
    x, dy = rng().standard_normal((2, 5, 2))
    made.forward(x)
    np.testing.assert_allclose(made.backward(dy), norm.backward(dy) + dy)


@pytest.mark.parametrize("last", [ReLU(), gnref.BatchNorm(2, affine=False)])
def test_a_branch_that_does_not_end_in_a_norm(last):
    with pytest.raises(TypeError, match=f"branch ends in a {type(last).__name__}; expected a norm"):
        Residual(Network(last))
