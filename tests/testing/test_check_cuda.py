"""`gnref check --backend cuda`, on the stand-in for CuPy."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "kernels" / "cuda"))
import standin

from gnref import cli
from gnref.testing import command
from gnref.testing.memory import channels_last
from gnref.testing.problems import Problem
from gnref.testing.properties import PROPERTIES
from gnref.testing.targets import Finding, Gnref

SOME = "y equals plain loops", "layout preserved", "out= takes the same result", "dtype and shape preserved"


@pytest.fixture
def cupy():
    if standin.compiler() is None:
        pytest.skip("needs g++ on Linux")
    with standin.installed() as module:
        yield module


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 3, 4, 4, 4)).astype(np.float32)
    weight, bias = rng.standard_normal((2, 4)).astype(np.float32)
    return Problem("group", x, dy, weight, bias, num_groups=2)


def test_the_command_checks_the_kernels(cupy, monkeypatch, capsys):
    some = [name for name in PROPERTIES if name in SOME]
    monkeypatch.setattr(
        command, "plan", lambda norms: [(PROPERTIES[name], n) for n in norms for name in some]
    )
    standin.launches.clear()
    assert cli.main(["check", "--backend", "cuda", "--norm", "instance", "--max-examples", "2"]) == 0
    assert standin.launches
    shown = capsys.readouterr().out
    assert "gnref:cuda" in shown
    assert len(some) == len(SOME)


def test_a_wrong_kernel_fails(cupy, monkeypatch, capsys):
    from gnref.kernels.cuda import steps

    real = steps.forward
    monkeypatch.setattr(steps, "forward", lambda w, y, eps: real(w, y, eps + 1e-3))
    some = [(PROPERTIES["y equals plain loops"], "instance")]
    monkeypatch.setattr(command, "plan", lambda norms: some)
    assert cli.main(["check", "--backend", "cuda", "--max-examples", "2"]) == 1
    assert "y equals plain loops" in capsys.readouterr().out


def test_without_a_device_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr("gnref.backends", lambda: {"cuda": "no CUDA device: the driver found none"})
    assert cli.main(["check", "--backend", "cuda"]) == 2
    said = capsys.readouterr().err
    assert said == "gnref: --backend is 'cuda', which is not ready: no CUDA device: the driver found none\n"


def test_arrays_go_and_come_back_as_they_lie(cupy, problem):
    last = problem.but(x=channels_last(problem.x), dy=channels_last(problem.dy))
    here, there = Gnref("cpu"), Gnref("cuda")
    expected, got = here.forward(last), there.forward(last)
    assert isinstance(got.saved.x, cupy.ndarray)
    assert got.saved.x.strides == last.x.strides
    for a, e in zip(got[:4], expected[:4], strict=True):
        assert isinstance(a, np.ndarray)
        assert a.strides == e.strides
        np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5)
    for a, e in zip(there.backward(last.dy, got), here.backward(last.dy, expected), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-4)


def test_out_is_filled_here(cupy, problem):
    target, place = Gnref("cuda"), np.empty_like(problem.x)
    forward = target.forward(problem, out=place)
    assert forward.y is place
    assert np.array_equal(place, target.forward(problem).y)
    assert target.backward(problem.dy, forward, out=place).dx is place
    assert target.backward(problem.dy, forward, needs=("weight",))[::2] == (None, None)


def test_a_written_input_is_seen(cupy, problem, monkeypatch):
    from gnref.kernels.cuda import contract

    real = contract.forward

    def writes(x5, *arguments):
        x5[...] = x5 * 2
        return real(x5, *arguments)

    monkeypatch.setattr(contract, "forward", writes)
    with pytest.raises(Finding, match="writes to an array that it was given"):
        Gnref("cuda").forward(problem)
