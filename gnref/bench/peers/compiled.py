"""PyTorch, compiled: what `gnref.bench.peers.torch` calls, through torch.compile.

Inductor takes PyTorch's operators apart and generates loops of its own, for the backward pass, too. It
needs a C++ compiler, or on a GPU Triton.
"""

from __future__ import annotations

from typing import Any

import torch

from gnref.bench.case import Case
from gnref.bench.peers import Way
from gnref.bench.peers.torch import Function, bound, calls, reader


class Peer:
    """PyTorch with torch.compile, shapes known."""

    def __init__(self, threads: int, device: str = "cpu") -> None:
        torch.set_num_threads(threads)
        self.device = device
        # Idle processes that wait for the next compilation would disturb the others.
        torch._inductor.config.compile_threads = 1
        compiled(lambda x: x + 1)(torch.zeros(8, device=device))  # raises where there is no compiler

    def ways(self, case: Case) -> dict[str, Way]:
        """PyTorch's ways, compiled."""
        torch._dynamo.reset()  # or it would give up compiling after eight rows
        found: dict[str, tuple[Any, Any]] = calls(case, self.device)
        return {
            name: Way(bound(compiled(function), arguments), reader(case.row))
            for name, (function, arguments) in found.items()
            if not name.startswith("autograd")  # cannot be compiled in one piece
        }


def compiled(function: Function) -> Function:
    """A function compiled in one piece, or an error."""
    made: Function = torch.compile(function, fullgraph=True, dynamic=False)
    return made
