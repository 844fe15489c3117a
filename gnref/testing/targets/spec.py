"""A target named by a text, as on the command line: ``torch``, ``kernels.norms:group_norm`` and so on.

=========================== ==================================================================================
text                        target
=========================== ==================================================================================
torch                       `torch.nn.functional`, and its autograd
torch.compile               the same, compiled
jax                         `jax.nn.standardize`
flax                        the layers of `flax.linen`
onnxruntime                 ONNX's operators in ONNX Runtime, forward only
openvino                    the same models in OpenVINO, forward only
gnref:cpu, gnref:reference  gnref's own functions on a backend
package.module:object       your own functions or layers: see `gnref.testing.targets.known.objects`
kernelbench:FILE            a KernelBench problem or solution: see `gnref.testing.targets.known.kernelbench`
=========================== ==================================================================================

Importing this module imports no framework.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gnref.testing.targets.known import KNOWN, NORMS
from gnref.testing.targets.libraries import LIBRARIES

EXPECTED = f"{', '.join(KNOWN)}, gnref:BACKEND, package.module:object or kernelbench:FILE"


@dataclass(frozen=True)
class Spec:
    """A target that is not loaded yet.

    It travels to another process as its text alone, and is parsed again there.

    Attributes
    ----------
    text : str
        What names it.
    norms : tuple of str
        The norms that it offers; empty for one function that does not say which norm it is.
    version : str
        The library and its release, as "torch 2.9.0"; "" for what has none.
    """

    text: str
    norms: tuple[str, ...]
    version: str
    load: Callable[[str], dict[str, Any]] = field(repr=False, compare=False)

    def __reduce__(self) -> tuple[Callable[[str], Spec], tuple[str]]:
        return parse, (self.text,)

    @property
    def name(self) -> str:
        """How reports call it."""
        return self.text

    def differentiates(self, norm: str) -> bool:
        """Whether the backward pass of a norm is the one that PyTorch or JAX makes of the forward one."""
        given = self.arguments(norm)
        library = LIBRARIES.get(given.get("arrays", "numpy"))
        return given.get("backward") is None and library is not None and library.differentiates

    def arguments(self, norm: str) -> dict[str, Any]:
        """Return the keyword arguments of `gnref.testing.check` for a norm.

        Parameters
        ----------
        norm : str
            One of ``norms``; any, where these are not known.

        Returns
        -------
        arguments : dict
            ``forward`` and, where the target has them or they are limited, ``backward``, ``arrays``,
            ``device``, ``layouts``, ``supports``, ``dtypes`` and ``require``.

        Raises
        ------
        ValueError
            The target has no such norm.
        """
        offered = self.norms or NORMS
        if norm not in offered:
            raise ValueError(f"norm is {norm!r}; expected one that {self.text} has: {', '.join(offered)}")
        return self.load(norm)


def parse(text: str) -> Spec:
    """Find out which target a text names.

    Parameters
    ----------
    text : str
        As in the table above. Your own modules and files are looked for in the current directory, too.

    Returns
    -------
    spec : Spec
        Its norms, and how to check each of them.

    Raises
    ------
    ValueError
        The text names nothing; there is no such module, object or file; or there is no norm in it.
    TypeError
        It names something that is no function, and has none.
    BackendError
        What it needs is not installed.

    Examples
    --------
    >>> parse("gnref:cpu").norms
    ('batch', 'instance', 'group', 'layer', 'rms')
    >>> parse("numpy")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: target is 'numpy'; expected torch, torch.compile, jax, flax, onnxruntime, openvino, ...
    """
    if text in KNOWN:
        known = KNOWN[text]
        known.require(text)
        return Spec(text, known.norms, known.version, known.arguments)
    kind, colon, rest = text.partition(":")
    if not (kind and colon and rest):
        raise ValueError(f"target is {text!r}; expected {EXPECTED}")
    if kind == "gnref":
        from gnref.testing.targets.known import own

        return Spec(text, NORMS, own.version(), own.backend(rest))
    if os.getcwd() not in sys.path:  # as `python -m` does
        sys.path.insert(0, os.getcwd())
    if kind == "kernelbench":
        from gnref.testing.targets.known import kernelbench

        file = kernelbench.load(rest)
        return Spec(text, file.norms, "", file.arguments)
    from gnref.testing.targets.known import objects

    found = objects.find(kind, rest)
    return Spec(text, found.norms, "", found.arguments)
