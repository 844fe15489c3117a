"""`tools/gpu_check.py` where there is no GPU: it finds what is wrong, and goes on when a step fails."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FEW = {"rows": []}


def test_everything_is_right(check, tmp_path, capsys):
    code, found = check()
    assert code == 0
    assert found["passed"] is True
    assert {name: step["status"] for name, step in found["steps"].items()} == dict.fromkeys(
        [
            *("versions", "device", "copy", "compile", "correctness", "determinism", "promises"),
            *("timing", "sanitizer"),
        ],
        "done",
    )
    steps = found["steps"]
    assert steps["device"]["device"] == "stand-in"
    assert steps["versions"]["packages"]["numpy"]
    assert steps["copy"]["bytes_per_second"] > 0
    kernels = [kernel["kernel"] for kernel in steps["compile"]["kernels"]]
    assert any(name.startswith("forward<float, float, 4") for name in kernels)
    assert len(kernels) == len(set(kernels)) >= 15
    ways = {row["way"] for row in steps["correctness"]["table"]}
    assert ways == {"registers", "cluster", "shared", "chunks", "columns", "chosen"}
    results = {row["result"].partition(" ")[0] for row in steps["correctness"]["table"]}
    assert results >= {"y", "dx", "dweight", "apply", "backward_given", "backward_sums", "moments"}
    assert all(law["cases"] > 0 for law in steps["determinism"]["laws"].values())
    assert {name: told["passed"] for name, told in steps["promises"]["checks"].items()} == {
        **{"more than 2^31 numbers": True, "no hidden wait": True, "the current stream": True},
        "PyTorch's current stream": None,
    }
    assert steps["timing"]["absent"]["torch"] == "not asked"
    assert [row["direction"] for row in steps["timing"]["rows"]] == ["forward", "backward"]
    assert found["array_api_compat"] == "installed"
    assert len(steps["versions"]["kernels"]) == 64
    shown, table = capsys.readouterr().out, (tmp_path / "gpu_check.md").read_text()
    assert shown.splitlines()[-2] == (
        "All results are right, and all bits the same. "
        "Not checked: PyTorch's current stream: there is no PyTorch with this device. "
        "compute-sanitizer: not found."
    )
    assert "| group forward 3x4x4x4 float32 | " in table
    assert "stand-in, compute capability 9.0, 132 multiprocessors" in table


def wrong_eps(cupy, monkeypatch):
    from gnref.kernels.cuda import steps

    real = steps.forward
    monkeypatch.setattr(steps, "forward", lambda w, y, eps: real(w, y, eps + 1e-3))
    return "rstd"


def nothing_written(cupy, monkeypatch):
    from gnref.kernels.cuda import steps

    monkeypatch.setattr(steps, "apply", lambda *arguments: None)
    return "apply"


def wrong_tail(cupy, monkeypatch):
    from gnref.kernels.cuda import contract

    real = contract.backward

    def backward(*arguments):
        dx, dweight, dbias = real(*arguments)
        dweight[-1, -1] = dweight[-1, -1] * 1.001
        return dx, dweight, dbias

    monkeypatch.setattr(contract, "backward", backward)
    return "dweight"


def input_written(cupy, monkeypatch):
    from gnref.kernels.cuda import contract

    real = contract.backward

    def backward(dy, x, *arguments):
        results = real(dy, x, *arguments)
        dy[0, 0, 0, 0, 0] = 1.0
        return results

    monkeypatch.setattr(contract, "backward", backward)
    return "every function"


@pytest.mark.parametrize("plant", [wrong_eps, nothing_written, wrong_tail, input_written])
def test_a_wrong_kernel_is_reported(check, cupy, monkeypatch, capsys, plant):
    where = plant(cupy, monkeypatch)
    code, found = check(**FEW, cases=check.cases[:1])
    assert code == 1
    assert found["passed"] is False
    step = found["steps"]["correctness"]
    assert step["passed"] is False
    assert step["failed"] > 0
    assert where in {failure["result"] for failure in step["failures"]}
    assert found["steps"]["sanitizer"]["status"] == "done"
    shown = capsys.readouterr().out
    assert "WRONG: correctness" in shown


def test_other_bits_are_reported(check, cupy, monkeypatch):
    from gnref.kernels.cuda import contract

    real, turn = contract.forward, []

    def forward(*arguments):
        results = real(*arguments)
        turn.append(1)
        if len(turn) % 2:
            results[0][0, 0, 0, 0, 0] *= 1 + 2.0**-23
        return results

    monkeypatch.setattr(contract, "forward", forward)
    code, found = check(**FEW, cases=check.cases[:1])
    assert code == 1
    laws = found["steps"]["determinism"]["laws"]
    assert laws["two runs"]["differing"][0]["results"] == ["y"]
    assert found["steps"]["determinism"]["passed"] is False


def test_neighbours_that_matter_are_reported(check, cupy, monkeypatch):
    from gnref.kernels.cuda import contract

    real = contract.forward

    def forward(x, *arguments):
        results = real(x, *arguments)
        results[3][0, 0] *= 1 + len(x) * 2.0**-50
        return results

    monkeypatch.setattr(contract, "forward", forward)
    laws = check(**FEW, cases=check.cases[:1])[1]["steps"]["determinism"]["laws"]
    assert laws["two runs"]["differing"] == []
    assert "rstd, example 0" in laws["alone and among others"]["differing"][0]["results"]


def test_a_failing_step_does_not_stop_the_rest(check, cupy, monkeypatch, capsys):
    from gpu import facts

    def broken(context, found):
        found["so far"] = 1
        raise RuntimeError("no copy today\nand more")

    monkeypatch.setattr(facts, "ceiling", broken)
    code, found = check(**FEW, cases=check.cases[:1])
    assert code == 0, "speed is not what it is about"
    step = found["steps"]["copy"]
    assert (step["status"], step["so far"]) == ("failed", 1)
    assert step["error"] == "RuntimeError: no copy today\nand more"
    assert "broken" in step["traceback"]
    assert found["steps"]["determinism"]["passed"] is True
    assert "failed: RuntimeError: no copy today" in capsys.readouterr().out


def test_a_kernel_that_does_not_compile_is_named(check, cupy, monkeypatch):
    from gnref.kernels.cuda import launch

    real = launch.kernel

    def kernel(name):
        if name.startswith("item_moments"):
            raise RuntimeError("no such type")
        return real(name)

    monkeypatch.setattr(launch, "kernel", kernel)
    code, found = check(**FEW, cases=check.cases[:1])
    assert code == 1
    assert found["steps"]["compile"]["failed"][0]["error"] == "RuntimeError: no such type"
    assert found["steps"]["compile"]["status"] == "failed"
    failure = found["steps"]["correctness"]["failures"][0]
    assert (failure["way"], failure["result"]) == ("chunks", "every function")


def test_an_interruption_keeps_what_is_done(check, cupy, monkeypatch):
    from gpu import determinism

    def interrupted(context, found):
        found["laws"] = {}
        raise KeyboardInterrupt

    monkeypatch.setattr(determinism, "check", interrupted)
    code, found = check(**FEW, cases=check.cases[:1])
    assert code == 130
    assert found["passed"] is False
    assert found["steps"]["correctness"]["passed"] is True
    assert found["steps"]["determinism"]["status"] == "interrupted"
    assert "timing" not in found["steps"]


def test_no_time_is_said_and_is_no_pass_and_no_wrong_result(check, cupy, monkeypatch, tool, capsys):
    from gpu import correctness

    real = correctness.one

    def long(case, tally, ways):
        real(case, tally, ways[:1])
        context.deadline = 0.0

    def begin(given, found):
        nonlocal context
        context = given
        step(given, found)

    context, step = None, correctness.check
    monkeypatch.setattr(correctness, "one", long)
    monkeypatch.setattr(correctness, "check", begin)
    code, found = check(**FEW)
    assert code == 1
    assert found["steps"]["correctness"]["status"] == "out of time"
    assert len(found["steps"]["correctness"]["left_out"]) == len(check.cases) - 1
    shown = capsys.readouterr().out.splitlines()[-2]
    assert shown.startswith("Not done: correctness (out of time). Not checked: ")
    assert "WRONG" not in shown


def test_there_is_one_end_for_all_steps(check, cupy, monkeypatch, tool):
    monkeypatch.setattr(tool, "SECONDS", -1.0)
    code, found = check(**FEW)
    assert code == 1
    assert {step["status"] for step in found["steps"].values()} == {"out of time"}


def test_a_way_that_no_problem_took_is_not_done_and_not_wrong(check, cupy, monkeypatch, capsys):
    from gpu import correctness

    monkeypatch.setattr(correctness, "all_cases", lambda context, names: check.cases[:1])
    monkeypatch.setattr("gpu.instances.all_cases", lambda context, names: check.cases[:1])
    monkeypatch.setattr("gpu.determinism.some", lambda context: check.cases[:1])
    code, found = check(**FEW, leave="cases", dtypes=("float32",))
    assert code == 1
    step = found["steps"]["correctness"]
    assert step["passed"] is True
    assert {"columns backward", "cluster of 8 forward"} <= set(step["not_met"])
    assert "registers forward" not in step["not_met"]
    assert "Not done: correctness (no problem took " in capsys.readouterr().out


def test_without_a_device_it_says_so(cupy, tool, tmp_path, capsys):
    cupy.cuda.runtime.getDeviceCount = lambda: 0
    assert tool.main(["--out", str(tmp_path)], inside=True) == 2
    found = json.loads((tmp_path / "gpu_check.json").read_text())
    assert found["reason"] == "no CUDA device: the driver found none"
    assert found["steps"]["versions"]["packages"]["numpy"]
    assert found["passed"] is None
    said = "Nothing was checked: no CUDA device: the driver found none"
    assert said in capsys.readouterr().out
    assert said in (tmp_path / "gpu_check.md").read_text()


def test_without_cupy_it_says_so(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "find_spec", lambda name: None)
    assert tool.main(["--out", str(tmp_path / "new" / "folder")]) == 2
    found = json.loads((tmp_path / "new" / "folder" / "gpu_check.json").read_text())
    assert found["reason"] == "cupy is not installed; try: pip install cupy-cuda13x"


def test_nothing_is_overwritten(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "find_spec", lambda name: None)
    for _ in range(2):
        tool.main(["--out", str(tmp_path)])
    first = (tmp_path / "gpu_check.json").read_text()
    (tmp_path / "gpu_check-3.md").write_text("mine")
    tool.main(["--out", str(tmp_path)])
    both = [f"gpu_check{number}.{kind}" for number in ("", "-2", "-4") for kind in ("json", "md")]
    assert {path.name for path in tmp_path.iterdir()} == {*both, "gpu_check-3.md"}
    assert (tmp_path / "gpu_check.json").read_text() == first
    assert (tmp_path / "gpu_check-3.md").read_text() == "mine"


@pytest.mark.parametrize("kind", ["file", "below a file", "no space"])
def test_a_place_where_nothing_can_be_written_is_one_sentence(tool, tmp_path, monkeypatch, capsys, kind):
    (tmp_path / "file").write_text("mine")
    out = {"file": tmp_path / "file", "below a file": tmp_path / "file" / "x", "no space": tmp_path / "new"}[
        kind
    ]
    if kind == "no space":
        monkeypatch.setattr("gpu.record.replace", full)
    assert tool.main(["--out", str(out)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"--out is {out}, where nothing can be written: ")
    assert shown.err.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"


def full(path, words):
    raise OSError(28, "No space left on device")


def test_a_disk_that_fills_up_stops_nothing(tool, tmp_path, monkeypatch, capsys):
    from gpu import facts, record

    real = facts.versions

    def versions(context, found):
        real(context, found)
        monkeypatch.setattr(record, "replace", full)

    monkeypatch.setattr(facts, "versions", versions)
    monkeypatch.setattr(tool, "find_spec", lambda name: None)
    assert tool.main(["--out", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert "gpu_check.json could not be written: [Errno 28] No space left" in shown.err
    assert "Nothing was checked: cupy is not installed" in shown.out


def test_a_record_that_is_not_understood_is_said(tool, tmp_path, monkeypatch, capsys):
    def broken(found):
        raise KeyError("rows")

    monkeypatch.setattr("gpu.report.markdown", broken)
    monkeypatch.setattr(tool, "find_spec", lambda name: None)
    assert tool.main(["--out", str(tmp_path)]) == 2
    assert (
        "No tables, as of what was found not all is understood: KeyError('rows')"
        in (tmp_path / "gpu_check.md").read_text()
    )
    assert "broken" in json.loads((tmp_path / "gpu_check.json").read_text())["no tables"]
    assert "Nothing was checked" in capsys.readouterr().out


def test_nobody_has_to_listen(tool, tmp_path):
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'tools')!r}]; import gpu_check; "
        "gpu_check.find_spec = lambda name: None; "
        f"input(); sys.exit(gpu_check.main(['--out', {str(tmp_path)!r}]))"
    )
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        process.stdout.close()
        _, said = process.communicate(b"\n", 60)
    assert (process.returncode, said) == (2, b"")
    assert json.loads((tmp_path / "gpu_check.json").read_text())["reason"].startswith("cupy is not")


@pytest.mark.parametrize("seed", ["-1", "1.5", "x"])
def test_a_seed_is_an_integer_from_0_on(tool, tmp_path, capsys, seed):
    with pytest.raises(SystemExit) as ended:
        tool.main(["--out", str(tmp_path), f"--seed={seed}"])
    assert ended.value.code == 2
    assert f"--seed: it is '{seed}'; expected an integer that is 0 or more" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_cannot_be_looked_for_is_none(tool, tmp_path, monkeypatch, capsys):
    def die(step, context, found):
        found |= {"status": "lost", "error": "its process ended with code -11"}

    monkeypatch.setattr(tool, "find_spec", lambda name: True)
    monkeypatch.setattr("gpu.children.run", die)
    assert tool.main(["--out", str(tmp_path)]) == 2
    said = "Nothing was checked: looking for a device lost: its process ended with code -11"
    assert said in capsys.readouterr().out


def test_errors_of_the_sanitizer_fail_the_check(check, cupy, monkeypatch, capsys):
    monkeypatch.setattr("gpu.sanitizer.find", lambda: "program")
    monkeypatch.setattr("gpu.sanitizer.run", lambda *rest: {"said": "2 errors", "errors": 2})
    code, found = check(**FEW, cases=check.cases[:1])
    assert code == 1
    assert found["passed"] is False
    assert "WRONG: sanitizer." in capsys.readouterr().out


def test_a_peer_that_fails_costs_no_times(check, cupy, monkeypatch):
    from gnref.bench.peers import Way

    class Bad:
        def __init__(self):
            self.left = 1

        def ways(self, case):
            return {"only": Way(self.run, lambda found: found)}

        def run(self):
            raise RuntimeError("not on this device")

    monkeypatch.setattr("gpu.timing.peers", lambda: ({"bad": Bad()}, {}))
    code, found = check(cases=check.cases[:1])
    assert code == 0
    timing = found["steps"]["timing"]
    assert timing["status"] == "done"
    assert set(timing["calls"]) == {"gnref forward", "gnref backward"}
    assert [row["peers"]["bad"]["status"] for row in timing["rows"]] == ["failed", "failed"]
    assert all(row["bytes_per_second"] > 0 for row in timing["rows"])


def test_a_lost_device_is_no_row(check, cupy, monkeypatch):
    def lose(*arguments):
        raise RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")

    monkeypatch.setattr("gpu.timing.measure", lose)
    code, found = check(cases=check.cases[:1])
    assert code == 1
    assert found["steps"]["timing"]["status"] == "lost"
    assert found["steps"]["timing"]["rows"] == []


def test_the_copy_counts_what_is_read_and_what_is_written(check, cupy, monkeypatch):
    monkeypatch.setattr(cupy.cuda, "get_elapsed_time", lambda start, end: 1.0)
    step = check(**FEW, cases=check.cases[:1])[1]["steps"]["copy"]
    assert step["bytes_per_second"] == pytest.approx(2 * 10_000 / 1e-3)


def test_a_problem_that_cannot_be_gone_through_leaves_the_other_kernels(check, cupy, monkeypatch):
    from gpu import instances

    real = instances.walk

    def walk(case):
        if case.kind == "bare":
            raise ValueError("no plan")
        real(case)

    monkeypatch.setattr(instances, "walk", walk)
    step = check(**FEW)[1]["steps"]["compile"]
    assert step["failed"] == [{"kernel": "any of 3x1x2x4x16 float32 bare", "error": "ValueError: no plan"}]
    assert len(step["kernels"]) >= 10


@pytest.mark.parametrize(("compile", "patience"), [("done", 20.0), ("failed", 60.0), ("out of time", 60.0)])
def test_more_patience_where_kernels_are_not_compiled(tool, tmp_path, monkeypatch, compile, patience):
    seen = {}

    def run(step, context, found):
        seen[step.name] = step.patience
        found["status"] = compile if step.name == "compile" else "done"

    monkeypatch.setattr(tool, "find_spec", lambda name: True)
    monkeypatch.setattr("gpu.children.run", run)
    monkeypatch.setattr("gpu.sanitizer.find", lambda: None)
    tool.main(["--out", str(tmp_path)])
    assert seen["correctness"] == patience


@pytest.mark.parametrize(("there", "late"), [({}, False), ({"torch": None}, True)])
def test_time_is_kept_for_torch_compile_only_where_there_is_pytorch(cupy, tool, monkeypatch, there, late):
    from gpu import timing
    from gpu.session import Context

    monkeypatch.setattr(timing, "peers", lambda: (there, {}))
    monkeypatch.setattr(timing, "one", lambda *rest: {"name": "row", "error": "not timed"})
    monkeypatch.setattr(timing, "small_calls", lambda *rest: {})
    monkeypatch.setattr(timing, "load", lambda *rest: ({}, {}))
    rows = [timing.SMALL]
    context = Context(1, say=lambda text: None, options={"rows": rows, "flush": 1 << 12})
    context.deadline = time.monotonic() + timing.FOR_CALLS + timing.FOR_COMPILING - 5
    found = {}
    timing.check(context, found)
    assert bool(found["left_out"]) is late
