"""`gnref lab`: tables, figure, JSON; interrupted by Control-C it keeps what it has, and then goes on."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gnref import cli
from gnref.teaching.lab import command
from gnref.teaching.lab.sweep import run_once

pytest.importorskip("joblib")
pytest.importorskip("skimage")


@pytest.fixture
def lab(toy, tmp_path, monkeypatch):
    """Call the command on the toy, in a folder of its own and without processes; return its exit code."""
    from gnref.teaching.lab import sweep as module

    def in_this_process(name, settings, processes, keep):
        for setting in settings:
            keep(run_once(name, setting))

    monkeypatch.setattr(module, "_run_all", in_this_process)
    monkeypatch.chdir(tmp_path)
    return lambda *words: cli.main(["lab", "toy", "--seeds", "2", *words])


def test_it_prints_the_table_and_where_the_runs_are(lab, tmp_path, capsys):
    assert lab() == 0
    shown = capsys.readouterr().out
    assert "Invented error, %, of networks that were never trained on anything at all\n" in shown
    assert "Numbers in [brackets] stay.\n" in shown
    assert shown.count("Invented") == shown.count("brackets") == 1  # and not by rich as well, in pieces
    assert "55.5 (55.0 to 56.0)" in shown
    assert re.search(r"4 runs, in \d+ s; kept in .*gnref-lab.toy\.json\n$", shown)
    assert lab("--seeds", "3") == 0
    assert "6 runs, 2 of them new, in " in capsys.readouterr().out


def test_a_setting_that_is_there_twice_counts_once(lab, toy, capsys, monkeypatch):
    twice = [{"N": 2, "seed": 0}, {"N": 32, "seed": 0}, {"seed": 0, "N": 2}]
    monkeypatch.setattr(toy, "settings", lambda seeds, quick: twice)
    assert lab() == 0
    assert "\n2 runs, in" in capsys.readouterr().out


def test_json_into_the_file_of_all_runs_is_refused(lab, tmp_path, capsys):
    assert lab("--seeds", "3") == 0
    kept = (tmp_path / "gnref-lab" / "toy.json").read_bytes()
    assert lab("--json", "gnref-lab/toy.json", "--overwrite") == 2
    assert "where all runs are kept; expected another file" in capsys.readouterr().err
    assert (tmp_path / "gnref-lab" / "toy.json").read_bytes() == kept


def test_quick_says_what_it_is_worth(lab, capsys):
    assert lab("--quick") == 0
    shown = capsys.readouterr().out
    assert "2 runs, in" in shown
    assert command.QUICK in shown


def test_it_draws_and_writes_json_and_overwrites_only_when_told(lab, capsys):
    pytest.importorskip("matplotlib")
    words = ["--save", "f.svg", "--json", "f.json", "--folder", "mine"]
    assert lab(*words) == 0
    assert Path("f.svg").read_text(encoding="utf-8").startswith("<?xml")
    document = json.loads(Path("f.json").read_text(encoding="utf-8"))
    assert document == json.loads(Path("mine/toy.json").read_text(encoding="utf-8"))
    capsys.readouterr()
    assert lab(*words) == 2
    assert (
        capsys.readouterr().err
        == "gnref: --save is 'f.svg', which exists already; expected --overwrite, too\n"
    )
    assert lab(*words, "--overwrite") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--folder", "file"], "folder is 'file', which is a file; expected a folder"),
        (["--folder", "damaged"], "cannot be read (JSONDecodeError: "),
        (["--save", "no/f.png"], "--save is 'no/f.png'; expected a file in a folder that exists"),
        (["--save", "f.pdf"], "--save is 'f.pdf'; expected one that ends in .png or .svg"),
        (["--json", "damaged"], "--json is 'damaged', which is a folder; expected a file"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_first_run(words, message, lab, capsys, monkeypatch):
    Path("file").write_text("mine", encoding="utf-8")
    Path("damaged").mkdir()
    Path("damaged/toy.json").write_text("mine", encoding="utf-8")
    monkeypatch.setattr(command, "sweep", None)
    assert lab(*words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert Path("damaged/toy.json").read_text(encoding="utf-8") == "mine"


def test_no_permission_for_the_figure_is_told_before_the_first_run(lab, capsys, monkeypatch):
    monkeypatch.setattr(cli.os, "access", lambda path, mode: False)
    assert lab("--save", "f.png") == 2
    assert (
        capsys.readouterr().err
        == "gnref: --save is 'f.png', which cannot be written; expected one that can\n"
    )
    assert not Path("gnref-lab").exists()


def test_interrupted_before_the_first_run_is_finished(lab, capsys, monkeypatch):
    def interrupted(*words):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "sweep", interrupted)
    assert lab() == 130
    assert capsys.readouterr().out == "interrupted before a run was finished\n"


# Two runs are finished at once, and two wait for a file.
PROGRAM = """
import signal, sys
sys.path.insert(0, {here!r})
from gnref import cli
from gnref.teaching.lab import experiment
import toy_experiment
experiment.EXPERIMENTS["toy"] = "toy_experiment"
toy_experiment.settings = lambda seeds, quick: [
    {{"N": N, "seed": 0, "wait": ["go"] if N > 2 else []}} for N in (1, 2, 16, 32)
]
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.exit(cli.main(["lab", "toy", "--processes", "2", "--folder", "kept"]))
"""


@pytest.mark.skipif(os.name != "posix", reason="another system's Control-C")
def test_control_c_keeps_what_is_finished_and_the_next_time_goes_on(tmp_path):
    program = [sys.executable, "-c", PROGRAM.format(here=str(Path(__file__).parent))]
    words = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = subprocess.Popen(program, start_new_session=True, **words)
    try:
        wait_for_runs(tmp_path / "kept" / "toy.json", 2, running)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to all its processes
        out, err = running.communicate(timeout=60)  # until the last process that could write has ended
    except BaseException:
        os.killpg(running.pid, signal.SIGKILL)
        raise
    assert (running.returncode, err) == (130, "")
    assert re.search(r"interrupted: 2 of 4 runs are kept in .*toy\.json; the same command goes on", out)
    (tmp_path / "go").touch()
    again = subprocess.run(program, check=True, timeout=60, **words)
    assert "4 runs, 2 of them new, in " in again.stdout


def wait_for_runs(path, count, process):
    while process.poll() is None:
        if path.exists() and len(json.loads(path.read_text(encoding="utf-8"))["records"]) == count:
            return
        time.sleep(0.02)
    raise AssertionError(process.communicate())
