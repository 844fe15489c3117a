"""PyTorch's tensors for kernels that take CuPy arrays: the same memory there and back, and no copy.

While a kernel works on tensors, CuPy's stream is PyTorch's current one, so that the kernel has its place in
the order of PyTorch's own work, and CuPy's new arrays lie in PyTorch's memory, so that there is one pool and
not two. DLPack, which tells where an array lies, need not wait for anything then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cupy
import numpy as np
from array_api_compat import is_torch_array

from gnref.errors import BackendError

Array = Any
Tensor = Any
NO_WAIT = -1  # DLPack's stream for: none has to wait for another


def run_on_tensors(run: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a function of the contract on PyTorch tensors; tensors come back."""
    lent: list[tuple[Array, Tensor]] = []

    def lend(argument: Any) -> Any:
        if not is_torch_array(argument):
            return argument
        lent.append((from_torch(argument), argument))
        return lent[-1][0]

    with place_of(arguments[0]):
        results = run(*map(lend, arguments), **{name: lend(value) for name, value in options.items()})
        if isinstance(results, tuple):
            return tuple(give_back(result, lent) for result in results)
        return give_back(results, lent)


def give_back(result: Any, lent: list[tuple[Array, Tensor]]) -> Any:
    """A result as PyTorch has it: ``out`` itself where it was written, numbers and None as they are."""
    for array, tensor in lent:
        if result is array:
            tell_written(tensor)
            return tensor
    return to_torch(result) if isinstance(result, cupy.ndarray) else result


def tell_written(tensor: Tensor) -> None:
    """Let autograd know, as after an operation of PyTorch's own in place."""
    import torch

    if not tensor.is_inference():  # such a tensor counts nothing
        torch.autograd.graph.increment_version(tensor)


def from_torch(tensor: Tensor) -> Array:
    """A CuPy array on the memory of a tensor. Whether autograd would follow it is not asked here."""
    import torch

    bare = tensor.detach().resolve_neg()  # DLPack knows no minus sign that has yet to be applied
    if tensor.dtype != torch.bfloat16:
        return cupy.from_dlpack(bare.__dlpack__(stream=NO_WAIT))
    # Not every version of either library can pass bfloat16: 16 bits are 16 bits.
    return cupy.from_dlpack(bare.view(torch.int16).__dlpack__(stream=NO_WAIT)).view(bfloat16())


def to_torch(array: Array) -> Tensor:
    """A tensor on the memory of a CuPy array; where that is PyTorch's own, one like PyTorch's others."""
    import torch

    if isinstance(array.data.mem, Room):
        return array.data.mem.tensor_of(array)
    if array.dtype.name != "bfloat16":
        return torch.from_dlpack(array.__dlpack__(stream=NO_WAIT))
    return torch.from_dlpack(array.view(np.int16).__dlpack__(stream=NO_WAIT)).view(torch.bfloat16)


def bfloat16() -> np.dtype[Any]:
    """CuPy's bfloat16."""
    try:
        import ml_dtypes
    except ImportError:
        raise BackendError(
            "x has dtype bfloat16, which CuPy takes from ml_dtypes, and that is not installed: "
            "pip install ml_dtypes"
        ) from None
    found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return found


class Current:
    """PyTorch's current stream on a device, in CUDA's stream protocol, which not every version of it has."""

    def __init__(self, device: int) -> None:
        import torch

        self.address = int(torch.cuda.current_stream(device).cuda_stream)

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.address  # the version of the protocol, and the stream


@contextmanager
def place_of(tensor: Tensor) -> Iterator[None]:
    """Where kernels on a tensor run: its device, PyTorch's current stream there, and PyTorch's memory."""
    import torch

    device = number(tensor)
    with (
        torch.cuda.device(device),
        cupy.cuda.Device(device),
        cupy.cuda.Stream.from_external(Current(device)),
        cupy.cuda.using_allocator(lambda nbytes: memory(nbytes, tensor, device)),
    ):
        yield


def number(tensor: Tensor) -> int:
    """That of the CUDA device which a tensor is on."""
    return int(tensor.device.index)


def memory(nbytes: int, tensor: Tensor, device: int) -> Any:
    """Memory of PyTorch's, beside a tensor, for a new CuPy array."""
    import torch

    try:
        room = tensor.new_empty(max(nbytes, 1), dtype=torch.uint8)  # 0 bytes would have no address
    except torch.cuda.OutOfMemoryError:
        held = torch.cuda.memory_allocated(device)
        raise cupy.cuda.memory.OutOfMemoryError(nbytes, held) from None
    return cupy.cuda.MemoryPointer(Room(room, nbytes, device), 0)


class Room(cupy.cuda.UnownedMemory):  # type: ignore[misc]  # which has no types
    """Memory of PyTorch's as CuPy takes it."""

    def __init__(self, room: Tensor, nbytes: int, device: int) -> None:
        super().__init__(room.data_ptr(), nbytes, room, device)
        self.room = room

    def tensor_of(self, array: Array) -> Tensor:
        """A tensor on what an array has of it.

        DLPack would give it a storage that PyTorch takes for somebody else's: it could not be resized, and
        `record_stream` would do nothing.
        """
        import torch

        unit = array.itemsize
        begin = (array.data.ptr - self.ptr) // unit
        strides = [stride // unit for stride in array.strides]
        new = torch.empty(0, dtype=getattr(torch, array.dtype.name), device=self.room.device)
        return new.set_(self.room.untyped_storage(), begin, array.shape, strides)
