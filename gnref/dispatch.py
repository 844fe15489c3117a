"""From an array and a requested backend to the kernels that do the work.

NumPy arrays take `cpu` where it is ready, CuPy arrays `cuda` where it is ready, and every other array
`reference`, in its own namespace. A backend that is asked for by name is the one that runs, or an
error: there is no silent fallback. `backends` tells what is ready, and why the rest is not.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, cast

from gnref.arrays import library
from gnref.errors import BackendError
from gnref.kernels import Kernels


class Backend(NamedTuple):
    """Where a backend's kernels live, what they need, and whose arrays they take."""

    module: str
    needs: str | None  # an importable package
    install: str | None  # what brings it
    takes: str | None  # a library, or None for any
    on_device: bool = False  # whether it is asked what it lacks


BACKENDS = {
    "reference": Backend("gnref.kernels.reference", None, None, None),
    "cpu": Backend("gnref.kernels.cpu", "numba", "pip install numba", "numpy"),
    "cuda": Backend("gnref.kernels.cuda.contract", "cupy", "pip install 'gnref[gpu]'", "cupy", True),
}
DEFAULTS = {"numpy": "cpu", "cupy": "cuda"}

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


def choose(x: Any, requested: Any) -> str:
    """Return the name of the backend for x: the requested one, the environment's, or the default."""
    source, name = "backend", requested
    if name is None and FROM_ENVIRONMENT is not None:
        source, name = "GNREF_BACKEND", FROM_ENVIRONMENT
    if name is None:
        default = DEFAULTS.get(library(x) or "", "reference")
        return default if status(default) == "ready" else "reference"
    if not isinstance(name, str) or name not in BACKENDS:
        raise BackendError(f"{source} is {name!r}; expected one of {', '.join(BACKENDS)}")
    found = status(name)
    if found != "ready":
        raise BackendError(f"{source} is {name!r}, which is not ready: {found}")
    takes = BACKENDS[name].takes
    if takes is not None and library(x) != takes:
        raise BackendError(f"{source} is {name!r}, which takes {takes} arrays; x is a {library(x)} array")
    return name


@cache
def kernels(name: str) -> Kernels:
    """Return the kernels of a backend that `choose` has named."""
    return cast(Kernels, import_module(BACKENDS[name].module))
