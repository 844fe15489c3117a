"""Targets that have a name: the norms of frameworks, behind the plain signatures of `gnref.testing.check`.

One file each, which imports its framework and offers ``arguments(norm)``: the keyword arguments of
`gnref.testing.check`. Importing this module imports none of them.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, NamedTuple

from gnref.errors import BackendError
from gnref.testing.problems import NORMS as ALL

NORMS = tuple(norm for norm in ALL if norm != "batch_frozen")


class Known(NamedTuple):
    """Where a named target is, what it needs, and what it offers.

    Attributes
    ----------
    module : str
        The module of this package that holds it.
    needs : tuple of str
        The packages that must be installed, the one that is checked first.
    norms : tuple of str
        The norms that it has.
    """

    module: str
    needs: tuple[str, ...]
    norms: tuple[str, ...] = NORMS

    def arguments(self, norm: str) -> dict[str, Any]:
        """The keyword arguments of `gnref.testing.check` for one of its norms."""
        made: dict[str, Any] = import_module(f"{__name__}.{self.module}").arguments(norm)
        return made

    def require(self, name: str) -> None:
        """Raise `BackendError` unless everything that it needs is installed."""
        missing = [package for package in self.needs if find_spec(package) is None]
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            raise BackendError(
                f"target is {name!r}, and {' and '.join(missing)} {verb} not installed;"
                f" try: pip install {' '.join(missing)}"
            )

    @property
    def version(self) -> str:
        """What is checked, and of which release: "torch 2.9.0"."""
        try:
            return f"{self.needs[0]} {version(self.needs[0])}"
        except PackageNotFoundError:  # not installed by pip
            return self.needs[0]


KNOWN = {
    "torch": Known("torch", ("torch",)),
    "torch.compile": Known("torch_compile", ("torch",)),
    "jax": Known("jax", ("jax",), ("batch", "instance", "group", "layer")),
    "flax": Known("flax", ("flax", "jax")),
    "onnxruntime": Known("onnxruntime", ("onnxruntime", "onnx")),
    "openvino": Known("openvino", ("openvino", "onnx")),
}
