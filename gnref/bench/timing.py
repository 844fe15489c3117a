"""How time is taken: everything in turn, round by round, so that whatever disturbs the machine disturbs all.

A round calls every participant once, a short one many times in a row. The order changes from round to
round such that each stands in each place, and behind each other, equally often.

The idle threads of a library do not sleep at once: those of OpenMP look for more work for some 5 ms, and
would take a core from the next participant. So each is called without being timed until they are gone. Nobody
sleeps, and nobody's threads are told how to wait.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from time import perf_counter

from gnref.bench.results import Timing

Run = Callable[[], object]
LEAST = 2e-3  # seconds for which a participant is timed in a round, at least
SETTLE = 10e-3  # seconds for which it is called before that
LONG = 0.1  # a call that takes so long is timed at once: the others' threads are a small part of it
TRIAL, MOST = 20e-3, 20  # seconds, or calls, from which a time is guessed
SLOW, EVERY = 10.0, 5  # so many times slower than the fastest one, it takes part in every fifth round only


def order(count: int, turn: int) -> list[int]:
    """Return the order of a round: a Williams square, which balances places and neighbours.

    Examples
    --------
    >>> order(4, 0), order(4, 1)
    ([0, 1, 3, 2], [1, 2, 0, 3])
    """
    zigzag = [(i + 1) // 2 if i % 2 else -(i // 2) for i in range(count)]
    turned = [(place + turn) % count for place in zigzag]
    # With an odd count, neighbours balance only together with the reversed orders.
    return turned[::-1] if count % 2 and turn // count % 2 else turned


def estimate(run: Run) -> float:
    """Return the least time of a few calls, after one that may have to compile or start something."""
    run()
    times = [once(run)]
    while sum(times) < TRIAL and len(times) < MOST:
        times.append(once(run))
    return min(times)


def settle(run: Run) -> None:
    """Call for a while, until the threads of the participant before have gone to sleep."""
    end = perf_counter() + SETTLE
    while perf_counter() < end:
        run()


def once(run: Run, calls: int = 1) -> float:
    """Return the time of a call, as the mean of several."""
    start = perf_counter()
    for _ in range(calls):
        run()
    return (perf_counter() - start) / calls


def interleave(
    runs: Mapping[str, Run], rounds: int, estimates: Mapping[str, float] | None = None
) -> dict[str, Timing]:
    """Time the participants in turn.

    Parameters
    ----------
    runs : mapping of str to callable
        The participants. What a call returns is dropped at once, within its time.
    rounds : int
        How many are recorded, after one that is not.
    estimates : mapping of str to float, optional
        Roughly the time of each, in seconds.

    Returns
    -------
    timings : dict of str to Timing
        A slow participant has fewer times than the others, though one at least.
    """
    names = list(runs)
    if estimates is None:
        estimates = {name: estimate(run) for name, run in runs.items()}
    calls = {name: max(1, ceil(LEAST / estimates[name])) for name in names}
    slow = {name for name in names if estimates[name] > max(0.05, SLOW * min(estimates.values()))}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with _no_collection():
        for turn in range(-1, rounds):
            for name in (names[i] for i in order(len(names), max(turn, 0))):
                if name in slow and turn % EVERY:
                    continue
                if estimates[name] < LONG:
                    settle(runs[name])
                took = once(runs[name], calls[name])
                if turn >= 0:
                    seconds[name].append(took)
    return {name: Timing(tuple(seconds[name]), calls[name]) for name in names}


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python's garbage collector from running within somebody's time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
