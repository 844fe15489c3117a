"""Notebooks from their sources: equal bytes, ids that stay, links that lead somewhere, and homework."""

import pytest

pytest.importorskip("jupytext")

import build_notebooks as build

ONE = """\
# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # One
# See [tutorial 2](02_two) and [its end](02_two#end), not [this](https://example.org/02_two).

# %%
x = 1

# %% tags=["exercise"]
def f(x):
    ...  # your line here


# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def f(x):
#     return x
# ```
#
# </details>

# %%
x = 1
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "tutorials"
    folder.mkdir()
    (folder / "01_one.py").write_text(ONE, encoding="utf-8")
    (folder / "02_two.py").write_text("# %% [markdown]\n# # Two\n", encoding="utf-8")
    return folder


def cells(folder, **words):
    return build.notebook(folder / "01_one.py", **words).cells


def test_building_twice_gives_equal_bytes_and_the_check_agrees(folder, capsys):
    assert build.check(folder) == 1
    assert "01_one.ipynb is not what 01_one.py says" in capsys.readouterr().err
    assert build.write(folder) == 0
    first = (folder / "01_one.ipynb").read_bytes()
    build.write(folder)
    assert (folder / "01_one.ipynb").read_bytes() == first
    assert build.check(folder) == 0
    assert b"\r" not in first


@pytest.mark.parametrize("old", ["x = 1", '"outputs": []', "exercise"])
def test_the_check_sees_an_edited_notebook(folder, old, capsys):
    build.write(folder)
    path = folder / "01_one.ipynb"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(old, old[:-1] + " " + old[-1], 1), encoding="utf-8")
    assert build.check(folder) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_notebook_without_a_source_is_told(folder, capsys):
    build.write(folder)
    (folder / "02_two.py").unlink()
    (folder / "01_one.py").write_text("# %%\nx = 1\n", encoding="utf-8")
    build.write(folder)
    assert build.check(folder) == 1
    assert capsys.readouterr().err == "tutorials/02_two.ipynb has no 02_two.py: delete it\n"


def test_links_to_tutorials_become_links_to_notebooks(folder):
    text = cells(folder)[0].source
    assert "[tutorial 2](02_two.ipynb) and [its end](02_two.ipynb#end)" in text
    assert "(https://example.org/02_two)" in text


def test_a_link_to_no_tutorial_is_refused(folder, monkeypatch, capsys):
    (folder / "02_two.py").unlink()
    monkeypatch.setattr(build, "TUTORIALS", folder)
    assert build.main([]) == 1
    assert capsys.readouterr().err == "tutorials/01_one.py links to '02_two'; expected one of 01_one\n"


def test_only_the_edited_cell_gets_a_new_id(folder):
    before = [cell.id for cell in cells(folder)]
    assert len(set(before)) == len(before) == 5  # also where two cells are equal
    text = ONE.replace("# your line here", "# one line").replace(
        "# # One", "# new\n\n# %% [markdown]\n# # One"
    )
    (folder / "01_one.py").write_text(text, encoding="utf-8")
    after = [cell.id for cell in cells(folder)]
    assert len(after) == 6
    assert [name in after for name in before] == [True, True, False, True, True]


def test_what_a_notebook_holds(folder):
    made = build.notebook(folder / "01_one.py")
    assert set(made.metadata) == {"gnref", "kernelspec", "language_info"}
    assert [cell.cell_type for cell in made.cells] == ["markdown", "code", "code", "markdown", "code"]
    assert [dict(cell.metadata) for cell in made.cells] == [{}, {}, {"tags": ["exercise"]}, {}, {}]
    assert all(not cell.outputs and cell.execution_count is None for cell in made.cells if "outputs" in cell)


def test_folded_code_is_folded_in_jupyterlab_too(folder):
    (folder / "01_one.py").write_text('# %% tags=["hide-input"]\nx = 1\n', encoding="utf-8")
    (cell,) = cells(folder)
    assert cell.metadata == {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}


def test_an_edition_changes_with_the_text(folder):
    first = build.notebook(folder / "01_one.py").metadata.gnref.edition
    (folder / "01_one.py").write_text(ONE.replace("x = 1", "x = 2", 1), encoding="utf-8")
    assert build.notebook(folder / "01_one.py").metadata.gnref.edition != first


def test_homework_has_no_solutions_and_overwrites_nothing(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build, "TUTORIALS", folder)
    to = tmp_path / "a" / "homework"
    assert build.main(["--homework", str(to)]) == 0
    text = (to / "01_one.ipynb").read_text(encoding="utf-8")
    assert "your line here" in text
    assert "Solution" not in text
    assert "return x" not in text
    (to / "01_one.ipynb").write_text("mine", encoding="utf-8")
    (to / "02_two.ipynb").unlink()
    assert build.main(["--homework", str(to)]) == 1
    assert (to / "01_one.ipynb").read_text(encoding="utf-8") == "mine"
    assert (to / "02_two.ipynb").exists()
    assert capsys.readouterr().err == f"{to / '01_one.ipynb'} exists already and stays as it is\n"


def test_homework_into_a_file_is_refused(folder, monkeypatch, capsys):
    monkeypatch.setattr(build, "TUTORIALS", folder)
    assert build.main(["--homework", str(folder / "01_one.py")]) == 1
    assert capsys.readouterr().err.endswith("a file; expected a folder\n")
