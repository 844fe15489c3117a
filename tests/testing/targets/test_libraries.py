import os

import numpy as np
import pytest

from gnref import cli
from gnref.errors import BackendError
from gnref.testing import Functions, Problem
from gnref.testing.targets.isolated import Isolated
from gnref.testing.targets.libraries import library

X = np.arange(6.0).reshape(2, 3)
PROBLEM = Problem("layer", X, X, normalized_shape=(3,))
POSIX = pytest.mark.skipif(os.name != "posix", reason="takes POSIX pipes")


def same(x, *args, **words):
    return x


@pytest.mark.parametrize(
    ("arrays", "device", "reason"),
    [
        ("torch", "cuda:99", "PyTorch cannot use: ."),
        ("torch", "nonsense", "PyTorch cannot use: Expected one of cpu"),
        ("torch", "meta", "PyTorch cannot use: Cannot copy out of meta tensor"),
        ("jax", "cuda", r"JAX cannot use: expected a jax.Device, such as jax.devices\(\)\[0\]"),
        ("jax", 99, "JAX cannot use: ."),
    ],
)
def test_a_device_that_cannot_be_used_is_told_in_one_sentence(arrays, device, reason):
    pytest.importorskip(arrays)
    with pytest.raises(BackendError, match=f"^device is {device!r}, which {reason}") as near:
        Functions(same, norm="layer", arrays=arrays, device=device)
    assert "\n" not in str(near.value)
    if os.name == "posix":
        with pytest.raises(BackendError) as far:
            Isolated(same, norm="layer", arrays=arrays, device=device)
        assert str(far.value) == str(near.value)


@POSIX
def test_a_device_that_no_array_library_has_is_told_alike():
    with pytest.raises(ValueError, match=r"^device is 'cuda'; expected None: numpy arrays have no device$"):
        Isolated(same, norm="layer", device="cuda")


def test_an_error_without_words_is_named(monkeypatch):
    torch = pytest.importorskip("torch")

    def zeros(*args, **words):
        raise NotImplementedError

    monkeypatch.setattr(torch, "zeros", zeros)
    with pytest.raises(BackendError, match=r"PyTorch cannot use: NotImplementedError$"):
        library("torch", "cpu")


@POSIX
def test_the_command_says_one_sentence_and_exits_with_2(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_device.py").write_text(
        "def forward(x, normalized_shape, weight, bias, eps): return x\n"
        "forward.norm, forward.arrays, forward.device = 'layer', 'torch', 'nonsense'\n"
    )
    assert cli.main(["check", "own_device:forward", "--max-examples", "2"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gnref: device is 'nonsense', which PyTorch cannot use: Expected one of cpu")
    assert error.count("\n") == 1


@pytest.mark.parametrize("make", [Functions, pytest.param(Isolated, marks=POSIX)])
def test_jax_takes_its_own_devices(make):
    jax = pytest.importorskip("jax")
    target = make(same, norm="layer", arrays="jax", device=jax.devices()[-1])
    assert np.array_equal(target.forward(PROBLEM).y, X)
    if make is Isolated:
        target.close()


def test_torch_takes_its_own_devices():
    torch = pytest.importorskip("torch")
    target = Functions(same, norm="layer", arrays="torch", device=torch.device("cpu"))
    assert np.array_equal(target.forward(PROBLEM).y, X)
