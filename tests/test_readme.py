import re
from pathlib import Path

import pytest

from gnref.conventions import as_markdown

ROOT = Path(__file__).parent.parent


def blocks():
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)


def test_the_example_runs_and_prints_what_it_says(capsys):
    block = blocks()[0]
    exec(block, {})
    assert capsys.readouterr().out.strip() == block.rsplit("# ", 1)[1].strip()


def test_the_kit_finds_what_is_wrong_with_the_second_example(capsys):
    pytest.importorskip("hypothesis")
    exec(blocks()[1], {})
    shown = capsys.readouterr().out
    assert "'error grows like the offset at most'" in shown.splitlines()[0]
    assert shown.splitlines()[0].endswith(" F")
    assert "var = E[x^2] - E[x]^2" in shown


def test_what_it_points_to_is_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)|(?:src|srcset)=\"([^\"]+)\"", text):
        assert (ROOT / (target[0] or target[1])).exists(), target


def test_the_conventions_are_those_of_the_code():
    assert as_markdown() in (ROOT / "README.md").read_text(encoding="utf-8")
