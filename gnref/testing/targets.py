"""What is put to the test: something that can run the forward and backward pass of a problem."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import gnref
from gnref.testing.problems import Array, Problem


class Forward(NamedTuple):
    """The results of a forward pass; ``saved`` is the target's own business."""

    y: Array
    mean: Array | None
    var: Array
    rstd: Array
    saved: Any


class Gradients(NamedTuple):
    """The results of a backward pass; None for what is absent or not needed."""

    dx: Array | None
    dweight: Array | None
    dbias: Array | None


class Target(Protocol):
    """An implementation of the norms, called with NumPy arrays."""

    name: str

    def forward(self, problem: Problem, **options: Any) -> Forward:
        """Normalize the problem's x."""

    def backward(self, dy: Array, forward: Forward, **options: Any) -> Gradients:
        """Differentiate a forward pass."""


class Gnref:
    """gnref's own functions on one of its backends."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.name = f"gnref:{backend}"

    def forward(self, problem: Problem, **options: Any) -> Forward:
        """Call ``gnref.*_forward``; options are ``out``."""
        function = getattr(gnref, f"{problem.function}_forward")
        keywords = problem.keywords | {"backend": self.backend} | options
        y, saved = function(*problem.positional.values(), **keywords)
        return Forward(y, saved.mean, saved.var, saved.rstd, saved)

    def backward(self, dy: Array, forward: Forward, **options: Any) -> Gradients:
        """Call ``gnref.backward``; options are ``needs`` and ``out``."""
        return Gradients(*gnref.backward(dy, forward.saved, **options))


def gradients(target: Target, problem: Problem) -> Gradients:
    """Run both passes of a problem."""
    return target.backward(problem.dy, target.forward(problem))
