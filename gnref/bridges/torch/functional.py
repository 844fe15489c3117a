"""The norms with the signatures of `torch.nn.functional`, as the layers call them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from numbers import Real
from typing import Any

import torch

import gnref
from gnref.arrays import DTYPES, dtype_name
from gnref.bridges.torch.functions import Call, Norm, differentiable, transformed
from gnref.bridges.torch.memory import Tensor, check_tensor, give, lend
from gnref.errors import ShapeError
from gnref.layers.tracking import batch_statistics, moved
from gnref.passes import Saved, quiet

Function = Callable[..., Tensor]
Stats = tuple[Any, Any]  # running mean and variance, each a tensor or None
TAKEN_APART = (
    "running statistics cannot follow a batch that torch.vmap takes apart; expected a layer with "
    "track_running_stats=False, or in evaluation mode, or running statistics for each example"
)


def left_alone(function: Function) -> Function:
    """Keep torch.compile out of a function: its graph breaks off here, and goes on behind it."""
    alone = torch._disable_dynamo(function)  # torch.compiler.disable, that imports the compiler when called

    @wraps(function)
    def called(*args: Any, **options: Any) -> Tensor:
        if torch.compiler.is_compiling():
            return alone(*args, **options)
        return function(*args, **options)

    return called


@left_alone
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """As `torch.nn.functional.group_norm`."""

    def forward(x: Any, weight: Any, bias: Any, backend: str | None) -> Any:
        return gnref.group_norm_forward(x, num_groups, weight, bias, eps=eps, backend=backend)

    return Norm.apply(input, weight, bias, Call(forward))


@left_alone
def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """As `torch.nn.functional.layer_norm`."""

    def forward(x: Any, weight: Any, bias: Any, backend: str | None) -> Any:
        return gnref.layer_norm_forward(x, whole(normalized_shape), weight, bias, eps=eps, backend=backend)

    return Norm.apply(input, weight, bias, Call(forward))


def whole(normalized_shape: Sequence[int] | int) -> tuple[int, ...] | int:
    """A shape that can be hashed: gnref caches by it."""
    return normalized_shape if isinstance(normalized_shape, int) else tuple(normalized_shape)


@left_alone
def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """As `torch.nn.functional.rms_norm`: without eps, that of x's dtype, of float32 for 16 bits."""
    check_tensor(input, "x")
    if eps is None:
        wide = torch.float64 if input.dtype == torch.float64 else torch.float32
        eps = torch.finfo(wide).eps

    def forward(x: Any, weight: Any, bias: Any, backend: str | None) -> Any:
        return gnref.rms_norm_forward(x, whole(normalized_shape), weight, eps=eps, backend=backend)

    return Norm.apply(input, weight, None, Call(forward))


@left_alone
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As `torch.nn.functional.batch_norm`."""
    if not training:
        return frozen(input, running_mean, running_var, weight, bias, eps)

    def forward(x: Any, weight: Any, bias: Any, backend: str | None) -> Any:
        return gnref.batch_norm_forward(x, weight, bias, eps=eps, backend=backend)

    return tracked(Call(forward), input, running_mean, running_var, weight, bias, momentum)


@left_alone
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As `torch.nn.functional.instance_norm`, and one element per set is allowed: it gives the bias."""
    if not use_input_stats:
        return frozen(input, running_mean, running_var, weight, bias, eps)

    def forward(x: Any, weight: Any, bias: Any, backend: str | None) -> Any:
        return gnref.instance_norm_forward(x, weight, bias, eps=eps, backend=backend)

    return tracked(Call(forward), input, running_mean, running_var, weight, bias, momentum)


def frozen(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    """Normalize with running statistics."""
    check_running(input, running_mean, running_var)
    stats = running_mean, running_var
    if running_mean is not None and running_var is not None and differentiable():
        # They may move on before the backward pass, and have no derivatives themselves.
        stats = running_mean.detach().clone(), running_var.detach().clone()

    def forward(x: Any, weight: Any, bias: Any, backend: str | None) -> Any:
        mean, var = stats
        if backend is None:
            mean, var = lend(mean, "running_mean"), lend(var, "running_var")
        return gnref.batch_norm_frozen_forward(x, mean, var, weight, bias, eps=eps, backend=backend)

    return normalized(Call(forward), input, weight, bias, stats)


def tracked(
    call: Call,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
) -> Tensor:
    """Normalize, and move running statistics, if there are any."""
    check_running(input, running_mean, running_var)
    if running_mean is None or running_var is None:
        return Norm.apply(input, weight, bias, call)

    stats = running_mean, running_var

    def track(saved: Saved) -> None:
        found = batch_statistics(saved, len(running_mean))
        if found is not None:
            follow(stats, found, momentum)

    if type(momentum) is not float:
        one = isinstance(momentum, torch.Tensor) and momentum.numel() == 1 and not momentum.is_complex()
        if not (one or isinstance(momentum, Real)):
            raise TypeError(f"momentum is {momentum!r}; expected a number")
        momentum = float(momentum)
    call.track = track
    y = normalized(call, input, weight, bias, stats)
    if call.saved is None:
        raise RuntimeError(TAKEN_APART)
    return y


def normalized(call: Call, input: Tensor, weight: Tensor | None, bias: Tensor | None, stats: Stats) -> Tensor:
    """y; in PyTorch's own operations where torch.func transforms the statistics, or does not transform x."""
    if transformed():
        wrapped = torch._C._functorch.is_functorch_wrapped_tensor
        if any(wrapped(stat) for stat in stats if stat is not None) or not wrapped(input):
            return call.in_operations(input, weight, bias)
    return Norm.apply(input, weight, bias, call)


def follow(stats: Stats, found: tuple[Any, Any], momentum: float) -> None:
    """Move running statistics towards those of a batch, in place."""
    if isinstance(found[0], torch.Tensor):
        new = [moved(stat, a.detach(), momentum) for stat, a in zip(stats, found, strict=True)]
    else:
        with quiet():
            new = [
                give(moved(lend(stat, "a running statistic"), a, momentum))
                for stat, a in zip(stats, found, strict=True)
            ]
    try:
        for stat, a in zip(stats, new, strict=True):
            stat.copy_(a)
    except RuntimeError as error:
        if not transformed():
            raise
        raise RuntimeError(TAKEN_APART) from error  # vmap's own


def check_running(input: Tensor, mean: Tensor | None, var: Tensor | None) -> None:
    """Raise unless running statistics are both there, one of each per channel, or both absent."""
    check_tensor(input, "x")
    if (mean is None) != (var is None):
        lone, other = ("running_mean", "running_var") if mean is None else ("running_var", "running_mean")
        raise ValueError(f"{lone} is None and {other} is not; expected both or neither")
    for name, stat in (("running_mean", mean), ("running_var", var)):
        if stat is None:
            continue
        check_tensor(stat, name)
        if not stat.is_floating_point():
            raise TypeError(f"{name} has dtype {dtype_name(stat.dtype)}; expected one of {', '.join(DTYPES)}")
        if input.ndim > 1 and stat.shape != input.shape[1:2]:
            raise ShapeError(
                f"{name} has shape {tuple(stat.shape)}; expected {(input.shape[1],)}, one number per channel "
                f"(x has shape {tuple(input.shape)})"
            )
        if stat.requires_grad and torch.is_grad_enabled():
            raise ValueError(f"{name} requires a gradient, and has none; expected {name}.detach()")
