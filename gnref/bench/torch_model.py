"""gnref's layers in PyTorch beside torch.nn's: steps of a model, of a layer alone, and one small call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import nn

import gnref
from gnref.bench.own import use_threads
from gnref.bench.resnet import Layer, resnet, training
from gnref.bench.results import Timing
from gnref.bench.timing import Run, interleave
from gnref.bridges.torch import convert

Tensor = Any  # torch.Tensor
LAYOUTS = {"": torch.contiguous_format, ", channels last": torch.channels_last}


class Model(NamedTuple):
    """A ResNet by the channels of its first block, and the images of a step."""

    width: int
    examples: int
    size: int  # H and W


MODELS = (Model(16, 16, 128), Model(32, 64, 32))
IMAGES = ((32, 256, 56, 56), (8, 256, 56, 56))  # N C H W: 103 and 26 MB
LAYERS: dict[str, Layer] = {
    "BatchNorm2d": nn.BatchNorm2d,
    "GroupNorm of 32 groups": lambda C: nn.GroupNorm(32, C),
}
SMALL = (2, 64, 16, 16)
# Layers for one small call, with gnref's own function that it comes to, of (x, mean, var, weight, bias).
CALLS: dict[str, tuple[Layer, Callable[..., Any]]] = {
    "GroupNorm": (
        lambda C: nn.GroupNorm(8, C),
        lambda x, mean, var, weight, bias: gnref.group_norm_forward(x, 8, weight, bias),
    ),
    "BatchNorm2d": (
        nn.BatchNorm2d,
        lambda x, mean, var, weight, bias: gnref.batch_norm_forward(x, weight, bias),
    ),
    "BatchNorm2d in evaluation": (lambda C: nn.BatchNorm2d(C).eval(), gnref.batch_norm_frozen_forward),
}


class Pair(NamedTuple):
    """One thing, timed with torch.nn's layers and with gnref's; ``kernels`` is what gnref's comes to."""

    what: str
    native: Timing
    own: Timing
    kernels: Timing | None = None

    @property
    def ratio(self) -> float:
        """How many times as long it takes with torch.nn's."""
        return self.native.median / self.own.median

    @property
    def overhead(self) -> float | None:
        """Seconds that a call takes beyond the kernels."""
        return None if self.kernels is None else self.own.median - self.kernels.median


Maker = Callable[[], tuple[Run, Run, Run | None]]


def plan() -> dict[str, Maker]:
    """What is timed: a name, and what makes the participants."""
    made: dict[str, Maker] = {}
    for model in MODELS:
        for norm, title in (("batch", "BatchNorm2d"), ("group", "GroupNorm")):
            for layout, order in LAYOUTS.items():
                images = f"{model.examples}x3x{model.size}x{model.size}"
                name = f"step of a ResNet with {title}, {images}{layout}"
                made[name] = lambda m=model, n=norm, o=order: model_steps(m, n, o)  # type: ignore[misc]
    for title, layer in LAYERS.items():
        for shape in IMAGES:
            for layout, order in LAYOUTS.items():
                name = f"step of {title}, {'x'.join(map(str, shape))}{layout}"
                made[name] = lambda m=layer, s=shape, o=order: layer_steps(m, s, o)  # type: ignore[misc]
    for title, (layer, function) in CALLS.items():
        both = {"call": small_calls, "backward pass": small_backward}
        for what, make in both.items():
            name = f"{what} of {title}, {'x'.join(map(str, SMALL))}"
            made[name] = lambda m=make, c=layer, f=function: m(c, f)  # type: ignore[misc]
    return made


def measure(threads: int, rounds: int, made: dict[str, Maker]) -> Iterator[Pair]:
    """Time everything that a plan has."""
    torch.set_num_threads(threads)
    use_threads(threads)
    for name, make in made.items():
        native, own, kernels = make()
        runs = {"native": native, "own": own} | ({} if kernels is None else {"kernels": kernels})
        timings = interleave(runs, rounds)
        yield Pair(name, timings["native"], timings["own"], timings.get("kernels"))


def model_steps(model: Model, norm: str, order: Any) -> tuple[Run, Run, None]:
    """A training step of two networks that are alike."""
    torch.manual_seed(0)
    native = resnet(norm, model.width).to(memory_format=order)
    own = convert(deepcopy(native))
    steps = [training(network, model.examples, model.size) for network in (native, own)]
    return lambda: next(steps[0]), lambda: next(steps[1]), None


def layer_steps(layer: Layer, shape: tuple[int, ...], order: Any) -> tuple[Run, Run, None]:
    """The forward and the backward pass of two layers that are alike."""
    native = layer(shape[1])
    own = convert(deepcopy(native))
    return step_of(native, *inputs(shape, order)), step_of(own, *inputs(shape, order)), None


def step_of(layer: nn.Module, x: Tensor, dy: Tensor) -> Run:
    """A forward and a backward pass."""

    def run() -> None:
        x.grad = None
        layer.zero_grad()
        layer(x).backward(dy)

    return run


def inputs(shape: tuple[int, ...], order: Any) -> tuple[Tensor, Tensor]:
    """x, which needs a gradient, and dy."""
    generator = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(shape, generator=generator).to(memory_format=order) for _ in range(2))
    return x.requires_grad_(), dy


def small_calls(layer: Layer, function: Callable[..., Any]) -> tuple[Run, Run, Run]:
    """One call, of which autograd takes note, and the call that it comes to."""
    native, own, x, _ = small(layer)
    given = arrays(own)
    images = x.detach().numpy()
    return lambda: native(x), lambda: own(x), lambda: function(images, *given)


def small_backward(layer: Layer, function: Callable[..., Any]) -> tuple[Run, Run, Run]:
    """One backward pass by autograd, and one that does no more than call the kernels."""
    native, own, x, dy = small(layer)
    y, saved = function(x.detach().numpy(), *arrays(own))
    direct = Direct.apply(x, own.weight, own.bias, torch.from_numpy(y), saved)
    return (
        backward_of(native, native(x), x, dy),
        backward_of(own, own(x), x, dy),
        backward_of(own, direct, x, dy),
    )


def arrays(layer: nn.Module) -> list[Any]:
    """Running statistics, weight and bias, as NumPy arrays; None for what a layer has not."""
    found = (getattr(layer, name, None) for name in ("running_mean", "running_var", "weight", "bias"))
    return [None if a is None else a.detach().numpy().copy() for a in found]


def backward_of(layer: nn.Module, y: Tensor, x: Tensor, dy: Tensor) -> Run:
    """The backward pass alone."""

    def run() -> None:
        x.grad = None
        layer.zero_grad()
        y.backward(dy, retain_graph=True)

    return run


class Direct(torch.autograd.Function):
    """The least that autograd and the kernels need of each other; it can be differentiated once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, y: Tensor, saved: Any) -> Tensor:
        """Hand out a result."""
        ctx.saved = saved
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Call the kernels."""
        return *map(torch.from_numpy, gnref.backward(dy.numpy(), ctx.saved)), None, None


def small(layer: Layer) -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """A layer of each kind, x and dy."""
    native = layer(SMALL[1])
    return native, convert(deepcopy(native)), *inputs(SMALL, torch.contiguous_format)
