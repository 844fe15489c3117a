"""Check gnref's CUDA kernels on a real device, in under five minutes: python tools/gpu_check.py --out DIR.

Results, bits and speed: see `gpu`. It needs NumPy, CuPy and this repository; PyTorch and others are timed
beside gnref where they are installed. It writes DIR/gpu_check.json after every step and DIR/gpu_check.md
in the end, and overwrites nothing. The exit code is 0 if every result is right and all bits are the same,
1 if not, 2 if there is no device, and 130 if it was interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [path for path in (str(HERE.parent), str(HERE)) if path not in sys.path]

from gpu import absent, facts, report, session  # noqa: E402
from gpu.record import Record  # noqa: E402
from gpu.session import Context, Found, Step  # noqa: E402

NEEDED = ("correctness", "determinism")  # to pass
# Each in its own module, which is imported when its turn comes: one that cannot be is one that fails.
STEPS = (
    ("device", "facts", "device", 10),
    ("copy", "facts", "ceiling", 10),
    ("compile", "instances", "compile_all", 40),
    ("correctness", "correctness", "check", 60),
    ("determinism", "determinism", "check", 25),
    ("timing", "timing", "check", 110),
    ("sanitizer", "sanitizer", "check", 40),
)


def main(argv: list[str] | None = None, **options: Any) -> int:
    """Do all steps, and say what came of them; ``options`` are for tests, which have less time."""
    arguments = parser().parse_args(argv)
    record = Record(arguments.out)
    seed = arguments.seed if arguments.seed is not None else time.time_ns() % 2**32
    context = Context(seed, arguments.quick, options=options)
    record.found |= {"seed": seed, "quick": arguments.quick, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    interrupted = False
    try:
        session.run([Step("versions", facts.versions, 10)], context, record)
        reason = lacking()
        if reason is not None:
            record.found["reason"] = reason
            return finish(record, 2)
        record.found["array_api_compat"] = "a stand-in" if absent.fill_in() else "installed"
        session.run([late_step(*step) for step in STEPS], context, record)
    except KeyboardInterrupt:
        interrupted = True
    record.found["passed"] = session.passed(record, NEEDED)
    return finish(record, 130 if interrupted else 0 if record.found["passed"] else 1)


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    top = argparse.ArgumentParser(description="Check gnref's CUDA kernels on a real device.")
    top.add_argument("--out", type=Path, required=True, metavar="DIR", help="where gpu_check.json goes")
    top.add_argument("--quick", action="store_true", help="the most important part of each step: two minutes")
    top.add_argument("--seed", type=int, help="of all random numbers (from the clock)")
    return top


def lacking() -> str | None:
    """Why nothing can run here; None if it can."""
    if find_spec("cupy") is None:
        return "cupy is not installed; try: pip install cupy-cuda13x"
    absent.fill_in()
    try:
        found: str | None = import_module("gnref.kernels.cuda.device").lacking()
    except Exception as error:  # CuPy or gnref cannot be imported
        return f"{type(error).__name__}: {session.first_line(str(error))}"
    return found


def late_step(name: str, module: str, function: str, seconds: float) -> Step:
    """A step whose module is imported within it."""

    def run(context: Context, found: Found) -> None:
        getattr(import_module(f"gpu.{module}"), function)(context, found)

    return Step(name, run, seconds)


def finish(record: Record, code: int) -> int:
    """Write the tables, print the short of them, and say where the rest is."""
    record.write(report.markdown(record.found))
    print(report.terminal(record.found))
    print(f"{record.json} and {record.markdown.name} have everything")
    return code


if __name__ == "__main__":
    sys.exit(main())
