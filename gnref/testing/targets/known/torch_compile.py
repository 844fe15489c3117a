"""PyTorch's functions, compiled by `torch.compile`, and the backward pass that it makes of them.

A graph is compiled for each eps, each number of dimensions and each set of axes of size 1, in seconds. So
that a check ends within minutes, it is limited to x in its usual units with three values of eps, and to
contiguous float32 arrays (N, C, L) with all parameters, of which only N may be 1. ``dynamic=True`` makes one
graph serve all other sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from gnref.errors import BackendError
from gnref.testing.problems import Problem
from gnref.testing.targets.known.torch import FORWARD

EPS = (1e-5, 1e-3, 0.5)
# Their names before PyTorch 2.6, and since; beyond them a call would not be compiled at all.
LIMITS = (
    "cache_size_limit",
    "accumulated_cache_size_limit",
    "recompile_limit",
    "accumulated_recompile_limit",
)


def arguments(norm: str) -> dict[str, Any]:
    """The keyword arguments of `gnref.testing.check`.

    Raises
    ------
    BackendError
        There is no compiler that PyTorch can use.
    """
    require_compiler()
    limits = {
        "ranks": (3,),
        "dtypes": ("float32",),
        "affine_required": True,
        "contiguous": True,
        "where": few_graphs,
    }
    return {"forward": compiled(norm), "arrays": "torch", "supports": limits}


def few_graphs(problem: Problem) -> bool:
    """Whether a problem has the graph of many others."""
    if problem.eps not in EPS or min(problem.shape[1:]) == 1:
        return False
    if problem.normalized_shape is not None:
        return len(problem.normalized_shape) <= 2
    return problem.num_groups != 1


@cache
def compiled(norm: str) -> Callable[..., Any]:
    """A norm's function, whose every call is compiled."""
    config = torch._dynamo.config
    limits = {name: 1_000_000 for name in LIMITS if hasattr(config, name)}
    function = torch.compile(FORWARD[norm], dynamic=True)

    def forward(*arguments: Any, **options: Any) -> Any:
        with config.patch(limits):
            return function(*arguments, **options)

    return forward


@cache
def require_compiler() -> None:
    """Raise `BackendError` if nothing can be compiled here."""
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(2))
    except Exception as error:
        told = str(error).strip().partition("\n")[0]
        raise BackendError(f"target is 'torch.compile', which cannot compile here: {told}") from error
