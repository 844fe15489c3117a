"""gnref's own functions as a target."""

from __future__ import annotations

from typing import Any

import gnref
from gnref.testing.problems import Array, Problem
from gnref.testing.targets.target import Finding, Forward, Gradients


class Gnref:
    """gnref's own functions on one of its backends."""

    abilities = frozenset(
        ("backward", "statistics", "var", "out", "needs", "layout", "norms", "channel_axis", "strides")
    )
    affine_required = False

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.name = f"gnref:{backend}"
        self.findings: list[Finding] = []  # its memory is looked at by tests of its own

    def forward(self, problem: Problem, **options: Any) -> Forward:
        """Call ``gnref.*_forward``; options are ``out``."""
        function = getattr(gnref, f"{problem.function}_forward")
        keywords = problem.keywords | {"backend": self.backend} | options
        y, saved = function(*problem.positional.values(), **keywords)
        return Forward(y, saved.mean, saved.var, saved.rstd, saved)

    def backward(self, dy: Array, forward: Forward, **options: Any) -> Gradients:
        """Call ``gnref.backward``; options are ``needs`` and ``out``."""
        return Gradients(*gnref.backward(dy, forward.saved, **options))
