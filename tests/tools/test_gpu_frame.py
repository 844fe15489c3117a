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


def test_a_step_that_forgets_the_time_is_stopped(gpu, tmp_path):
    if not hasattr(__import__("signal"), "SIGALRM"):
        pytest.skip("no alarm on this system")
    with pytest.raises(gpu.session.OutOfTime), gpu.session.stopped_after(0.05):
        time.sleep(5)


def test_json_has_no_nan_and_no_half_file(gpu, tmp_path):
    record = gpu.record.Record(tmp_path)
    record.found["numbers"] = [np.float32(1.5), float("nan"), float("inf"), (np.int64(3),), {1: None}]
    record.write("table")
    assert '"nan"' in record.json.read_text()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["gpu_check.json", "gpu_check.md"]


PROGRAM = """#!/bin/sh
if [ "$2" = initcheck ]; then exec sleep 20; fi
if [ "$2" = racecheck ]; then echo "========= RACECHECK SUMMARY: 3 hazards displayed (3 errors)"; exit 9; fi
if [ "$2" = synccheck ]; then echo "Device not supported"; exit 1; fi
echo "========= ERROR SUMMARY: 0 errors"
"""


def test_the_sanitizer_is_found_and_its_words_are_kept(gpu, tmp_path, monkeypatch):
    if sys.platform == "win32":
        pytest.skip("a shell script stands for it")
    program = tmp_path / "bin" / "compute-sanitizer"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert gpu.sanitizer.find() == str(program)
    said = [gpu.sanitizer.run(str(program), tool, 0.5)["said"] for tool in gpu.sanitizer.TOOLS]
    assert said[:2] == ["0 errors", "3 errors"]
    assert said[2] == "did not run (exit code 1): Device not supported"
    assert said[3].startswith("not done after")
    context, found = gpu.session.Context(1, say=lambda text: None, deadline=time.monotonic() + 1), {}
    gpu.sanitizer.check(context, found)
    assert found["passed"] is False


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
