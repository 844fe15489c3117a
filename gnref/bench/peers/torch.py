"""PyTorch, eager: `torch.nn.functional` forward, and the operators that its autograd would call backward.

A backward pass is timed without autograd, whose bookkeeping would count against PyTorch: the operator gets
the statistics that the forward pass saved. Instance norm has no operator of its own, only a batch norm of
(1, N*C, H, W), or a group norm with G = C; both are tried, and for the former dweight and dbias are added
over N. Channels-last rows are (N, C, H, W) tensors in PyTorch's channels_last order, the same memory.

On a GPU autograd is a second way backward, since it may take another library's kernel (cuDNN's), and its
bookkeeping is hidden there. Norms that take no float32 weights with 16-bit x there get them in 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from gnref.bench.case import EPS, Case
from gnref.bench.grid import Row
from gnref.bench.peers import Array, Way

Tensor = Any  # torch.Tensor
Function = Callable[..., Any]
aten = torch.ops.aten


class Inputs(NamedTuple):
    """A case as tensors with the channels at axis 1."""

    x: Tensor
    weight: Tensor
    bias: Tensor
    dy: Tensor


class Peer:
    """PyTorch as it is without any compiler."""

    def __init__(self, threads: int, device: str = "cpu") -> None:
        torch.set_num_threads(threads)
        torch.zeros(1, device=device)  # raises where there is none
        self.device = device

    def ways(self, case: Case) -> dict[str, Way]:
        """What `torch.nn.functional` has, or its operators backward."""
        return {name: Way(bound(*call), reader(case.row)) for name, call in calls(case, self.device).items()}


def calls(case: Case, device: str = "cpu") -> dict[str, tuple[Function, tuple[Any, ...]]]:
    """Functions and their arguments, by name."""
    inputs, functions = tensors(case, device), forwards(case.row)
    if case.row.direction == "forward":
        return {name: (function, inputs[:3]) for name, function in functions.items()}
    found = backwards(case.row, inputs)
    if device != "cpu":
        found |= {f"autograd of {name}": (*recorded(f, inputs),) for name, f in functions.items()}
    return found


def recorded(function: Function, inputs: Inputs) -> tuple[Function, tuple[Any, ...]]:
    """Autograd's way back through a function."""
    leaves = tuple(t.detach().requires_grad_() for t in inputs[:3])
    y = function(*leaves)
    return lambda dy: torch.autograd.grad(y, leaves, dy, retain_graph=True), (inputs.dy,)


def forwards(row: Row) -> dict[str, Function]:
    """y of x, weight and bias."""
    shape, G = row.normalized_shape or (), row.num_groups or 1
    if row.norm == "batch":
        return {"batch_norm": lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True, eps=EPS)}
    if row.norm == "layer":
        return {"layer_norm": lambda x, w, b: F.layer_norm(x, shape, w, b, eps=EPS)}
    if row.norm == "group":
        return {"group_norm": lambda x, w, b: F.group_norm(x, G, w, b, eps=EPS)}
    return {
        "instance_norm": lambda x, w, b: F.instance_norm(x, weight=w, bias=b, eps=EPS),
        "group_norm": lambda x, w, b: F.group_norm(x, x.shape[1], w, b, eps=EPS),
    }


def backwards(row: Row, inputs: Inputs) -> dict[str, tuple[Function, tuple[Any, ...]]]:
    """dx, dweight and dbias, from what the forward pass saves."""
    x, weight, bias, dy = inputs
    if row.norm == "batch":
        saved = torch.native_batch_norm(x, weight, bias, None, None, True, 0.1, EPS)[1:]
        return {"native_batch_norm_backward": (_batch, (dy, x, weight, *saved))}
    if row.norm == "layer":
        saved = torch.native_layer_norm(x, row.normalized_shape, weight, bias, EPS)[1:]
        return {"native_layer_norm_backward": (_layer, (dy, x, weight, bias, *saved))}
    N, C = x.shape[:2]
    G = row.num_groups or C
    saved = torch.native_group_norm(x, weight, bias, N, C, x[0, 0].numel(), G, EPS)[1:]
    found: dict[str, tuple[Function, tuple[Any, ...]]] = {
        "native_group_norm_backward": (_group(G), (dy, x, weight, *saved))
    }
    if row.norm == "instance":
        repeated = weight.repeat(N)
        flat = x.reshape(1, N * C, *x.shape[2:])
        saved = torch.native_batch_norm(flat, repeated, None, None, None, True, 0.1, EPS)[1:]
        found["native_batch_norm_backward"] = (_instance, (dy, x, repeated, *saved))
    return found


def _batch(dy: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor) -> Any:
    mask = [True, True, True]
    return aten.native_batch_norm_backward(dy, x, weight, None, None, mean, rstd, True, EPS, mask)


def _layer(dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor) -> Any:
    mask = [True, True, True]
    return aten.native_layer_norm_backward(dy, x, weight.shape, mean, rstd, weight, bias, mask)


def _group(G: int) -> Function:
    def backward(dy: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor) -> Any:
        (N, C), HW, mask = x.shape[:2], x[0, 0].numel(), [True, True, True]
        return aten.native_group_norm_backward(dy, x, mean, rstd, weight, N, C, HW, G, mask)

    return backward


def _instance(dy: Tensor, x: Tensor, repeated: Tensor, mean: Tensor, rstd: Tensor) -> Any:
    N, C = x.shape[:2]
    shape = (1, N * C, *x.shape[2:])
    dx, dweight, dbias = _batch(dy.reshape(shape), x.reshape(shape), repeated, mean, rstd)
    return dx.reshape(x.shape), dweight.reshape(N, C).sum(0), dbias.reshape(N, C).sum(0)


def bound(function: Function, arguments: tuple[Any, ...]) -> Callable[[], Any]:
    """A function with its arguments in place."""
    return lambda: function(*arguments)


def tensors(case: Case, device: str = "cpu") -> Inputs:
    """Tensors in PyTorch's own memory."""
    x, weight, bias, dy = (tensor(a).to(device) for a in case[1:])
    if device != "cpu" and x.itemsize == 2 and case.row.norm in ("group", "layer"):
        weight, bias = weight.to(x.dtype), bias.to(x.dtype)
    if case.row.norm != "layer":
        x = x.movedim(case.row.channel_axis, 1)
        dy = dy.movedim(case.row.channel_axis, 1) if dy.ndim > 1 else dy
    return Inputs(*(t.clone(memory_format=torch.preserve_format) for t in (x, weight, bias, dy)))


def tensor(a: Array) -> Tensor:
    """An array as a tensor; PyTorch does not know NumPy's bfloat16."""
    if a.dtype.name == "bfloat16":
        return torch.from_numpy(a.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(a)


def reader(row: Row) -> Callable[[Any], tuple[Array, ...]]:
    """What turns results into NumPy arrays with the channels where the row has them."""

    def read(results: Any) -> tuple[Array, ...]:
        first, *params = (results,) if isinstance(results, torch.Tensor) else results
        first = first if row.norm == "layer" else first.movedim(1, row.channel_axis)
        return tuple((t.float() if t.itemsize < 4 else t).cpu().numpy() for t in (first, *params))

    return read
