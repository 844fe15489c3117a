"""PyTorch: `torch.nn.functional` in float64 on the CPU, and its autograd.

PyTorch documents its norms by the papers' formulas, with eps inside the root and the biased variance. Batch:
Ioffe & Szegedy 2015, Algorithm 1 (frozen: Algorithm 2); instance: Ulyanov, Vedaldi & Lempitsky 2016; layer:
Ba, Kiros & Hinton 2016; group: Wu & He 2018, eq. 1, 2, 6 and 7; rms: Zhang & Sennrich 2019, eq. 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from gnref.testing.oracles.inputs import limit_of_frameworks, refuse, running, widened
from gnref.testing.problems import CHANNEL_NORMS, Problem

Array = Any
Tensor = Any  # torch.Tensor


def why_not(problem: Problem) -> str:
    """Say why this oracle does not take the problem; "" if it does.

    Empty arrays, NaN, infinities, numbers for which float64 leaves its range, and a set with var + eps == 0.
    What PyTorch itself refuses: eps = 0 in batch norm (since 2.10, at first in the frozen one too); one
    element for each mean in batch norm, in instance norm and, where N = 1, in group norm.
    """
    if reason := limit_of_frameworks(problem):
        return reason
    if problem.norm in ("batch", "batch_frozen") and problem.eps == 0:
        return "PyTorch refuses eps = 0 in batch norm"
    N, C, HW = _sizes(problem)
    if problem.norm == "batch" and HW * (problem.virtual_batch_size or N) == 1:
        return "PyTorch refuses one element per channel in batch norm"
    if problem.norm == "instance" and HW == 1:
        return "PyTorch refuses one spatial element in instance norm"
    if problem.norm == "group" and problem.num_groups == N * C * HW:
        return "PyTorch refuses one element per group in group norm where N = 1"
    return ""


def y(problem: Problem) -> Array:
    """Return y in float64. Its error grows with the mean of x over its spread."""
    refuse(why_not(problem))
    plain = _channels_first(problem)
    with _one_thread(), torch.no_grad():
        return _back(problem, _forward(plain, *_inputs(plain)))


def gradients(problem: Problem) -> tuple[Array, Array | None, Array | None]:
    """Return dx, dweight and dbias in float64; None for an absent parameter."""
    refuse(why_not(problem))
    plain = _channels_first(problem)
    inputs = _inputs(plain)
    with _one_thread(), torch.enable_grad():
        for a in inputs:
            if a is not None:
                a.requires_grad_()
        _forward(plain, *inputs).backward(torch.from_numpy(plain.dy))
    dx, dweight, dbias = (None if a is None else a.grad for a in inputs)
    return _back(problem, dx), *(None if a is None else a.numpy() for a in (dweight, dbias))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in one thread here: on a busy machine, waking another takes longer than a small problem."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _sizes(problem: Problem) -> tuple[int, int, int]:
    """N, C and H*W; without channels x's size in the place of H*W."""
    if problem.norm not in CHANNEL_NORMS:
        return 1, 1, prod(problem.shape)
    N, C = problem.shape[0], problem.shape[problem.channel_axis]
    return N, C, prod(problem.shape) // (N * C)


def _channels_first(problem: Problem) -> Problem:
    """The problem in float64 with x and dy as (N, C, ...), C-contiguous.

    NumPy moves the channels, since a dy that lies channels last in memory reaches the kernels as it is: where
    N = 1, instance norm of PyTorch 2.13 then returns a wrong dx on the CPU.
    """
    if problem.norm not in CHANNEL_NORMS:
        return widened(problem)
    x, dy = (np.moveaxis(a, problem.channel_axis, 1) for a in (problem.x, problem.dy))
    return widened(problem.but(x=x, dy=dy, channel_axis=1))


def _back(problem: Problem, a: Tensor) -> Array:
    """y or dx with the channels where the problem has them."""
    return np.moveaxis(a.numpy(), 1, problem.channel_axis) if problem.norm in CHANNEL_NORMS else a.numpy()


def _inputs(problem: Problem) -> list[Tensor | None]:
    """x, weight and bias as tensors."""
    return [None if a is None else torch.from_numpy(a) for a in (problem.x, problem.weight, problem.bias)]


def _forward(problem: Problem, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """y of a problem with the channels first."""
    shape, eps = list(problem.normalized_shape or ()), problem.eps
    if problem.norm == "layer":
        return F.layer_norm(x, shape, weight, bias, eps=eps)
    if problem.norm == "rms":
        # Its default eps is that of the dtype, not the 1e-5 of the other norms.
        return F.rms_norm(x, shape, weight, eps=eps)
    if problem.norm == "instance":
        return F.instance_norm(x, weight=weight, bias=bias, eps=eps)
    if problem.norm == "group":
        assert problem.num_groups is not None
        if weight is None and bias is not None:
            # PyTorch 2.13 cannot differentiate by a bias alone: "tensor does not have a device".
            weight = torch.ones_like(bias)
        return F.group_norm(x, problem.num_groups, weight, bias, eps=eps)
    if problem.norm == "batch_frozen":
        mean, var = (torch.from_numpy(a) for a in running(problem))
        return F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)
    pieces = x.split(problem.virtual_batch_size or len(x))
    return torch.cat([F.batch_norm(p, None, None, weight, bias, training=True, eps=eps) for p in pieces])
