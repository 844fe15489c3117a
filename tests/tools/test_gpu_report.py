"""The tables of the GPU check, and what is timed for them."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tools" / "gpu"
BENCH = ROOT / "gnref" / "bench"


def row(name="group", direction="forward", share=0.9, torch=2.0, **more):
    return {
        **{"name": f"{name} {direction} 32x256x56x56 float32", "norm": name, "direction": direction},
        **{
            "way": "registers",
            "nbytes": 103e6,
            "dtype": "float32",
            "channel_axis": 1,
            "share_of_limit": share,
        },
        **{"ratios": {"torch": torch}, "peers": {}, "bytes_per_second": 2.9e12},
        **{"gnref": {"median": 70e-6}, "hosts": {"gnref": 30e-6}, **more},
    }


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (
            [row(), row("layer", share=0.86)],
            "forward at least 0.85 of a copy: met, by 2 of 2 rows; least 0.86",
        ),
        (
            [row(), row("layer", share=0.84)],
            "forward at least 0.85 of a copy: MISSED, by 1 of 2 rows; least 0.84",
        ),
        ([row(share=0.5, way="chunks")], "forward at least 0.85 of a copy: not measured"),
        ([row(direction="backward", share=0.8)], "backward at least 0.80 of a copy: met"),
        ([row(torch=1.4)], "group norm at least 1.5 times PyTorch: MISSED"),
        ([row("layer", torch=1.0)], "group norm at least 1.5 times PyTorch: not measured"),
        ([row("batch", torch=0.9, nbytes=1e5)], "no row behind PyTorch: MISSED, by 0 of 1 rows; least 0.90"),
        ([row(ratios={"compile": 1.2})], "not behind torch.compile: met"),
    ],
)
def test_a_figure_is_met_or_missed(gpu, rows, line):
    assert any(found.startswith(line) for found in gpu.report.target_lines({"rows": rows}))


def test_every_row_is_in_the_table(gpu):
    bad = {"name": "batch forward", "way": "chunks", "error": "RuntimeError: no\nmore", "norm": "batch"}
    text = "\n".join(gpu.report.timing_lines({"rows": [row(), bad], "calls": {"gnref forward": 2e-5}}))
    assert "| group forward 32x256x56x56 float32 | registers | 70.0 | 30 | 2900 | 0.90 | 2.00 |" in text
    assert "| batch forward | chunks | RuntimeError: no | " in text
    assert "gnref forward 20.0" in text


def test_large_rows_are_of_100_mb(cupy, tool):
    from gpu import timing
    from gpu.session import Context

    rows = timing.large()
    assert {row.dtype for row in rows} == {"float32", "float16"}
    assert all(100e6 < row.nbytes < 105e6 for row in rows)
    everything = timing.problems(Context(1))
    assert len(set(everything)) == len(everything) > 50
    assert timing.way_of(rows[0]._replace(direction="forward")) in ("registers", "cluster", "shared")


def steps(**more):
    found = {name: {"status": "done", "passed": True} for name in ("correctness", "determinism", "promises")}
    return found | more


def verdict(gpu, found):
    passed = gpu.report.passed(found)
    return passed, gpu.report.verdict({"steps": found, "passed": passed})


@pytest.mark.parametrize(
    ("more", "passed", "said"),
    [
        ({}, True, "All results are right, and all bits the same."),
        (
            {"correctness": {"status": "done", "passed": True, "skipped": {"bfloat16": "no ml_dtypes"}}},
            True,
            "All results are right, and all bits the same. Not checked: bfloat16: no ml_dtypes.",
        ),
        (
            {"copy": {"status": "failed", "error": "RuntimeError: no copy.\nand more"}},
            True,
            "All results are right, and all bits the same. Failed: copy: RuntimeError: no copy.",
        ),
        (
            {"timing": {"status": "out of time", "left_out": ["a"]}},
            True,
            "All results are right, and all bits the same.",
        ),
        ({"correctness": {"status": "done", "passed": False}}, False, "WRONG: correctness."),
        (
            {"determinism": {"status": "out of time", "passed": True}},
            False,
            "Not done: determinism (out of time).",
        ),
        (
            {"promises": {"status": "failed", "error": "E"}},
            False,
            "Not done: promises (failed). Failed: promises: E.",
        ),
        ({"sanitizer": {"status": "done", "passed": False}}, False, "WRONG: sanitizer."),
        ({"timing": {"status": "hung", "error": "E"}}, False, "Not done: timing (hung)."),
        (
            {"timing": {"status": "done", "broken": [{"case": "row", "status": "hung", "said": "E"}]}},
            False,
            "Not done: timing (hung at row).",
        ),
    ],
)
def test_the_verdict_names_what_is_wrong_and_what_was_not_done(gpu, more, passed, said):
    assert verdict(gpu, steps(**more)) == (passed, said)


def test_a_step_that_is_not_there_is_not_passed(gpu):
    found = steps()
    del found["determinism"]
    assert verdict(gpu, found) == (False, "Not done: determinism (not begun).")


def test_kernels_with_local_memory_are_listed(gpu):
    kernels = [
        {"kernel": "forward<float>", "registers": 40, "local_bytes": 0},
        {"kernel": "backward<float>", "registers": 64, "local_bytes": 24},
    ]
    lines = gpu.report.kernel_lines({"kernels": kernels, "failed": [{"kernel": "apply<half16>"}]})
    assert lines[0] == "2 kernels; at most 64 registers (backward<float>)."
    assert lines[1].startswith("1 use local memory, for a stack frame or for what is spilled")
    assert lines[2:] == ["- backward<float>: 24 bytes, 64 registers", "- does not compile: apply<half16>"]
    assert gpu.report.kernel_lines({"kernels": kernels[:1]})[1] == "None uses local memory."


def test_what_pytorch_gets_wrong_is_counted(gpu):
    rows = [row(), row(peers={"torch": {"status": "wrong"}}), row(peers={"torch": {"status": "failed"}})]
    lines = gpu.report.target_lines({"rows": rows})
    assert lines[-1] == f"PyTorch is wrong or failed in 2 rows, such as {rows[1]['name']}"
    assert not any("wrong" in line for line in gpu.report.target_lines({"rows": rows[:1]}))
