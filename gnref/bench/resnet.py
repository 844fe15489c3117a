"""A small ResNet in PyTorch, with BatchNorm2d or GroupNorm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

Tensor = Any  # torch.Tensor
Layer = Callable[[int], nn.Module]
Activation = Callable[[], nn.Module]

NORMS: dict[str, Layer] = {"batch": nn.BatchNorm2d, "group": lambda C: nn.GroupNorm(C // 2, C)}


class Block(nn.Module):
    """Two convolutions and a shortcut: He et al. 2016, Fig. 2."""

    def __init__(self, norm: Layer, C_in: int, C: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.activation = activation()
        self.conv1 = nn.Conv2d(C_in, C, 3, stride, 1, bias=False)
        self.norm1 = norm(C)
        self.conv2 = nn.Conv2d(C, C, 3, 1, 1, bias=False)
        self.norm2 = norm(C)
        self.shortcut = nn.Sequential()
        if stride != 1 or C_in != C:
            self.shortcut = nn.Sequential(nn.Conv2d(C_in, C, 1, stride, bias=False), norm(C))

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions change."""
        y = self.activation(self.norm1(self.conv1(x)))
        return self.activation(self.norm2(self.conv2(y)) + self.shortcut(x))


def resnet(norm: str, width: int, activation: Activation = nn.ReLU) -> nn.Module:
    """A network of three blocks, with C = width, 2 * width and 4 * width, and ten classes."""
    made = NORMS[norm]
    C = width
    return nn.Sequential(
        nn.Conv2d(3, C, 3, 1, 1, bias=False),
        made(C),
        activation(),
        Block(made, C, C, 1, activation),
        Block(made, C, 2 * C, 2, activation),
        Block(made, 2 * C, 4 * C, 2, activation),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * C, 10),
    )


def training(model: nn.Module, examples: int, size: int = 32) -> Iterator[float]:
    """Train on one batch of random images, in the model's dtype and layout; a loss for every step."""
    generator = torch.Generator().manual_seed(1)
    weight = next(model.parameters())
    x = torch.randn((examples, 3, size, size), generator=generator).to(weight.dtype)
    if weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous():
        x = x.to(memory_format=torch.channels_last)
    target = torch.randint(10, (examples,), generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    while True:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
        yield loss.item()


def losses(model: nn.Module, steps: int, examples: int = 32, size: int = 16) -> list[float]:
    """The loss curve of so many steps."""
    run = training(model, examples, size)
    return [next(run) for _ in range(steps)]
