"""Sweeps: the settings' order, one thread each, what is kept when a run fails, dies or is interrupted."""

from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path

import pytest

import gnref
from gnref.teaching.lab import sweep as module
from gnref.teaching.lab.experiment import EXPERIMENTS
from gnref.teaching.lab.results import Results
from gnref.teaching.lab.sweep import code, run_once, sweep, versions

pytest.importorskip("joblib")


class Here(Executor):
    """Runs in this process, at once, and keeps count."""

    def __init__(self):
        self.runs = []

    def submit(self, function, /, *arguments):
        self.runs.append(arguments[-1])
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def here(monkeypatch):
    """Sweeps without processes."""
    pool = Here()
    monkeypatch.setattr(module, "_pool", contextmanager(lambda processes, at_most: (yield pool)))
    return pool


def kept(folder, *settings):
    found = Results(folder, "toy")
    return [found.find(setting, versions()) is not None for setting in settings]


def test_runs_in_processes_with_one_thread_each(toy):
    settings = [{"N": 2, "seed": seed, "sleep": 0.2 * (seed == 0)} for seed in range(3)]
    records = sweep("toy", [*settings, settings[0]], processes=2)
    assert [record.setting for record in records] == [*settings, settings[0]]
    assert [record.result["error"] for record in records] == [55.0, 56.0, 57.0, 55.0]
    assert {tuple(record.result["threads"]) for record in records} == {("1", "1", "1")}
    assert {tuple(record.result["deaf"]) for record in records} == {(True, True)}  # to Control-C
    assert records[0].seconds >= 0.2
    assert records[3] is records[0]  # an equal setting is run once


def test_a_process_that_dies_is_one_sentence(toy, tmp_path):
    done, dies = {"N": 2, "seed": 0}, {"N": 2, "seed": 1, "dies": True, "wait": [str(tmp_path / "toy.json")]}
    with pytest.raises(ChildProcessError, match="a process of the sweep was killed, perhaps for want of mem"):
        sweep("toy", [done, dies], processes=2, folder=tmp_path)
    assert kept(tmp_path, done, dies) == [True, False]


def test_a_record_says_what_it_ran_on(toy):
    record = run_once(EXPERIMENTS["toy"], {"N": 2, "seed": 0})
    assert isinstance(record.result["deaf"], list)  # as it will be when it comes from a file
    assert record.versions == versions()
    assert record.versions["code"] == code()
    assert {"gnref", "code", "python", "numpy", "machine"} <= set(record.versions)
    assert record.finished.endswith("+00:00")


def test_what_is_there_is_not_made_again(toy, here, tmp_path):
    before = sweep("toy", toy.settings(2), folder=tmp_path)
    assert sweep("toy", toy.settings(2), folder=tmp_path) == before
    assert len(here.runs) == 4
    after = sweep("toy", toy.settings(3), folder=tmp_path)
    assert here.runs[4:] == [{"N": 32, "seed": 2}, {"N": 2, "seed": 2}]
    assert [record.setting for record in after] == toy.settings(3)
    assert kept(tmp_path, *toy.settings(3)) == [True] * 6


def test_another_version_of_gnref_runs_anew_and_keeps_the_old(toy, here, tmp_path, monkeypatch):
    (old,) = sweep("toy", [{"N": 2, "seed": 0}], folder=tmp_path)
    monkeypatch.setattr(gnref, "__version__", "99")
    (new,) = sweep("toy", [{"N": 2, "seed": 0}], folder=tmp_path)
    assert len(here.runs) == 2
    assert Results(tmp_path, "toy").find(old.setting, old.versions) == old
    assert Results(tmp_path, "toy").find(new.setting, old.versions | {"gnref": "99"}) == new


def test_other_lines_of_gnref_are_another_version(monkeypatch, tmp_path):
    package = tmp_path / "gnref"
    told = ("testing/runner", "teaching/lab/experiments/toy_report", "teaching/lab/experiments/toy_figures")
    counted = ("kernels/reference", "teaching/lab/experiments/toy", "teaching/lab/experiments/toy_settings")
    for name in (*told, *counted):
        (package / f"{name}.py").parent.mkdir(parents=True, exist_ok=True)
        (package / f"{name}.py").write_text("x = 1\n", encoding="utf-8")
    monkeypatch.setattr(gnref, "__file__", str(package / "__init__.py"))
    for name in (*told, *counted):
        before = code.__wrapped__()
        (package / f"{name}.py").write_text("x = 2\n", encoding="utf-8")
        assert (code.__wrapped__() == before) == (name in told)


def test_the_files_of_which_a_change_is_another_version_are_there():
    package = Path(gnref.__file__).parent
    assert all((package / folder).is_dir() for folder in module.FOLDERS)


def test_a_sweep_keeps_its_runs_where_the_environment_says(toy, here, tmp_path, monkeypatch):
    monkeypatch.setenv("GNREF_LAB", str(tmp_path))
    sweep("toy", toy.settings(1))
    assert kept(tmp_path, *toy.settings(1)) == [True] * 2


def test_a_refused_setting_is_its_own_sentence_and_the_others_are_kept(toy, here, tmp_path):
    settings = [{"N": N, "seed": 0} for N in (2, 64, 32)]
    with pytest.raises(ValueError, match=r"^batch is 64; expected at most the 40 training examples$"):
        sweep("toy", settings, folder=tmp_path)
    assert kept(tmp_path, *settings) == [True, False, True]


def test_an_interruption_keeps_what_came_in(toy, here, tmp_path, monkeypatch):
    def interrupted(futures):
        yield futures[0]
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "as_completed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep("toy", toy.settings(1), folder=tmp_path)
    assert kept(tmp_path, *toy.settings(1)) == [True, True]


def test_without_a_folder_nothing_is_written(toy, here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(sweep("toy", toy.settings(1))) == 2
    assert sweep("toy", []) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"name": "toys"}, ValueError, "experiment is 'toys'; expected one of batch-size"),
        ({"processes": 0}, ValueError, "processes is 0; expected a positive integer"),
        ({"settings": [{"seed": {1}}]}, TypeError, "expected JSON values alone"),
        ({"folder": __file__}, NotADirectoryError, "which is a file; expected a folder"),
    ],
)
def test_bad_input_is_told_before_the_first_run(words, error, message, toy, here):
    with pytest.raises(error, match=message):
        sweep(**{"name": "toy", "settings": toy.settings(1), **words})
    assert here.runs == []
