"""The libraries whose arrays a target may take: NumPy arrays go there, and results come back."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from gnref.errors import BackendError
from gnref.testing.problems import Array
from gnref.testing.strategies import np_dtype
from gnref.testing.targets.guarded import Guarded
from gnref.testing.targets.watched import Buffers, make_array, make_tensor, watched

Function = Callable[..., Any]
INPUTS = ("x", "weight", "bias")


class NumPy:
    """NumPy arrays, on the processor."""

    name = "numpy"
    title = "NumPy"
    package = "numpy"
    dtypes: tuple[str, ...] = ("float64", "float32", "float16", "bfloat16")
    differentiates = False
    mutable = True  # an array can be written to, so that its buffer has to be looked at afterwards
    negative_strides = True

    def __init__(self, device: Any = None) -> None:
        if device is not None:
            raise ValueError(f"device is {device!r}; expected None: {self.name} arrays have no device")

    def try_device(self, device: Any, place: Callable[[], Any]) -> None:
        """Call what places one element there; raise one sentence if that cannot be."""
        if device is None:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.back(place())
        except Exception as error:
            reason = _sentence(error)
            raise BackendError(f"device is {device!r}, which {self.title} cannot use: {reason}") from error

    def buffer(self, place: Guarded) -> Any:
        """The library's own copy of a guarded buffer."""
        return place.buffer.copy()

    def view(self, buffer: Any, place: Guarded) -> Any:
        """The array in it."""
        return place.view(buffer, place.writeable)

    def back(self, a: Any) -> Array:
        """A result as a NumPy array."""
        return np.asarray(a)

    def watched(self) -> AbstractContextManager[Buffers]:
        """In which the arrays that a target makes lie in buffers, too."""
        return watched(np, make_array(np))

    def differentiate(
        self, function: Function, inputs: list[Any], dy: Any, *, needs: Sequence[str] = INPUTS
    ) -> tuple[Any, list[Any]]:
        """y, and the gradients of sum(dy * y) by those inputs that are needed; None where there is none."""
        raise NotImplementedError

    def second(self, function: Function, inputs: list[Any], dy: Any, *along: Any) -> list[Any]:
        """The gradients by dy, x and weight of the sum of the first ones, each times one of ``along``."""
        raise NotImplementedError

    def forward_mode(self, function: Function, inputs: list[Any], *along: Any) -> Any:
        """How y changes along directions of the inputs."""
        raise NotImplementedError

    def context(self) -> AbstractContextManager[Any]:
        """In which to call a target whose gradients are not wanted."""
        return nullcontext()


class CuPy(NumPy):
    """CuPy arrays, on the current CUDA device or that of a number."""

    name = "cupy"
    title = "CuPy"
    package = "cupy"
    dtypes = ("float64", "float32", "float16")

    def __init__(self, device: Any = None) -> None:
        self.cupy = import_module("cupy")

        def place() -> Any:
            self.cupy.cuda.Device(device).use()
            return self.cupy.zeros(1)

        self.try_device(device, place)

    def buffer(self, place: Guarded) -> Any:
        """The library's own copy of a guarded buffer."""
        return self.cupy.asarray(place.buffer)

    def view(self, buffer: Any, place: Guarded) -> Any:
        """The array in it."""
        steps = tuple(stride * buffer.itemsize for stride in place.strides)
        return self.cupy.lib.stride_tricks.as_strided(buffer[place.start :], place.shape, steps)

    def back(self, a: Any) -> Array:
        """A result as a NumPy array."""
        return np.asarray(self.cupy.asnumpy(a))

    def watched(self) -> AbstractContextManager[Buffers]:
        """In which the arrays that a target makes lie in buffers, too."""
        return watched(self.cupy, make_array(self.cupy))


