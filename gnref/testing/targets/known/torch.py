"""PyTorch: the functions of `torch.nn.functional`, and their autograd.

PyTorch's channels are axis 1 always. What it calls channels last is an order in memory, and is checked, as
x and dy lie in memory in several orders.
"""

from __future__ import annotations

from typing import Any

from torch.nn import functional as F

Tensor = Any  # torch.Tensor


def arguments(norm: str) -> dict[str, Any]:
    """The keyword arguments of `gnref.testing.check`."""
    return {"forward": FORWARD[norm], "arrays": "torch"}


def batch(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Batch norm in training mode, without running statistics."""
    return F.batch_norm(x, None, None, weight, bias, training=True, eps=eps)


def instance(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Instance norm, without running statistics."""
    return F.instance_norm(x, None, None, weight, bias, eps=eps)


def group(x: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Group norm."""
    return F.group_norm(x, num_groups, weight, bias, eps=eps)


def layer(
    x: Tensor, normalized_shape: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """Layer norm."""
    return F.layer_norm(x, normalized_shape, weight, bias, eps=eps)


def rms(x: Tensor, normalized_shape: tuple[int, ...], weight: Tensor | None, eps: float) -> Tensor:
    """RMS norm."""
    return F.rms_norm(x, normalized_shape, weight, eps=eps)


FORWARD = {"batch": batch, "instance": instance, "group": group, "layer": layer, "rms": rms}
