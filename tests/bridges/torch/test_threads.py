"""Threads: as many as PyTorch has, whoever sets them first; and in processes that are forked."""

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("numba")

from gnref.bridges.torch import GroupNorm, functional, threads  # noqa: E402


def test_no_more_than_torch_has(monkeypatch):
    seen, forward = [], functional.gnref.group_norm_forward

    def spy(*arguments, **options):
        seen.append(threads.launch.count_threads())
        return forward(*arguments, **options)

    monkeypatch.setattr(functional.gnref, "group_norm_forward", spy)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    before = threads.launch.count_threads()
    GroupNorm(2, 6)(torch.randn(2, 6))
    assert seen == [1]
    assert threads.launch.count_threads() == before


KEEPS = """
import torch
torch.set_num_threads({number})
from gnref.bridges.torch import GroupNorm
x = torch.randn(8, 64, 56, 56, requires_grad=True)  # large enough for several threads
GroupNorm(8, 64)(x).backward(x.detach())
assert torch.get_num_threads() == {number}, torch.get_num_threads()
"""
KEEPS_BESIDE = """
import torch
torch.set_num_threads({number})
import gnref, numpy
gnref.group_norm(numpy.ones((8, 64, 56, 56), "f"), 8)
assert torch.get_num_threads() == {number}, torch.get_num_threads()
"""
FORKS = """
import os
import torch
from gnref.bridges.torch import BatchNorm2d
x = torch.randn(8, 64, 56, 56)
layer = BatchNorm2d(64)
expected = layer(x)
child = os.fork()
if child == 0:
    torch.set_num_threads(1)  # as in the workers of a DataLoader
    os._exit(0 if torch.equal(layer(x), expected) else 1)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("code", [KEEPS, KEEPS_BESIDE], ids=["in a layer", "beside NumPy"])
@pytest.mark.parametrize("number", [1, 2])
def test_torch_keeps_its_number(number, code):
    run(code.format(number=number))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork there")
def test_a_forked_process_goes_on():
    run(FORKS)


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
