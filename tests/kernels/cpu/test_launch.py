import _thread
import ctypes
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("numba")

from gnref.kernels.cpu import launch

HERE = Path(__file__).parent
RUNS_ON = {"omp": "omp (prange)", "tbb": "tbb (prange)", "workqueue": "workqueue (thread pool)"}
TBB = Path(sys.prefix) / "lib" / "libtbb.so.12"  # where pip puts it, out of the linker's sight


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("numba")


@pytest.fixture(params=RUNS_ON)
def layer(request):
    if not is_installed(request.param):
        pytest.skip(f"{request.param} is not installed")
    return request.param


def is_installed(layer):
    try:
        if layer == "tbb":
            ctypes.CDLL(str(TBB) if TBB.exists() else "libtbb.so.12")
        elif layer == "omp":
            from numba.np.ufunc import omppool  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


@pytest.fixture
def start(cache_folder):
    """Start a process with a scenario; none is left behind, nor a child of one."""
    running = []

    def start_(what, target="driver", **environment):
        root = Path(launch.__file__).parents[3]
        paths = {"PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(cache_folder)}
        environment = paths | {"NUMBA_NUM_THREADS": "4"} | environment
        if environment.get("NUMBA_THREADING_LAYER") == "tbb":
            environment["LD_LIBRARY_PATH"] = str(TBB.parent)
        process = subprocess.Popen(
            [sys.executable, HERE / "scenarios.py", what, target],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        running.append(process)
        return process

    yield start_
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finish(process):
    """The last line of what a process writes, which must end well."""
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    return output.splitlines()[-1]


def test_threads_are_survived(start, layer):
    assert finish(start("masked,threads,region,inside", NUMBA_THREADING_LAYER=layer)) == RUNS_ON[layer]


@pytest.mark.parametrize("what", ["threads,region", "fork,forked_pool", "spawned_pool"])
def test_the_public_functions_survive_it_all(start, what, layer):
    finish(start(what, target="group_norm", NUMBA_THREADING_LAYER=layer))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
@pytest.mark.parametrize("what", ["fork,forked_pool", "fork_before_import"])
def test_forks_are_survived(start, what, layer):
    assert finish(start(what, NUMBA_THREADING_LAYER=layer)) == RUNS_ON[layer]


def test_spawned_processes_are_right(start):
    finish(start("spawned_pool"))


@pytest.mark.parametrize("threads", ["1", "5"])
def test_any_number_of_threads_is_right(start, threads):
    output = finish(start("threads", NUMBA_NUM_THREADS=threads))
    assert (output == "one thread") == (threads == "1")


def test_a_layer_that_cannot_be_loaded_leaves_the_thread_pool(start):
    assert finish(start("threads", NUMBA_THREADING_LAYER="nonesuch")) == "thread pool"


def test_without_the_compiler_the_thread_pool_runs(start):
    assert finish(start("threads", NUMBA_DISABLE_JIT="1")).endswith("thread pool")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for another process")
def test_an_interrupt_leaves_everything_usable(start, layer):
    process = start("interrupted", NUMBA_THREADING_LAYER=layer)
    assert process.stdout.readline() == "interrupted\n"
    for line in process.stdout:
        if line != "ready\n":
            break
        time.sleep(0.01 + random.random() / 100)
        process.send_signal(signal.SIGINT)
    process.wait(60)
    assert process.returncode == 0, line + process.stdout.read()
    assert line.strip() == RUNS_ON[layer]


@pytest.mark.parametrize(
    ("items", "work", "threads", "prange", "expected"),
    [
        (8, 0.9, 4, True, [(2, 10, "x")]),
        (8, 9, 1, True, [(2, 10, "x")]),
        (8, 1, 4, True, [(4, 2, 10, "x")]),
        (8, 2, 4, False, [(2, 6, "x"), (6, 10, "x")]),
        (8, 1.9, 4, False, [(2, 10, "x")]),
        (1, 9, 4, False, [(2, 3, "x")]),
        (16, 99, 2, False, [(k, k + 2, "x") for k in range(2, 18, 2)]),
    ],
)
def test_the_launcher_is_chosen(monkeypatch, items, work, threads, prange, expected):
    calls = []
    monkeypatch.setattr(launch, "kernel", lambda compiled: compiled)
    monkeypatch.setattr(launch, "count_threads", lambda: threads)
    monkeypatch.setattr(launch, "uses_prange", lambda: prange)
    launcher = launch.pair(lambda *args: calls.append(args), None)
    launcher._parallel = launcher.serial
    launcher(2, 2 + items, int(work * launch.SMALL), "x")
    assert sorted(calls) == expected


@pytest.mark.parametrize(("items", "pieces"), [(1, 1), (3, 2), (7, 3), (7, 7), (64, 5)])
@pytest.mark.parametrize("helpers", [0, 1, 4])
def test_every_item_is_done_once(items, pieces, helpers):
    done = []
    launch.share(lambda first, last: done.extend(range(first, last)), 3, 3 + items, pieces, helpers, ())
    assert sorted(done) == list(range(3, 3 + items))


def test_pieces_are_done_at_the_same_time():
    barrier = threading.Barrier(3)
    launch.share(lambda *_: barrier.wait(10), 0, 3, 3, 2, ())


def test_an_error_in_a_helper_reaches_the_caller():
    failing = threading.Event()

    def piece(*_):
        if threading.current_thread() is not threading.main_thread():
            failing.set()
            raise MemoryError
        assert failing.wait(10)

    with pytest.raises(MemoryError):
        launch.share(piece, 0, 2, 2, 1, ())


def test_an_interrupted_call_waits_for_its_helpers():
    begun, interrupted, written = threading.Event(), threading.Event(), []

    def piece(*_):
        if threading.current_thread() is threading.main_thread():
            assert begun.wait(10)
            interrupted.set()
            raise KeyboardInterrupt
        begun.set()
        assert interrupted.wait(10)
        time.sleep(0.05)
        _thread.interrupt_main()  # once more, in the wait
        time.sleep(0.05)
        written.append(True)

    with pytest.raises(KeyboardInterrupt):
        launch.share(piece, 0, 2, 2, 1, ())
    assert written == [True]


def test_an_interrupted_call_leaves_nothing_to_do(nobody):
    def piece(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch.share(piece, 0, 5, 5, 4, ())
    assert nobody.tasks.get().pieces == []


@pytest.fixture
def nobody(monkeypatch):
    """A thread pool without threads, which takes tasks all the same."""
    pool = launch.Pool()
    pool.size = 100
    monkeypatch.setattr(launch, "_pool", pool)
    return pool


def test_a_call_needs_no_helper(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(launch, "_pool", launch.Pool())
    monkeypatch.setattr(threading.Thread, "start", refuse)
    test_every_item_is_done_once(7, 5, 4)


def test_arguments_are_not_kept_in_the_queue(nobody):
    launch.share(lambda *_: None, 0, 5, 5, 4, ("x",))
    assert nobody.tasks.get().args == ()
