import sys

import numpy as np
import pytest

from gnref.bench import memory
from gnref.bench.case import draw
from gnref.bench.grid import MIDDLE, Row
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


def test_a_call_in_its_own_process():
    """The result at least, which is new memory."""
    assert memory.peak_memory(ROW, 1) > 0.99


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
    (warm, first), (row, second) = seen
    assert row == ROW
    assert first == second == "out"
    assert warm.nbytes < ROW.nbytes / 1000, "a small call compiles what the large one needs"


@pytest.mark.parametrize(
    "row",
    [
        Row("group", "forward", MIDDLE, num_groups=32),
        Row("batch", "backward", (8, 56, 56, 256), channel_axis=-1),
        Row("layer", "forward", MIDDLE, normalized_shape=MIDDLE[1:]),
    ],
    ids=lambda row: row.name,
)
def test_the_small_row_is_a_valid_one(row):
    small = memory._small(row)
    assert small.nbytes < 5000
    own = Own(draw(small))
    assert own.arrays(own.run())[0].shape == small.shape
