import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

pytest.importorskip("numba")

import numba

from gnref.kernels.cpu import cache

HELPER = """
from numba import njit

@njit
def twice(x):
    return 2 * x
"""
ENTRY = """
from cache import kernel
from helper import njit, twice

@kernel
@njit
def twice_and_one(x):
    return twice(x) + 1
"""
CALL = """
from entry import *

print(twice_and_one(3), len(twice_and_one.stats.cache_hits), len(twice.overloads))
"""
COMPILED, LOADED = "0 1", "1 0"  # cache hits, and how often the inner function was compiled: never, if loaded
DAMAGE = """
import os
from pathlib import Path
from entry import *

twice_and_one(3)
[path] = Path(os.environ["NUMBA_CACHE_DIR"]).rglob("*.nbc")
whole = path.read_bytes()
flipped = [bytearray(whole) for _ in range(0, len(whole), 1000)]
for k, damaged in enumerate(flipped):
    damaged[1000 * k] ^= 4
for damaged in [b"", whole[:10], whole[:-1], whole[: len(whole) // 2], b"garbage" * 1000, *flipped[:8]]:
    for expected in 0, 1:  # found damaged, and compiled; found whole again
        if not expected:
            path.write_bytes(damaged)
        again = kernel(njit(twice_and_one.py_func))
        assert again(3) == 7
        assert len(again.stats.cache_hits) == expected
print("survived")
"""


@pytest.fixture
def folder(tmp_path):
    """A folder of kernels like that of gnref, whose files can be changed."""
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    shutil.copy(cache.__file__, kernels)
    (kernels / "helper.py").write_text(HELPER)
    (kernels / "entry.py").write_text(ENTRY)
    return kernels


def start(folder, program, **environment):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder.parent / "numba")} | environment
    command = [sys.executable, "-c", program]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **streams)


def finish(process):
    try:
        output = process.communicate(timeout=60)[0]
    finally:
        process.kill()
    assert process.returncode == 0, output
    return output.strip()


def test_all_is_compiled_once_until_a_file_of_the_folder_changes(folder):
    assert finish(start(folder, CALL)) == f"7 {COMPILED}"
    assert finish(start(folder, CALL)) == f"7 {LOADED}"
    (folder / "helper.py").write_text(HELPER.replace("2 * x", "5 * x"))
    assert finish(start(folder, CALL)) == f"16 {COMPILED}"


def test_damaged_entries_are_compiled_anew(folder):
    assert finish(start(folder, DAMAGE)) == "survived"


@pytest.mark.skipif(os.name == "nt", reason="no file to put in a folder's place")
def test_where_nothing_can_be_written_nothing_is_kept(folder):
    (folder / "__pycache__").touch()
    nowhere = dict.fromkeys(["NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"], f"{os.devnull}/x")
    assert finish(start(folder, CALL, **nowhere)) == f"7 {COMPILED}"


def test_processes_may_write_at_the_same_time(folder):
    processes = [start(folder, CALL) for _ in range(2)]
    assert {finish(process).split()[0] for process in processes} == {"7"}
    assert finish(start(folder, CALL)) == f"7 {LOADED}"


@pytest.fixture
def entries(tmp_path):
    return cache.Entries(tmp_path, "f", "stamp")


def test_an_entry_is_read_back(entries):
    entries.save("key", [1, 2])
    assert entries.load("key") == [1, 2]
    assert entries.load("another") is None
    entries.flush()
    assert entries.load("key") is None


def test_no_flipped_bit_and_no_lost_end_goes_unseen(entries):
    entries.save("key", [1, 2])
    path = entries.path("key")
    whole = path.read_bytes()
    for k in range(len(whole)):
        for damaged in whole[:k], whole[:k] + bytes([whole[k] ^ 1]) + whole[k + 1 :]:
            path.write_bytes(damaged)
            assert entries.load("key") is None


def test_an_entry_of_other_sources_or_another_key_is_not_taken(entries):
    entries.save("key", [1, 2])
    assert cache.Entries(entries.folder, "f", "later").load("key") is None
    shutil.copy(entries.path("key"), entries.path("another"))
    assert entries.load("another") is None


def test_half_an_entry_is_not_left_behind(entries, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        entries.save("key", [1, 2])
    assert list(entries.folder.iterdir()) == []


@pytest.fixture
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))


def element(x, i):
    return x[i]


def compiled(**options):
    return cache.kernel(numba.njit(**options)(element))


@pytest.mark.usefixtures("_in_tmp_path")
def test_code_that_was_compiled_with_other_options_is_not_taken():
    assert compiled()((1, 2), 1) == 2
    other = compiled(error_model="numpy")
    assert other((1, 2), 1) == 2
    assert not other.stats.cache_hits


@pytest.mark.usefixtures("_in_tmp_path")
@pytest.mark.parametrize(("method", "error"), [("save", OSError), ("load", ModuleNotFoundError)])
def test_what_fails_costs_no_result(monkeypatch, method, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(cache.Entries, method, fail)
    assert compiled()((1, 2), 1) == 2


@pytest.mark.usefixtures("_in_tmp_path")
def test_numba_can_recompile():
    function = compiled()
    assert function((1, 2), 1) == 2
    function.recompile()
    assert function((1, 2), 1) == 2


def test_without_the_compiler_functions_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(numba, "config", SimpleNamespace(DISABLE_JIT=1))
    assert cache.kernel(element) is element
