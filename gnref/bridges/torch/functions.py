"""Norms as functions that PyTorch differentiates, backward and forward, as often as it is asked to.

`Norm` is differentiated by `Gradients`, and both run gnref's kernels. What is beyond, `gnref.double_backward`
and `gnref.jvp`, runs in PyTorch's own operations (the reference, in PyTorch's namespace), which autograd
follows wherever it is to go from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import Function, forward_ad

import gnref
from gnref.bridges.torch.memory import Tensor, give, lend
from gnref.bridges.torch.threads import AtMostPyTorchs
from gnref.passes import Saved

Arrays = tuple[Any, Any, Any]  # x, weight and bias
# forward(x, weight, bias, backend), as gnref's *_forward functions
Forward = Callable[..., tuple[Any, Saved]]

# Whether torch.func transforms what is called. Nothing public tells; if it is renamed, calls are slower.
transformed: Callable[[], bool] = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)


def recorded() -> bool:
    """Whether PyTorch records the operations of a call: torch.jit.trace, make_fx, torch.export."""
    return torch._C._get_tracing_state() is not None or torch._C._len_torch_dispatch_stack() > 0


def differentiable() -> bool:
    """Whether derivatives of a call may be asked for."""
    return torch.is_grad_enabled() or forward_ad._current_level >= 0 or transformed()


def forward_modes() -> int:
    """How many forward modes of torch.func there are around a call."""
    stack = torch._C._functorch.get_interpreter_stack() or ()
    return sum(level.key() == torch._C._functorch.TransformType.Jvp for level in stack)


class Call:
    """One call of a norm: its forward pass, and the statistics that this saved.

    x and weight are left to autograd, which sees whether they are changed, lets go of them after the
    backward pass, and may store them elsewhere until then. Of bias no derivative needs the numbers.
    """

    __slots__ = ("bias", "forward", "saved", "track")

    def __init__(self, forward: Forward, track: Callable[[Saved], None] | None = None) -> None:
        self.forward, self.track = forward, track
        self.saved: Saved | None = None
        self.bias: tuple[torch.Size, torch.dtype] | None = None

    def run(self, *tensors: Tensor | None) -> Tensor:
        """Run the forward pass on the kernels: y."""
        with AtMostPyTorchs():
            y, saved = self.forward(*lent(tensors), None)
        self.keep(saved)
        return give(y)

    def keep(self, saved: Saved) -> None:
        """Keep the statistics, and let running ones follow them."""
        if self.track is not None:
            self.track(saved)
        self.saved = saved.with_arrays(None, None, None)

    def whole(self, x: Tensor, weight: Tensor | None) -> Saved:
        """What the kernels' forward pass saved, with x, weight and a bias."""
        arrays = lent((x, weight, self.some_bias(x)))
        if self.saved is None:  # under vmap it was run in parts
            return self.forward(*arrays, None)[1]
        return self.saved.with_arrays(*arrays)

    def followed(self, x: Tensor, weight: Tensor | None) -> Saved:
        """What a forward pass in PyTorch's operations saves: autograd follows x into the statistics."""
        return self.forward(x, weight, self.some_bias(x), "reference")[1]

    def some_bias(self, x: Tensor) -> Tensor | None:
        """A bias of the right shape and dtype, if there was one."""
        return None if self.bias is None else x.new_zeros(self.bias[0], dtype=self.bias[1])

    def in_operations(self, *tensors: Tensor | None) -> Tensor:
        """Run the forward pass in PyTorch's operations: y."""
        y, saved = self.forward(*tensors, "reference")
        self.keep(saved)
        return y

    def afresh(self) -> Call:
        """The same forward pass for other tensors."""
        call = Call(self.forward)
        call.bias = self.bias
        return call


def lent(tensors: tuple[Tensor | None, ...]) -> Arrays:
    """x, weight and bias as gnref takes them."""
    x, weight, bias = tensors
    return lend(x, "x"), lend(weight, "weight"), lend(bias, "bias")


