"""Tutorial 12 where there is a GPU: all its cells run on the stand-in for CuPy, on emulated kernels."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
jupytext = pytest.importorskip("jupytext")
pytest.importorskip("hypothesis")
pytest.importorskip("matplotlib")


class Event:
    """What a clock on the device is asked."""

    def record(self):
        pass

    def synchronize(self):
        pass


@pytest.fixture
def cupy(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tests" / "kernels" / "cuda")
    import standin

    if standin.compiler() is None:
        pytest.skip("needs g++ on Linux")
    with standin.installed() as module:
        monkeypatch.setattr(module.cuda, "Event", Event, raising=False)
        monkeypatch.setattr(module.cuda, "get_elapsed_time", lambda start, end: 1.0, raising=False)
        yield module


def test_every_cell_runs_on_a_device(cupy, capsys):
    text = (ROOT / "tutorials" / "12_gpu.py").read_text(encoding="utf-8")
    assert text.count("(32, 256, 56, 56)  #") == 1
    small = text.replace("(32, 256, 56, 56)  #", "(2, 64, 6, 6)  #")
    names = {}
    for cell in jupytext.reads(small, fmt="py:percent").cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, "a cell of tutorial 12", "exec"), names)
    told = " ".join(capsys.readouterr().out.split())
    assert names["xp"] is cupy is sys.modules["cupy"]
    assert str(names["gpu_notice"](names["backends"]["cuda"])).startswith("There is a GPU")
    assert told.count("cupy.ndarray") == 6
    # The tutorial says so in words to those who have no GPU.
    sentence = "TypeError: weight is a numpy array and x is a cupy array; expected one library"
    assert sentence in told
    assert sentence in text.replace("\n# ", " ")
