"""A museum of real bugs of normalization layers, by mechanism: each can be run, and fails a property.

`ENTRIES` are the bugs, as public issue trackers tell them. `MECHANISMS` are the slips that they are shown
with: each makes a specimen, which has the slip in a line or two of right NumPy code, and its twin without. A
specimen is a model of what was reported, and no project's code.
"""

from __future__ import annotations

from typing import Any

from gnref.testing.museum import axes, formulas, gradients, layout, precision, tiling
from gnref.testing.museum.asking import ask
from gnref.testing.museum.entries import ENTRIES, GROUPS, STATUSES, Entry, entries_of, entry_of
from gnref.testing.museum.likeness import resembling
from gnref.testing.museum.mechanism import Change, Mechanism
from gnref.testing.museum.showing import Shown, show

ROOMS = (precision, gradients, axes, layout, tiling, formulas)
MECHANISMS: dict[str, Mechanism] = {m.name: m for room in ROOMS for m in room.MECHANISMS}


def listing() -> Any:
    """All entries and their mechanisms, as a table of rich."""
    from gnref.testing.museum.display import listing

    return listing()


def exhibit(number: int, *, seed: int = 0) -> Any:
    """An entry, its specimen and the counterexample that a property finds, to be printed by rich.

    ``console.print(exhibit(43), crop=False)`` keeps the long lines of its program whole.

    Parameters
    ----------
    number : int
        Of the entry.
    seed : int
        Of the search.
    """
    from gnref.testing.museum.display import exhibit

    return exhibit(number, seed=seed)


__all__ = [
    "ENTRIES",
    "GROUPS",
    "MECHANISMS",
    "STATUSES",
    "Change",
    "Entry",
    "Mechanism",
    "Shown",
    "ask",
    "entries_of",
    "entry_of",
    "exhibit",
    "listing",
    "resembling",
    "show",
]
