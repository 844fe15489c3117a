"""From rows and peers to results: check each peer against gnref, pick its fastest way, time all in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gnref.bench.case import Array, Case, draw
from gnref.bench.copies import copies
from gnref.bench.grid import Row
from gnref.bench.own import Own, use_threads
from gnref.bench.peers import Peer, Refusal, Way, one_line
from gnref.bench.results import Outcome, Result
from gnref.bench.timing import Run, estimate, interleave

COMPARED = 4_000_000  # numbers of a result, about, at most
TOLERANCE = 1e-2  # loose: it is there to find another norm, not another rounding
OWN, OWN_OUT = "gnref", "gnref, out="


class Ready(NamedTuple):
    """A peer that is about to be timed on a row."""

    outcome: Outcome  # without its timing
    run: Run
    seconds: float  # roughly


def bench(rows: Sequence[Row], peers: Mapping[str, Peer], threads: int, rounds: int = 15) -> Iterator[Result]:
    """Measure the rows one by one.

    Parameters
    ----------
    rows : sequence of Row
        From `gnref.bench.grid`.
    peers : mapping of str to Peer
        From `gnref.bench.peers.load`, for the same number of threads.
    threads : int
        For gnref and the copies.
    rounds : int
        How often each participant is timed.

    Yields
    ------
    result : Result
        One for each row.
    """
    use_threads(threads)
    with ThreadPoolExecutor(threads) as pool:
        for row in rows:
            yield measure(row, peers, threads, rounds, pool)


def measure(
    row: Row, peers: Mapping[str, Peer], threads: int, rounds: int, pool: ThreadPoolExecutor
) -> Result:
    """Measure one row."""
    case = draw(row)
    own = Own(case)
    expected = own.arrays(own.run())
    outcomes: dict[str, Outcome] = {}
    runs: dict[str, Run] = {OWN: own.run, **({OWN_OUT: own.run_out} if row.large else {})}
    estimates = {}
    for name, peer in peers.items():
        found = prepare(peer, case, expected)
        if isinstance(found, Ready):
            outcomes[name], runs[name], estimates[name] = found
        else:
            outcomes[name] = found
    copying = copies(case.x, pool, threads)
    runs |= copying
    estimates |= {name: estimate(run) for name, run in runs.items() if name not in estimates}
    del case, expected
    timings = interleave(runs, rounds, estimates)
    return Result(
        row,
        timings[OWN],
        timings.get(OWN_OUT),
        {name: replace(outcome, timing=timings.get(name)) for name, outcome in outcomes.items()},
        {name.removeprefix("copy, "): timings[name] for name in copying},
    )


def prepare(
    peer: Peer, case: Case, expected: tuple[Array, ...], guess: Callable[[Run], float] = estimate
) -> Ready | Outcome:
    """Find a peer's fastest way to the right result, or say why there is none; ``guess`` times roughly."""
    try:
        ways = peer.ways(case)
    except Refusal as refusal:
        return Outcome("none", reason=str(refusal))
    except Exception as error:  # a peer's trouble with a row is a result like others
        return Outcome("failed", reason=one_line(error))
    tried = [attempt(name, way, expected, guess) for name, way in ways.items()]
    good = [t for t in tried if isinstance(t, Ready)]
    if good:
        return min(good, key=lambda ready: ready.seconds)
    return next(t for t in tried if isinstance(t, Outcome))


def attempt(
    name: str, way: Way, expected: tuple[Array, ...], guess: Callable[[Run], float] = estimate
) -> Ready | Outcome:
    """Run one way, compare its result, and time it roughly."""
    try:
        error = difference(way.arrays(way.run()), expected)
        if not error <= TOLERANCE:
            return Outcome(
                "wrong", name, f"its result is off by {error:.1e} of gnref's largest number", error
            )
        return Ready(Outcome("timed", name, error=error), way.run, guess(way.run))
    except Exception as error:
        return Outcome("failed", name, one_line(error))


def difference(found: tuple[Array, ...], expected: tuple[Array, ...]) -> float:
    """The largest difference of two results, over the largest number expected; NaN if there is one."""
    worst = 0.0
    for a, b in zip(found, expected, strict=True):
        if a.shape != b.shape:
            raise ValueError(f"a result has shape {a.shape}; expected {b.shape}")
        wide = np.float64 if b.dtype.itemsize > 4 else np.float32
        a, b = part(a), part(b)
        a, b = a.astype(wide, copy=False), b.astype(wide, copy=False)
        worst = float(np.maximum(worst, np.abs(a - b).max() / np.abs(b).max()))
    return worst


def part(a: Array) -> Array:
    """Enough of a large array, from all over it, to find another norm.

    Examples
    --------
    >>> part(np.zeros((6, 4_000_000))).shape
    (6, 571429)
    """
    flat = a.reshape(len(a), -1) if a.ndim > 1 else a
    step = -(-a.size // COMPARED)
    return flat if step <= 1 else flat[..., :: step | 1]  # odd, so that it meets every channel
