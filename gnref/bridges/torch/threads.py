"""As many threads for gnref's kernels as PyTorch has: `torch.set_num_threads` holds for its layers, too."""

from __future__ import annotations

from importlib import import_module
from types import TracebackType
from typing import Any

import torch

from gnref.dispatch import status

ready = status("cpu") == "ready"
launch: Any = import_module("gnref.kernels.cpu.launch") if ready else None
numba: Any = import_module("numba") if ready else None


class AtMostPyTorchs:
    """In which Numba has no more threads than PyTorch, as far as this thread of Python's goes."""

    __slots__ = ("before",)

    def __enter__(self) -> None:
        self.before = 0
        if not ready:
            return
        launch.uses_prange()  # starts Numba's threads, in a way that leaves PyTorch its number
        own, wanted = launch.count_threads(), torch.get_num_threads()
        if own > wanted:
            self.before = own
            numba.set_num_threads(wanted)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.before:
            numba.set_num_threads(self.before)
