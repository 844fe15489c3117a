"""Launching: the same kernel on one thread, in a parallel loop of Numba's, or in threads of our own.

A kernel has two versions, which give the same bits: serial(first, last, *args), compiled, does the items
first to last (sets, or examples); driver(pieces, first, last, *args) cuts the same work into pieces with
`prange`. The parallel loop starts fastest, and is safe where Numba's threads are those of OpenMP or TBB.
But it ends the process in a forked child (OpenMP), and when two Python threads meet in it (workqueue,
even if one of them runs a loop of the user's own). There, threads of our own call the serial version,
which has items to share out but cannot cut one: a single large set or example is then done by one thread.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from queue import SimpleQueue
from threading import RLock, Thread
from time import sleep
from typing import Any

import numba
from numba.np.ufunc import parallel as numba_threads

from gnref.kernels.cpu import options
from gnref.kernels.cpu.cache import kernel

SMALL = 65536  # elements: 10 us of work, about what it costs to start another thread
PIECES = 4  # for each thread of our own: one that is slow, or has other things to do, takes fewer


def pair(serial: Any, driver: Callable[..., None]) -> Launcher:
    """Join the two versions of a kernel: one compiled, one to be compiled when it is first needed."""
    return Launcher(serial, driver)


class Launcher:
    """A kernel, called with the first item, the one past the last, and how many elements they are.

    `serial` is an ordinary compiled function, which other compiled functions may call.
    """

    __slots__ = ("_parallel", "driver", "serial")

    def __init__(self, serial: Any, driver: Callable[..., None]) -> None:
        self.serial = kernel(serial)
        self.driver = driver
        self._parallel: Any = None

    def __call__(self, first: int, last: int, work: int, *args: Any) -> None:
        """Do the items."""
        if work < SMALL or (threads := count_threads()) == 1:
            self.serial(first, last, *args)
        elif uses_prange():
            self.parallel(threads, first, last, *args)
        elif (pieces := min(last - first, work // SMALL, PIECES * threads)) > 1:
            share(self.serial, first, last, pieces, threads - 1, args)
        else:
            self.serial(first, last, *args)

    @property
    def parallel(self) -> Any:
        """The driver, compiled for several threads."""
        if self._parallel is None:
            self._parallel = kernel(options.parallel(self.driver))
        return self._parallel


def count_threads() -> int:
    """As many threads as `numba.set_num_threads` allows here.

    Numba's own function takes two locks, one of which another thread may have held during a fork. What it
    then calls is there once Numba's threads are; before that nobody can have set a number.
    """
    count = getattr(numba_threads, "_get_num_threads", None)
    return int(numba.config.NUMBA_NUM_THREADS if count is None else count())


def threading_layer() -> str:
    """Tell what large problems run on, such as "omp (prange)" or "workqueue (thread pool)"."""
    if count_threads() == 1:
        return "one thread"
    way = "prange" if uses_prange() else "thread pool"
    try:
        return f"{numba.threading_layer()} ({way})"
    except ValueError:  # Numba has none, or was never asked for one
        return way


_prange: bool | None = None  # not known before the first large problem: until then Numba has no threads


def uses_prange() -> bool:
    """Whether this process may run parallel loops of Numba's at any time, in any thread."""
    global _prange
    if _prange is None:
        _prange = not forked_before_import() and not numba.config.DISABLE_JIT and has_safe_layer()
    return _prange


def has_safe_layer() -> bool:
    """Whether Numba's threads, which are started if need be, serve several Python threads at once."""
    torch = sys.modules.get("torch")
    ask = getattr(torch, "get_num_threads", int)  # absent while another thread imports it
    number = ask()
    try:
        numba.get_num_threads()
    except ValueError:  # the layer that NUMBA_THREADING_LAYER asks for cannot be loaded
        return False
    if torch is not None and ask() != number:
        torch.set_num_threads(number)  # its threads are OpenMP's as well, of which Numba just set the number
    return numba.threading_layer() in ("omp", "tbb")


def forked_before_import() -> bool:
    """Whether Numba's threads were started in a parent of this process, as far as one can tell.

    A process of `multiprocessing` in which they were there before this module was: either it was forked,
    or its user started them first, who loses some speed. A bare os.fork before the import goes unseen.
    """
    return _LAUNCHED and multiprocessing.parent_process() is not None


_LAUNCHED = hasattr(numba_threads, "_get_num_threads")


class Pool:
    """Threads that help with tasks."""

    __slots__ = ("lock", "size", "tasks")

    def __init__(self) -> None:
        self.tasks: SimpleQueue[Task] = SimpleQueue()
        self.size = 0
        self.lock = RLock()

    def ask(self, helpers: int, task: Task) -> None:
        """Let that many threads know about a task, or as many as the system allows."""
        if self.size < helpers:
            self.grow(helpers)
        for _ in range(min(helpers, self.size)):
            self.tasks.put(task)

    def grow(self, size: int) -> None:
        """Start threads. They end with the process."""
        with self.lock, suppress(RuntimeError):  # no more threads: the caller does the work
            while self.size < size:
                Thread(target=serve, args=(self.tasks,), name="gnref", daemon=True).start()
                self.size += 1


def serve(tasks: SimpleQueue[Task]) -> None:
    """What a thread of the pool does."""
    while True:
        tasks.get().help()


class Task:
    """Pieces of a range, which the caller and its helpers take until none is left."""

    __slots__ = ("args", "busy", "done", "function", "pieces")

    def __init__(self, function: Callable[..., None], pieces: list[tuple[int, int]], args: Any) -> None:
        self.function = function
        self.pieces = pieces
        self.args = args
        self.done: SimpleQueue[BaseException | None] = SimpleQueue()
        self.busy: list[None] = []

    def do_one(self) -> bool:
        """Do one piece, if there is one left."""
        try:
            first, last = self.pieces.pop()  # one operation: no two threads get the same piece
        except IndexError:
            return False
        self.function(first, last, *self.args)
        return True

    def help(self) -> None:
        """Do pieces in a thread of the pool, and report each."""
        self.busy.append(None)
        error, more = None, True
        while more and error is None:
            try:
                more = self.do_one()
            except BaseException as raised:
                error = raised
            if more:
                self.done.put(error)
        self.busy.pop()

    def stop(self) -> None:
        """Give up what is not begun and wait for what is: nobody writes once the caller has gone on."""
        self.pieces.clear()
        while self.busy:  # a helper is busy from before it takes a piece
            with suppress(KeyboardInterrupt):  # the first one is on its way
                sleep(0.001)


def share(function: Callable[..., None], first: int, last: int, pieces: int, helpers: int, args: Any) -> None:
    """Call function(first, last, *args) piece by piece, in this thread and in those of the pool."""
    cuts = [first + (last - first) * k // pieces for k in range(pieces + 1)]
    task = Task(function, list(pairwise(cuts)), args)
    try:
        _pool.ask(min(helpers, pieces - 1), task)
        others = pieces
        while task.do_one():
            others -= 1
        for _ in range(others):
            error = task.done.get()
            if error is not None:
                raise error
    except BaseException:
        task.stop()
        raise
    finally:
        task.args = ()  # the task may still be in the queue, and hold no arrays there


_pool = Pool()


def start_anew() -> None:
    """In a forked child: the threads are gone, and OpenMP does not survive."""
    global _pool, _prange
    _pool = Pool()
    _prange = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=start_anew)
