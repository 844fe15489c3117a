"""The first process: it starts a child for each step, has the clock, and ends what hangs.

CUDA waits in C, where no signal reaches Python; and after an illegal access a process gets nothing more
from the device. So only another process can go on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from gpu import child, record
from gpu.processes import Process, started
from gpu.session import Context, Found, Step

COMMAND = (sys.executable, str(Path(child.__file__)))
RESTARTS = 3
LEAST = 3.0  # seconds, with less than which a child is not started again
GRACE = 10.0  # seconds that a child gets beyond its time


class Trouble(NamedTuple):
    """Why a child handed nothing back."""

    status: str  # "hung", or "lost": it died, or the device does nothing more for it
    said: str
    case: dict[str, Any]  # with which it was busy; empty if with none
    blamed: bool = True  # whether it was the case's fault

    @property
    def told(self) -> str:
        """All of it in words."""
        return f"{self.said}, at {self.case['case']}" if self.case else self.said


def run(step: Step, context: Context, found: Found) -> None:
    """Do a step in children: one, and another behind each case that hung or was lost."""
    broken: list[Trouble] = []
    with tempfile.TemporaryDirectory(prefix="gpu_check-") as folder:
        while True:
            numbers = [trouble.case["number"] for trouble in broken]
            trouble = one(step, context, found, numbers, Path(folder))
            if trouble is None:
                break
            context.say(f"      {trouble.status}: {trouble.told}")
            again = bool(trouble.case) and trouble.blamed
            broken += [trouble] * again
            if not again or len(broken) > RESTARTS or context.deadline - time.monotonic() < LEAST:
                found |= {"status": trouble.status, "error": trouble.told}
                break
    found.pop("next", None)
    if broken:
        found["broken"] = [{"case": t.case["case"], "status": t.status, "said": t.said} for t in broken]


def one(step: Step, context: Context, found: Found, broken: Sequence[int], folder: Path) -> Trouble | None:
    """One child, which goes on from ``found``, and fills it; return what went wrong with the child itself."""
    for name in (child.NOW, child.FOUND):
        (folder / name).unlink(missing_ok=True)
    left = max(1.0, context.deadline - time.monotonic())
    before = {key: value for key, value in found.items() if key not in ("status", "error", "traceback")}
    given = {"seed": context.seed, "quick": context.quick, "seconds": left, "broken": broken}
    record.replace(folder / child.GIVEN, record.text({**given, "step": asdict(step), "found": before}))
    command = context.options.get("command", COMMAND)
    handed: Found = {}
    try:
        with started([*command, str(folder)], stdin=subprocess.PIPE) as process:
            stopped = watch(process, folder, left, step.patience)
            code = process.poll()
    finally:  # after an interruption, too
        handed = read(folder / child.FOUND)
        if handed:
            found.clear()
            found.update({"status": "interrupted"} | handed)
    case = read(folder / child.NOW)
    if handed.get("status") not in (None, "lost"):
        return None
    if stopped is not None:
        return Trouble("hung", stopped[0], case, stopped[1])
    said = str(handed.get("error") or f"its process ended with code {code}").partition("\n")[0]
    return Trouble("lost", said, case)


def watch(process: Process, folder: Path, seconds: float, patience: float) -> tuple[str, bool] | None:
    """Wait for a child; return why not any longer, and whether a case was to blame, if it did not end."""
    start = since = time.monotonic()
    case: dict[str, Any] = {}
    while True:
        try:
            process.wait(0.1)
            return None
        except subprocess.TimeoutExpired:
            pass
        now, seen = time.monotonic(), read(folder / child.NOW)
        if seen != case:
            case, since = seen, now
        if case and now > since + patience:
            return f"did not end within {patience:g} seconds", True
        if now > start + seconds + GRACE:
            return f"was stopped after {now - start:.0f} seconds", False


def read(path: Path) -> dict[str, Any]:
    """A file of a child's; nothing where there is none."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found
