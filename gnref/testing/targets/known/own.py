"""gnref's own functions on one of its backends, as two plain functions of each norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gnref
from gnref.errors import BackendError

Array = Any


def version() -> str:
    """What is checked."""
    return f"gnref {gnref.__version__}"


def backend(name: str) -> Callable[[str], dict[str, Any]]:
    """Return the function of a norm that gives the keyword arguments of `gnref.testing.check`.

    Raises
    ------
    ValueError
        gnref has no such backend.
    BackendError
        It is not ready.
    """
    backends = gnref.backends()
    if name not in backends:
        expected = ", ".join(f"gnref:{ready}" for ready in backends)
        raise ValueError(f"target is 'gnref:{name}'; expected one of {expected}")
    if backends[name] != "ready":
        raise BackendError(f"target is 'gnref:{name}', which is not ready: {backends[name]}")

    def arguments(norm: str) -> dict[str, Any]:
        both = Both(norm, name)
        return {
            "forward": both.forward,
            "backward": both.backward,
            "arrays": "cupy" if name == "cuda" else "numpy",
            "layouts": ("channels_first", "channels_last"),
        }

    return arguments


class Both:
    """The two passes of a norm."""

    def __init__(self, norm: str, backend: str) -> None:
        self.norm, self.options = norm, {"backend": backend}
        self.function = getattr(gnref, f"{norm}_norm_forward")

    def forward(self, x: Array, *arguments: Any, **options: Any) -> tuple[Array, ...]:
        """y, mean and rstd; rms norm has no mean."""
        y, saved = self.function(x, *arguments, **options, **self.options)
        return (y, saved.rstd) if self.norm == "rms" else (y, saved.mean, saved.rstd)

    def backward(self, dy: Array, x: Array, *arguments: Any, **options: Any) -> tuple[Array | None, ...]:
        """dx, dweight and dbias, after a forward pass of its own."""
        _, saved = self.function(x, *arguments, **options, **self.options)
        made: tuple[Array | None, ...] = gnref.backward(dy, saved)
        return made
