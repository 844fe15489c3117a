"""Check gnref's CUDA kernels on a real device, in under five minutes: python tools/gpu_check.py --out DIR.

Results, bits and speed: see `gpu`. It needs NumPy, CuPy and this repository; PyTorch and others are timed
beside gnref where they are installed. It writes DIR/gpu_check.json after every step and DIR/gpu_check.md
in the end, and overwrites nothing. Each step runs in a process of its own, so that a kernel that hangs or
kills it takes nothing else with it. The exit code is 0 if every result is right, all bits are the same and
nothing was left out, 1 if not, 2 if there is no device or no place to write, and 130 if it was interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [path for path in (str(HERE.parent), str(HERE)) if path not in sys.path]

from gpu import absent, children, report  # noqa: E402
from gpu.record import Record  # noqa: E402
from gpu.session import Context, Step, attempt, first_line, say  # noqa: E402

SECONDS, QUICK = 285.0, 0.4  # for everything, and which part of it is enough for the most important
NEEDED = report.NEEDED  # to pass
STEPS = (
    Step("versions", "gpu.facts", "versions", 15, inside=True),
    Step("device", "gpu.facts", "device", 15),
    Step("copy", "gpu.facts", "ceiling", 15),
    Step("compile", "gpu.instances", "compile_all", 45),
    Step("correctness", "gpu.correctness", "check", 60),
    Step("determinism", "gpu.determinism", "check", 25),
    Step("promises", "gpu.promises", "check", 25),
    Step("timing", "gpu.timing", "check", 90, patience=60),
    Step("sanitizer", "gpu.sanitizer", "check", SECONDS, inside=True),  # whatever is left
)


def main(argv: list[str] | None = None, **options: Any) -> int:
    """Do all steps, and say what came of them; ``options`` are for tests, which have less time."""
    arguments = parser().parse_args(argv)
    start = time.monotonic()
    try:
        record = Record(arguments.out)
    except OSError as error:
        print(f"--out is {arguments.out}, where nothing can be written: {error}", file=sys.stderr)
        return 2
    seed = arguments.seed if arguments.seed is not None else time.time_ns() % 2**32
    context = Context(seed, arguments.quick, options=options)
    record.found |= {"seed": seed, "quick": arguments.quick, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    end = start + SECONDS * (QUICK if arguments.quick else 1)
    try:
        run(list(STEPS), context, record, end)
    except KeyboardInterrupt:
        record.found["passed"] = False
        return finish(record, 130)
    if record.found.get("reason"):
        return finish(record, 2)
    record.found["passed"] = report.passed(record.steps)
    return finish(record, 0 if record.found["passed"] else 1)


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    top = argparse.ArgumentParser(description="Check gnref's CUDA kernels on a real device.")
    top.add_argument("--out", type=Path, required=True, metavar="DIR", help="where gpu_check.json goes")
    top.add_argument("--quick", action="store_true", help="the most important part of each step: two minutes")
    top.add_argument("--seed", type=not_negative, help="of all random numbers, 0 or more (from the clock)")
    return top


def not_negative(text: str) -> int:
    """A seed."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"it is {text!r}; expected an integer that is 0 or more")
    return int(text)


def run(steps: list[Step], context: Context, record: Record, end: float) -> None:
    """All steps until ``end``; without a device, none but the first. What is there is written after each."""
    for number, step in enumerate(steps, 1):
        context.say(f"[{number}/{len(steps)}] {step.name}")
        found: dict[str, Any] = {"status": "interrupted"}
        record.steps[step.name] = found
        start = time.monotonic()
        context.deadline = min(end, start + step.seconds * (QUICK if context.quick else 1))
        if record.steps.get("compile", {}).get("status") != "done":  # a case may have to compile
            step = replace(step, patience=3 * step.patience)
        try:
            one(step, context, found)
        finally:
            found["seconds"] = time.monotonic() - start
            record.write()
        if step.name == "versions":
            record.found["array_api_compat"] = found.get("array_api_compat")
        if reason := lacking(step, found):
            record.found["reason"] = reason
            return


def one(step: Step, context: Context, found: dict[str, Any]) -> None:
    """A step in a child, or in this process where that is enough."""
    if context.deadline < time.monotonic():
        found |= {"status": "out of time", "error": "there was no time left for it"}
    elif step.inside or context.options.get("inside"):
        attempt(step, context, found)
    else:
        try:
            children.run(step, context, found)
        except OSError as error:  # no child, or no folder for what it finds
            found |= {"status": "failed", "error": f"{type(error).__name__}: {error}"}


def lacking(step: Step, found: dict[str, Any]) -> str | None:
    """Why nothing can run here, as far as a step has shown; None if it can."""
    if step.name == "versions" and find_spec("cupy") is None:
        return "cupy is not installed; try: pip install cupy-cuda13x"
    if step.name == "device" and found["status"] in ("hung", "lost"):
        return f"looking for a device {found['status']}: {found['error']}"
    reason = found.get("reason") if step.name == "device" else None
    return None if reason is None else str(reason)


def finish(record: Record, code: int) -> int:
    """Write the tables, print the short of them, and say where the rest is."""
    record.write(told(report.markdown, record))
    say(told(report.terminal, record))
    say(f"{record.json} and {record.markdown.name} have everything")
    return code


def told(function: Callable[[dict[str, Any]], str], record: Record) -> str:
    """A table; of a record that it does not understand, why it does not."""
    try:
        return function(record.found)
    except Exception as error:
        record.found["no tables"] = traceback.format_exc()
        record.write()
        return f"No tables, as of what was found not all is understood: {first_line(repr(error))}\n"


if __name__ == "__main__":
    absent.fill_in()
    sys.exit(main())