class Torch(NumPy):
    """PyTorch tensors on a device; its autograd differentiates."""

    name = "torch"
    title = "PyTorch"
    package = "torch"
    differentiates = True
    negative_strides = False

    def __init__(self, device: Any = None) -> None:
        self.torch = import_module("torch")
        self.device = device
        self.try_device(device, lambda: self.torch.zeros(1, device=device))

    def buffer(self, place: Guarded) -> Any:
        """The library's own copy of a guarded buffer."""
        a = place.buffer.copy()
        if a.dtype.name == "bfloat16":  # NumPy's bfloat16 is unknown to PyTorch
            return self.torch.from_numpy(a.view(np.int16)).view(self.torch.bfloat16).to(self.device)
        return self.torch.from_numpy(a).to(self.device)

    def view(self, buffer: Any, place: Guarded) -> Any:
        """The array in it."""
        return buffer.as_strided(place.shape, place.strides, place.start)

    def back(self, a: Any) -> Array:
        """A result as a NumPy array."""
        if not isinstance(a, self.torch.Tensor):
            return np.asarray(a)
        a = a.detach().cpu()
        if a.dtype == self.torch.bfloat16:
            bits = a.contiguous().view(self.torch.int16).numpy()
            return np.asarray(bits.view(np_dtype("bfloat16")))
        return np.asarray(a.numpy())

    def watched(self) -> AbstractContextManager[Buffers]:
        """In which the tensors that a target makes lie in buffers, too; not where a compiler reads it."""
        if "torch._dynamo" in sys.modules:
            return nullcontext([])
        return watched(self.torch, make_tensor(self.torch))

    def differentiate(
        self, function: Function, inputs: list[Any], dy: Any, *, needs: Sequence[str] = INPUTS
    ) -> tuple[Any, list[Any]]:
        """y, and the gradients of sum(dy * y) by those inputs that are needed; None where there is none."""
        pairs = zip(INPUTS, inputs, strict=False)
        leaves = [None if a is None else a.detach().requires_grad_(name in needs) for name, a in pairs]
        wanted = [i for i, a in enumerate(leaves) if a is not None and a.requires_grad]
        with self.torch.enable_grad():
            y = function(*leaves)
        found = self.torch.autograd.grad(y, [leaves[i] for i in wanted], dy, allow_unused=True)
        by_input = dict(zip(wanted, found, strict=True))
        return y, [by_input.get(i) for i in range(len(leaves))]

    def second(self, function: Function, inputs: list[Any], dy: Any, *along: Any) -> list[Any]:
        """The gradients by dy, x and weight of the sum of the first ones, each times one of ``along``.

        A gradient that hangs on nothing counts as a constant: that is what it is in a user's loss, too. It
        takes ``backward()``, since ``grad()`` asks on its way only what leads to its inputs, and so would not
        meet what ``once_differentiable`` has put there to raise.
        """
        dy, *leaves = [None if a is None else a.detach().requires_grad_() for a in (dy, *inputs)]
        there = [i for i, a in enumerate(leaves) if a is not None]
        with self.torch.enable_grad():
            y, asked = function(*leaves), [leaves[i] for i in there]
            found = self.torch.autograd.grad(y, asked, dy, create_graph=True, allow_unused=True)
            total = sum((along[i] * a).sum() for i, a in zip(there, found, strict=True) if a is not None)
        if getattr(total, "requires_grad", False):
            total.backward()
        zeros = self.torch.zeros_like
        return [a if a is None else zeros(a) if a.grad is None else a.grad for a in (dy, *leaves[:2])]

    def forward_mode(self, function: Function, inputs: list[Any], *along: Any) -> Any:
        """How y changes along directions of the inputs."""
        forward_ad = import_module("torch.autograd.forward_ad")
        with self.torch.enable_grad(), forward_ad.dual_level():
            pairs = zip(inputs, along, strict=True)
            y = function(*(None if a is None else forward_ad.make_dual(a.detach(), dot) for a, dot in pairs))
            y_dot = forward_ad.unpack_dual(y).tangent
        return self.torch.zeros_like(y) if y_dot is None else y_dot

    def context(self) -> AbstractContextManager[Any]:
        """In which to call a target whose gradients are not wanted."""
        made: AbstractContextManager[Any] = self.torch.no_grad()
        return made


