"""What is said where no device will do, or its memory is out."""

import numpy as np
import pytest

import gnref
from gnref import dispatch


def status():
    dispatch.status.cache_clear()
    return gnref.backends()["cuda"]


def test_ready(cupy):
    assert status() == "ready"


def test_no_driver(cupy, monkeypatch):
    def none():
        raise cupy.cuda.runtime.CUDARuntimeError(35)

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", none)
    assert status().startswith("no CUDA device: ")
    with pytest.raises(gnref.BackendError, match="backend is 'cuda', which is not ready: no CUDA device"):
        gnref.group_norm(np.ones((2, 4, 3)), 2, backend="cuda")


def test_no_device(cupy, monkeypatch):
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 0)
    assert status() == "no CUDA device: the driver found none"


def test_a_device_that_is_too_old(cupy):
    import standin

    standin.device["compute_capability"] = "61"
    assert status() == "the CUDA device has compute capability 6.1; expected 7.5 or more"


def test_out_of_memory(cupy, monkeypatch):
    x = cupy.asarray(np.ones((2, 4, 3), np.float32))

    def full(*_, **__):
        raise cupy.cuda.memory.OutOfMemoryError(96, 0, 0)

    monkeypatch.setattr(cupy, "empty", full)
    with pytest.raises(gnref.BackendError, match="x has 96 bytes, and device 0 has no memory left for the"):
        gnref.group_norm(x, 2)


def test_a_package_that_cannot_be_imported(cupy, monkeypatch):
    def broken(name):
        raise ImportError("libcudart.so.13: cannot open shared object file")

    monkeypatch.setattr(dispatch, "import_module", broken)
    assert status() == "cupy cannot be imported: libcudart.so.13: cannot open shared object file"


@pytest.mark.parametrize("wrong", ["weight", "bias", "running_mean", "running_var", "out"])
def test_two_devices(cupy, wrong):
    x = cupy.asarray(np.ones((2, 4, 3), np.float32))
    arrays = {name: cupy.asarray(np.ones(4, np.float32)) for name in ("weight", "bias")}
    running = {name: cupy.asarray(np.ones(4, np.float32)) for name in ("running_mean", "running_var")}
    arrays["out"] = cupy.empty(x.shape, x.dtype)
    (arrays | running)[wrong].number = 1
    said = f"^{wrong} is on device <CUDA Device 1> and x is on <CUDA Device 0>; expected one device$"
    with pytest.raises(TypeError, match=said):
        gnref.batch_norm_frozen(x, **running, **arrays)
    if wrong in arrays:
        with pytest.raises(TypeError, match=said):
            gnref.group_norm(x, 2, **arrays)


@pytest.mark.parametrize("wrong", ["dy", "out"])
def test_two_devices_backward(cupy, wrong):
    x = cupy.asarray(np.ones((2, 4, 3), np.float32))
    saved = gnref.group_norm_forward(x, 2)[1]
    given = {name: cupy.empty(x.shape, x.dtype) for name in ("dy", "out")}
    given[wrong].number = 1
    with pytest.raises(
        TypeError, match=f"^{wrong} is on device <CUDA Device 1> and x is on <CUDA Device 0>; exp"
    ):
        gnref.backward(given["dy"], saved, out=given["out"])
