import sys

import numpy as np
import pytest

from gnref.bench import memory
from gnref.bench.case import draw
from gnref.bench.grid import Row
from gnref.bench.own import Own

if sys.platform == "win32":
    pytest.skip("Windows does not tell", allow_module_level=True)

ROW = Row("group", "forward", (64, 64, 16, 16), num_groups=8)
MEGABYTES = 32 << 20


def test_the_peak_is_measured_after_what_was_there_before():
    np.ones(2 * MEGABYTES, np.uint8)  # a larger peak, but an earlier one
    grown = memory.peak_of(lambda: np.ones(MEGABYTES, np.uint8))
    if memory.CLEAR.exists():
        assert grown == pytest.approx(MEGABYTES, rel=0.1)
        assert memory.peak_of(lambda: None) < MEGABYTES / 10


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_call_in_its_own_process(backend, direction, monkeypatch):
    """The result at least, which is new memory, also where an earlier one could leave its own."""
    if backend == "cpu":
        pytest.importorskip("numba")
    monkeypatch.setenv("GNREF_BACKEND", backend)
    row = ROW._replace(shape=(64, 64, 64, 64), direction=direction)
    assert memory.peak_memory(row, 1) > 0.99


@pytest.mark.skipif(not memory.CLEAR.exists(), reason="only Linux tells the peak of a part of a process")
def test_out_is_memory_that_is_there_before(monkeypatch):
    monkeypatch.setattr("gnref.group_norm", lambda x, out, **options: out)
    out = Own(draw(ROW._replace(shape=(256, 64, 32, 32)))).run_out()
    assert memory.peak_of(lambda: out.fill(0)) < out.nbytes / 10


def test_the_child_measures_what_it_is_told(monkeypatch, capsys):
    seen = []

    class Stub:
        def __init__(self, case):
            self.row = case.row
            self.run = lambda: seen.append((self.row, "new"))
            self.run_out = lambda: seen.append((self.row, "out"))

    monkeypatch.setattr(memory, "Own", Stub)
    monkeypatch.setattr(memory, "peak_of", lambda run: run() or ROW.nbytes * 3)
    memory.main(memory.json.dumps([ROW, 1, True]))
    assert capsys.readouterr().out == "3.0\n"
    assert seen == [(ROW, "out")] * 2, "once to compile and once to measure"
