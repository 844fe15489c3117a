"""Copies of the notebooks never overwrite a reader's work, and a new edition is put beside it."""

import json
import sys

import pytest

import gnref
from gnref.errors import MissingExtraError
from gnref.teaching import notebooks
from gnref.teaching.notebooks import copy_notebooks, open_lab, story


def text(edition, work=""):
    return json.dumps({"cells": [work], "metadata": {"gnref": {"edition": edition}}})


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Two notebooks as they come with gnref."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("01_one.ipynb", "02_two.ipynb"):
        (home / name).write_text(text("a"), encoding="utf-8")
    monkeypatch.setattr(notebooks, "HOMES", (tmp_path / "absent", home))
    return home


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_first_time_all_are_copied(home, tmp_path):
    folder = tmp_path / "a" / "b"
    copied = copy_notebooks(folder)
    assert [one.new for one in copied] == [True, True]
    assert names(folder) == ["01_one.ipynb", "02_two.ipynb"]
    assert (folder / "01_one.ipynb").read_bytes() == (home / "01_one.ipynb").read_bytes()
    assert story(copied, folder) == [f"2 notebooks copied to {folder}"]


def test_a_reader_s_work_stays_and_makes_no_second_file(home, tmp_path):
    copy_notebooks(tmp_path / "mine")
    (tmp_path / "mine" / "01_one.ipynb").write_text(text("a", "my work"), encoding="utf-8")
    (tmp_path / "mine" / "02_two.ipynb").unlink()
    copied = copy_notebooks(tmp_path / "mine")
    assert [one.new for one in copied] == [False, True]
    assert "my work" in (tmp_path / "mine" / "01_one.ipynb").read_text(encoding="utf-8")
    assert names(tmp_path / "mine") == ["01_one.ipynb", "02_two.ipynb"]


def test_a_new_edition_is_put_beside_an_older_one_once(home, tmp_path):
    folder = tmp_path / "mine"
    copy_notebooks(folder)
    old = (folder / "01_one.ipynb").read_bytes()
    (home / "01_one.ipynb").write_text(text("b"), encoding="utf-8")
    beside = f"01_one-{gnref.__version__}.ipynb"
    for _ in range(2):
        lines = story(copy_notebooks(folder), folder)
        assert lines[1:] == [f"01_one.ipynb is of another edition; the present one is beside it, {beside}"]
        assert names(folder) == [beside, "01_one.ipynb", "02_two.ipynb"]
    assert (folder / "01_one.ipynb").read_bytes() == old
    assert (folder / beside).read_bytes() == (home / "01_one.ipynb").read_bytes()


def test_a_third_edition_overwrites_neither(home, tmp_path):
    folder = tmp_path / "mine"
    for edition in "abc":
        (home / "01_one.ipynb").write_text(text(edition), encoding="utf-8")
        copy_notebooks(folder)
    found = {
        name: json.loads((folder / name).read_text())["metadata"]["gnref"]["edition"]
        for name in names(folder)
    }
    assert sorted(found) == [
        f"01_one-{gnref.__version__}.ipynb",
        "01_one-c.ipynb",
        "01_one.ipynb",
        "02_two.ipynb",
    ]
    assert found["01_one.ipynb"] == "a"
    assert found["01_one-c.ipynb"] == "c"


@pytest.mark.parametrize("theirs", ["", "no JSON", "[]", "{}", "null"])
def test_any_file_of_that_name_stays(home, tmp_path, theirs):
    (tmp_path / "01_one.ipynb").write_text(theirs, encoding="utf-8")
    copied = copy_notebooks(tmp_path)
    assert (tmp_path / "01_one.ipynb").read_text(encoding="utf-8") == theirs
    assert copied[0].beside.name == f"01_one-{gnref.__version__}.ipynb"


def test_where_no_copy_can_be(home, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="which is a file; expected a folder"):
        copy_notebooks(tmp_path / "file")
    with pytest.raises(ValueError, match="where the originals are; expected another one"):
        copy_notebooks(home)


def test_no_notebooks_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "HOMES", (tmp_path,))
    with pytest.raises(FileNotFoundError, match="gnref came without its notebooks"):
        copy_notebooks(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_jupyterlab_is_opened_on_a_notebook(tmp_path, monkeypatch):
    pytest.importorskip("jupyterlab")
    from jupyterlab import labapp

    calls = []
    monkeypatch.setattr(labapp, "main", calls.append)
    open_lab(tmp_path / "01_one.ipynb")
    open_lab(tmp_path / "01_one.ipynb", browser=False)
    assert calls == [[str(tmp_path / "01_one.ipynb")], [str(tmp_path / "01_one.ipynb"), "--no-browser"]]


def test_without_jupyterlab_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", None)
    with pytest.raises(
        MissingExtraError, match=r"the tutorials need jupyterlab: pip install 'gnref\[tutorials\]'"
    ):
        open_lab(tmp_path / "01_one.ipynb")
