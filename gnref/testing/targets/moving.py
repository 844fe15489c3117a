"""NumPy arrays on their way to a device and back, in the order that they have in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gnref.testing.problems import Array
from gnref.testing.targets.guarded import guarded
from gnref.testing.targets.libraries import library
from gnref.testing.targets.target import Finding

UNCHANGED = "inputs are unchanged"


class Moving:
    """Calls functions of CuPy arrays with NumPy arrays."""

    def __init__(self) -> None:
        self.library = library("cupy")

    def call(
        self, function: Callable[..., Any], *arguments: Any, out: Array | None = None, **more: Any
    ) -> Any:
        """Call with every array moved; what is not an array goes as it is. Raise if an input was written to.

        The result is the function's own, but ``out`` in the place of the array that stood for it.
        """
        places = [guarded(a) if isinstance(a, np.ndarray) else None for a in arguments]
        buffers = [None if place is None else self.library.buffer(place) for place in places]
        given = [
            a if place is None else self.library.view(buffer, place)
            for a, place, buffer in zip(arguments, places, buffers, strict=True)
        ]
        if out is not None:
            into = guarded(out)
            more["out"] = self.library.view(self.library.buffer(into), into)
        found = function(*given, **more)
        for place, buffer in zip(places, buffers, strict=True):
            if place is not None and place.changed(self.library.back(buffer)):
                raise Finding(UNCHANGED, "writes to an array that it was given, or beside it")
        if out is None:
            return found
        out[...] = self.library.back(more["out"])
        return tuple(out if a is more["out"] else a for a in found)

    def back(self, a: Any) -> Any:
        """A result as a NumPy array whose axes have the same order in memory; what is none, as it is."""
        if a is None or isinstance(a, np.ndarray):
            return a
        axes = sorted(range(a.ndim), key=lambda axis: -abs(a.strides[axis]))
        return self.library.back(a.transpose(axes)).transpose(np.argsort(axes) if axes else ())
