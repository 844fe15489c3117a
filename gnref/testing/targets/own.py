"""gnref's own functions as a target."""

from __future__ import annotations

from typing import Any

import gnref
from gnref.testing.problems import Array, Problem
from gnref.testing.targets.moving import Moving
from gnref.testing.targets.target import Finding, Forward, Gradients


class Gnref:
    """gnref's own functions on one of its backends; of `cuda` on CuPy arrays."""

    abilities = frozenset(
        ("backward", "statistics", "var", "out", "needs", "layout", "norms", "channel_axis", "strides")
    )
    affine_required = False

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.name = f"gnref:{backend}"
        self.findings: list[Finding] = []  # its memory is looked at by tests of its own
        self.moving = Moving() if backend == "cuda" else None

    def forward(self, problem: Problem, **options: Any) -> Forward:
        """Call ``gnref.*_forward``; options are ``out``."""
        function = getattr(gnref, f"{problem.function}_forward")
        keywords = problem.keywords | {"backend": self.backend} | options
        arguments = problem.positional.values()
        if self.moving is None:
            y, saved = function(*arguments, **keywords)
            return Forward(y, saved.mean, saved.var, saved.rstd, saved)
        y, saved = self.moving.call(function, *arguments, **keywords)
        y, mean, var, rstd = map(self.moving.back, (y, saved.mean, saved.var, saved.rstd))
        return Forward(y, mean, var, rstd, saved)

    def backward(self, dy: Array, forward: Forward, **options: Any) -> Gradients:
        """Call ``gnref.backward``; options are ``needs`` and ``out``."""
        if self.moving is None:
            return Gradients(*gnref.backward(dy, forward.saved, **options))
        found = self.moving.call(gnref.backward, dy, forward.saved, **options)
        return Gradients(*map(self.moving.back, found))
