"""The steps one after the other: one that fails is recorded with its error, and the next goes on."""

from __future__ import annotations

import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gpu.record import Record

Found = dict[str, Any]
Say = Callable[[str], None]


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
    """

    seed: int
    quick: bool = False
    say: Say = print
    deadline: float = float("inf")
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def late(self) -> bool:
        """Whether the step's time is up."""
        return time.monotonic() > self.deadline


@dataclass(frozen=True)
class Step:
    """A step by its name: a function that fills a dict, so that what it found before an error is kept."""

    name: str
    run: Callable[[Context, Found], None]
    seconds: float  # that it may take


class OutOfTime(Exception):  # noqa: N818
    """A step went on long after its time."""


def run(steps: list[Step], context: Context, record: Record) -> None:
    """Do all steps; raise KeyboardInterrupt after what is there has been written."""
    for number, step in enumerate(steps, 1):
        context.say(f"[{number}/{len(steps)}] {step.name}")
        found: Found = {"status": "interrupted"}
        record.steps[step.name] = found
        start = time.monotonic()
        context.deadline = start + step.seconds * (0.4 if context.quick else 1.0)
        try:
            with stopped_after(2 * step.seconds + 10):
                step.run(context, found)
            found["status"] = "out of time" if found.get("left_out") else "done"
        except Exception as error:
            found["status"], found["error"] = "failed", f"{type(error).__name__}: {error}"
            found["traceback"] = traceback.format_exc()
            context.say(f"      failed: {first_line(found['error'])}")
        finally:
            found["seconds"] = time.monotonic() - start
            record.write()


@contextmanager
def stopped_after(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` in a step that forgets the time; where the system can, and in the main thread."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise OutOfTime(f"stopped after {seconds:.0f} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def first_line(text: str) -> str:
    """The beginning of a message."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 200 else line[:197] + "..."


def passed(record: Record, needed: tuple[str, ...]) -> bool:
    """Whether all steps that say right or wrong ran to their end and found nothing wrong."""
    steps = (record.steps.get(name, {}) for name in needed)
    return all(step.get("status") == "done" and step.get("passed") is True for step in steps)
