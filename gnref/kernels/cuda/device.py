"""What gnref asks of a device: whether there is one, what it can do, and that it has memory left."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, TypeVar

import cupy
from array_api_compat import is_torch_array

from gnref.errors import BackendError
from gnref.kernels.cuda.exchange import run_on_tensors
from gnref.kernels.cuda.plan import Limits

OLDEST = 75  # Turing: the first that all instructions of the kernels are on

F = TypeVar("F", bound=Callable[..., Any])


def lacking() -> str | None:
    """Why no kernel can run here; None if one can."""
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"no CUDA device: {error}"
    if count == 0:
        return "no CUDA device: the driver found none"
    capability = cupy.cuda.Device().compute_capability
    if int(capability) < OLDEST:
        found, oldest = dotted(capability), dotted(str(OLDEST))
        return f"the CUDA device has compute capability {found}; expected {oldest} or more"
    return None


def dotted(capability: str) -> str:
    """Write "90" as people do: "9.0"."""
    return f"{capability[:-1]}.{capability[-1]}"


@cache
def limits(device: int) -> Limits:
    """What a device can do."""
    this = cupy.cuda.Device(device)
    told = this.attributes
    return Limits(
        told["MultiProcessorCount"],
        told["MaxSharedMemoryPerBlockOptin"] - 1024,  # which the system keeps
        int(this.compute_capability) >= 90,
    )


def on_its_device(run: F) -> F:
    """Run a function of the contract on the device of its first array, and say clearly when memory is out.

    PyTorch's tensors are taken too, and tensors come back.
    """

    @wraps(run)
    def guarded(first: Any, *arguments: Any, **options: Any) -> Any:
        if is_torch_array(first):
            return run_on_tensors(guarded, first, *arguments, **options)
        try:
            with first.device:
                return run(first, *arguments, **options)
        except cupy.cuda.memory.OutOfMemoryError as error:
            raise BackendError(
                f"x has {first.nbytes:,} bytes, and device {first.device.id} has no memory left for the "
                f"results; expected room for about as much again ({error})"
            ) from None

    return guarded  # type: ignore[return-value]
