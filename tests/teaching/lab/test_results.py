"""Results on disk: whole at every moment, kept whatever happens, and never written over when damaged."""

import json
import os
import subprocess
import sys

import pytest

from gnref.teaching.lab import results
from gnref.teaching.lab.experiment import Record
from gnref.teaching.lab.results import Results, check_folder, write_whole


def record(seed, version="1", error=50.0):
    return Record({"N": 2, "seed": seed}, {"error": error}, 0.5, {"gnref": version}, "2026-01-31")


def test_what_is_added_is_found_again(tmp_path):
    Results(tmp_path, "toy").add(record(0))
    again = Results(tmp_path, "toy")
    assert again.find({"seed": 0, "N": 2}, {"gnref": "1"}) == record(0)
    assert again.find({"seed": 1, "N": 2}, {"gnref": "1"}) is None
    assert again.find({"seed": 0, "N": 2}, {"gnref": "2"}) is None


def test_the_file_is_json_with_all_that_was_asked_for(tmp_path):
    Results(tmp_path / "new" / "folder", "toy").add(record(0))
    document = json.loads((tmp_path / "new" / "folder" / "toy.json").read_text(encoding="utf-8"))
    assert (document["format"], document["experiment"]) == (1, "toy")
    assert set(document["records"][0]) == {"setting", "result", "seconds", "versions", "finished"}


def test_two_sweeps_and_two_versions_keep_each_others_runs(tmp_path):
    one, other = Results(tmp_path, "toy"), Results(tmp_path, "toy")
    one.add(record(0))
    other.add(record(1))
    one.add(record(0, version="2"))
    one.add(record(0, error=40.0))  # made anew: takes the place of the first
    one.reload()
    assert one.find({"N": 2, "seed": 0}, {"gnref": "1"}) == record(0, error=40.0)
    assert one.find({"N": 2, "seed": 1}, {"gnref": "1"}) == record(1)
    assert one.find({"N": 2, "seed": 0}, {"gnref": "2"}) == record(0, version="2")


def test_a_run_that_another_sweep_wrote_over_comes_back_with_the_next(tmp_path):
    one = Results(tmp_path, "toy")
    one.add(record(0))
    (tmp_path / "toy.json").unlink()  # as if another sweep had read the file before, and written it after
    one.add(record(1))
    assert Results(tmp_path, "toy").find({"N": 2, "seed": 0}, {"gnref": "1"}) == record(0)


ADD = """
import sys
from gnref.teaching.lab.experiment import Record
from gnref.teaching.lab.results import Results
for seed in range(25):
    setting = {"seed": seed, "who": sys.argv[2]}
    Results(sys.argv[1], "toy").add(Record(setting, {}, 1.0, {"gnref": "1"}, ""))
"""


def test_two_processes_lose_none_of_their_runs(tmp_path):
    command = [sys.executable, "-c", ADD, str(tmp_path)]
    both = [subprocess.Popen([*command, who]) for who in "ab"]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    found = Results(tmp_path, "toy")
    settings = [{"seed": seed, "who": who} for seed in range(25) for who in "ab"]
    assert all(found.find(setting, {"gnref": "1"}) for setting in settings)


KILLED = """
import os, sys
from gnref.teaching.lab.results import Results
Results(sys.argv[1], "toy")._lock.acquire()
os._exit(0)
"""


def test_the_lock_of_a_killed_process_holds_nobody_up(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=True)
    Results(tmp_path, "toy").add(record(0))
    assert Results(tmp_path, "toy").find(record(0).setting, record(0).versions) == record(0)


GOOD = '{"format": 1, "experiment": "toy", "records": []}'
RUN = '{"setting": {}, "result": {}, "seconds": 1, "versions": {"gnref": "1"}, "finished": ""}'


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"my notes",
        GOOD[:-2].encode(),
        GOOD.replace("1", "2").encode(),
        GOOD.replace("toy", "tea").encode(),
        GOOD.replace("[]", '[{"setting": {}}]').encode(),
        GOOD.replace("[]", f"[{RUN.replace('{}', '3')}]").encode(),
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_one_sentence_and_stays(text, tmp_path):
    path = tmp_path / "toy.json"
    path.write_bytes(text)
    with pytest.raises(
        ValueError, match=r"toy\.json' cannot be read \(.*\); expected results of 'toy'\. It st"
    ):
        Results(tmp_path, "toy")
    assert path.read_bytes() == text


def test_a_file_damaged_meanwhile_stays_too(tmp_path):
    (tmp_path / "toy.json").write_text(GOOD.replace("[]", f"[{RUN}]"), encoding="utf-8")
    found = Results(tmp_path, "toy")
    (tmp_path / "toy.json").write_text("my notes", encoding="utf-8")
    with pytest.raises(ValueError, match="It stays as it is"):
        found.add(record(0))
    assert (tmp_path / "toy.json").read_text(encoding="utf-8") == "my notes"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_interrupted_write_leaves_the_old_file_alone(step, tmp_path, monkeypatch):
    path = tmp_path / "toy.json"
    write_whole(path, "old")

    def interrupted(*words):
        raise KeyboardInterrupt

    monkeypatch.setattr(results.os, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, "new")
    assert [(p.name, p.read_text(encoding="utf-8")) for p in tmp_path.iterdir()] == [("toy.json", "old")]


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(NotADirectoryError, match=r"file', which is a file; expected a folder$"):
        Results(tmp_path / "file", "toy")
    with pytest.raises(
        OSError, match=r"which cannot be written to \(Not a directory\)|\(.*\); expected anot"
    ):
        Results(tmp_path / "file" / "below", "toy")


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="to this user no folder is closed")
def test_a_closed_folder_is_one_sentence(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(
        PermissionError, match=r"cannot be written to \(Permission denied\); expected another"
    ):
        Results(tmp_path, "toy")


def test_no_write_permission_is_one_sentence(tmp_path, monkeypatch):
    def refused(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(results.Path, "touch", refused)
    with pytest.raises(
        PermissionError, match=r"^folder is .*, which cannot be written to \(Permission denied\)"
    ):
        check_folder(tmp_path)


def test_a_read_only_file_stays(tmp_path, monkeypatch):
    Results(tmp_path, "toy").add(record(0))
    monkeypatch.setattr(results.os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(
        PermissionError, match=r"toy\.json' is read-only; expected a file that can be written"
    ):
        Results(tmp_path, "toy")


def test_checking_a_folder_leaves_nothing_there(tmp_path):
    check_folder(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
