import io
import json

from rich.console import Console

from gnref.testing import PROPERTIES, Gnref, Result, check_property
from gnref.testing.tables import cell, show, to_json, verdict

PLAIN = {"channel_axes": False, "layouts": ("plain",)}


class Wrong(Gnref):
    """A target whose dx is wrong, and depends on the batch."""

    def backward(self, dy, forward, **options):
        grads = super().backward(dy, forward, **options)
        return grads._replace(dx=grads.dx + grads.dx.dtype.type(len(dy)))


def results():
    names = ("y equals plain loops", "inputs are unchanged", "<dx,xhat> = eps rstd^3 <w dy,xhat>")
    good = [check_property(PROPERTIES[name], Gnref("reference"), "group", max_examples=5) for name in names]
    bad = check_property(
        PROPERTIES["dx sums to 0 over a set"], Wrong("reference"), "group", max_examples=5, **PLAIN
    )
    skipped = Result("gnref:reference", "group", "y equals torch", "skipped", reason="torch is not installed")
    wrong = check_property(PROPERTIES["f(x)[i] = f(x[i:i+1])"], Wrong("reference"), "group", max_examples=5)
    return [*good, bad, skipped, wrong]


def text(rows):
    console = Console(file=io.StringIO(), width=80, color_system=None)
    show(console, rows)
    return console.file.getvalue()


def test_the_table_says_it_all():
    shown = text(results())
    assert "y equals plain loops" in shown
    assert "share of the examples with" in shown
    assert "skipped: y equals torch: torch is not installed" in shown
    assert shown.rstrip().splitlines()[-1] == verdict(results())


def test_brackets_in_a_property_are_not_markup():
    row = check_property(PROPERTIES["f(x)[i] = f(x[i:i+1])"], Gnref("reference"), "group", max_examples=3)
    assert "f(x)[i] = f(x[i:i+1])" in text([row])


def test_a_failure_shows_its_program():
    prop = PROPERTIES["gradients equal exact fractions"]
    row = check_property(prop, Wrong("reference"), "group", max_examples=30, **PLAIN)
    shown = text([row])
    assert "FAIL" in shown
    assert "problem = Problem(" in shown
    assert "0 passed, 1 failed, 0 skipped" in shown


def test_cells():
    assert cell(None) == "[dim]-[/]"
    assert cell(Result("t", "batch", "l", "empty")) == "[yellow]none[/]"
    assert cell(Result("t", "batch", "l", "skipped")) == "[yellow]skip[/]"
    assert cell(Result("t", "batch", "l", worst=0.5)) == "0.50"
    assert "~" in cell(Result("t", "batch", "l", worst=0.01)), "a slack tolerance is flagged"
    many = {"float32": (20, 0.01), "float16": (20, 0.5)}
    assert "~" in cell(Result("t", "batch", "l", worst=0.5, worst_by_dtype=many)), "also that of one dtype"
    few = {"float32": (19, 0.01), "float16": (20, 0.5)}
    assert cell(Result("t", "batch", "l", worst=0.5, worst_by_dtype=few)) == "0.50"
    assert "=" in cell(Result("t", "batch", "l"))


def test_json():
    found = json.loads(to_json(results(), {"seed": 0}))
    assert found["settings"] == {"seed": 0}
    assert [row["status"] for row in found["results"]].count("skipped") == 1
    assert found["results"][0]["worst_error_in_tolerances"] > 0
    assert found["results"][1]["exact"] is True
    assert set(found["coverage"]) == {"group"}
