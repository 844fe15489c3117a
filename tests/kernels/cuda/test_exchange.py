"""PyTorch's CUDA tensors on the CUDA kernels: no copy, PyTorch's stream, PyTorch's memory.

There is no GPU here: PyTorch's tensors on the CPU are taken for tensors on CUDA device 0.
"""

import ctypes
import os
import subprocess
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import gnref
from gnref import arrays

torch = pytest.importorskip("torch")
with warnings.catch_warnings(action="ignore"):  # forward mode imports it, which warns, and looks for CuPy
    import torch._dynamo

DTYPES = {"float32": 2e-5, "float64": 1e-13, "float16": 1e-2, "bfloat16": 1e-1}
STREAM = 7_000  # PyTorch's current one
SHAPE = (4, 6, 5, 4)
CALLS = {
    "batch": ("batch_norm", (), (6,)),
    "virtual": ("batch_norm", (), (6,)),
    "instance": ("instance_norm", (), (6,)),
    "group": ("group_norm", (3,), (6,)),
    "layer": ("layer_norm", ((5, 4),), (5, 4)),
    "rms": ("rms_norm", ((5, 4),), (5, 4)),
    "frozen": ("batch_norm_frozen", "running", (6,)),
}
WORDS = {"virtual": {"virtual_batch_size": 2}}


@pytest.fixture
def cuda(cupy, monkeypatch):
    """Tensors count as on CUDA device 0; the devices that PyTorch was asked to enter are returned."""
    entered = []

    def enter(device):
        entered.append(device)
        return nullcontext()

    from gnref.kernels.cuda import exchange

    monkeypatch.setattr(arrays, "cuda_device", lambda tensor: 0)
    monkeypatch.setattr(exchange, "number", lambda tensor: 0)
    monkeypatch.setattr(torch.cuda, "device", enter)
    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=STREAM + device)
    )
    return entered


def random(*shape, dtype="float32", seed=0):
    numbers = np.random.default_rng(seed).standard_normal(shape)
    return torch.tensor(numbers).to(getattr(torch, dtype))


def problem(norm, dtype="float32"):
    """x, dy, weight, bias, and what stands between x and weight."""
    _, between, params = CALLS[norm]
    x, dy = random(2, *SHAPE, dtype=dtype)
    weight, bias = random(2, *params, dtype=dtype, seed=1)
    mean, var = random(6, seed=2), random(6, seed=3).abs() + 0.5
    return x, dy, weight, None if norm == "rms" else bias, (mean, var) if between == "running" else between


def both_passes(norm, x, dy, weight, bias, between, **words):
    params = (weight,) if norm == "rms" else (weight, bias)
    forward = getattr(gnref, f"{CALLS[norm][0]}_forward")
    y, saved = forward(x, *between, *params, **WORDS.get(norm, {}), **words)
    grads = gnref.backward(dy, saved)
    return saved, {**dict(zip(("dx", "dweight", "dbias"), grads, strict=True)), "y": y}


def statistics(saved):
    return {name: getattr(saved, name) for name in ("mean", "var", "rstd")}


def assert_close(a, e, bar, name=""):
    # Not by torch.testing: it imports much, and some of that looks into all modules, the stand-in as well.
    a, e = (torch.as_tensor(number).detach().double().numpy() for number in (a, e))
    np.testing.assert_allclose(a, e, atol=bar, rtol=bar, err_msg=name)


