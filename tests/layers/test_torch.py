"""Layers, their modes and their states beside torch.nn's own."""

import numpy as np
import pytest

import gnref

torch = pytest.importorskip("torch")
nn = torch.nn

PAIRS = {
    "batch": (lambda: gnref.BatchNorm(6, dtype="float64"), lambda: nn.BatchNorm1d(6)),
    "batch, cumulative": (
        lambda: gnref.BatchNorm(6, momentum=None, dtype="float64"),
        lambda: nn.BatchNorm1d(6, momentum=None),
    ),
    "batch, untracked": (
        lambda: gnref.BatchNorm(6, track_running_stats=False, dtype="float64"),
        lambda: nn.BatchNorm1d(6, track_running_stats=False),
    ),
    "instance": (lambda: gnref.InstanceNorm(6, dtype="float64"), lambda: nn.InstanceNorm1d(6, affine=True)),
    "instance, tracked": (
        lambda: gnref.InstanceNorm(6, track_running_stats=True, dtype="float64"),
        lambda: nn.InstanceNorm1d(6, affine=True, track_running_stats=True),
    ),
    "group": (lambda: gnref.GroupNorm(3, 6, dtype="float64"), lambda: nn.GroupNorm(3, 6)),
    "layer": (lambda: gnref.LayerNorm((6, 5), dtype="float64"), lambda: nn.LayerNorm((6, 5))),
    "rms": (lambda: gnref.RMSNorm(5, dtype="float64"), lambda: nn.RMSNorm(5, eps=1e-5)),
}


def random(*shape, seed):
    return np.random.default_rng(seed).standard_normal(shape)


def pair(name):
    """Two layers with one random state, put in by torch and handed to gnref."""
    ours, theirs = (make() for make in PAIRS[name])
    theirs = theirs.double()
    with torch.no_grad():
        for i, parameter in enumerate(theirs.parameters()):
            parameter.copy_(torch.from_numpy(random(*parameter.shape, seed=10 + i)))
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", PAIRS)
def test_three_steps_beside_torch(name, mode):
    ours, theirs = pair(name)
    getattr(ours, mode)(), getattr(theirs, mode)()
    for seed in range(3):
        x, dy = random(4, 6, 5, seed=seed), random(4, 6, 5, seed=seed + 5)
        tx = torch.from_numpy(x).requires_grad_()
        theirs.zero_grad()
        ty = theirs(tx)
        ty.backward(torch.from_numpy(dy))
        np.testing.assert_allclose(ours.forward(x), ty.detach().numpy(), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(ours.backward(dy), tx.grad.numpy(), rtol=1e-9, atol=1e-12)
        for key, parameter in theirs.named_parameters():
            np.testing.assert_allclose(ours.grads[key], parameter.grad.numpy(), rtol=1e-9, atol=1e-12)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key], value.numpy(), rtol=1e-12, err_msg=key)


@pytest.mark.parametrize("name", PAIRS)
def test_the_state_travels_back(name):
    ours, _ = pair(name)
    theirs = PAIRS[name][1]().double()
    theirs.load_state_dict({key: torch.from_numpy(value) for key, value in ours.state_dict().items()})
    for key, value in theirs.state_dict().items():
        assert np.array_equal(value.numpy(), ours.state_dict()[key])
