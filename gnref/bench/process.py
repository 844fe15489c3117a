"""Python in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence


def output_of(words: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Return what a Python process prints.

    Raises
    ------
    RuntimeError
        It failed; the message is the last line of its complaint.
    """
    done = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise RuntimeError(f"a process failed: {lines[-1] if lines else done.returncode}")
    return done.stdout