def assert_same(got, expected, bar):
    for name, e in expected.items():
        a = got[name]
        assert (a is None) == (e is None), name
        if e is not None:
            assert type(a) is torch.Tensor
            assert (a.shape, a.dtype, a.device) == (e.shape, e.dtype, e.device), name
            assert_close(a, e, bar, name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_memory_both_ways(cuda, dtype):
    from gnref.kernels.cuda import exchange

    tensor = random(2, 3, 4, dtype=dtype)
    for given in (
        tensor,
        tensor.permute(2, 0, 1),
        tensor[0, :, 1:2].expand(5, 3, 4),
        tensor[:, 1],
        tensor[0, 0, 0],
    ):
        array = exchange.from_torch(given)
        assert (array.dtype.name, array.shape, array.data.ptr) == (
            dtype,
            tuple(given.shape),
            given.data_ptr(),
        )
        assert array.strides == tuple(stride * array.itemsize for stride in given.stride())
        back = exchange.to_torch(array)
        assert (back.dtype, back.shape, back.data_ptr()) == (given.dtype, given.shape, given.data_ptr())
        assert back.stride() == given.stride()
    array = exchange.from_torch(tensor)
    array[1, 2, 3] = 42
    assert tensor[1, 2, 3] == 42
    exchange.to_torch(array)[0, 0, 0] = 43
    assert tensor[0, 0, 0] == 43
    assert array[0, 0, 0] == 43


def test_a_view_outlives_its_tensor(cuda, cupy):
    from gnref.kernels.cuda import exchange

    array = exchange.from_torch(random(1000))
    tensor = exchange.to_torch(cupy.asarray(np.arange(1000.0)))
    torch.zeros(1000), cupy.zeros(1000)  # which would be where those were
    assert np.array_equal(cupy.asnumpy(array), random(1000).numpy())
    assert np.array_equal(tensor.numpy(), np.arange(1000.0))


def test_a_sign_that_is_still_to_be_applied(cuda, cupy):
    from gnref.kernels.cuda import exchange

    tensor = torch.view_as_complex(random(6, 2)).conj().imag
    assert tensor.is_neg()
    assert cupy.asnumpy(exchange.from_torch(tensor)).tolist() == tensor.tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("norm", CALLS)
def test_every_norm(cuda, norm, dtype):
    given = problem(norm, dtype)
    saved, got = both_passes(norm, *given)
    there, expected = both_passes(norm, *given, backend="reference")
    assert (saved.backend, there.backend) == ("cuda", "reference")
    assert_same(got, expected, DTYPES[dtype])
    assert_same(statistics(saved), statistics(there), 1e-6)
    assert saved.rstd.dtype == torch.float64


@pytest.mark.parametrize("norm", ["batch", "instance", "group", "frozen"])
@pytest.mark.parametrize("shape", [SHAPE, (1, 6, 5, 4), (4, 6, 5, 1)])
def test_channels_last(cuda, norm, shape):
    x, dy, *others = problem(norm)
    x, dy = (a[: shape[0], ..., : shape[3]].to(memory_format=torch.channels_last) for a in (x, dy))
    for axis, order in ((1, (0, 1, 2, 3)), (-1, (0, 2, 3, 1))):
        given = x.permute(order), dy.permute(order), *others
        saved, got = both_passes(norm, *given, channel_axis=axis)
        _, expected = both_passes(norm, *given, channel_axis=axis, backend="reference")
        assert saved.backend == "cuda"
        assert_same(got, expected, 2e-5)
        assert got["y"].stride() == got["dx"].stride() == given[0].stride()


@pytest.mark.parametrize("norm", CALLS)
def test_dy_of_a_sum_is_one_number_seen_everywhere(cuda, norm):
    x, dy, *others = problem(norm)
    dy = dy[0, 0, 0, 0].expand(SHAPE)
    assert dy.stride() == (0, 0, 0, 0)
    _, got = both_passes(norm, x, dy, *others)
    assert_same(got, both_passes(norm, x, dy, *others, backend="reference")[1], 2e-5)


@pytest.mark.parametrize("norm", CALLS)
def test_x_in_any_strides(cuda, norm):
    x, dy, *others = problem(norm)
    x, dy = (torch.stack([a, a], -1).permute(3, 2, 1, 0, 4)[..., 1].permute(3, 2, 1, 0) for a in (x, dy))
    _, got = both_passes(norm, x, dy, *others)
    assert_same(got, both_passes(norm, x, dy, *others, backend="reference")[1], 2e-5)


@pytest.mark.parametrize("shape", [(0, 6, 5, 4), (4, 6, 0, 4), (0, 6)])
def test_nothing(cuda, shape):
    x, dy, weight, bias = random(*shape), random(*shape), random(6), random(6)
    y, saved = gnref.group_norm_forward(x, 3, weight, bias)
    there = gnref.group_norm_forward(x, 3, weight, bias, backend="reference")[1]
    assert saved.backend == "cuda"
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert_same(statistics(saved), statistics(there), 0)
    for a, e in zip(gnref.backward(dy, saved), gnref.backward(dy, there), strict=True):
        assert torch.equal(a, e)


def test_statistics_of_one_set_have_no_axes(cuda):
    x, dy = random(2, 12)
    y, saved = gnref.layer_norm_forward(x, 12)
    assert saved.mean.shape == saved.rstd.shape == ()
    there = gnref.layer_norm_forward(x, 12, backend="reference")
    assert_same({"y": y, **statistics(saved)}, {"y": there[0], **statistics(there[1])}, 1e-6)
    assert_close(gnref.backward(dy, saved)[0], gnref.backward(dy, there[1])[0], 1e-6)


@pytest.fixture
def seen(cuda, monkeypatch):
    """The addresses of all arrays that came back from kernels, and of all new memory, with its size."""
    from gnref.kernels.cuda import exchange

    back, new = [], {}
    to_torch, memory = exchange.to_torch, exchange.memory

    def spy_back(array):
        back.append(array.data.ptr)
        return to_torch(array)

    def spy_memory(nbytes, *where):
        pointer = memory(nbytes, *where)
        new[pointer.ptr] = nbytes
        return pointer

    monkeypatch.setattr(exchange, "to_torch", spy_back)
    monkeypatch.setattr(exchange, "memory", spy_memory)
    return SimpleNamespace(back=back, new=new)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [SHAPE, (1, 6, 5, 4), (4, 6, 5, 1)])
