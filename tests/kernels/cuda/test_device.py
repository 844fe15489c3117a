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
