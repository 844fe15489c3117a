"""Large results take the memory of earlier ones, once nobody holds these."""

import gc

import numpy as np
import pytest

import gnref
from gnref.kernels.cpu import reuse
from gnref.kernels.cpu.reuse import STEP, borrow

LARGE = (1, 2, 3000, 2000)  # 48 MB of float32


@pytest.fixture(autouse=True)
def nothing_kept():
    reuse._kept.clear()


def address(a):
    return a.__array_interface__["data"][0]


def kept():
    gc.collect()
    return sorted(raw.size for arrays in reuse._kept.values() for raw in arrays)


def test_memory_comes_back_when_the_last_view_is_gone():
    a = borrow(5 * STEP)
    place, view = address(a), a[7:9].view(np.int8)
    del a
    assert kept() == []
    del view
    assert kept() == [5 * STEP]
    assert address(borrow(5 * STEP)) == place


def test_memory_that_is_held_is_nobody_elses():
    arrays = [borrow(3 * STEP) for _ in range(4)]
    for i, a in enumerate(arrays):
        a[:] = i
    assert [set(np.unique(a)) for a in arrays] == [{0}, {1}, {2}, {3}]


def test_sizes_are_rounded_up():
    a = borrow(2 * STEP + 1)
    assert a.size >= 2 * STEP + 1
    place = address(a)
    del a
    assert address(borrow(3 * STEP)) == place
    assert kept() == [3 * STEP]


def test_no_more_is_kept_than_the_limit(monkeypatch):
    monkeypatch.setattr(reuse, "KEEP", 5 * STEP)
    arrays = [borrow(n * STEP) for n in (1, 2, 3, 4, 6)]
    while arrays:
        arrays.pop()
        assert sum(kept()) <= 5 * STEP
    assert kept() == [STEP]  # it found 5 kept, and took their place


def test_a_limit_of_0_keeps_nothing(monkeypatch):
    monkeypatch.setattr(reuse, "KEEP", 0)
    a = borrow(STEP)
    del a
    assert kept() == []


def test_the_limit_has_to_be_a_number(monkeypatch):
    monkeypatch.setenv("GNREF_KEEP_MB", "lots")
    with pytest.raises(ValueError, match="GNREF_KEEP_MB is 'lots'; expected a whole number"):
        reuse.limit()
    monkeypatch.setenv("GNREF_KEEP_MB", "7")
    assert reuse.limit() == 7 << 20


def test_where_memory_is_short_what_is_kept_goes_first(monkeypatch):
    a = borrow(STEP)
    del a
    real, calls = np.empty, []

    def empty(size, dtype):
        calls.append(size)
        if len(calls) == 1:
            raise MemoryError
        return real(size, dtype)

    monkeypatch.setattr(reuse.np, "empty", empty)
    assert borrow(2 * STEP).size == 2 * STEP
    assert kept() == [2 * STEP]


def test_results_do_not_change_when_the_next_ones_are_made():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(LARGE, np.float32)
    y, saved = gnref.instance_norm_forward(x, backend="cpu")
    before = y.copy()
    part = gnref.instance_norm(2 * x, backend="cpu")[0, 1]
    others = [gnref.instance_norm(x - i, backend="cpu") for i in range(3)]
    dx = gnref.backward(x, saved)[0]
    np.testing.assert_array_equal(y, before)
    np.testing.assert_allclose(part, y[0, 1], atol=1e-4)
    assert len({address(a) for a in (y, dx, *others)}) == 5


def test_the_next_result_takes_the_memory_of_the_last():
    x = np.random.default_rng(0).standard_normal(LARGE, np.float32)
    places = {address(gnref.instance_norm(x, backend="cpu")) for _ in range(3)}
    assert len(places) == 1
