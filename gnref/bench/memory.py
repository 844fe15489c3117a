"""The memory that a call takes at its peak, besides what was there before it; in a fresh process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from gnref.bench.case import draw
from gnref.bench.grid import Row
from gnref.bench.own import Own, use_threads
from gnref.bench.process import output_of

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory(row: Row, threads: int, out: bool = False) -> float:
    """Measure a call of gnref in a process of its own.

    Parameters
    ----------
    row : Row
        The call. Its array should have more than 32 MB, or the allocator is what is measured.
    threads : int
        How many gnref may use.
    out : bool
        Whether the result goes into an array that is there already.

    Returns
    -------
    peak : float
        In units of x: 1 is the result and nothing else, with ``out`` 0.
    """
    return float(output_of(["-m", "gnref.bench.memory", json.dumps([row, threads, out])]))


def peak_of(run: Callable[[], object]) -> int:
    """Return the bytes by which the memory of this process grows during a call, at most."""
    if CLEAR.exists():  # Linux
        CLEAR.write_text("5", encoding="ascii")  # forget the peak until now
        before = _status("VmRSS")
        run()
        return _status("VmHWM") - before
    before = _largest()
    run()
    return _largest() - before


def _status(name: str) -> int:
    """A number of bytes that Linux tells about this process."""
    line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def _largest() -> int:
    """The most memory that this process ever had, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(words: str) -> None:
    """Measure in this process and print the result."""
    os.environ["GNREF_KEEP_MB"] = "0"  # memory that an earlier result left would hide what this one takes
    fields, threads, out = json.loads(words)
    row = Row._make(tuple(value) if isinstance(value, list) else value for value in fields)
    use_threads(threads)
    own = Own(draw(row))
    run = own.run_out if out else own.run
    run()  # compiles, and starts threads
    print(peak_of(run) / row.nbytes)


if __name__ == "__main__":
    main(sys.argv[1])
