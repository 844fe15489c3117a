"""A communicator whose ranks are threads of one process: what tutorial 13 runs on where there is no MPI."""

# ruff: noqa: N802 - the names are those of mpi4py

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

Array = np.ndarray[Any, Any]
T = TypeVar("T")


class ThreadComm:
    """What one rank holds of a communicator: its number, and boxes that all ranks put their rows into.

    It has what `gnref.distributed` calls of a communicator of mpi4py, and no more.

    Parameters
    ----------
    rank, size : int
        Which rank this is, and how many there are.
    boxes : dict
        Shared by all ranks: by the number of an exchange, until all have sent, what each rank sends.
    errors : list
        Shared by all ranks: what ended one of them.
    """

    def __init__(
        self, rank: int, size: int, boxes: dict[int, dict[int, Array]], errors: list[BaseException]
    ) -> None:
        self.rank, self.size, self.boxes, self.errors = rank, size, boxes, errors
        self.calls = 0

    def Get_rank(self) -> int:
        """The number of this rank."""
        return self.rank

    def Get_size(self) -> int:
        """How many ranks there are."""
        return self.size

    def Is_inter(self) -> bool:
        """Whether it joins two groups of ranks."""
        return False

    def Ialltoallv(self, send: Array, received: Array) -> Request:
        """Start to send one row to each rank, and to receive one from each; wait for nobody."""
        self.calls += 1
        box = self.boxes.setdefault(self.calls, {})
        box[self.rank] = send.copy()
        if len(box) == self.size:  # nobody will look for it
            self.boxes.pop(self.calls, None)
        return Request(box, self, received)


class Request:
    """An exchange that was started."""

    def __init__(self, box: dict[int, Array], comm: ThreadComm, received: Array) -> None:
        self.box, self.comm, self.received = box, comm, received

    def Test(self) -> bool:
        """Take what has come; whether that is all."""
        came = dict(self.box)
        for rank, rows in came.items():
            self.received[rank] = rows[self.comm.rank]
        if len(came) < self.comm.size and self.comm.errors:
            raise RuntimeError("a rank has ended by an error, and will send no more")
        return len(came) == self.comm.size


def on_ranks(size: int, work: Callable[[ThreadComm], T]) -> list[T]:
    """Call ``work(comm)`` on ``size`` ranks at once, and return what it returns on each.

    An error on one rank ends all, and is raised: the first one.

    Examples
    --------
    >>> on_ranks(3, lambda comm: comm.Get_rank())
    [0, 1, 2]
    """
    boxes: dict[int, dict[int, Array]] = {}
    errors: list[BaseException] = []

    def run(rank: int) -> T:
        try:
            return work(ThreadComm(rank, size, boxes, errors))
        except BaseException as error:
            errors.append(error)
            raise

    with ThreadPoolExecutor(size) as pool:
        found = [pool.submit(run, rank) for rank in range(size)]
    if errors:
        raise errors[0]
    return [future.result() for future in found]
