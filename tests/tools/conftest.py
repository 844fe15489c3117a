"""The check of a GPU on the stand-in for CuPy: its modules are imported with it, and forgotten after."""

import importlib
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "kernels" / "cuda"))
import standin

ROOT = Path(__file__).parents[2]


def forget():
    for name in [name for name in sys.modules if name.partition(".")[0] in ("gpu", "gpu_check")]:
        del sys.modules[name]


@pytest.fixture
def cupy():
    if standin.compiler() is None:
        pytest.skip("needs g++ on Linux")
    forget()
    with standin.installed() as module:
        standin.device["L2CacheSize"] = 1 << 10
        yield module
    forget()


@pytest.fixture
def tool(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    forget()
    yield importlib.import_module("gpu_check")
    forget()


@pytest.fixture
def gpu(tool):
    """The modules that need no CuPy."""
    import gpu.absent
    import gpu.cases
    import gpu.children
    import gpu.oracle
    import gpu.processes
    import gpu.record
    import gpu.report
    import gpu.sanitizer
    import gpu.session

    return gpu


@pytest.fixture
def check(cupy, tool, tmp_path, monkeypatch):
    """Run the script on a few problems; return its exit code and its record."""
    from gpu.cases import KINDS, Case

    from gnref.bench.grid import Row

    # PyTorch's import looks through what is there of CuPy, and finds two halves.
    monkeypatch.setattr("gpu.determinism.tensors_are_there", lambda: False)
    monkeypatch.setattr("gpu.promises.SHAPE", (2, 4, 2, 4))
    monkeypatch.setattr("gpu.promises.tensors_are_there", lambda: False)
    monkeypatch.setattr("gpu.others.load", lambda names, *rest: ({}, dict.fromkeys(names, "not asked")))
    kinds = [kind for kind in KINDS if kind != "mixed"]
    cases = [Case((3, 1, 2, 4, 16), "float32", kind, 1) for kind in kinds]
    cases.append(Case((2, 7, 4, 1, 1), "float32", "ordinary", 1))
    options = {
        **{"cases": cases, "flush": 1 << 12, "sizes": [0.01], "calls": 1, "many": 100, "inside": True},
        "rows": [Row("group", "", (3, 4, 4, 4), num_groups=2)],
    }

    def run(*words, leave="", **other):
        given = {name: value for name, value in (options | other).items() if name != leave}
        code = tool.main(["--out", str(tmp_path), "--seed", "1", *words], **given)
        return code, json.loads((tmp_path / "gpu_check.json").read_text())

    run.cases = cases
    return run
