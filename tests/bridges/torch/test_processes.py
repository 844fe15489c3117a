"""In threads of Python's, with another backend, without Numba, and imported before PyTorch."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

bridge = pytest.importorskip("gnref.bridges.torch")


def train(seed, modules, steps=4):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(4, 16, 24, 24, generator=generator, dtype=torch.float64)
    layers = nn.Sequential(modules.BatchNorm2d(16), modules.GroupNorm(4, 16)).double()
    for _ in range(steps):
        ((layers(x) * x).tanh().sum() / 100).backward()
        with torch.no_grad():
            for p in layers.parameters():
                p.sub_(0.01 * p.grad)
                p.grad = None
    return layers.state_dict()


def test_several_python_threads_train_at_once():
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda seed: train(seed, bridge), range(4)))
    for seed, state in enumerate(found):
        for name, value in train(seed, nn).items():
            torch.testing.assert_close(state[name], value, rtol=1e-9, atol=1e-9)


STEP = """
from gnref.bridges.torch import BatchNorm2d
import torch
torch.manual_seed(0)
x = torch.randn(4, 8, 5, 5, dtype=torch.float64)
found = []
for module in (BatchNorm2d, torch.nn.BatchNorm2d):
    layer, own = module(8).double(), x.clone().requires_grad_()
    layer(own).pow(3).sum().backward()
    found.append((own.grad, layer.weight.grad, layer.running_var, layer.eval()(x)))
for a, b in zip(*found, strict=True):
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
"""
BEFORE = {
    "gnref first": "import gnref, numpy; gnref.group_norm(numpy.ones((8, 64, 64, 64)), 4)",
    "without Numba": """
import importlib.util as u, sys
sys.modules["numba"], find = None, u.find_spec
u.find_spec = lambda name, *rest: None if name == "numba" else find(name, *rest)
""",
}


@pytest.mark.parametrize("before", BEFORE)
def test_a_step_in_a_process(before):
    run(BEFORE[before] + "\n" + STEP)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_the_environments_backend_runs(backend):
    if backend == "cpu":
        pytest.importorskip("numba")
    spy = "import gnref\nseen = []\nmake = gnref.passes.kernels\n"
    spy += "gnref.passes.kernels = lambda name: seen.append(name) or make(name)\n"
    run(spy + STEP + f"\nassert set(seen) == {{{backend!r}}}, seen", GNREF_BACKEND=backend)


def run(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