class Jax(NumPy):
    """JAX arrays, which cannot be written to; jax.vjp differentiates."""

    name = "jax"
    title = "JAX"
    package = "jax"
    differentiates = True
    mutable = False

    def __init__(self, device: Any = None) -> None:
        self.jax = import_module("jax")
        if isinstance(device, JaxDevice):
            device = device.found(self.jax)
        if isinstance(device, str):  # as PyTorch names them
            told = f"expected a jax.Device, such as jax.devices()[0] ({self.jax.devices()[0]!r})"
            raise BackendError(f"device is {device!r}, which JAX cannot use: {told}")
        self.device = device
        self.try_device(device, lambda: self.jax.device_put(np.zeros(1, np.float32), device))

    def buffer(self, place: Guarded) -> Any:
        """The array itself: JAX has no strides."""
        with self.context():
            return self.jax.device_put(np.ascontiguousarray(place.view(place.buffer)), self.device)

    def view(self, buffer: Any, place: Guarded) -> Any:
        """The array in it."""
        return buffer

    def watched(self) -> AbstractContextManager[Buffers]:
        """Nothing: JAX arrays cannot be written to."""
        return nullcontext([])

    def differentiate(
        self, function: Function, inputs: list[Any], dy: Any, *, needs: Sequence[str] = INPUTS
    ) -> tuple[Any, list[Any]]:
        """y, and the gradients of sum(dy * y) by those inputs that are needed; None where there is none."""
        wanted = {name: a for name, a in zip(INPUTS, inputs, strict=False) if a is not None and name in needs}
        given = dict(zip(INPUTS, inputs, strict=False))
        y, vjp = self.jax.vjp(lambda some: function(*(given | some).values()), wanted)
        (found,) = vjp(dy)
        return y, [found.get(name) for name in given]

    def second(self, function: Function, inputs: list[Any], dy: Any, *along: Any) -> list[Any]:
        """The gradients by dy, x and weight of the sum of the first ones, each times one of ``along``.

        JAX takes None for a tree without arrays, which has no gradient.
        """
        _, vjp = self.jax.vjp(lambda dy, *arrays: self.jax.vjp(function, *arrays)[1](dy), dy, *inputs)
        return list(vjp(along)[:3])

    def forward_mode(self, function: Function, inputs: list[Any], *along: Any) -> Any:
        """How y changes along directions of the inputs."""
        return self.jax.jvp(function, tuple(inputs), along)[1]

    def context(self) -> AbstractContextManager[Any]:
        """Float64 must be switched on, here for one call."""
        switch = getattr(self.jax, "enable_x64", None)
        if switch is None:
            switch = import_module("jax.experimental").enable_x64
        made: AbstractContextManager[Any] = switch(True)
        return made


class JaxDevice(NamedTuple):
    """How another process finds a JAX device, which pickle does not take.

    Attributes
    ----------
    platform : str
        "cpu", "gpu" or another.
    number : int
        Its ``id``.
    """

    platform: str
    number: int

    def found(self, jax: Any) -> Any:
        """The device, in this process."""
        return next(device for device in jax.devices(self.platform) if device.id == self.number)


def portable(device: Any) -> Any:
    """A device that can be sent to another process."""
    if hasattr(device, "platform") and hasattr(device, "id"):
        return JaxDevice(device.platform, device.id)
    return device


def _sentence(error: Exception) -> str:
    """The first sentence of an error's message, which may go on for many lines."""
    text = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")
    return text or type(error).__name__


LIBRARIES = {library.name: library for library in (NumPy, Torch, CuPy, Jax)}


def library(name: str, device: Any = None) -> NumPy:
    """Return a library that is installed.

    Raises
    ------
    ValueError
        There is none of that name.
    BackendError
        It is not installed, or cannot use the device.
    """
    if name not in LIBRARIES:
        raise ValueError(f"arrays is {name!r}; expected one of {', '.join(LIBRARIES)}")
    package = LIBRARIES[name].package
    if find_spec(package) is None:
        raise BackendError(f"arrays is {name!r}, and {package} is not installed; try: pip install {package}")
    return LIBRARIES[name](device)
