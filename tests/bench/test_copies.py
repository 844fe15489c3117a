import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np
import pytest

from gnref.bench import copies as module
from gnref.bench.copies import STREAM, copies


@pytest.fixture
def written(monkeypatch):
    """The targets that were copied to."""
    targets, real = [], np.zeros_like

    def zeros_like(a):
        targets.append(real(a))
        return targets[-1]

    monkeypatch.setattr(module.np, "zeros_like", zeros_like)
    return targets


@pytest.mark.parametrize("threads", [1, 3])
def test_every_copy_copies_everything(threads, written):
    x = np.random.default_rng(0).standard_normal((5, 101, 103), np.float32)
    with ThreadPoolExecutor(threads) as pool:
        found = copies(x, pool, threads)
        assert ("copy, threads" in found) == (threads > 1)
        for copy in found.values():
            written[0][:] = 0
            copy()
            assert written[0].tobytes() == x.tobytes()


def test_a_small_array_wakes_no_threads():
    with ThreadPoolExecutor(2) as pool:
        assert "copy, threads" not in copies(np.ones(100, np.float16), pool, 2)


def test_gnrefs_own_copy_is_used_where_it_is(monkeypatch, written):
    stand_in = ModuleType(STREAM)
    stand_in.copy = lambda target, source: np.multiply(source, 3, out=target)
    monkeypatch.setitem(sys.modules, STREAM, stand_in)
    monkeypatch.setattr(module, "find_spec", lambda name: True)
    copies(np.ones(8, np.float32), None, 3)["copy, streaming"]()
    assert written[0].view(np.float32).tolist() == [3] * 8


def test_without_it_two_are_left(monkeypatch):
    monkeypatch.setitem(sys.modules, STREAM, None)
    assert set(copies(np.ones(8, np.float32), None, 1)) == {"copy, one thread"}
