"""Ways to launch, and smaller chunks under NUMBA_DISABLE_JIT."""

import numba
import pytest

WAYS = "one thread", "prange", "thread pool"

# Sets of several chunks, and results that are written past the caches, would take minutes to compute.
IN_SMALL = {"CHUNK": 512, "ROWS": 16, "BLOCK": 32, "SHORT": 128, "NEAR": 256, "FAR": 512}
IN_SMALL |= {"OWN": 4096, "STREAM": 8192}


def use_small_chunks():
    from gnref.kernels import cpu
    from gnref.kernels.cpu import (
        arrays,
        columns,
        columns_backward,
        rows,
        rows_backward,
        sums,
        trailing,
        trailing_backward,
    )

    modules = cpu, arrays, sums, rows, columns, trailing, rows_backward, columns_backward, trailing_backward
    for own in map(vars, modules):
        own.update({name: size for name, size in IN_SMALL.items() if name in own})


if numba.config.DISABLE_JIT:
    use_small_chunks()  # before a test module looks at them


@pytest.fixture
def launched(monkeypatch):
    """A function that sends every later launch one of the WAYS, in three pieces or more."""
    from gnref.kernels import cpu
    from gnref.kernels.cpu import launch

    def launched(way):
        assert way in WAYS
        monkeypatch.setattr(cpu, "SMALL", 0)  # nothing goes the way of small problems
        monkeypatch.setattr(launch, "SMALL", 1 << 60 if way == "one thread" else 1)
        monkeypatch.setattr(launch, "_prange", way == "prange")
        monkeypatch.setattr(launch, "count_threads", lambda: 3)

    return launched
