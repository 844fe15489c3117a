import io

import pytest
from rich.console import Console

from gnref.bench.costs import Cost
from gnref.bench.report import WIDTH, remarks, show, table


def text(machine, rows, width=WIDTH, absent=None, costs=()):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    show(console, machine, rows, absent or {}, costs)
    return console.file.getvalue()


def line(shown, *words):
    (found,) = [line for line in shown.splitlines() if all(word in line.split() for word in words)]
    return found.split()


def test_the_rows(machine, results):
    shown = text(machine, results)
    words = "group fwd 8x256x56x56 f32 10.0 10% 4.00 2.00 4.00 4.00 4.00 4.00 2.00 80%"
    assert line(shown, "fwd", "group") == words.split()
    assert line(shown, "bwd", "group")[6:] == ["100", "0.50", "wrong", "-", "<0.50", "80%"]
    assert line(shown, "fwd", "batch") == ["batch", "fwd", "2x64x16x16", "f32", "0.050", "0%", "1.00", "1.00"]


def test_all_rows_together(machine, results):
    shown = text(machine, results)
    assert line(shown, "both") == ["both", "3", "1.00", "1.00", "0.50", "1", "80%", "80%"]
    assert line(shown, "forward") == ["forward", "2", "1.41", "1.41", "1.00", "0", "80%", "80%"]


def test_it_says_where_and_who_is_missing(machine, results):
    shown = text(machine, results, absent={"compile": "no compiler"})
    assert "Abacus 2000, 4 cores, 2 threads, load 0.2 at the start; Linux 6" in shown
    assert "gnref 0.1.0, cpu backend, omp; Python 3.11.7, numpy 2.4.6, torch 2.13.0" in shown
    assert "not there: compile: no compiler" in shown
    assert "JAX is wrong: off by 3e-01" in shown
    assert "OpenVINO: no such thing" in shown
    assert "least ratio: group backward 8x256x56x56 float32" in shown


def test_a_reason_is_said_once(results):
    lines = remarks([results[1], results[1]])
    assert len(lines) == len(set(lines)) == 4


def test_it_fits(machine, results):
    """The widest row there is, with all peers."""
    row = results[0].row._replace(norm="instance", shape=(32, 256, 112, 112), channel_axis=-1)
    row = row._replace(dtype="bfloat16")
    worst = [*results, type(results[0])(row, results[0].own, None, results[0].peers, results[0].copies)]
    shown = text(machine, worst)
    assert max(map(len, shown.splitlines())) <= WIDTH
    assert "…" not in shown


def test_a_narrow_terminal_has_the_fastest_peer_only(machine, results):
    shown = text(machine, results, width=80)
    assert max(len(part) for part in shown.splitlines()) <= 80
    assert "…" not in shown
    assert line(shown, "bwd")[6:] == ["PyTorch", "<0.50", "80%"]


def test_a_peer_that_is_not_there_has_no_column(results):
    headings = [str(column.header) for column in table(results[2:]).columns]
    assert "PyTorch" in headings
    assert "JAX" not in headings


def test_nothing_done_is_no_table(machine):
    shown = text(machine, [])
    assert "Abacus" in shown
    assert "norm" not in shown


@pytest.mark.parametrize("width", [80, WIDTH])
def test_costs_have_a_table_of_their_own(machine, width):
    shown = text(machine, [], width, costs=[Cost("one call", "12.0 us", "PyTorch 11.0 us")])
    assert "what a call costs besides" in shown
    assert line(shown, "one") == ["one", "call", "12.0", "us", "PyTorch", "11.0", "us"]
