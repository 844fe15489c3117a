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


def ones(cupy, shape, device=0):
    with cupy.cuda.Device(device):
        return cupy.asarray(np.ones(shape, np.float32))


@pytest.mark.parametrize("wrong", ["weight", "bias", "running_mean", "running_var", "out"])
def test_two_devices(cupy, wrong):
    x, per_channel = ones(cupy, (2, 4, 3)), ("weight", "bias", "running_mean", "running_var")
    given = {name: ones(cupy, 4, device=name == wrong) for name in per_channel}
    given["out"] = ones(cupy, x.shape, device=wrong == "out")
    said = f"^{wrong} is on device <CUDA Device 1> and x is on <CUDA Device 0>; expected one device$"
    with pytest.raises(TypeError, match=said):
        gnref.batch_norm_frozen(x, **given)
    if not wrong.startswith("running"):
        with pytest.raises(TypeError, match=said):
            gnref.group_norm(x, 2, **{name: given[name] for name in ("weight", "bias", "out")})


@pytest.mark.parametrize("wrong", ["dy", "out"])
def test_two_devices_backward(cupy, wrong):
    x = ones(cupy, (2, 4, 3))
    saved = gnref.group_norm_forward(x, 2)[1]
    given = {name: ones(cupy, x.shape, device=name == wrong) for name in ("dy", "out")}
    with pytest.raises(
        TypeError, match=f"^{wrong} is on device <CUDA Device 1> and x is on <CUDA Device 0>; exp"
    ):
        gnref.backward(given["dy"], saved, out=given["out"])


NORMS = {
    "batch": lambda x, *others, **words: gnref.batch_norm_forward(x, *others, **words),
    "group": lambda x, *others, **words: gnref.group_norm_forward(x, 3, *others, **words),
    "frozen": lambda x, *others, running, **words: gnref.batch_norm_frozen_forward(
        x, *running, *others, **words
    ),
}


def plain(a):
    return a


def every_other(a):
    return a[..., ::2]


@pytest.mark.parametrize("backend", ["cuda", "reference"])
@pytest.mark.parametrize("seen", [plain, every_other])
@pytest.mark.parametrize("with_out", [False, True])
@pytest.mark.parametrize("norm", NORMS)
def test_on_a_device_that_is_not_the_current_one(cupy, norm, with_out, seen, backend):
    import standin

    rng = np.random.default_rng(0)
    x, dy, out, dx = rng.standard_normal((4, 3, 6, 5, 4), np.float32)
    weight, bias = rng.standard_normal((2, 6))  # another dtype than x's: dweight is brought into it
    words = {"running": rng.uniform(0.5, 2, (2, 6)).astype(np.float32)} if norm == "frozen" else {}
    expected, there = NORMS[norm](seen(x), weight, bias, **words, backend="reference")
    expected = [expected, *gnref.backward(seen(dy), there)]

    with cupy.cuda.Device(1):
        x, dy, out, dx = (seen(cupy.asarray(a)) for a in (x, dy, out, dx))
        weight, bias, *running = map(cupy.asarray, (weight, bias, *words.get("running", ())))
    words = {"running": running} if norm == "frozen" else {}
    standin.entered.clear()
    y, saved = NORMS[norm](x, weight, bias, **words, backend=backend, out=out if with_out else None)
    got = [y, *gnref.backward(dy, saved, out=dx if with_out else None)]
    assert standin.current == [0], "the current device is what it was"
    assert set(standin.entered) == {1}
    assert with_out == (y is out)
    assert with_out == (got[1] is dx)
    for a in (*got, saved.mean, saved.var, saved.rstd):
        assert a.device == cupy.cuda.Device(1)
    for a, e in zip(got, expected, strict=True):
        assert a.dtype == e.dtype
        np.testing.assert_allclose(cupy.asnumpy(a), e, atol=2e-5, rtol=2e-5)


def test_the_stand_in_refuses_an_array_of_another_device(cupy):
    import standin

    x, there = ones(cupy, 3), ones(cupy, 3, device=1)
    assert there[1:].reshape(2, 1).device == cupy.cuda.Device(1), "a view asks no device"
    for wrong in (
        lambda: there + 1,
        lambda: there.astype(np.float64),
        lambda: cupy.stack([there, there]),
        lambda: x.__setitem__(0, there[0]),
        lambda: there.__setitem__(0, 1),
        lambda: gnref.group_norm(x.reshape(1, 3), 1, backend="cuda") + there,
    ):
        with pytest.raises(standin.Fault, match="an array on device 1 is computed with on device 0"):
            wrong()
