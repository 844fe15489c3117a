"""The command, with few and tiny rows."""

import io
import json

import pytest
from rich.console import Console

from gnref import cli
from gnref.bench import report, session
from gnref.bench.costs import Cost
from gnref.bench.grid import Row
from gnref.bench.session import Options, run

ROWS = [
    Row("group", "forward", (2, 4, 3, 3), num_groups=2),
    Row("group", "backward", (2, 4, 3, 3), num_groups=2),
    Row("layer", "forward", (3, 8), normalized_shape=(8,)),
]
FAST = ["--peer", "numpy", "--rounds", "1", "--threads", "1"]


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setattr(session, "grid", lambda: ROWS)
    monkeypatch.setattr(session, "quick", lambda: ROWS[:1])


def test_it_prints_and_writes(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    results, picture = tmp_path / "a.json", tmp_path / "a.svg"
    words = ["bench", *FAST, "--json", str(results), "--plot", str(picture)]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    assert "NumPy" in shown
    assert "all rows together" in shown
    found = json.loads(results.read_text())
    assert [row["norm"] for row in found["rows"]] == ["group", "group", "layer"]
    assert found["machine"]["threads"] == 1
    assert found["settings"]["rounds"] == 1
    assert len(found["rows"][0]["gnref"]["seconds"]) == 1
    assert "GroupNorm" in picture.read_text(encoding="utf-8")
    assert cli.main(words) == 2, "files are kept"
    assert "exists already; expected --overwrite" in capsys.readouterr().err
    assert cli.main([*words[:-2], "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--quick"], ["group forward 2x4x3x3 float32"]),
        (["--norm", "layer"], ["layer forward 3x8 float32"]),
        (["--rows", "back"], ["group backward 2x4x3x3 float32"]),
    ],
)
def test_rows_are_selected(words, names, tmp_path):
    file = tmp_path / "a.json"
    assert cli.main(["bench", *FAST, *words, "--json", str(file)]) == 0
    rows = json.loads(file.read_text())["rows"]
    assert [row["direction"] for row in rows] == [name.split()[1] for name in names]
    assert [row["norm"] for row in rows] == [name.split()[0] for name in names]


def test_costs_are_a_second_table(monkeypatch, capsys):
    monkeypatch.setattr(session, "measure", lambda threads: iter([[Cost("one call", "1 us")]]))
    assert cli.main(["bench", *FAST, "--quick", "--costs"]) == 0
    assert "what a call costs besides" in capsys.readouterr().out


def test_quick_leaves_the_compiler_out_unless_it_is_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(session, "load", lambda names, threads: asked.append(list(names)) or ({}, {}))
    console = Console(file=io.StringIO())
    done = run(Options(quick=True), console)
    assert "compile" not in asked[0]
    assert "--quick leaves it out" in done.absent["compile"]
    for options in (Options(), Options(quick=True, peer=["compile"])):
        assert run(options, console).absent == {}
        assert "compile" in asked[-1]


def test_an_interruption_keeps_what_is_done(monkeypatch, tmp_path, capsys):
    real = session.bench

    def interrupted(*arguments):
        results = real(*arguments)
        yield next(results)
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "bench", interrupted)
    file = tmp_path / "a.json"
    assert cli.main(["bench", *FAST, "--json", str(file)]) == 130
    shown = capsys.readouterr().out
    assert "group" in shown
    assert "interrupted: the tables show what was done until then" in shown
    assert len(json.loads(file.read_text())["rows"]) == 1


def test_a_failure_of_gnref_comes_after_the_rows_before_it(monkeypatch, capsys):
    monkeypatch.setattr(session, "grid", lambda: [ROWS[0], ROWS[1]._replace(num_groups=3)])
    assert cli.main(["bench", *FAST]) == 2
    shown = capsys.readouterr()
    assert "all rows together" in shown.out
    assert "num_groups is 3, which does not divide C = 4" in shown.err


def test_rounds_are_fifteen_or_seven(monkeypatch):
    seen = []
    monkeypatch.setattr(session, "bench", lambda rows, peers, threads, rounds: seen.append(rounds) or [])
    console = Console(file=io.StringIO())
    run(Options(peer=["numpy"]), console)
    run(Options(peer=["numpy"], quick=True), console)
    run(Options(peer=["numpy"], quick=True, rounds=3), console)
    assert seen == [15, 7, 3]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--json", "no/such/folder/x.json"],
            "--json is 'no/such/folder/x.json'; expected a file in a folder",
        ),
        (["--plot", "x.pdf"], "--plot is 'x.pdf'; expected one that ends in .png or .svg"),
        (["--rows", "sideways"], "--rows is 'sideways', which no row has in its name; one is 'group forward"),
        (["--rows", "back", "--norm", "layer"], "--rows is 'back', which no row has in its name"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(words, message, capsys):
    pytest.importorskip("matplotlib")
    assert cli.main(["bench", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("words", [["--threads", "0"], ["--norm", "rms"], ["--peer", "keras"]])
def test_bad_words_are_refused_by_the_parser(words, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["bench", *words])
    assert stop.value.code == 2


def test_a_missing_extra_is_named(monkeypatch, capsys):
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    assert cli.main(["bench"]) == 2
    assert "gnref bench needs rich, ml_dtypes: pip install 'gnref[bench]'" in capsys.readouterr().err


def test_a_file_gets_all_columns(monkeypatch):
    monkeypatch.setattr(Console, "is_terminal", property(lambda self: False))
    assert report.wide_console().width == report.WIDTH
