"""How time is taken on a GPU: by the device's own clock, everything in turn, round by round.

A call returns long before its kernels have run. So an event stands before and one behind them on the
stream, and the device notes the time at each. Before every call, memory larger than the device's cache is
written: no call finds in the cache what it or another one left there; what it has to write back for others
makes up for what it leaves there itself; and the device is busy while Python prepares the launches. What
Python takes for that is measured apart, as `Clock.host`.

Events stand on CuPy's current stream, by default the one that PyTorch's kernels run on, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from math import ceil
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from gnref.bench.results import Timing
from gnref.bench.timing import Run, order

LEAST_FLUSH = 256 << 20  # bytes; also long enough to prepare a few launches
CALLS = 5  # from whose median the time on the processor is guessed
MOST_FLUSHES = 50


class Clock:
    """The device's clock.

    Parameters
    ----------
    nbytes : int, optional
        How much is written before each call; by default four times the cache.
    """

    def __init__(self, nbytes: int | None = None) -> None:
        self.cupy = import_module("cupy")
        cache = int(self.cupy.cuda.Device().attributes["L2CacheSize"])
        size = (nbytes or max(LEAST_FLUSH, 4 * cache)) // 4
        self.scratch = self.cupy.zeros(size, np.float32)
        self.flush()
        self.flushing = self.once(self.flush, flushes=0)

    def flush(self) -> None:
        """Write more than the cache holds."""
        self.scratch.fill(1)

    def once(self, run: Run, flushes: int = 1) -> float:
        """Return the seconds that the kernels of one call take, with nothing of theirs in the cache."""
        events = self.cupy.cuda
        start, end = events.Event(), events.Event()
        for _ in range(flushes):
            self.flush()
        start.record()
        result = run()
        end.record()
        end.synchronize()
        del result  # not before: its memory would be another call's
        return float(events.get_elapsed_time(start, end)) / 1e3

    def host(self, run: Run) -> float:
        """Return the seconds until one call returns, whatever the device still has to do."""
        taken = []
        for _ in range(CALLS):
            self.cupy.cuda.Device().synchronize()
            start = perf_counter()
            run()
            taken.append(perf_counter() - start)
        self.cupy.cuda.Device().synchronize()
        return median(taken)

    def flushes(self, host: float) -> int:
        """How often to flush, so that the device is not done before Python has prepared a call."""
        return min(MOST_FLUSHES, 1 + ceil(1.5 * host / max(self.flushing, 1e-6)))

    def estimate(self, run: Run) -> float:
        """Return the least time of three calls, after one that may have to compile something."""
        run()
        flushes = self.flushes(self.host(run))
        return min(self.once(run, flushes) for _ in range(3))


def interleave(
    clock: Clock, runs: Mapping[str, Run], rounds: int
) -> tuple[dict[str, Timing], dict[str, float]]:
    """Time the participants in turn.

    Parameters
    ----------
    clock : Clock
        Of the device that they run on.
    runs : mapping of str to callable
        The participants, each called before.
    rounds : int
        How many are recorded, after one that is not: a device that had nothing to do has slowed down.

    Returns
    -------
    timings : dict of str to Timing
        Of the device.
    hosts : dict of str to float
        Seconds until a call returns.
    """
    names = list(runs)
    hosts = {name: clock.host(run) for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-1, rounds):
        for name in (names[i] for i in order(len(names), max(turn, 0))):
            took = clock.once(runs[name], clock.flushes(hosts[name]))
            if turn >= 0:
                seconds[name].append(took)
    return {name: Timing(tuple(taken)) for name, taken in seconds.items()}, hosts


def copies(x: Any) -> dict[str, Run]:
    """Functions that copy a CuPy array to one that is there already: a forward pass moves as many bytes."""
    cupy = import_module("cupy")
    source = cupy.ascontiguousarray(x).reshape(-1).copy()
    words = source.view(np.float32) if source.nbytes % 4 == 0 else source
    target = cupy.empty(words.shape, words.dtype)
    return {
        "copy, memcpy": lambda: target.data.copy_from_device_async(words.data, words.nbytes),
        "copy, kernel": lambda: cupy.positive(words, target),
    }
