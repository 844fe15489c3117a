"""Steps in processes of their own: one that hangs or dies is over, and the problems behind it are checked."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

FAULTY = Path(__file__).with_name("faulty.py")


@pytest.fixture
def compiled(cupy):
    """Every kernel of these problems: after that none takes long."""
    from faulty import problems
    from gpu.correctness import Tally, case_ways, one

    for case in problems(1):
        one(case, Tally({}), case_ways(case))


@pytest.fixture
def run(gpu, tool, compiled):
    """Run a step in children whose kernel is bad; return what was found, and what was said."""

    def run(name, kind, count=1, seconds=60.0):
        said, found = [], {"status": "interrupted"}
        command = [sys.executable, str(FAULTY), kind, str(count)]
        context = gpu.session.Context(1, say=said.append, options={"command": command})
        context.deadline = time.monotonic() + seconds
        step = next(step for step in tool.STEPS if step.name == name)
        gpu.children.run(replace(step, patience=10.0 if kind == "hangs" else 60.0), context, found)
        return found, said

    return run


@pytest.mark.parametrize(
    ("kind", "status", "said"),
    [
        ("hangs", "hung", "did not end within 10 seconds"),
        ("dies", "lost", "its process ended with code 7"),
        ("loses", "lost", "RuntimeError: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal"),
    ],
)
def test_the_problems_behind_a_bad_one_are_checked(run, gpu, kind, status, said):
    found, lines = run("correctness", kind)
    assert found["status"] == "done"
    bad = found["broken"][0]
    assert bad["case"] == "2x7x4x1x1 float32 ordinary"
    assert bad["status"] == status
    assert bad["said"].startswith(said)
    assert len(found["broken"]) == 1
    assert found["cases"] == 3
    assert found["left_out"] == []
    counts = {row["result"]: row["count"] for row in found["table"] if row["way"] == "registers"}
    assert set(counts.values()) == {2}, "the first and the last problem, each once"
    assert any(line.strip().startswith(f"{status}: ") for line in lines)
    assert gpu.report.wrong({"correctness": found}) == ["correctness"]
    assert not gpu.report.passed({name: found | {"passed": True} for name in gpu.report.NEEDED})


def test_determinism_goes_on_too(run, gpu):
    found, _ = run("determinism", "loses")
    assert found["status"] == "done"
    assert found["broken"][0]["case"] == "2x7x4x1x1 float32 ordinary"
    assert found["laws"]["two runs"]["cases"] == 2
    assert found["passed"] is False


def test_it_goes_on_three_times(run, gpu):
    found, _ = run("correctness", "dies", gpu.children.RESTARTS + 1)
    assert found["status"] == "lost"
    assert found["error"].startswith("its process ended with code 7, at 2x7x4x1x1")
    assert len(found["broken"]) == gpu.children.RESTARTS + 1
    assert "status" in found
    assert "Not done: correctness (lost" in gpu.report.verdict(
        {"steps": {"correctness": found}, "passed": False}
    )


CHILD = """
import sys
sys.path[:0] = {paths}
from pathlib import Path
from gpu import child
child.main(Path(sys.argv[1]))
"""
STEP = """
import ctypes, os, time
def check(context, found):
    found["so far"] = 1
    context.keep(found)
    context.say("it has begun")
    {what}
