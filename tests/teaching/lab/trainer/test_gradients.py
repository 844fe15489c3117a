"""Every backward pass against derivatives taken in other ways; dy and all parameters are random."""

import numpy as np
import pytest

import gnref
from gnref.teaching.lab.trainer.convolution import Convolution
from gnref.teaching.lab.trainer.loss import cross_entropy
from gnref.teaching.lab.trainer.nets import block, plain_net, residual_net
from gnref.teaching.lab.trainer.network import Network, Residual
from gnref.teaching.lab.trainer.norms import make_norm
from gnref.teaching.lab.trainer.parts import GlobalMean, Linear, MeanPool, ReLU, Upsample
from gnref.teaching.lab.trainer.training import norms


def wide():
    return {"rng": np.random.default_rng(0), "dtype": "float64"}


PARTS = {
    "convolution": (lambda: Convolution(3, 4, **wide()), (2, 3, 5, 4)),
    "convolution, stride 2": (lambda: Convolution(3, 2, stride=2, **wide()), (2, 3, 5, 4)),
    "convolution, stride 3": (lambda: Convolution(2, 2, 5, stride=3, **wide()), (2, 2, 8, 3)),
    "convolution 1 x 1": (lambda: Convolution(3, 4, 1, stride=2, **wide()), (2, 3, 4, 5)),
    "convolution 1-D": (lambda: Convolution(2, 3, ndim=1, **wide()), (2, 2, 6)),
    "convolution 3-D": (lambda: Convolution(2, 3, ndim=3, **wide()), (2, 2, 3, 4, 2)),
    "convolution 3-D, stride 2": (lambda: Convolution(2, 3, ndim=3, stride=2, **wide()), (1, 2, 3, 4, 5)),
    "ReLU": (ReLU, (2, 3, 4, 4)),
    "mean pool": (lambda: MeanPool(2, 2), (2, 3, 4, 6)),
    "mean pool 3-D": (lambda: MeanPool(1, 2, 3), (2, 2, 3, 4, 6)),
    "upsample": (Upsample, (2, 3, 2, 3)),
    "global mean": (GlobalMean, (2, 3, 4, 5)),
    "global mean 3-D": (GlobalMean, (2, 3, 2, 3, 4)),
    "linear": (lambda: Linear(5, 3, **wide()), (4, 5)),
}


def normal(*shape, seed):
    return np.random.default_rng(seed).standard_normal(shape)


def gradients(part, x):
    """What `backward` says, and the function whose gradients these are, of x and of every parameter."""
    y = part.forward(x)
    dy = normal(*y.shape, seed=9)
    found = {"x": part.backward(dy), **part.grads}

    def scalar(name, value):
        if name == "x":
            return (part.forward(value) * dy).sum()
        kept = getattr(part, name)
        setattr(part, name, value)
        result = (part.forward(x) * dy).sum()
        setattr(part, name, kept)
        return result

    return found, scalar


def each(f, a, step):
    """One call of f for each element of a, with a step added to it."""
    results = []
    for i in range(a.size):
        moved = a.astype(type(step))
        moved.flat[i] += step
        results.append(f(moved))
    return np.reshape(results, a.shape)


@pytest.mark.parametrize("name", PARTS)
def test_by_complex_steps(name):
    make, shape = PARTS[name]
    part, x = make(), normal(*shape, seed=1)
    found, scalar = gradients(part, x)
    for key, grad in found.items():
        at = x if key == "x" else getattr(part, key)
        expected = each(lambda a, key=key: scalar(key, a).imag, at, 1e-30j) / 1e-30
        np.testing.assert_allclose(grad, expected, rtol=1e-12, atol=1e-13, err_msg=key)


@pytest.mark.parametrize("name", PARTS)
def test_by_central_differences(name):
    make, shape = PARTS[name]
    part, x = make(), normal(*shape, seed=1)
    found, scalar = gradients(part, x)
    for key, grad in found.items():
        at = x if key == "x" else getattr(part, key)
        up, down = (each(lambda a, key=key: scalar(key, a), at, step) for step in (1e-6, -1e-6))
        np.testing.assert_allclose(grad, (up - down) / 2e-6, rtol=1e-7, atol=1e-8, err_msg=key)


@pytest.mark.parametrize(("shape", "labels"), [((4, 3), (4,)), ((2, 3, 2, 4), (2, 2, 4))])
def test_the_loss_by_central_differences(shape, labels):
    scores, right = 3 * normal(*shape, seed=1), np.random.default_rng(2).integers(3, size=labels)
    _, dscores = cross_entropy(scores, right)
    up, down = (each(lambda a: cross_entropy(a, right)[0], scores, step) for step in (1e-5, -1e-5))
    np.testing.assert_allclose(dscores, (up - down) / 2e-5, rtol=1e-6, atol=1e-10)


NETS = {
    f"{make.__name__}, {norm}": (make, norm)
    for make in (residual_net, plain_net)
    for norm in ("batch", "layer", "instance", "group")
}


def randomize(network):
    """Random float64 parameters: with weight = 0 in its last norm, a block would hide its branch."""
    rng = np.random.default_rng(3)
    for part in network.walk():
        for i, name in enumerate(name for name in ("weight", "bias") if hasattr(part, name)):
            parameter = getattr(part, name)
            setattr(part, name, rng.normal((1 - i) / 2, 0.5, parameter.shape))
    return network


def check_network(network, x):
    """The slope of y * dy along random directions, of x and of each parameter in turn."""
    y = network.forward(x)
    rng = np.random.default_rng(4)
    dy = rng.standard_normal(y.shape)
    found = [(x, network.backward(dy))]
    found += [(getattr(part, name), grad) for part in network.walk() for name, grad in part.grads.items()]
    for parameter, grad in found:  # each is moved in place
        direction, kept, slopes = rng.standard_normal(parameter.shape), parameter.copy(), []
        for step in (1e-6, -1e-6):
            parameter[...] = kept + step * direction
            slopes.append((network.forward(x) * dy).sum())
        parameter[...] = kept
        expected = (slopes[0] - slopes[1]) / 2e-6
        assert (grad * direction).sum() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    return len(found)


@pytest.mark.parametrize("name", NETS)
def test_networks(name):
    make, norm = NETS[name]
    network = make(lambda C: make_norm(norm, C, 2, None), 3, rng=wide()["rng"], widths=(2, 4, 4))
    count = check_network(randomize(network), normal(4, 3, 8, 8, seed=2))
    assert count == (1 + 7 * 3 + 2 if make is residual_net else 1 + 3 * 3 + 2)  # x, triples, the last layer


@pytest.mark.parametrize("mode", ["eval", "freeze"])
def test_a_network_with_running_statistics(mode):
    network = randomize(block(gnref.BatchNorm, 2, 4, rng=wide()["rng"]))
    network.forward(normal(4, 2, 6, 6, seed=3))
    for norm in norms(network):
        getattr(norm, mode)()
    assert check_network(network, normal(4, 2, 6, 6, seed=2)) == (10 if mode == "eval" else 4)


def test_a_block_without_a_shortcut_layer():
    branch = Network(Convolution(2, 2, **wide()), gnref.GroupNorm(1, 2, dtype="float64"))
    check_network(randomize(Residual(branch)), normal(2, 2, 4, 4, seed=2))