class Differentiable(Function):
    """A function of tensors and, last, a `Call`."""

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call it, at no more cost than is needed."""
        if transformed():
            return super().apply(*args)
        if differentiable():
            return super(Function, cls).apply(*args)  # Function's own looks at the signature, for 15 us
        return cls.forward(*args)

    @classmethod
    def vmap(cls, info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
        """One by one: weights may differ, and batch norm must not take many batches for one."""
        *tensors, call = args
        if info.batch_size == 0:
            raise ValueError("torch.vmap over an axis of size 0; expected one example at least")
        each = []
        for i in range(info.batch_size):
            own = [t if dim is None else t.select(dim, i) for t, dim in zip(tensors, in_dims, strict=False)]
            each.append(cls.apply(*own, call.afresh() if call.saved is None else call))
        if isinstance(each[0], torch.Tensor):
            return torch.stack(each), 0
        stacked = [None if group[0] is None else torch.stack(group) for group in zip(*each, strict=True)]
        return tuple(stacked), tuple(None if a is None else 0 for a in stacked)


class Norm(Differentiable):
    """y of (x, weight, bias)."""

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call it."""
        # Of a function's jvp PyTorch takes the derivative for 0; and who records operations must see some.
        if recorded() or (transformed() and forward_modes() > 1):
            *tensors, call = args
            return call.in_operations(*tensors)
        return super().apply(*args)

    @staticmethod
    def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None, call: Call) -> Tensor:
        """Normalize."""
        return call.run(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the derivatives hang on."""
        x, weight, bias, ctx.call = inputs
        if bias is not None:
            ctx.call.bias = bias.shape, bias.dtype
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """dx, dweight and dbias."""
        return *Gradients.apply(dy, *ctx.saved_tensors, ctx.call), None

    @staticmethod
    def jvp(ctx: Any, x_dot: Tensor | None, weight_dot: Any, bias_dot: Any, _: None) -> Tensor:
        """y_dot."""
        return gnref.jvp(ctx.call.followed(*ctx.saved_tensors), x_dot, weight_dot, bias_dot)


class Gradients(Differentiable):
    """dx, dweight and dbias of (dy, x, weight)."""

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call it."""
        dy, *tensors, call = args
        if torch._C._functorch.is_legacy_batchedtensor(dy):  # is_grads_batched, jacobian's vectorize
            return gnref.backward(dy, call.followed(*tensors))
        return super().apply(*args)

    @staticmethod
    def forward(dy: Tensor, x: Tensor, weight: Tensor | None, call: Call) -> tuple[Tensor | None, ...]:
        """Differentiate `Norm`."""
        with AtMostPyTorchs():
            found = gnref.backward(lend(dy, "dy"), call.whole(x, weight))
        return tuple(map(give, found))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep what the derivatives hang on."""
        *tensors, ctx.call = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *seconds: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradients by dy, x and weight, from those by dx, dweight and dbias."""
        if all(a is None for a in seconds):
            return None, None, None, None
        dy, *tensors = ctx.saved_tensors
        found = gnref.double_backward(dy, ctx.call.followed(*tensors), *seconds)
        return *found, None

    @staticmethod
    def jvp(
        ctx: Any, dy_dot: Tensor | None, x_dot: Tensor | None, weight_dot: Tensor | None, _: None
    ) -> tuple[Tensor | None, ...]:
        """The three are linear in dy; along x and weight their derivative is that of `double_backward`.

        That is a product with the matrix of second derivatives of <dy, y>, and the matrix is symmetric.
        """
        dy, x, weight = ctx.saved_tensors
        _, by_x, by_weight = gnref.double_backward(dy, ctx.call.followed(x, weight), x_dot, weight_dot)
        along = [None, None, None] if dy_dot is None else Gradients.apply(dy_dot, x, weight, ctx.call)
        found = [add(along[0], by_x), add(along[1], by_weight), along[2]]
        like = None, weight, ctx.call.some_bias(x)
        return tuple(
            torch.zeros_like(t) if a is None and t is not None else a
            for a, t in zip(found, like, strict=True)
        )


def add(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """The sum of what is there."""
    return b if a is None else a if b is None else a + b
