"""`tools/gpu_check.py` where there is no GPU: it finds what is wrong, and goes on when a step fails."""

import json

import pytest

FEW = {"rows": []}


def test_everything_is_right(check, tmp_path, capsys):
    code, found = check()
    assert code == 0
    assert found["passed"] is True
    assert {name: step["status"] for name, step in found["steps"].items()} == dict.fromkeys(
        ["versions", "device", "copy", "compile", "correctness", "determinism", "timing", "sanitizer"], "done"
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
    assert steps["timing"]["absent"]["torch"] == "not asked"
    assert [row["direction"] for row in steps["timing"]["rows"]] == ["forward", "backward"]
    shown, table = capsys.readouterr().out, (tmp_path / "gpu_check.md").read_text()
    assert shown.splitlines()[-2] == "All results are right, and all bits the same."
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


def test_no_time_is_said_and_is_no_pass(check, cupy, monkeypatch, tool):
    monkeypatch.setattr(tool, "STEPS", [(*step[:3], -1.0) for step in tool.STEPS[3:5]])
    monkeypatch.setattr("gpu.session.stopped_after", lambda seconds: __import__("contextlib").nullcontext())
    code, found = check()
    assert code == 1
    assert found["steps"]["correctness"]["status"] == "out of time"
    assert len(found["steps"]["correctness"]["left_out"]) == len(check.cases)


def test_without_a_device_it_says_so(cupy, tool, tmp_path, capsys):
    cupy.cuda.runtime.getDeviceCount = lambda: 0
    assert tool.main(["--out", str(tmp_path)]) == 2
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
