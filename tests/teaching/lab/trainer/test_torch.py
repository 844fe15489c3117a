"""The trainer's parts, its step and whole nets beside PyTorch's, in float64."""

import lab_speed
import numpy as np
import pytest

from gnref.teaching.lab.trainer.convolution import Convolution
from gnref.teaching.lab.trainer.loss import cross_entropy
from gnref.teaching.lab.trainer.parts import GlobalMean, Linear, MeanPool, ReLU, Upsample
from gnref.teaching.lab.trainer.sgd import SGD, cosine

torch = pytest.importorskip("torch")
nn = torch.nn
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-9, atol=1e-12)


def check(part, module, x):
    """The same y, dx and gradients, with the part's weights."""
    for name, parameter in module.named_parameters():
        parameter.data = torch.from_numpy(getattr(part, name).copy())
    tx = torch.from_numpy(x).requires_grad_()
    y, ty = part.forward(x), module(tx)
    dy = normal(*y.shape, seed=5)
    ty.backward(torch.from_numpy(dy))
    close(y, ty)
    close(part.backward(dy), tx.grad)
    for name, parameter in module.named_parameters():
        close(part.grads[name], parameter.grad)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_convolutions(ndim, kernel, stride):
    rng = np.random.default_rng(0)
    part = Convolution(3, 4, kernel, ndim=ndim, stride=stride, rng=rng, dtype="float64")
    module = CONVOLUTIONS[ndim](3, 4, kernel, stride, padding=kernel // 2, bias=False)
    check(part, module, normal(2, 3, *(7, 6, 4)[:ndim]))


PARTS = {
    "ReLU": (ReLU, nn.ReLU, (2, 3, 4)),
    "mean pool": (lambda: MeanPool(2, 2), lambda: nn.AvgPool2d(2), (2, 3, 4, 6)),
    "mean pool 3-D": (lambda: MeanPool(1, 2, 3), lambda: nn.AvgPool3d((1, 2, 3)), (2, 3, 3, 4, 6)),
    "upsample": (Upsample, lambda: nn.Upsample(scale_factor=2), (2, 3, 4, 5)),
    "global mean": (
        GlobalMean,
        lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        (2, 3, 4, 5),
    ),
    "linear": (
        lambda: Linear(5, 3, rng=np.random.default_rng(0), dtype="float64"),
        lambda: nn.Linear(5, 3),
        (4, 5),
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_other_parts(name):
    part, module, shape = PARTS[name]
    check(part(), module(), normal(*shape))


@pytest.mark.parametrize("S", [(), (3, 4)])
def test_cross_entropy(S):
    scores, labels = 3 * normal(4, 5, *S), np.random.default_rng(1).integers(5, size=(4, *S))
    ts = torch.from_numpy(scores).requires_grad_()
    expected = nn.functional.cross_entropy(ts, torch.from_numpy(labels))
    expected.backward()
    loss, dscores = cross_entropy(scores, labels)
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    close(dscores, ts.grad)


@pytest.mark.parametrize(("momentum", "decay"), [(0.9, 1e-2), (0.0, 0.1), (0.5, 0.0)])
def test_sgd_with_a_cosine_schedule(momentum, decay):
    part = Linear(3, 2, rng=np.random.default_rng(0), dtype="float64")
    weight = torch.from_numpy(part.weight.copy()).requires_grad_()
    theirs = torch.optim.SGD([weight], 0.3, momentum, weight_decay=decay)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, T_max=6)
    ours = SGD([part], momentum=momentum, decay=decay)
    for step in range(6):
        part.grads = {"weight": normal(2, 3, seed=step)}
        weight.grad = torch.from_numpy(part.grads["weight"])
        ours.step(0.3 * cosine(step, 6)), theirs.step(), falling.step()
        close(part.weight, weight)


@pytest.mark.parametrize("norm", lab_speed.NORMS)
def test_a_net_learns_as_its_twin_does(norm):
    """The net of tools/lab_speed.py, in float64: the same losses, step by step."""
    rng = np.random.default_rng(0)
    x, labels = lab_speed.batch(rng)
    net = lab_speed.network(norm, rng)
    twin = lab_speed.twin(net).double()
    for part in net.walk():
        for name in (
            name for name in ("weight", "bias", "running_mean", "running_var") if hasattr(part, name)
        ):
            value = getattr(part, name)
            setattr(part, name, None if value is None else value.astype("float64"))
    ours = lab_speed.our_step(net, x.astype("float64"), labels)
    theirs = lab_speed.their_step(twin, x.astype("float64"), labels)
    found, expected = [ours() for _ in range(6)], [theirs() for _ in range(6)]
    assert found == pytest.approx(expected, rel=1e-7)
    assert found[-1] < 0.9 * found[0]
