"""What a user's process may do, each of which has killed or hung one that runs Numba in parallel.

python scenarios.py WHAT[,WHAT...] TARGET

does some of them with one of the TARGETS, checks all results, and prints the threading layer.
"""

import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

SHAPE = 80, 1024  # enough for several threads


def driver(x):
    """Returns what writes the result for x into y, and what must be there then."""
    from driver import add_row_sums  # late: `fork_before_import` forks first

    return lambda y: add_row_sums(0, len(x), x.size, x, y), x + x.sum(axis=1, keepdims=True)


def group_norm(x):
    import gnref

    x4 = x.reshape(4, 20, 32, 32)
    expected = gnref.group_norm(x4, 4, backend="reference").reshape(SHAPE)
    return lambda y: gnref.group_norm(x4, 4, backend="cpu", out=y.reshape(x4.shape)), expected


TARGETS = {"driver": driver, "group_norm": group_norm}


def check(seed, y=None):
    y = np.zeros(SHAPE) if y is None else y
    run, expected = target(np.random.default_rng(seed).integers(-99, 99, SHAPE).astype(float))
    run(y)
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-9)


@numba.njit(parallel=True, nogil=True)
def users_own(x):
    total = 0.0
    for i in numba.prange(x.size):
        total += x[i]
    return total


def threads():
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(check, range(32)))


def region():
    """A parallel loop of the user's own at the same time, in another thread."""
    check(0)
    x = np.arange(1000.0)
    stop, sums = threading.Event(), []

    def loop():
        while not stop.is_set():
            sums.append(users_own(x))

    other = threading.Thread(target=loop)
    other.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(check, range(100)))
    finally:
        stop.set()
        other.join()
    assert set(sums) == {x.sum()}


def inside():
    """The serial version called in a parallel loop of the user's own."""
    from driver import add_row_sums

    serial = add_row_sums.serial

    @numba.njit(parallel=True)
    def rows(x, y):
        for i in numba.prange(len(x)):
            serial(i, i + 1, x, y)

    x = np.arange(80 * 1024.0).reshape(SHAPE)
    y = np.zeros(SHAPE)
    rows(x, y)
    np.testing.assert_array_equal(y, x + x.sum(axis=1, keepdims=True))


def fork():
    """A child, its threads, a child of its own, and the parent after that."""
    check(0)
    in_child(lambda: (check(1), threads(), helpers(), in_child(lambda: check(2))))
    check(3)


def helpers():
    """The thread pool is alive."""
    from gnref.kernels.cpu.launch import share

    barrier = threading.Barrier(3)
    share(lambda *_: barrier.wait(10), 0, 3, 3, 2, ())


def in_child(function):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def processes(method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        pool.map(check, range(8))


def forked_pool():
    check(0)
    processes("fork")
    check(1)


def spawned_pool():
    check(0)
    processes("spawn")
    check(1)


def fork_before_import():
    """The parent has used Numba's threads, but not this package."""
    users_own(np.ones(1000))
    assert not any(name.startswith("gnref") for name in sys.modules)
    processes("fork")


def masked():
    """As many threads as the user allows, whether or not Numba has started its own."""
    from gnref.kernels.cpu import launch

    assert launch.count_threads() == numba.config.NUMBA_NUM_THREADS
    for allowed in 2, 1, 3:
        numba.set_num_threads(allowed)
        assert launch.count_threads() == allowed
        check(allowed)


def interrupted():
    """Control-C, as soon as "ready" is read, over and over; then right results, in the same array."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    run, _ = target(np.ones(SHAPE))
    y = np.zeros(SHAPE)
    run(y)  # Numba itself does not survive an interrupt while it starts
    for seed in range(10):
        try:
            print("ready", flush=True)
            while True:
                run(y)
        except KeyboardInterrupt:
            check(seed, y)


if __name__ in ("__main__", "__mp_main__"):  # the second in spawned processes
    target = TARGETS[sys.argv[2]]
if __name__ == "__main__":
    if hasattr(signal, "alarm"):
        signal.alarm(60)  # whatever happens to the tests, this process ends
    for what in sys.argv[1].split(","):
        print(what, flush=True)
        globals()[what]()
    from gnref.kernels.cpu.launch import threading_layer

    print(threading_layer())
