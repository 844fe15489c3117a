"""The same rows on CuPy arrays: gnref's CUDA kernels beside PyTorch's on the device, and a copy there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

from gnref.bench.case import Case, draw
from gnref.bench.events import Clock, copies, interleave
from gnref.bench.grid import Row
from gnref.bench.own import Own
from gnref.bench.peers import Peer
from gnref.bench.results import Outcome, Result
from gnref.bench.runner import OWN, OWN_OUT, Ready, prepare
from gnref.bench.timing import Run
from gnref.errors import BackendError


def bench(
    rows: Sequence[Row], peers: Mapping[str, Peer], rounds: int = 15, clock: Clock | None = None
) -> Iterator[Result]:
    """Measure the rows one by one, on the current device.

    Parameters
    ----------
    rows : sequence of Row
        From `gnref.bench.grid`.
    peers : mapping of str to Peer
        From `gnref.bench.peers.load`, for the device.
    rounds : int
        How often each participant is timed.
    clock : Clock, optional
        A clock that is there already.

    Yields
    ------
    result : Result
        One for each row.
    """
    clock = Clock() if clock is None else clock
    for row in rows:
        yield measure(draw(row), peers, rounds, clock)


def measure(case: Case, peers: Mapping[str, Peer], rounds: int, clock: Clock) -> Result:
    """Measure one row."""
    cupy = clock.cupy
    given = to_device(case)
    own = Own(given, "cuda")
    expected = tuple(map(cupy.asnumpy, own.arrays(own.run())))
    outcomes: dict[str, Outcome] = {}
    runs: dict[str, Run] = {OWN: own.run, OWN_OUT: own.run_out}
    for name, peer in peers.items():
        found = prepare(peer, case, expected, clock.estimate)
        if isinstance(found, Ready):
            outcomes[name], runs[name] = found.outcome, found.run
        else:
            outcomes[name] = found
    copying = copies(given.x)
    runs |= copying
    del given, expected
    for run in (own.run_out, *copying.values()):
        run()
    timings, hosts = interleave(clock, runs, rounds)
    return Result(
        case.row,
        timings[OWN],
        timings[OWN_OUT] if case.row.large else None,
        {name: replace(outcome, timing=timings.get(name)) for name, outcome in outcomes.items()},
        {name.removeprefix("copy, "): timings[name] for name in copying},
        hosts={name: hosts[name] for name in runs if name not in copying},
    )


def to_device(case: Case) -> Case:
    """The case in CuPy arrays."""
    cupy = import_module("cupy")
    return Case(case.row, *map(cupy.asarray, case[1:]))


def require() -> None:
    """Raise one sentence where no kernel can run."""
    import gnref

    found = gnref.backends()["cuda"]
    if found != "ready":
        raise BackendError(f"backend is 'cuda', which is not ready: {found}")


def describe() -> dict[str, Any]:
    """Return what the device is, and what drives it."""
    cupy = import_module("cupy")
    device, runtime = cupy.cuda.Device(), cupy.cuda.runtime
    told, attributes = runtime.getDeviceProperties(device.id), device.attributes
    name, capability = told["name"], str(device.compute_capability)
    return {
        "device": name.decode() if isinstance(name, bytes) else str(name),
        "capability": f"{capability[:-1]}.{capability[-1]}",
        "multiprocessors": attributes["MultiProcessorCount"],
        "memory": int(told["totalGlobalMem"]),
        "cache": attributes["L2CacheSize"],
        "driver": dotted(runtime.driverGetVersion()),
        "runtime": dotted(runtime.runtimeGetVersion()),
    }


def dotted(version: int) -> str:
    """CUDA's way to write a version, in the usual one.

    Examples
    --------
    >>> dotted(13020)
    '13.2'
    """
    return f"{version // 1000}.{version % 1000 // 10}"
