"""A mechanism: one slip in right code, as a specimen that can be run, and its twin without the slip."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from types import CodeType
from typing import Any, NamedTuple

from gnref.testing.museum import misreadings
from gnref.testing.targets import Functions

FIVE = ("batch", "instance", "group", "layer", "rms")
TEXTBOOK = "gnref.testing.mutants.textbook"
GROUPED = "gnref.testing.museum.grouped"
HELPERS = {name: getattr(misreadings, name) for name in misreadings.__all__}

Passes = tuple[Callable[..., Any], Callable[..., Any]]  # forward and backward


class Change(NamedTuple):
    """Whole lines of code, without the indentation of the first, right and with the slip."""

    fixed: str
    broken: str


@dataclass(frozen=True)
class Mechanism:
    """One way to get a normalization wrong.

    Attributes
    ----------
    name, slip : str
        What it is called, and the slip in one line.
    explanation : str
        Why it is wrong, and where it hides.
    norm : str
        The norm it is shown on, and
    norms : tuple of str
        those it makes a difference to.
    property : str
        The name of a property of `gnref.testing.properties.PROPERTIES` that fails.
    changes : tuple of Change
        What makes the specimen of the right code: most often one line.
    others : tuple of str
        Other ways to write the first broken line, in which the same slip is to be recognised.
    prepared : tuple of Change
        What is changed (from the first text to the second) before, in the specimen and its twin alike.
    source : str
        The module with the right code.
    asking : dict
        How the property has to be asked to see it: arguments of `gnref.testing.check.check`.
    """

    name: str
    slip: str
    explanation: str
    norm: str
    property: str
    changes: tuple[Change, ...]
    norms: tuple[str, ...] = FIVE
    others: tuple[str, ...] = ()
    prepared: tuple[Change, ...] = ()
    source: str = TEXTBOOK
    asking: Mapping[str, Any] = field(default_factory=dict)

    def build(self, norm: str | None = None) -> Passes:
        """Forward and backward with the slip, for the norm it is shown on or another."""
        return _run(self.code("broken"), norm or self.norm)

    def twin(self, norm: str | None = None) -> Passes:
        """The same two functions without the slip."""
        return _run(self.code("fixed"), norm or self.norm)

    def variants(self, norm: str) -> list[Passes]:
        """The specimen, and what its other spellings make."""
        return [_run(self.code("broken", line), norm) for line in (None, *self.others)]

    def code(self, state: str, other: str | None = None) -> str:
        """The text of the specimen ("broken") or of its twin ("fixed")."""
        text = source_of(self.source)
        for old, new in self.prepared:
            text = exchanged(text, old, new)
        for i, change in enumerate(self.changes):
            there = change.fixed if occurrences(text, change.fixed) else change.broken
            wanted = change.fixed if state == "fixed" else change.broken
            text = exchanged(text, there, other if other and i == 0 else wanted)
        return text

    def target(self, *, fixed: bool = False, norm: str | None = None) -> Functions:
        """The specimen, or its twin, as what properties ask.

        Parameters
        ----------
        fixed : bool
            Whether to take the twin.
        norm : str, optional
            Instead of the norm it is shown on.
        """
        forward, backward = self.twin(norm) if fixed else self.build(norm)
        return target(
            forward, backward, norm or self.norm, f"{self.name}{' (fixed)' * fixed}", self.takes_axis()
        )

    def takes_axis(self) -> bool:
        """Whether the functions take ``channel_axis=``."""
        return self.source == TEXTBOOK


def target(
    forward: Callable[..., Any], backward: Callable[..., Any], norm: str, name: str, takes_axis: bool
) -> Functions:
    """Two functions as what properties ask."""
    channels = norm in ("batch", "instance", "group")
    made = Functions(forward, backward, norm=norm, channel_axis=takes_axis and channels, name=name)
    if takes_axis:  # the textbook returns mean and rstd
        made.abilities |= {"statistics"}
    return made


@lru_cache
def source_of(module: str) -> str:
    """The text of a module."""
    return inspect.getsource(import_module(module))


def occurrences(text: str, lines: str) -> list[int]:
    """Where some whole lines stand in a text, whatever their common indentation."""
    there, wanted = text.splitlines(), lines.splitlines()
    found = []
    for i in range(len(there) - len(wanted) + 1):
        indent = there[i][: len(there[i]) - len(there[i].lstrip())]
        if all(there[i + j] == indent + line for j, line in enumerate(wanted)):
            found.append(i)
    return found


def exchanged(text: str, old: str, new: str) -> str:
    r"""Put some lines in the place of others, which must stand there exactly once.

    Examples
    --------
    >>> exchanged("def f(x):\n    return x", "return x", "x += 1\nreturn x")
    'def f(x):\n    x += 1\n    return x\n'
    """
    found = occurrences(text, old)
    if len(found) != 1:
        raise ValueError(f"{old!r} stands {len(found)} times in the code; expected once")
    there, start = text.splitlines(), found[0]
    indent = there[start][: len(there[start]) - len(there[start].lstrip())]
    there[start : start + len(old.splitlines())] = [indent + line for line in new.splitlines()]
    return "\n".join(there) + "\n"


@lru_cache(maxsize=256)
def _compiled(text: str) -> CodeType:
    return compile(text, "<a specimen of gnref.testing.museum>", "exec")


def _run(text: str, norm: str) -> Passes:
    """The functions of a norm, of code that is run anew: what a specimen keeps between calls is its own."""
    names: dict[str, Any] = {"__name__": "specimen", "kept": {}} | HELPERS
    exec(_compiled(text), names)
    made: Passes = names["functions"](norm)
    return made
