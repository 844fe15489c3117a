import json

import numpy as np

import gnref
from gnref.bench import machine


def test_it_says_what_is_here():
    found = machine.describe(3)
    assert found["threads"] == 3
    assert found["gnref"] == gnref.__version__
    assert found["versions"]["numpy"] == np.__version__
    assert found["processor"]
    json.dumps(found)


def test_threads_and_cache_are_counted():
    assert machine.available_threads() >= 1
    assert machine.cache_size() >= 1 << 16


def test_sizes_of_caches_are_read(tmp_path):
    for text, size in (("512K\n", 512 << 10), ("3M", 3 << 20), ("1234", 1234)):
        (tmp_path / "size").write_text(text)
        assert machine._bytes(tmp_path / "size") == size


def test_without_numba_there_is_no_threading_layer(monkeypatch):
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    assert machine.threading_layer() is None
