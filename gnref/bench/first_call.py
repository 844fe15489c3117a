"""The first call in a fresh process: with nothing compiled, and with what an earlier process compiled."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from gnref.bench.process import output_of

REPEATS = 3
OWN = """
import time
import numpy as np
import gnref
x, w = np.random.default_rng(0).standard_normal((2, 64, 16, 16), np.float32), np.ones(64, np.float32)
start = time.perf_counter()
y, saved = gnref.group_norm_forward(x, 8, w, w)
middle = time.perf_counter()
gnref.backward(y, saved)
print(middle - start, time.perf_counter() - middle)
"""
# The least that any function of Numba needs: to import Numba, and to find its machine code in the cache.
TRIVIAL = """
import time
import numpy as np
start = time.perf_counter()
from trivial import add
add(np.ones(4, np.float32))
print(time.perf_counter() - start, 0.0)
"""
MODULE = """
from numba import njit

@njit(cache=True)
def add(x):
    return x + x
"""


class FirstCalls(NamedTuple):
    """Seconds of first calls."""

    forward: float
    backward: float  # after the forward one


def first_calls(trivial: bool = False) -> tuple[FirstCalls, FirstCalls]:
    """Measure with an empty cache of Numba's, once, and with a full one, a few times.

    Parameters
    ----------
    trivial : bool
        Whether to measure the smallest function there could be in the place of group norm.

    Returns
    -------
    cold, warm : FirstCalls
        Numba's own import is within the forward one, those of NumPy and gnref are not.
    """
    with TemporaryDirectory() as folder:
        Path(folder, "trivial.py").write_text(MODULE, encoding="utf-8")
        code = TRIVIAL if trivial else OWN
        cold, *warm = (_fresh(code, folder) for _ in range(1 + REPEATS))
    return cold, FirstCalls(*(median(numbers) for numbers in zip(*warm, strict=True)))


def _fresh(code: str, folder: str) -> FirstCalls:
    """Run lines in a new process whose cache and modules are in a folder."""
    path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "NUMBA_CACHE_DIR": folder, "PYTHONPATH": path}
    return FirstCalls(*map(float, output_of(["-c", code], environment).split()))
