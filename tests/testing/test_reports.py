import io
import json

from rich.console import Console

from gnref.testing import Report, Result
from gnref.testing.grades import Grade
from gnref.testing.reports import cell, show, to_json, to_markdown


def report(target, *results, **words):
    rows = [Result(target, "group", name, **given) for name, given in results]
    return Report(target, "group", rows, {"float32": Grade("A", 1e18)}, **words)


PASSED = ("inputs are unchanged", {"examples": 3})
FAILED = ("y equals exact fractions", {"status": "failed", "reason": "off by [2]", "museum": ("like 43",)})
OUTSIDE = ("y equals exact fractions", {"status": "unsupported"})


def shown(*reports):
    console = Console(file=io.StringIO(), width=80, color_system=None)
    show(console, reports)
    return console.file.getvalue()


def test_targets_stand_side_by_side():
    text = shown(report("one", PASSED, FAILED), report("two", PASSED, OUTSIDE, excluded=0.25))
    assert text.index("one") < text.index("two")
    assert "FAIL" in text
    assert "outside" in text
    assert "25%" in text
    assert "like 43" in text
    assert "off by [2]" in text
    assert "1e+18" in text


def test_cells():
    assert cell(None) == "[dim]-[/]"
    assert cell(Result("t", "group", "l", worst=0.5)) == "0.50"
    assert cell(Result("t", "group", "l")) == "[green]=[/]"
    assert "FAIL" in cell(Result("t", "group", "l", "failed"))


def test_what_is_refused_is_not_called_unexercised():
    refused = ("second derivatives equal autograd", {"status": "refused", "reason": "it raises"})
    partly = ("inputs are unchanged", {"examples": 3, "reason": "with bias alone: it raises"})
    (found,) = json.loads(to_json([report("one", partly, refused, OUTSIDE)]))["reports"]
    assert found["refused"] == {refused[0]: "it raises", partly[0]: "with bias alone: it raises"}
    assert found["not_exercised"] == [OUTSIDE[0]]


def test_files():
    both = [report("one", PASSED), report("two", FAILED)]
    assert [r["target"] for r in json.loads(to_json(both))["reports"]] == ["one", "two"]
    assert to_markdown(both).count("## ") == 2
