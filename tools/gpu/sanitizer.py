"""NVIDIA's compute-sanitizer on a few launches: out of bounds, races, barriers, memory never written."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from gpu.processes import output_of
from gpu.session import Context, Found

PROGRAM = "compute-sanitizer"
# The last three are slow, and look at what does not depend on the dtype.
TOOLS = {
    "memcheck": ("float32", "float16"),
    **dict.fromkeys(("racecheck", "synccheck", "initcheck"), ("float32",)),
}
SMALL = Path(__file__).with_name("small.py")
FOUND_SOMETHING = 9


def check(context: Context, found: Found) -> None:
    """The step: ``found["passed"]`` is False where errors were found, and None where a tool did not tell."""
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
    errors = [tool["errors"] for tool in found["tools"].values()]
    found["passed"] = False if any(errors) else None if None in errors else True


def find() -> str | None:
    """The program on the PATH, in CUDA's folder, or in NVIDIA's packages."""
    folders = [os.environ.get(name, "") for name in ("CUDA_HOME", "CUDA_PATH")] + ["/usr/local/cuda"]
    places = [Path(folder, "bin") for folder in folders if folder]
    places += [path for entry in sys.path if entry for path in Path(entry).glob("nvidia/*/bin")]
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, places)])
    return shutil.which(PROGRAM, path=path)


def run(program: str, tool: str, seconds: float) -> dict[str, Any]:
    """One of its tools on `small`: how many errors, or None where it does not say."""
    words = [program, "--tool", tool, "--error-exitcode", str(FOUND_SOMETHING), sys.executable, str(SMALL)]
    output, code = output_of([*words, *TOOLS[tool]], seconds)
    if code is None:
        return {"said": f"not done after {seconds:.0f} seconds", "errors": None}
    errors, said = summary(output, code)
    return {"said": said, "errors": errors, "code": code, "output": output[-4000:]}


def summary(output: str, code: int) -> tuple[int | None, str]:
    """How many errors it tells of in the end, and that in words."""
    told = re.findall(r"ERROR SUMMARY: (\d+) error", output)
    races = re.findall(
        r"RACECHECK SUMMARY: (\d+) hazard.*?(?:\((\d+) errors?, (\d+) warnings?\))?$", output, re.M
    )
    if races:
        hazards, errors, warnings = races[-1]
        found, more = int(errors or hazards), f", {warnings} warnings" if warnings not in ("", "0") else ""
    elif told:
        found, more = int(told[-1]), ""
    if (told or races) and (found or code == 0 or (more and code == FOUND_SOMETHING)):
        return found, f"{found} errors{more}"
    if code == FOUND_SOMETHING:
        return 1, f"found errors (exit code {code})"
    lines = [line for line in output.strip().splitlines() if line.strip()]
    return None, f"did not run (exit code {code}): {lines[-1] if lines else 'it said nothing'}"
