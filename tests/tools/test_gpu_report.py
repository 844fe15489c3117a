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
