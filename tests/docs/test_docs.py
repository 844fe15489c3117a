"""What the pages of docs/ say in numbers, computed: the quiz, the examples, the table of the design."""

import doctest
import re
from math import prod
from pathlib import Path

import pytest

from gnref.axes import view

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"```python\n(>>> .*?)```", re.DOTALL)
EXAMPLES = [
    (path.relative_to(DOCS).as_posix(), block)
    for path in sorted(DOCS.rglob("*.md"))
    for block in BLOCK.findall(path.read_text(encoding="utf-8"))
]
PROGRAM = re.compile(r"```python\n((?!>>> ).*?)```", re.DOTALL)
SIZES = {"N": 4, "C": 30, "H": 7, "W": 11, "G": 5, "K": 6, "T": 13, "D": 17, "g": 2, "1": 1}


@pytest.mark.parametrize(("page", "block"), EXAMPLES)
def test_what_is_shown_is_what_comes_out(page, block):
    test = doctest.DocTestParser().get_doctest(block, {}, page, page, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    told = []
    runner.run(test, out=told.append)
    assert not told, "".join(told)


@pytest.mark.parametrize("page", ["index.md", "conformance/index.md"])
def test_a_program_is_the_readmes(page):
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")  # tests/test_readme.py runs it
    programs = PROGRAM.findall((DOCS / page).read_text(encoding="utf-8"))
    assert len(programs) == 1
    assert programs[0] in readme


def test_every_question_with_a_number_has_its_lines():
    quiz = (DOCS / "teach" / "quiz.md").read_text(encoding="utf-8")
    questions = re.findall(r"^\*\*\d+\.\*\*", quiz, re.MULTILINE)
    assert len(questions) == quiz.count("<summary>Answer</summary>") == 12
    assert sum(page == "teach/quiz.md" for page, _ in EXAMPLES) == len(questions)


def rows():
    """The rows of the design's table: the norm, the layout and the slots."""
    text = (DOCS / "design.md").read_text(encoding="utf-8")
    return re.findall(r"^\| (\w+)[^|]* \| ([NCHWTD ]+) \| \(([^)]+)\)", text, re.MULTILINE)


def size(slot):
    """NHW is N times H times W, N/g is N over g."""
    over, _, under = slot.partition("/")
    return prod(SIZES[letter] for letter in over) // prod(SIZES[letter] for letter in under)


def test_the_table_has_all_rows():
    assert len(rows()) == 10


@pytest.mark.parametrize(("norm", "layout", "slots"), rows())
def test_the_slots_of_the_table(norm, layout, slots):
    axes = layout.split()
    wanted = tuple(size(slot) for slot in slots.split(", "))
    seen = view(
        norm,
        tuple(SIZES[axis] for axis in axes),
        channel_axis=axes.index("C") if "C" in axes else 1,
        num_groups=SIZES["G"],
        normalized_shape=tuple(SIZES[a] for a in (axes[1:] if "C" in axes else axes[2:])),
        virtual_batch_size=SIZES["g"] if "/g" in slots else None,
    )
    assert seen.x.slots == wanted


def test_what_the_teachers_sheet_says_of_eps():
    var, eps = 4e-6, 1e-5
    assert round(var / (var + eps), 2) == 0.29
    assert "a variance of 0.29" in (DOCS / "teach" / "index.md").read_text(encoding="utf-8")