def test_results_are_not_copied_and_lie_in_pytorch_s_memory(seen, layout, shape):
    x, dy = (random(*shape, seed=seed).to(memory_format=layout) for seed in range(2))
    y, saved = gnref.group_norm_forward(x, 3, random(6), random(6))
    dx, dweight, dbias = gnref.backward(dy, saved)
    for result in (y, saved.mean, saved.rstd, dx, dweight, dbias):
        assert result.data_ptr() in seen.back
    assert {y.data_ptr(), saved.mean.data_ptr(), dx.data_ptr()} <= seen.new.keys()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("norm", CALLS)
def test_results_are_tensors_like_pytorch_s_own(cuda, norm, dtype):
    saved, got = both_passes(norm, *problem(norm, dtype))
    for name, result in (got | (statistics(saved) if norm != "frozen" else {})).items():
        if result is not None:
            assert result.untyped_storage().resizable(), name
    got["y"].untyped_storage().resize_(0)


PARTS = {
    "all": lambda a: a,
    "a row": lambda a: a[1],
    "the end": lambda a: a[1:, 2:],
    "transposed": lambda a: a.T,
    "with gaps": lambda a: a[:, ::2],
    "one number": lambda a: a[2, 3],
    "nothing": lambda a: a[3:],
    "seen many times": lambda a: a[None, :, :1],
}


