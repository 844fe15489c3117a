"""Planted mistakes: wrong kernels, each one edit away from a right one, which a kit must find.

`MUTANTS` has them by name and `build` makes the two functions;
`gnref.testing.selftest` counts how many are found.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gnref.testing.mutants import backward, equivalent, forward, slots, sums, textbook
from gnref.testing.mutants.edit import KINDS, Edit

MUTANTS = {edit.name: edit for edit in (*slots.EDITS, *forward.EDITS, *backward.EDITS, *sums.EDITS)}
EQUIVALENT = {edit.name: edit for edit in equivalent.EDITS}
SOURCE = Path(textbook.__file__).read_text(encoding="utf-8")

__all__ = ["EQUIVALENT", "KINDS", "MUTANTS", "Edit", "build", "edited"]


def edited(edit: Edit) -> str:
    """The textbook's text with one edit in it."""
    if SOURCE.count(edit.old) != 1:
        raise ValueError(f"{edit.name}: {edit.old!r} occurs {SOURCE.count(edit.old)} times; expected once")
    return SOURCE.replace(edit.old, edit.new)


def build(edit: Edit, norm: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Make the forward and the backward pass of an edited textbook.

    Parameters
    ----------
    edit : Edit
        What to change.
    norm : str
        "batch", "instance", "group", "layer" or "rms".

    Returns
    -------
    forward, backward : callable
        As `gnref.testing.check` takes them.

    Examples
    --------
    >>> import numpy as np
    >>> forward, backward = build(MUTANTS["bias dropped"], "instance")
    >>> y, mean, rstd = forward(np.array([[[-3.0, 3.0]]]), None, np.array([1.0]), eps=0.0)
    >>> y
    array([[[-1.,  1.]]])
    """
    source, filename = edited(edit), f"<mutant: {edit.name}>"
    linecache.cache[filename] = (
        len(source),
        None,
        source.splitlines(keepends=True),
        filename,
    )  # for tracebacks
    namespace: dict[str, Any] = {"__name__": f"{__name__}.mutant"}
    exec(compile(source, filename, "exec"), namespace)
    forward, backward = namespace["functions"](norm)
    return forward, backward
