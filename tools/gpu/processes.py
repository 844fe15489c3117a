"""Processes that end when they should, with all that they have started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

Process = subprocess.Popen[Any]


@contextmanager
def started(words: Sequence[str], **options: Any) -> Iterator[Process]:
    """A process in a session of its own, which is over at the end of the block, whatever happens in it."""
    process: Process = subprocess.Popen(list(words), start_new_session=True, **options)
    try:
        yield process
    finally:
        end(process)


def end(process: Process) -> None:
    """Kill a process and what it started; the driver may need a while to take the device from it."""
    with suppress(OSError):  # it is over, and nothing of it is left
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        elif process.poll() is None:
            process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def output_of(words: Sequence[str], seconds: float) -> tuple[str, int | None]:
    """What a program prints and its exit code; None where it was killed for taking longer."""
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with started(words, stdin=subprocess.DEVNULL, text=True, errors="replace", **options) as process:
        try:
            return process.communicate(timeout=seconds)[0], process.returncode
        except subprocess.TimeoutExpired:
            return "", None
