import pytest

from gnref.bench import first_call

# It prints how many processes have run with this folder for their cache, and a millisecond.
COUNTING = """
import os, pathlib, trivial
folder = pathlib.Path(os.environ["NUMBA_CACHE_DIR"])
(folder / f"run{len(list(folder.glob('run*')))}").touch()
print(len(list(folder.glob("run*"))), 0.001)
"""


@pytest.fixture(autouse=True)
def _one_repeat(monkeypatch):
    monkeypatch.setattr(first_call, "REPEATS", 1)


def test_the_first_process_finds_an_empty_cache_and_the_next_ones_a_full_one(monkeypatch):
    monkeypatch.setattr(first_call, "OWN", COUNTING)
    monkeypatch.setattr(first_call, "MODULE", "")
    cold, warm = first_call.first_calls()
    assert cold == (1, 0.001)
    assert warm == (2, 0.001)


def test_the_lines_that_are_timed_run(tmp_path):
    found = first_call._fresh(first_call.OWN, str(tmp_path))
    assert found.forward > 0
    assert found.backward > 0


def test_the_smallest_function_runs(monkeypatch, tmp_path):
    pytest.importorskip("numba")
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")  # as Python, which is fast
    (tmp_path / "trivial.py").write_text(first_call.MODULE)
    assert first_call._fresh(first_call.TRIVIAL, str(tmp_path)).forward > 0
