"""The law on PyTorch's tensors, with tensors on the processor that are taken for some on CUDA device 0."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")


@pytest.fixture
def law(cupy, tool, monkeypatch):
    from gpu import determinism

    from gnref.kernels.cuda import exchange

    monkeypatch.setattr(determinism, "DEVICE", "cpu")
    monkeypatch.setattr(exchange, "number", lambda tensor: 0)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=7))
    return determinism


@pytest.mark.parametrize("kind", ["ordinary", "bare", "no mean"])
def test_tensors_have_the_bits_of_arrays(law, kind):
    from gpu.cases import Case, draw

    case = Case((3, 1, 2, 4, 16), "float32", kind, 1)
    p = draw(case)
    first = law.both_passes(p, "chosen")
    assert law.as_tensors(case, p, first) == []
    first["dx"][0, 0, 0, 0, 0] += 1
    assert law.as_tensors(case, p, first) == ["dx"]


def test_it_is_asked_only_where_pytorch_has_the_device(law, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert law.tensors_are_there()
    monkeypatch.setattr(law, "find_spec", lambda name: None)
    assert not law.tensors_are_there()


@pytest.fixture
def promises(law, monkeypatch):
    from gpu import promises
    from gpu.session import Context

    monkeypatch.setattr(promises, "SHAPE", (2, 4, 2, 4))
    monkeypatch.setattr(promises, "DEVICE", "cpu")
    monkeypatch.setattr(promises, "tensors_are_there", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: SimpleNamespace(synchronize=lambda: None))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    promises.context = Context(1, options={"flush": 1 << 12})
    return promises


def test_pytorch_s_stream_is_kept_to(promises, monkeypatch):
    assert promises.streams_of_torch(promises.context) == (True, "")
    old = []

    def reads_what_was_there(x, weight):
        old.append(x * 1.0)
        return (x * 0.5,) if len(old) % 2 else (old[0] * 0.25,)

    monkeypatch.setattr(promises, "calls", lambda: {"one": reads_what_was_there})
    assert promises.streams_of_torch(promises.context) == (False, "went to another stream: one")


def test_without_array_api_compat_pytorch_s_stream_is_not_checked(promises, monkeypatch):
    monkeypatch.setattr(promises.absent, "fill_in", lambda: True)
    said = "array_api_compat, which knows tensors, is not installed"
    assert promises.streams_of_torch(promises.context) == (None, said)
