"""gnref itself, called as a user calls it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import gnref
from gnref.bench.case import EPS, Array, Case, copied
from gnref.bench.grid import Row


class Own:
    """gnref's public functions on one case.

    Parameters
    ----------
    case : Case
        Its arrays are copied.
    backend : str, optional
        Whose kernels; by default those that a user gets.

    Attributes
    ----------
    run : callable
        The call whose output is a new array.
    run_out : callable
        The same with ``out=``.
    """

    def __init__(self, case: Case, backend: str | None = None) -> None:
        row, x, weight, bias, dy = copied(case)
        arguments = options(row) | ({} if backend is None else {"backend": backend})
        out = x.copy()  # its memory is there, which that of a new array is not before it is written to
        self.run: Callable[[], Any]
        self.run_out: Callable[[], Any]
        if row.direction == "forward":
            function = getattr(gnref, f"{row.norm}_norm")
            self.run = lambda: function(x, weight=weight, bias=bias, **arguments)
            self.run_out = lambda: function(x, weight=weight, bias=bias, out=out, **arguments)
            return
        forward = getattr(gnref, f"{row.norm}_norm_forward")
        _, saved = forward(x, weight=weight, bias=bias, **arguments)
        self.run = lambda: gnref.backward(dy, saved)
        self.run_out = lambda: gnref.backward(dy, saved, out=out)

    def arrays(self, results: Any) -> tuple[Array, ...]:
        """What run returned: y, or dx, dweight and dbias."""
        return results if isinstance(results, tuple) else (results,)


def options(row: Row) -> dict[str, Any]:
    """The arguments that say which norm it is."""
    if row.norm == "layer":
        return {"normalized_shape": row.normalized_shape, "eps": EPS}
    groups = {"num_groups": row.num_groups} if row.norm == "group" else {}
    return {**groups, "channel_axis": row.channel_axis, "eps": EPS}


def use_threads(threads: int) -> None:
    """Let gnref's kernels use a number of threads, as far as Numba has them."""
    if find_spec("numba") is None:
        return
    numba = import_module("numba")
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
