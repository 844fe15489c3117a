"""NVIDIA's compute-sanitizer on a few launches: out of bounds, races, barriers, memory never written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gpu.session import Context, Found

PROGRAM = "compute-sanitizer"
TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
SMALL = Path(__file__).with_name("small.py")
FOUND_SOMETHING = 9


def check(context: Context, found: Found) -> None:
    """The step; it says nothing about right or wrong where the program is not there."""
    program = find()
    found["program"] = program
    if program is None:
        found["said"] = "not found"
        context.say(f"      {PROGRAM} was not found")
        return
    found["tools"] = {}
    for left, tool in zip(range(len(TOOLS), 0, -1), TOOLS, strict=True):
        seconds = max(1.0, (context.deadline - time.monotonic()) / left)
        found["tools"][tool] = run(program, tool, min(seconds, 120.0))
        context.say(f"      {tool}: {found['tools'][tool]['said']}")
    said = [tool["said"] for tool in found["tools"].values()]
    found["passed"] = not any(text.endswith("errors") and text != "0 errors" for text in said)


def find() -> str | None:
    """The program on the PATH, in CUDA's folder, or in NVIDIA's packages."""
    folders = [os.environ.get(name, "") for name in ("CUDA_HOME", "CUDA_PATH")] + ["/usr/local/cuda"]
    places = [Path(folder, "bin") for folder in folders if folder]
    places += [path for entry in sys.path if entry for path in Path(entry).glob("nvidia/*/bin")]
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, places)])
    return shutil.which(PROGRAM, path=path)


def run(program: str, tool: str, seconds: float) -> dict[str, Any]:
    """One of its tools on `small`."""
    words = [program, "--tool", tool, "--error-exitcode", str(FOUND_SOMETHING), sys.executable, str(SMALL)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {"said": f"not done after {seconds:.0f} seconds"}
    output = done.stdout + done.stderr
    return {"said": summary(output, done.returncode), "code": done.returncode, "output": output[-4000:]}


def summary(output: str, code: int) -> str:
    """What it says in the end: how many errors, if it says so."""
    told = re.findall(r"(?:ERROR SUMMARY|RACECHECK SUMMARY): (\d+) (?:error|hazard)", output)
    if told and code in (0, FOUND_SOMETHING):
        return f"{told[-1]} errors"
    lines = [line for line in output.strip().splitlines() if line.strip()]
    return f"did not run (exit code {code}): {lines[-1] if lines else 'it said nothing'}"
