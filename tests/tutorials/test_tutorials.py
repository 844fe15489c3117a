"""Every tutorial runs from top to bottom, untouched and solved, and is what a tutorial has to be."""

import ast
import re
import time
from pathlib import Path

import pytest

pytest.importorskip("jupytext")
pytest.importorskip("hypothesis")

import build_notebooks as build
import nbformat

from gnref.teaching.exercises import EXERCISES

PATHS = {path.stem: path for path in sorted(build.TUTORIALS.glob("*.ipynb"))}
CHECK = re.compile(r'^check\("(\w+)", (\w+)\)$', re.MULTILINE)
SOLUTION = re.compile(
    r"<details>\s*<summary>Solution</summary>\s*```python\n(.*?)```.*?</details>", re.DOTALL
)
ONE_CELL = 900  # seconds, after which it counts as hanging


def read(name):
    return nbformat.reads(PATHS[name].read_text(encoding="utf-8"), as_version=4)


def exercises(notebook):
    """The cells of every exercise, by its name: the stub, the check, the solution."""
    found = {}
    for i, cell in enumerate(notebook.cells):
        checked = CHECK.search(cell.source) if cell.cell_type == "code" else None
        if checked:
            found[checked[1]] = notebook.cells[i - 1 : i + 2]
    return found


def solution(cells):
    return SOLUTION.search(cells[2].source)[1]


def words(notebook):
    """How many words there are to read: no solutions, no formulas, no addresses."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for left_out in (
        build.SOLUTION,
        re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$", re.DOTALL),
        re.compile(r"\]\([^)]*\)"),
    ):
        text = left_out.sub(" ", text)
    return len(re.findall(r"[A-Za-z0-9][\w'.-]*", text))


def run(notebook, folder):
    """Run all cells in an empty folder; return what each check says."""
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient")
    pytest.importorskip("ipykernel", reason="needs ipykernel")
    start = time.perf_counter()
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=ONE_CELL, kernel_name="python3", resources=resources).execute()
    print(f"{time.perf_counter() - start:.1f} s with the kernel's start")
    assert not noise(notebook)
    assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == []  # as Hypothesis's
    return {name: cells[1].outputs[-1].data["text/plain"] for name, cells in exercises(notebook).items()}


def noise(notebook):
    """What a reader would take for trouble."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]


@pytest.mark.parametrize("name", PATHS)
def test_untouched_it_runs_and_no_exercise_is_written_yet(name, tmp_path):
    told = run(read(name), tmp_path)
    assert {name: said for name, said in told.items() if "Not written yet" not in said} == {}


@pytest.mark.parametrize("name", PATHS)
def test_solved_it_runs_and_every_exercise_is_right(name, tmp_path):
    notebook = read(name)
    for cells in exercises(notebook).values():
        cells[0].source = solution(cells)
    told = run(notebook, tmp_path)
    assert {name: said for name, said in told.items() if "✓ Right" not in said} == {}


@pytest.mark.parametrize("name", PATHS)
def test_an_exercise_is_a_stub_a_check_and_a_folded_solution(name):
    found = exercises(read(name))
    assert 2 <= len(found) <= 4
    for exercise, (stub, check, _) in found.items():
        assert stub.metadata.tags == ["exercise"]
        assert "..." in stub.source
        assert check.source == f'check("{exercise}", {exercise})'


@pytest.mark.parametrize("name", PATHS)
def test_a_solution_in_the_text_is_the_one_that_the_check_knows(name):
    for exercise, cells in exercises(read(name)).items():
        assert solution(cells) == EXERCISES[exercise].solution


@pytest.mark.parametrize("name", PATHS)
def test_only_the_stub_defines_an_answer(name):
    notebook = read(name)
    for exercise, (stub, *_) in exercises(notebook).items():
        assert [cell.id for cell in notebook.cells if exercise in defined(cell)] == [stub.id]


def defined(cell):
    """The names that a cell gives a value."""
    if cell.cell_type != "code":
        return set()
    nodes = list(ast.walk(ast.parse(cell.source)))
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    return functions | {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


@pytest.mark.parametrize("name", PATHS)
def test_it_opens_with_what_one_will_do_and_closes_with_where_to_go(name):
    cells = read(name).cells
    assert re.match(r"# \w", cells[0].source)
    assert "**You will**" in cells[0].source
    assert 3 <= len(re.findall(r"^- ", cells[0].source, re.MULTILINE)) <= 4
    assert re.match(
        r"(?s)## Where to go next\n.*\.ipynb\)", cells[-1].source[cells[-1].source.index("## Where") :]
    )


@pytest.mark.parametrize("name", PATHS)
def test_it_is_neither_long_nor_short(name):
    count = words(read(name))
    print(count)
    assert 600 <= count <= 1200


def test_every_exercise_is_in_its_tutorial():
    asked = {exercise: int(name[:2]) for name in PATHS for exercise in exercises(read(name))}
    assert asked == {name: exercise.tutorial for name, exercise in EXERCISES.items()}


def test_five_mistakes_are_known_for_each_tutorial():
    assert sum(len(exercise.mistakes) for exercise in EXERCISES.values()) >= 5 * len(PATHS)


def test_the_notebooks_are_what_their_sources_say(capsys):
    assert build.check(build.TUTORIALS) == 0, capsys.readouterr().err


def test_the_wheel_takes_all_notebooks():
    text = Path(build.TUTORIALS.parent, "pyproject.toml").read_text(encoding="utf-8")
    taken = re.findall(
        r'^"tutorials/(.*)\.ipynb" = "gnref/teaching/tutorials/(.*)\.ipynb"$', text, re.MULTILINE
    )
    assert taken == [(name, name) for name in PATHS]
