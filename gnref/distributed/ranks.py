"""Ranks that agree before they exchange numbers, and that do not wait for ever.

Every call here is two exchanges. In the first each rank says in a few words what it is about to do, or why
it cannot. All ranks read the same words, so all find the same fault and raise. Only when there is none do
they exchange numbers, whose size all know by then.

An exchange is a non-blocking operation of MPI that is asked again and again whether it is done, until time
is up. Each rank sends one row to all, as in an all-gather; it is an all-to-all of the general
kind since that one goes straight from rank to rank, where others relay: so the error can tell who is silent.
"""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any, TypeVar

import numpy as np

Array = np.ndarray[Any, Any]
T = TypeVar("T")

TIMEOUT = 600.0
SIZE = 1024  # bytes for what a rank says
IMPATIENT, LONGEST_PAUSE = 1e-3, 1e-3  # seconds: before the first sleep, and of one sleep
REFUSAL = "!"  # how the words of a rank begin that cannot take part
CALLS = itertools.count(1)

# Let others run. Where there is no such call, on Windows, a sleep of 0 is one; on Linux it takes 80 us.
give_way: Callable[[], Any] = getattr(os, "sched_yield", lambda: time.sleep(0))

# Communicators on which an exchange was given up, with the exchange: MPI may still write to its memory.
LOST: list[tuple[Any, ...]] = []


class RankError(RuntimeError):
    """Ranks that disagree, or another rank that refused its arguments, failed or is silent."""


def together(comm: Any, timeout: Any, prepare: Callable[[], tuple[T, Iterable[str]]]) -> tuple[T, int]:
    """Run ``prepare`` here, and go on only if it went well and says the same on every rank.

    Parameters
    ----------
    comm : communicator
        Of mpi4py.
    timeout : float
        Seconds.
    prepare : callable
        Returns anything, and what must be the same on all ranks: "has C = 16".

    Returns
    -------
    made : object
        What ``prepare`` made.
    number : int
        The same on all ranks, and another one in every call.

    Raises
    ------
    Exception
        What ``prepare`` raised on this rank.
    RankError
        It raised on another rank; ranks say different things; or one says nothing.
    """
    check_comm(comm)
    limit, said = TIMEOUT, [str(next(CALLS))]
    failure: Exception | None = None
    try:
        limit = check_timeout(timeout)
        made, terms = prepare()
        said += terms
    except Exception as error:  # the other ranks must hear of it, whatever it is
        failure = error
        verb = "refused its arguments" if isinstance(error, TypeError | ValueError) else "failed"
        said = [f"{REFUSAL}{verb}: {type(error).__name__}: {error}"]
    except BaseException:  # an interrupt: the others go on without this rank, and its next call is not theirs
        LOST.append((comm,))
        raise
    heard = [words.split("\n") for words in map(decode, gather(comm, encode("\n".join(said)), limit))]
    if failure is not None:
        raise failure
    for rank, words in enumerate(heard):
        if words[0].startswith(REFUSAL):
            told = "\n".join(words)
            raise RankError(f"rank {rank} {told.removeprefix(REFUSAL)}")
    for rank, words in enumerate(heard):
        for own, first in zip(words[1:], heard[0][1:], strict=False):
            if own != first:
                raise RankError(f"rank {rank} {own} and rank 0 {first}; expected the same on every rank")
    return made, int(heard[0][0])


def encode(words: str) -> Array:
    """Text as a row of bytes, cut to their size."""
    return np.frombuffer(words.encode(errors="replace")[:SIZE].ljust(SIZE, b"\0"), np.uint8)


def decode(row: Array) -> str:
    """The text in a row of bytes; what was cut in the middle of a letter loses that letter."""
    return row.tobytes().rstrip(b"\0").decode(errors="ignore")


def gather(comm: Any, row: Array, timeout: float) -> Array:
    """Return the rows of all ranks, in their order: (R, n) from (n,), the same on every rank."""
    R = comm.Get_size()
    if R == 1:
        return row[None]
    if any(comm == lost for lost, *_ in LOST):
        raise RankError(f"an earlier exchange on this communicator was given up. {ADVICE}")
    send = np.tile(np.append(np.ones(1, row.dtype), row), (R, 1))  # a 1 tells what has come from what has not
    received = np.zeros_like(send)
    request = None
    try:
        request = comm.Ialltoallv(send, received)
        done = wait(request, timeout)
    except BaseException as error:
        LOST.append((comm, request, send, received))
        if not isinstance(error, Exception):
            raise
        raise RankError(f"the communicator failed: {type(error).__name__}: {error}. {ADVICE}") from error
    if not done:
        LOST.append((comm, request, send, received))
        silent = [str(rank) for rank in range(R) if received[rank, 0] == 0]
        who = f"rank{'s' if len(silent) > 1 else ''} {', '.join(silent)}" if silent else "some rank"
        raise RankError(
            f"no answer from {who} within {timeout:g} s (ended, failed, or doing something else). {ADVICE}"
        )
    if (received[:, 0] != 1).any():
        LOST.append((comm, request, send, received))
        raise RankError(f"ranks are out of step: one sent what belongs to another exchange. {ADVICE}")
    return received[:, 1:]


ADVICE = (
    "Nothing more can be done on this communicator: end all ranks with comm.Abort(1), "
    "or run Python as `python -m mpi4py`, which does so after an uncaught error"
)


def wait(request: Any, timeout: float) -> bool:
    """Whether an exchange was done before time was up."""
    start = time.monotonic()
    while not request.Test():
        waited = time.monotonic() - start
        if waited >= timeout:
            return False
        if waited < IMPATIENT:
            give_way()
        else:  # one who waits long takes no processor
            time.sleep(min(waited / 8, LONGEST_PAUSE, timeout - waited))
    return True


def check_timeout(timeout: Any) -> float:
    """Return timeout as a float, or raise unless it is a number of seconds > 0 (infinity is one)."""
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise TypeError(f"timeout is {timeout!r}; expected a number of seconds > 0")
    try:
        seconds = float(timeout)
    except OverflowError:
        seconds = -math.inf if timeout < 0 else math.inf
    if not seconds > 0:
        raise ValueError(f"timeout is {timeout!r}; expected a number of seconds > 0")
    return seconds


def check_comm(comm: Any) -> None:
    """Raise unless comm is a communicator within which ranks can talk."""
    if not all(hasattr(comm, name) for name in ("Get_size", "Is_inter", "Ialltoallv")):
        raise TypeError(f"comm is a {type(comm).__name__}; expected a communicator of mpi4py")
    if not comm:
        raise ValueError("comm is the null communicator; expected one that this rank is in")
    if comm.Is_inter():
        raise ValueError("comm is an intercommunicator; expected an intracommunicator")