def assert_in_room(array, tensor, dtype, rooms):
    room = rooms[-1]
    assert tensor.untyped_storage().data_ptr() == room.untyped_storage().data_ptr()
    assert tensor.untyped_storage().resizable()
    assert tensor._base is None, "what is done to it in place is not done to others"
    assert (tensor.dtype, tensor.shape) == (getattr(torch, dtype), array.shape)
    assert tensor.stride() == tuple(stride // array.itemsize for stride in array.strides)
    assert array.size == 0 or tensor.data_ptr() == array.data.ptr


@pytest.fixture
def rooms(monkeypatch):
    """The tensors that gave CuPy memory."""
    lent, new_empty = [], torch.Tensor.new_empty

    def spy(tensor, *size, **options):
        lent.append(new_empty(tensor, *size, **options))
        return lent[-1]

    monkeypatch.setattr(torch.Tensor, "new_empty", spy)
    return lent


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_a_part_of_pytorch_s_memory_is_that_part(cuda, cupy, rooms, part, dtype):
    from gnref.kernels.cuda import exchange

    with exchange.place_of(random(1)):
        whole = cupy.empty((3, 4), exchange.bfloat16() if dtype == "bfloat16" else dtype)
    whole[...] = cupy.asarray(np.arange(12).reshape(3, 4))
    array = part(whole)
    tensor = exchange.to_torch(array)
    assert_in_room(array, tensor, dtype, rooms)
    assert tensor.tolist() == array.astype(np.float64).get().tolist()


@pytest.mark.parametrize("shape", [(0, 3), (), (1, 1)])
def test_little_or_nothing_of_pytorch_s_memory(cuda, cupy, rooms, shape):
    from gnref.kernels.cuda import exchange

    with exchange.place_of(random(1)):
        array = cupy.empty(shape, np.float64)
    assert_in_room(array, exchange.to_torch(array), "float64", rooms)


def test_the_memory_stays_as_long_as_the_tensor(cuda, cupy, rooms):
    from gnref.kernels.cuda import exchange

    with exchange.place_of(random(1)):
        array = cupy.empty(1000, np.float32)
    array[...] = 7
    tensor = exchange.to_torch(array)
    del array
    rooms.clear()
    assert [torch.zeros(1000) for _ in range(8)]  # one of which would be where that was
    assert tensor.eq(7).all()


@pytest.fixture
def large(cuda):
    """Bytes of the new storages that PyTorch made, such as are as large as SHAPE in float32 or larger."""
    from torch.utils._python_dispatch import TorchDispatchMode

    found = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            given = {a.data_ptr() for a in args if isinstance(a, torch.Tensor) and a.device.type != "meta"}
            if isinstance(result, torch.Tensor) and result.device.type != "meta":
                storage = result.untyped_storage()
                known = storage.data_ptr() in seen or result.data_ptr() in given
                if not known and storage.nbytes() >= 4 * np.prod(SHAPE):
                    found.append(storage.nbytes())
                    seen[storage.data_ptr()] = result
            return result

    seen = {}
    with Watch():
        yield found


@pytest.mark.parametrize("with_out", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("norm", ["batch", "instance", "group", "frozen"])
def test_nothing_as_large_as_x_but_the_results(large, norm, layout, with_out):
    x, dy, weight, bias, between = problem(norm)
    x, dy = (a.to(memory_format=layout) for a in (x, dy))
    out, dx = (torch.empty_like(x), torch.empty_like(x)) if with_out else (None, None)
    forward = getattr(gnref, f"{CALLS[norm][0]}_forward")
    results = 0 if with_out else 1
    large.clear()
    y, saved = forward(x, *between, weight, bias, out=out)
    assert large == results * [x.nbytes]
    large.clear()
    gradients = gnref.backward(dy, saved, out=dx)
    assert large == results * [x.nbytes]
    assert saved.backend == "cuda"
    assert y.stride() == gradients[0].stride() == x.stride()
    large.clear()
    assert torch.empty_like(x).nbytes == x.nbytes == large[0], "which would be seen"


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", DTYPES)
def test_out_is_written_in_place_and_returned(seen, dtype, layout):
    x, dy, weight, bias, between = problem("group", dtype)
    x, dy = (a.to(memory_format=layout) for a in (x, dy))
    out, dx = torch.empty_like(x), torch.empty_like(x)
    versions = out._version, dx._version
    y, saved = gnref.group_norm_forward(x, *between, weight, bias, out=out)
    assert y is out
    assert gnref.backward(dy, saved, out=dx)[0] is dx
    assert (out._version, dx._version) > versions, "autograd sees what was written"
    assert x.nbytes not in seen.new.values(), "nothing else was as large"
    _, expected = both_passes("group", x, dy, weight, bias, between, backend="reference")
    assert_same({"y": out, "dx": dx}, {name: expected[name] for name in ("y", "dx")}, DTYPES[dtype])


def test_inference_mode(cuda):
    with torch.inference_mode():
        x, _, weight, bias, _ = problem("group")
        out = torch.empty_like(x)
        y, saved = gnref.group_norm_forward(x, 3, weight.requires_grad_(), bias, out=out)
        assert saved.backend == "cuda"
        assert y is out
        assert_close(out, gnref.group_norm(x, 3, weight, bias, backend="reference"), 2e-5)


def test_out_for_given_statistics(cuda):
    x, dy, weight, bias, between = problem("frozen")
    out, dx = torch.empty_like(x), torch.empty_like(x)
    y, saved = gnref.batch_norm_frozen_forward(x, *between, weight, bias, out=out)
    assert y is out
    assert gnref.backward(dy, saved, out=dx)[0] is dx
    _, expected = both_passes("frozen", x, dy, weight, bias, between, backend="reference")
    assert_same({"y": out, "dx": dx}, {name: expected[name] for name in ("y", "dx")}, 2e-5)


def with_gaps(a):
    return torch.cat([a, a], -1)[..., : a.shape[-1]]


def every_other(a):
    return torch.stack([a, a], -1)[..., 1]


@pytest.mark.parametrize("make", [torch._neg_view, with_gaps, every_other])
def test_an_out_that_a_kernel_cannot_write_is_filled(cuda, make):
    x = make(random(*SHAPE))
    out = make(torch.zeros(SHAPE))
    assert gnref.group_norm(x, 3, out=out) is out
    assert_close(out, gnref.group_norm(x, 3, backend="reference"), 2e-5)


def test_kernels_run_on_pytorch_s_current_stream(cuda, cupy):
    import standin

    x, dy, weight, bias, between = problem("group")
    both_passes("group", x, dy, weight, bias, between)
    assert len(standin.streams) == len(standin.launches) >= 2
    assert set(standin.streams) == {STREAM}
    assert set(cuda) == {0}
    assert cupy.cuda.get_current_stream().ptr == 0, "and CuPy's own is what it was"
    gnref.group_norm(cupy.asarray(x.numpy()), 3)
    assert standin.streams[-1] == 0


def test_the_stream_is_what_it_was_after_an_error(cuda, cupy, monkeypatch):
    from gnref.kernels.cuda import contract

    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(contract.steps, "forward", fail)
    with pytest.raises(ZeroDivisionError):
        gnref.group_norm(random(*SHAPE), 3)
    assert cupy.cuda.get_current_stream().ptr == 0
    assert cupy.empty(3).data.ptr % 16 == 0


def test_out_of_pytorch_s_memory(cuda, monkeypatch):
    def full(*_, **__):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    x = random(*SHAPE)
    monkeypatch.setattr(torch.Tensor, "new_empty", full)
    with pytest.raises(
        gnref.BackendError, match=f"x has {x.nbytes:,} bytes, and device 0 has no memory left for"
    ):
        gnref.group_norm(x, 3)


def test_the_other_functions_of_the_contract(cuda):
    from gnref.kernels import reference
    from gnref.kernels.cuda import contract

    x, dy = random(2, 3, 1, 2, 4, 16)
    weight, bias = random(2, 2, 4)
    out = torch.empty_like(x)
    y, mean, _, rstd = contract.forward(x, weight, bias=bias, eps=1e-5, center=True, out=out)
    assert y is out
    assert_close(y, reference.forward(x, weight, bias, 1e-5, center=True)[0], 2e-5)
    sums = contract.backward_sums(dy, x, mean, rstd, weight)
    both = [
        (
            k.moments(x),
            k.backward_sums(dy, x, mean, rstd, weight),
            (k.backward_from_sums(dy, x, mean, rstd, weight, 64, *sums),),
        )
        for k in (contract, reference)
    ]
    for got, expected in zip(*both, strict=True):
        for a, e in zip(got, expected, strict=True):
            assert type(a) is type(e)
            assert_close(a, e, 1e-5)


# ---- Which backend ----


def test_tensors_on_the_cpu_keep_the_reference(cupy):
    x = random(*SHAPE)
    assert gnref.group_norm_forward(x, 3)[1].backend == "reference"
    with pytest.raises(
        gnref.BackendError, match="takes a cupy array or a torch tensor on cuda; x is a torch tensor on cpu"
    ):
        gnref.group_norm(x, 3, backend="cuda")


def test_where_cuda_is_not_ready_tensors_take_the_reference(cuda, cupy, monkeypatch):
    from gnref import dispatch

    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 0)
    dispatch.status.cache_clear()
    assert gnref.group_norm_forward(random(*SHAPE), 3)[1].backend == "reference"


def test_a_subclass_keeps_the_reference(cuda):
    class Named(torch.Tensor):
        pass

    x = random(*SHAPE).as_subclass(Named)
    assert gnref.group_norm_forward(x, 3)[1].backend == "reference"
    with pytest.raises(gnref.BackendError, match="x is a torch Named on cuda"):
        gnref.group_norm(x, 3, backend="cuda")


@pytest.mark.parametrize("name", ["weight", "bias", "running_mean", "running_var", "out"])
def test_libraries_are_not_mixed(cuda, cupy, name):
    x, _, weight, bias, (mean, var) = problem("frozen")
    given = {
        "running_mean": mean,
        "running_var": var,
        "weight": weight,
        "bias": bias,
        "out": torch.empty_like(x),
    }
    given[name] = cupy.asarray(given[name].numpy())
    with pytest.raises(
        TypeError, match=f"{name} is a cupy array and x is a torch array; expected one library"
    ):
        gnref.batch_norm_frozen(x, **given)


def test_dy_of_another_library(cuda, cupy):
    x, dy, *_ = problem("group")
    saved = gnref.group_norm_forward(x, 3)[1]
    with pytest.raises(TypeError, match="dy is a cupy array and x is a torch array; expected one library"):
        gnref.backward(cupy.asarray(dy.numpy()), saved)


# ---- Autograd ----


def given_gradients(name, norm="frozen"):
    x, dy, weight, bias, (mean, var) = problem(norm)
    given = {"x": x, "running_mean": mean, "running_var": var, "weight": weight, "bias": bias}
    given[name].requires_grad_()
    return given, dy


@pytest.mark.parametrize("name", ["x", "running_mean", "running_var", "weight", "bias"])
def test_what_autograd_follows_takes_the_reference(cuda, name):
    given, dy = given_gradients(name)
    y, saved = gnref.batch_norm_frozen_forward(**given)
    assert saved.backend == "reference"
    y.backward(dy)
    assert given[name].grad is not None
    with torch.no_grad():
        assert gnref.batch_norm_frozen_forward(**given)[1].backend == "cuda"


@pytest.mark.parametrize("norm", ["group", "frozen"])
def test_an_out_that_autograd_follows(cuda, norm):
    x, _, _, _, between = problem(norm)
    function, out = getattr(gnref, CALLS[norm][0]), torch.empty_like(x).requires_grad_()
    with pytest.raises(
        TypeError, match="out requires a gradient, and autograd cannot follow the backend 'cuda'"
    ):
        function(x, *between, out=out, backend="cuda")
    with torch.no_grad():
        assert function(x, *between, out=out) is out


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_parameter_that_autograd_follows(cuda, name):
    x, dy, weight, bias, _ = problem("group")
    given = {
        "weight": torch.nn.Parameter(weight, name == "weight"),
        "bias": torch.nn.Parameter(bias, name == "bias"),
    }
    gnref.group_norm(x, 3, **given).backward(dy)
    assert given[name].grad is not None
    with pytest.raises(
        TypeError, match=f"{name} requires a gradient, and autograd cannot follow the backend"
    ):
        gnref.group_norm(x, 3, **given, backend="cuda")
    with torch.no_grad():
        assert gnref.group_norm_forward(x, 3, **given)[1].backend == "cuda"


@pytest.mark.parametrize("norm", ["batch", "instance", "group", "layer", "rms"])
def test_autograd_agrees_with_backward(cuda, norm):
    x, dy, weight, bias, between = problem(norm, "float64")
    leaves = [a.clone().requires_grad_() for a in (x, weight)]
    saved, _ = both_passes(norm, leaves[0], dy, leaves[1], bias, between)
    assert saved.backend == "reference"
    y = getattr(gnref, CALLS[norm][0])(leaves[0], *between, leaves[1])
    y.backward(dy)
    saved, got = both_passes(norm, x, dy, weight, bias, between)
    assert saved.backend == "cuda"
    assert_same(got, {"dx": leaves[0].grad, "dweight": leaves[1].grad}, 1e-12)


@pytest.mark.parametrize("name", ["x", "running_mean", "running_var", "weight", "bias"])
def test_what_autograd_follows_is_refused_by_name(cuda, name):
    given, _ = given_gradients(name)
    said = (
        rf"{name} requires a gradient, and .* the backend 'cuda'; expected {name}\.detach\(\) or torch\.no_"
    )
    with pytest.raises(TypeError, match=said):
        gnref.batch_norm_frozen(**given, backend="cuda")
    with torch.no_grad():
        y = gnref.batch_norm_frozen(**given, backend="cuda")
    given[name] = given[name].detach()
    assert_close(y, gnref.batch_norm_frozen(**given, backend="cuda"), 0)


@pytest.mark.parametrize("name", ["x", "weight", "x_dot", "weight_dot", "bias_dot"])
def test_forward_mode_of_what_autograd_follows_is_refused(cuda, name):
    x, x_dot, weight, bias, _ = problem("group")
    given = {"x": x, "weight": weight, "x_dot": x_dot, "weight_dot": bias.clone(), "bias_dot": weight.clone()}
    _, saved = gnref.group_norm_forward(x, 3, weight, bias)
    directions = {of: given[of] for of in ("x_dot", "weight_dot", "bias_dot")}
    assert saved.backend == "cuda"
    assert type(gnref.jvp(saved, **directions)) is torch.Tensor
    given[name].requires_grad_()
    with pytest.raises(TypeError, match=f"{name} requires a gradient, and autograd cannot follow the back"):
        gnref.jvp(saved, **directions)


@pytest.mark.parametrize("name", ["x", "weight"])
def test_a_third_derivative_is_refused(cuda, name):
    x, dy, weight, bias, _ = problem("group")
    _, saved = gnref.group_norm_forward(x, 3, weight, bias)
    assert gnref.double_backward(dy, saved, ddx=dy)[1].shape == x.shape
    {"x": x, "weight": weight}[name].requires_grad_()
    with pytest.raises(TypeError, match=f"{name} requires a gradient, and autograd cannot follow the back"):
        gnref.double_backward(dy, saved, ddx=dy)


@pytest.mark.parametrize("name", ["dy", "x", "weight", "out"])
def test_a_second_derivative_is_refused(cuda, name):
    x, dy, weight, bias, _ = problem("group")
    saved = gnref.group_norm_forward(x, 3, weight, bias)[1]
    given = {"dy": dy, "x": x, "weight": weight, "out": torch.empty_like(x)}
    given[name].requires_grad_()
    with pytest.raises(TypeError, match=f"{name} requires a gradient, and autograd cannot follow the back"):
        gnref.backward(dy, saved, out=given["out"])
    with torch.no_grad():
        assert gnref.backward(dy, saved, out=given["out"])[0] is given["out"]


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # which PyTorch itself uses there
@pytest.mark.parametrize("name", ["x", "weight"])
def test_forward_mode_takes_the_reference(cuda, name):
    given = {"x": random(2, 5), "weight": random(5)}
    with torch.autograd.forward_ad.dual_level():
        given[name] = torch.autograd.forward_ad.make_dual(given[name], torch.ones_like(given[name]))
        y, saved = gnref.layer_norm_forward(given["x"], 5, given["weight"])
        assert saved.backend == "reference"
        assert torch.autograd.forward_ad.unpack_dual(y).tangent is not None
        with pytest.raises(TypeError, match=f"{name} requires a gradient"):
            gnref.layer_norm(given["x"], 5, given["weight"], backend="cuda")


@pytest.mark.parametrize("which", [(0, None), (None, 0)])
def test_vmap_takes_the_reference(cuda, which):
    x, weight = (random(3, 2, 5), random(5)) if which[0] == 0 else (random(2, 5), random(3, 5))
    mapped = torch.func.vmap(lambda x, weight: gnref.layer_norm(x, 5, weight), which)(x, weight)
    each = [
        gnref.layer_norm(x[i] if which[0] == 0 else x, 5, weight if which[0] == 0 else weight[i])
        for i in range(3)
    ]
    assert_close(mapped, torch.stack(each), 2e-5)


def test_torch_compile_takes_the_reference(cuda, monkeypatch):
    x = random(2, 5)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert gnref.layer_norm_forward(x, 5)[1].backend == "reference"


def test_a_function_of_autograd_may_use_the_kernels(cuda):
    class Norm(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight, bias):
            y, ctx.saved = gnref.group_norm_forward(x, 3, weight, bias)
            assert ctx.saved.backend == "cuda"
            return y

        @staticmethod
        def backward(ctx, dy):
            return gnref.backward(dy, ctx.saved)

    x, dy, weight, bias, _ = problem("group", "float64")
    leaves = [a.clone().requires_grad_() for a in (x, weight, bias)]
    Norm.apply(*leaves).backward(dy)
    expected = both_passes("group", x, dy, weight, bias, (3,), backend="reference")[1]
    got = dict(zip(("dx", "dweight", "dbias"), (leaf.grad for leaf in leaves), strict=True))
    assert_same(got, {name: expected[name] for name in got}, 1e-13)
    for leaf in leaves:
        leaf.grad = None
    Norm.apply(*leaves).sum().backward()  # its dy is one number, expanded
    ones = both_passes("group", x, torch.ones_like(x), weight, bias, (3,), backend="reference")[1]
    assert_close(leaves[0].grad, ones["dx"], 1e-12)


# ---- Without PyTorch, without ml_dtypes, and with the real CuPy ----


def test_bfloat16_wants_ml_dtypes(cuda, monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(
        gnref.BackendError, match=r"x has dtype bfloat16, .* not installed: pip install ml_dtypes"
    ):
        gnref.group_norm(random(*SHAPE, dtype="bfloat16"), 3)


def test_pytorch_is_not_imported_for_cupy_arrays(cupy):
    code = """
import sys
import numpy as np
import standin
import gnref
with standin.installed() as cupy:
    x = cupy.asarray(np.ones((2, 4, 3), np.float32))
    y, saved = gnref.group_norm_forward(x, 2)
    assert saved.backend == "cuda"
    gnref.backward(x, saved)
assert "torch" not in sys.modules
"""
    here = Path(__file__).parent
    folders = os.pathsep.join(map(str, (here, here.parents[2])))
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": folders})


@pytest.fixture
def real(monkeypatch):
    """The real CuPy, which looks at no memory yet; what tensors hand out is said to be on CUDA device 0."""
    cupy = pytest.importorskip("cupy", reason="needs cupy")
    address = ctypes.pythonapi.PyCapsule_GetPointer
    address.restype, address.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    hand_out = torch.Tensor.__dlpack__

    def moved(tensor, **options):
        capsule = hand_out(tensor, **options)
        kind = ctypes.c_int32.from_address(address(capsule, b"dltensor") + 8)  # behind the data's address
        assert kind.value == 1  # kDLCPU
        kind.value = 2  # kDLCUDA
        return capsule

    monkeypatch.setattr(torch.Tensor, "__dlpack__", moved)
    return cupy


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_real_cupy_reads_a_tensor(real, dtype):
    from gnref.kernels.cuda import exchange

    tensor = random(2, 3, 4, 5, dtype=dtype)
    last = tensor.to(memory_format=torch.channels_last)
    for given in (
        tensor,
        last,
        tensor[0, 0, :, 1:2].expand(3, 4, 7),
        tensor[1],
        tensor[0, 0, 0, 1],
        tensor[:0],
    ):
        array = exchange.from_torch(given)
        assert isinstance(array, real.ndarray)
        assert (array.dtype.name, array.shape, array.data.ptr) == (
            dtype,
            tuple(given.shape),
            given.data_ptr(),
        )
        assert array.strides == tuple(stride * array.itemsize for stride in given.stride())
        assert array.flags.c_contiguous == given.is_contiguous()
        assert array.data.device_id == 0


def test_the_real_cupy_takes_pytorch_s_memory(real):
    from gnref.kernels.cuda import exchange

    tensor, lent = torch.zeros(3), []

    def allocate(nbytes):
        lent.append(exchange.memory(nbytes, tensor, 0))
        return lent[-1]

    with real.cuda.using_allocator(allocate):
        arrays = [real.empty(shape, np.float64) for shape in ((2, 3), (), (0, 3))]
    assert [array.data.ptr for array in arrays] == [pointer.ptr for pointer in lent]
    assert [pointer.mem.size for pointer in lent] == [48, 8, 0]
    assert all(pointer.ptr for pointer in lent)
    assert all(pointer.device_id == 0 for pointer in lent)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_the_real_cupy_gives_pytorch_s_memory_back(real, rooms, part, dtype):
    from gnref.kernels.cuda import exchange

    tensor = torch.zeros(3)
    with real.cuda.using_allocator(lambda nbytes: exchange.memory(nbytes, tensor, 0)):
        array = part(real.empty((3, 4), exchange.bfloat16() if dtype == "bfloat16" else dtype))
    assert_in_room(array, exchange.to_torch(array), dtype, rooms)


def test_the_real_cupy_takes_pytorch_s_stream(real, monkeypatch):
    from gnref.kernels.cuda import exchange

    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=STREAM + device)
    )
    assert real.cuda.Stream.from_external(exchange.Current(3)).ptr == STREAM + 3
