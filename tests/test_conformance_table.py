import importlib.util
from pathlib import Path

PATH = Path(__file__).parents[1] / "tools" / "conformance_table.py"
spec = importlib.util.spec_from_file_location("conformance_table", PATH)
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


def report(target, norm="group", **changed):
    row = {"property": "f(x) = f(x)", "status": "passed", "fails_in": []} | changed
    return {
        "gnref": "1.0",
        "target": target,
        "norm": norm,
        "settings": {"version": f"{target} 2.0", "max_examples": 40},
        "results": [row],
        "grades": {"float32": {"accuracy": "B", "range": 1e15}, "float16": {"accuracy": "F", "range": 0.0}},
        "excluded": 0.5,
    }


def test_one_table_for_each_norm():
    text = tool.tables(
        [report("one"), report("two", status="failed", fails_in=["float16"]), report("one", "rms")]
    )
    lines = text.splitlines()
    assert lines[0] == "gnref 1.0; one 2.0 (40 examples), two 2.0 (40 examples)."
    assert [line for line in lines if line.startswith("###")] == ["### group norm", "### rms norm"]
    assert "| f(x) = f(x) | holds | **fails** in 16 bits |" in lines
    assert "| *accuracy, float32* | B | B |" in lines
    assert "| *scales up to, float16* | none | none |" in lines
    assert "| *problems outside its domain* | 50% | 50% |" in lines


def test_a_failure_in_float32_is_one():
    assert tool.cell({"status": "failed", "fails_in": ["float32", "float16"]}) == "**fails**"
    assert tool.cell(None) == ""


def test_a_refusal_does_not_hold():
    assert tool.cell({"status": "refused", "fails_in": []}) == "refused"


def test_what_stands_between_the_marks_is_replaced(tmp_path, monkeypatch):
    page, found = tmp_path / "page.md", tmp_path / "found.json"
    page.write_text(f"before\n{tool.BEGIN}\nstale\n{tool.END}\nafter\n")
    found.write_text(tool.json.dumps({"reports": [report("one")]}))
    monkeypatch.setattr(tool, "PAGE", page)
    monkeypatch.setattr(tool.sys, "argv", ["tool", str(found)])
    tool.main()
    text = page.read_text()
    assert text.startswith(f"before\n{tool.BEGIN}\ngnref 1.0")
    assert text.endswith(f"{tool.END}\nafter\n")
    assert "stale" not in text
