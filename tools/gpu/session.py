"""One step: what it is given, and what is kept of it when it fails or runs out of time."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

Found = dict[str, Any]
Say = Callable[[str], None]

EVERY = 0.5  # seconds after which what was found is kept again
# What a device says when it can do nothing more in this process, in CUDA's, the driver's or PyTorch's words.
LOST = (
    *(
        "illegaladdress",
        "illegalmemoryaccess",
        "launchfail",
        "misaligned",
        "errorassert",
        "device-sideassert",
    ),
    *("illegalinstruction", "invalidpc", "invalidaddressspace", "hardwarestack", "launchtimeout"),
    *("eccuncorrectable", "contextisdestroyed"),
)


def say(text: str) -> None:
    """Print a line at once; say nothing more where nobody reads any longer."""
    try:
        print(text, flush=True)
    except OSError:  # Python would complain once more in the end, unless it can write somewhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@dataclass
class Context:
    """What a step is given.

    Attributes
    ----------
    seed : int
        Of all random numbers.
    quick : bool
        Whether to do the most important part of each step only.
    deadline : float
        When the step should be done, on `time.monotonic`.
    options : mapping
        For tests, which have less time.
    broken : collection of int
        The numbers of the cases that hung or killed a process before, and are left out.
    tell : callable
        Is told the number and the name of a case before it begins, and -1 after the last one.
    write : callable, optional
        Keeps what was found until now, in case that this process does not live to hand it back.
    """

    seed: int
    quick: bool = False
    say: Say = say
    deadline: float = float("inf")
    options: Mapping[str, Any] = field(default_factory=dict)
    broken: Sequence[int] = ()
    tell: Callable[[int, str], None] = lambda number, name: None
    write: Callable[[Found], None] | None = None
    written: float = 0.0

    @property
    def late(self) -> bool:
        """Whether the step's time is up."""
        return time.monotonic() > self.deadline

    def each(
        self,
        cases: Sequence[Any],
        found: Found,
        fill: Callable[[], None] = lambda: None,
        name: Callable[[Any], str] = lambda case: str(case.name),
    ) -> Iterator[Any]:
        """The cases one after the other while there is time, from ``found["next"]`` on.

        ``found["left_out"]`` gets the names of those for which there is none. ``fill`` puts into found what
        is not there yet; it is called before found is kept.
        """
        found["left_out"] = []
        left = [n for n in range(found.get("next", 0), len(cases)) if n not in self.broken]
        for place, number in enumerate(left):
            if self.late:
                found["left_out"] = [name(cases[n]) for n in left[place:]]
                break
            self.tell(number, name(cases[number]))
            yield cases[number]
            found["next"] = number + 1
            self.keep(found, fill)
        self.tell(-1, "")

    def keep(self, found: Found, fill: Callable[[], None] = lambda: None) -> None:
        """Keep what was found until now, unless that was done a moment ago."""
        if self.write is not None and time.monotonic() > self.written + EVERY:
            fill()
            self.write(found)
            self.written = time.monotonic()


@dataclass(frozen=True)
class Step:
    """A function that fills a dict, so that what it found before an error is kept.

    Attributes
    ----------
    module, function : str
        Where it is; imported when its turn comes, so that one that cannot be is one that fails.
    seconds : float
        That it may take.
    patience : float
        Seconds after which a case that does not end is taken to hang.
    inside : bool
        Whether it may run in the first process, as it does nothing on the device itself.
    """

    name: str
    module: str
    function: str
    seconds: float
    patience: float = 20.0
    inside: bool = False


def attempt(step: Step, context: Context, found: Found) -> None:
    """Do a step in this process, and say in ``found["status"]`` how it went."""
    try:
        getattr(import_module(step.module), step.function)(context, found)
        found["status"] = "out of time" if found.get("left_out") else "done"
    except Exception as error:
        found["status"] = "lost" if is_lost(error) else "failed"
        found["error"], found["traceback"] = f"{type(error).__name__}: {error}", traceback.format_exc()
        context.say(f"      {found['status']}: {first_line(found['error'])}")


def is_lost(error: BaseException) -> bool:
    """Whether the device can do nothing more in this process: after an illegal access nothing runs."""
    text = str(error).replace("_", "").replace(" ", "").lower()
    return any(words in text for words in LOST)


def first_line(text: str) -> str:
    """The beginning of a message."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 200 else line[:197] + "..."
