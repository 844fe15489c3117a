"""The frame of the GPU check: its clock, its record, and compute-sanitizer."""

import importlib.util
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tools" / "gpu"
BENCH = ROOT / "gnref" / "bench"


def test_json_has_no_nan_and_no_half_file(gpu, tmp_path):
    record = gpu.record.Record(tmp_path)
    record.found["numbers"] = [np.float32(1.5), float("nan"), float("inf"), (np.int64(3),), {1: None}]
    record.write("table")
    assert '"nan"' in record.json.read_text()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["gpu_check.json", "gpu_check.md"]


PROGRAM = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/asked"
if [ "$2" = racecheck ]; then echo "========= RACECHECK SUMMARY: 3 hazards displayed (3 errors)"; exit 9; fi
if [ "$2" = synccheck ]; then echo "Device not supported"; exit 1; fi
if [ "$2" = initcheck ]; then sleep 60 & echo $! > "$(dirname "$0")/sleeps"; wait; fi
echo "========= ERROR SUMMARY: 0 errors"
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    if sys.platform == "win32":
        pytest.skip("a shell script stands for it")
    found = tmp_path / "bin" / "compute-sanitizer"
    found.parent.mkdir()
    found.write_text(PROGRAM)
    found.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    return found


def test_the_sanitizer_is_found_and_its_words_are_kept(gpu, program):
    assert gpu.sanitizer.find() == str(program)
    found = [gpu.sanitizer.run(str(program), tool, 60) for tool in ("memcheck", "racecheck", "synccheck")]
    assert [told["errors"] for told in found] == [0, 3, None]
    assert [told["said"] for told in found[:2]] == ["0 errors", "3 errors"]
    assert found[2]["said"] == "did not run (exit code 1): Device not supported"
    asked = (program.parent / "asked").read_text().splitlines()
    assert asked[0].endswith("small.py float32 float16")
    assert asked[1].endswith("small.py float32")


def test_a_sanitizer_that_does_not_end_is_ended_with_all_it_has_started(gpu, program):
    found = gpu.sanitizer.run(str(program), "initcheck", 1.0)
    assert found == {"said": "not done after 1 seconds", "errors": None}
    child = int((program.parent / "sleeps").read_text())
    end = time.monotonic() + 10
    while is_alive(child):
        assert time.monotonic() < end
        time.sleep(0.05)


def is_alive(number):
    """Whether a process runs; one that has ended, and whom nobody has asked for that, does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("output", "code", "errors", "said"),
    [
        ("========= ERROR SUMMARY: 0 errors", 0, 0, "0 errors"),
        ("========= ERROR SUMMARY: 2 errors", 9, 2, "2 errors"),
        ("========= ERROR SUMMARY: 2 errors", 1, 2, "2 errors"),
        ("=== RACECHECK SUMMARY: 2 hazards displayed (0 errors, 2 warnings)", 9, 0, "0 errors, 2 warnings"),
        ("=== RACECHECK SUMMARY: 2 hazards displayed (1 error, 1 warning)", 9, 1, "1 errors, 1 warnings"),
        ("=== RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)", 0, 0, "0 errors"),
        (
            "=== ERROR SUMMARY: 0 errors\nImportError: no",
            1,
            None,
            "did not run (exit code 1): ImportError: no",
        ),
        ("", 9, 1, "found errors (exit code 9)"),
    ],
)
def test_what_the_sanitizer_says(gpu, output, code, errors, said):
    assert gpu.sanitizer.summary(output, code) == (errors, said)


@pytest.mark.parametrize(
    ("errors", "passed"), [((0, 0, 0, 0), True), ((0, 1, 0, None), False), ((0, None, 0, 0), None)]
)
def test_errors_are_a_failure_and_silence_is_not(gpu, monkeypatch, errors, passed):
    told = iter(errors)
    monkeypatch.setattr(gpu.sanitizer, "find", lambda: "program")
    monkeypatch.setattr(gpu.sanitizer, "run", lambda *rest: {"said": "", "errors": next(told)})
    found = {}
    gpu.sanitizer.check(gpu.session.Context(1, say=lambda text: None, deadline=time.monotonic() + 1), found)
    assert found["passed"] is passed
    steps = {name: {"status": "done", "passed": True} for name in gpu.report.NEEDED}
    steps["sanitizer"] = found | {"status": "done"}
    assert gpu.report.passed(steps) is (passed is not False)
    said = gpu.report.verdict({"steps": steps, "passed": passed is not False})
    assert said.startswith("WRONG: sanitizer." if passed is False else "All results are right")
    assert ("compute-sanitizer: " in said) is (None in errors)


def test_no_sanitizer_is_no_failure(gpu, monkeypatch):
    monkeypatch.setattr(gpu.sanitizer, "find", lambda: None)
    found = {}
    gpu.sanitizer.check(gpu.session.Context(1, say=lambda text: None), found)
    assert found == {"program": None, "said": "not found"}


def test_what_the_sanitizer_runs_goes_every_way(cupy, tool):
    import standin

    cupy.cuda.set_allocator = lambda allocator: None
    path = FOLDER / "small.py"
    spec = importlib.util.spec_from_file_location("small", path)
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    try:
        spec.loader.exec_module(module)
        from gpu import cases

        cases.ROWS = tuple([(2, 1, 1, 2, 16)] * 7)
        cases.COLUMNS = tuple([(2, 7, 4, 1, 1)] * 2)
        module.main(("float32",))
    finally:
        sys.path[:] = before
    names = {launch.name.partition("<")[0] for launch in standin.launches}
    assert names >= {
        "forward",
        "forward_cluster",
        "forward_shared",
        "item_moments",
        "column_moments",
        "backward",
    }


def test_without_git_a_sum_tells_the_kernels_apart(gpu, tmp_path, monkeypatch):
    from gpu import facts

    assert len(facts.sum_of_kernels()) == 64
    for name in ("a.cu", "b.py", "c.pyc"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(facts, "ROOT", tmp_path)
    monkeypatch.setattr(facts, "KERNELS", tmp_path)
    assert facts.commit() is None
    sums = [facts.sum_of_kernels()]
    for name in ("c.pyc", "b.py", "a.cu"):
        (tmp_path / name).write_text("other")
        sums.append(facts.sum_of_kernels())
    assert sums[0] == sums[1]
    assert len(set(sums)) == 3


def test_nvidia_smi_is_asked_and_not_needed(gpu, monkeypatch):
    from gpu import facts

    monkeypatch.setattr(facts, "output_of", lambda words: "H100, 580.1, 1980 MHz, 2619 MHz\nnot supported")
    assert facts.clocks() == [
        {
            "name": "H100",
            "driver_version": "580.1",
            "clocks.max.sm": "1980 MHz",
            "clocks.max.memory": "2619 MHz",
        }
    ]
    monkeypatch.undo()
    assert facts.output_of(["a program that is not there"]) == ""


def test_a_quack_without_layer_norm_says_so(gpu, monkeypatch):
    from gpu import others

    monkeypatch.setattr(others, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="this version of quack has no layernorm_fwd"):
        others.Quack()
