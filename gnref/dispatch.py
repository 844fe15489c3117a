"""From an array and a requested backend to the kernels that do the work.

NumPy arrays take `cpu` where it is ready, CuPy arrays and PyTorch's tensors on a CUDA device `cuda` where it
is ready, and every other array `reference`, in its own namespace; so do tensors that autograd, or another
transformation of PyTorch's, follows, since it can follow `reference` alone. A backend that is asked for by
name is the one that runs, or an error: there is no silent fallback. `backends` tells what is ready, and why
the rest is not.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, cast

from gnref import arrays
from gnref.arrays import followed, library, traced
from gnref.errors import BackendError
from gnref.kernels import Kernels


class Backend(NamedTuple):
    """Where a backend's kernels live, what they need, and whose arrays they take."""

    module: str
    needs: str | None  # an importable package
    install: str | None  # what brings it
    takes: tuple[str, ...]  # as `kind` names them; none for any
    on_device: bool = False  # whether it is asked what it lacks


ON_CUDA = "torch tensor on cuda"
BACKENDS = {
    "reference": Backend("gnref.kernels.reference", None, None, ()),
    "cpu": Backend("gnref.kernels.cpu", "numba", "pip install numba", ("numpy array",)),
    "cuda": Backend(
        "gnref.kernels.cuda.contract",
        "cupy",
        "pip install 'gnref[gpu]'",
        ("cupy array", ON_CUDA),
        on_device=True,
    ),
}
DEFAULTS = {kind: name for name, backend in BACKENDS.items() for kind in backend.takes}

# Read once: a variable that changed in mid-run would change results in mid-run.
FROM_ENVIRONMENT = os.environ.get("GNREF_BACKEND") or None


def backends() -> dict[str, str]:
    """Tell which backends are ready, and what the others lack.

    Returns
    -------
    dict of str to str
        For every backend "ready", or the reason why it is not.

    Examples
    --------
    >>> import gnref
    >>> gnref.backends()["reference"]
    'ready'
    """
    return {name: status(name) for name in BACKENDS}


@cache
def status(name: str) -> str:
    """Return "ready", or why a backend is not. Found out once; imported is only what asks a device."""
    backend = BACKENDS[name]
    if find_spec(backend.module) is None:
        return "not part of this version of gnref"
    if backend.needs is not None and find_spec(backend.needs) is None:
        return f"{backend.needs} is not installed: {backend.install}"
    if backend.on_device:
        return ask_device(backend) or "ready"
    return "ready"


def ask_device(backend: Backend) -> str | None:
    """What the backend's device lacks; None if nothing."""
    try:
        lacking = import_module(backend.module).lacking
    except ImportError as error:  # the package is there, and a library that it needs is not
        return f"{backend.needs} cannot be imported: {error}"
    found: str | None = lacking()
    return found


def kind(x: Any) -> str:
    """Say what x is, in the words of `Backend.takes`."""
    if library(x) != "torch":
        return f"{library(x)} array"
    name = "tensor" if type(x).__name__ in ("Tensor", "Parameter") else type(x).__name__
    return f"torch {name} on {x.device.type if arrays.cuda_device(x) is None else 'cuda'}"


def choose(x: Any, requested: Any, **others: Any) -> str:
    """Return the name of the backend for x: the requested one, the environment's, or the default.

    ``others`` are the arrays beside x, by name.
    """
    source, name = "backend", requested
    if name is None and FROM_ENVIRONMENT is not None:
        source, name = "GNREF_BACKEND", FROM_ENVIRONMENT
    if name is None:
        default = DEFAULTS.get(what := kind(x), "reference")
        usable = status(default) == "ready" and (what != ON_CUDA or can_run(x=x, **others))
        return default if usable else "reference"
    if not isinstance(name, str) or name not in BACKENDS:
        raise BackendError(f"{source} is {name!r}; expected one of {', '.join(BACKENDS)}")
    found = status(name)
    if found != "ready":
        raise BackendError(f"{source} is {name!r}, which is not ready: {found}")
    takes = BACKENDS[name].takes
    if takes and kind(x) not in takes:
        raise BackendError(f"{source} is {name!r}, which takes a {' or a '.join(takes)}; x is a {kind(x)}")
    check_not_followed(name, x=x, **others)
    return name


def can_run(**given: Any) -> bool:
    """Whether kernels can be run on arrays: PyTorch neither traces them nor would lose a gradient."""
    return not any(map(traced, given.values())) and followed(**given) is None


def check_not_followed(name: str, **given: Any) -> None:
    """Raise if autograd would follow an array through a backend and lose it there."""
    found = followed(**given) if name != "reference" else None
    if found is not None:
        raise TypeError(
            f"{found} requires a gradient, and autograd cannot follow the backend {name!r}; expected "
            f"{found}.detach() or torch.no_grad() (gnref.backward gives the gradients)"
        )


@cache
def kernels(name: str) -> Kernels:
    """Return the kernels of a backend that `choose` has named."""
    return cast(Kernels, import_module(BACKENDS[name].module))