"""


@pytest.fixture
def step(gpu, tmp_path):
    """Run a step of a few lines in a child."""

    def run(what, seconds=1.0, found=None):
        (tmp_path / "lines.py").write_text(STEP.format(what=what))
        (tmp_path / "main.py").write_text(
            CHILD.format(paths=[str(FAULTY.parents[2]), str(FAULTY.parents[2] / "tools"), str(tmp_path)])
        )
        options = {"command": [sys.executable, str(tmp_path / "main.py")]}
        context = gpu.session.Context(1, say=lambda text: None, options=options)
        context.deadline = time.monotonic() + seconds
        found = {"status": "interrupted"} if found is None else found
        gpu.children.run(gpu.session.Step("lines", "lines", "check", seconds), context, found)
        return found

    return run


def test_a_step_that_waits_in_c_is_ended(step, gpu, monkeypatch):
    """No signal would get through to Python there, nor does one end this."""
    monkeypatch.setattr(gpu.children, "GRACE", 4.0)
    what = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {15, 14}); ctypes.CDLL(None).sleep(600)"
    found = step(what)
    assert (found["status"], found["so far"]) == ("hung", 1)
    assert found["error"].startswith("was stopped after ")


def test_what_a_dying_step_had_found_is_kept(step):
    found = step("os._exit(3)", 60)
    assert (found["status"], found["error"], found["so far"]) == ("lost", "its process ended with code 3", 1)


def test_an_interruption_ends_the_child_and_keeps_what_it_found(step, gpu, monkeypatch):
    processes = []

    def interrupted(process, folder, *rest):
        processes.append(process)
        while not (folder / "found.json").exists():
            time.sleep(0.01)
        raise KeyboardInterrupt

    found = {"status": "interrupted"}
    monkeypatch.setattr(gpu.children, "watch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        step("time.sleep(600)", 60, found)
    assert processes[0].poll() is not None
    assert found == {"status": "interrupted", "so far": 1}


def test_a_step_that_fails_tells_why(step):
    found = step("raise RuntimeError('no')", 60)
    assert (found["status"], found["error"]) == ("failed", "RuntimeError: no")
    assert "lines.py" in found["traceback"]


def test_a_step_knows_its_time(step):
    found = step("found['left'] = context.deadline - time.monotonic()", 60)
    assert found["status"] == "done"
    assert 20 < found["left"] < 60


def test_a_child_leaves_with_the_first_process(gpu, tmp_path):
    (tmp_path / "lines.py").write_text(STEP.format(what="time.sleep(600)"))
    paths = [str(FAULTY.parents[2]), str(FAULTY.parents[2] / "tools"), str(tmp_path)]
    given = {"seed": 1, "quick": False, "seconds": 60, "broken": [], "found": {}}
    step = {"name": "lines", "module": "lines", "function": "check", "seconds": 60}
    (tmp_path / "given.json").write_text(json.dumps(given | {"step": step}))
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(paths=paths), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout.readline() == b"      it has begun\n".lstrip()
        process.stdin.close()
        assert process.wait(30) == 1
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        ("cudaErrorIllegalAddress: an illegal memory access was encountered", True),
        ("CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered", True),
        ("CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure", True),
        ("cudaErrorLaunchFailure: unspecified launch failure", True),
        ("CUDA error: an illegal memory access was encountered", True),
        ("CUDA_ERROR_MISALIGNED_ADDRESS: misaligned address", True),
        ("CUDA_ERROR_ASSERT: device-side assert triggered", True),
        ("CUDA_ERROR_INVALID_VALUE: invalid argument", False),
        ("Out of memory allocating 8 bytes", False),
    ],
)
def test_a_lost_device_is_known_by_every_spelling(gpu, said, lost):
    assert gpu.session.is_lost(RuntimeError(said)) is lost


def test_the_usual_child_needs_no_help(gpu):
    context, found = gpu.session.Context(1, say=lambda text: None), {"status": "interrupted"}
    context.deadline = time.monotonic() + 60
    gpu.children.run(gpu.session.Step("versions", "gpu.facts", "versions", 60), context, found)
    assert found["status"] == "done"
    assert found["packages"]["numpy"]


def test_all_steps_hand_everything_back(tool, compiled, tmp_path, monkeypatch):
    monkeypatch.setattr("gpu.sanitizer.find", lambda: None)
    words = ["--out", str(tmp_path), "--seed", "1"]
    assert tool.main(words, command=[sys.executable, str(FAULTY), "works", "1"]) == 0
    steps = json.loads((tmp_path / "gpu_check.json").read_text())["steps"]
    assert [name for name, step in steps.items() if step["status"] != "done"] == []
    assert steps["correctness"]["cases"] == 3
    assert [row["direction"] for row in steps["timing"]["rows"]] == ["forward", "backward"]
    assert "next" not in steps["timing"]
    assert (tmp_path / "gpu_check.md").read_text().startswith("# gpu_check\n\nAll results are right")


def test_a_bad_kernel_fails_the_check_and_not_the_other_steps(tool, compiled, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gpu.sanitizer.find", lambda: None)
    words = ["--out", str(tmp_path), "--seed", "1"]
    assert tool.main(words, command=[sys.executable, str(FAULTY), "dies", "1"]) == 1
    steps = json.loads((tmp_path / "gpu_check.json").read_text())["steps"]
    assert {name for name, step in steps.items() if step.get("broken")} == {"correctness", "determinism"}
    assert steps["timing"]["status"] == "done"
    last = capsys.readouterr().out.splitlines()[-2]
    assert (
        "WRONG: correctness, determinism. Not done: correctness (lost at 2x7x4x1x1 float32 ordinary)" in last
    )
    assert "lost at 2x7x4x1x1 float32 ordinary: its process" in (tmp_path / "gpu_check.md").read_text()
