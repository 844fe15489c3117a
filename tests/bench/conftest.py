import pytest

from gnref import dispatch
from gnref.bench import timing as timing_of_bench
from gnref.bench.grid import Row
from gnref.bench.results import Outcome, Result, Timing

MACHINE = {
    "processor": "Abacus 2000",
    "cores": 4,
    "threads": 2,
    "load": 0.25,
    "system": "Linux 6",
    "python": "3.11.7",
    "gnref": "0.1.0",
    "backend": "cpu",
    "threading": "omp",
    "versions": {"numpy": "2.4.6", "torch": "2.13.0"},
}


def timing(*ms):
    return Timing(tuple(t / 1e3 for t in ms))


def timed(*ms):
    return Outcome("timed", "a way", error=1e-7, timing=timing(*ms))


@pytest.fixture(autouse=True)
def _hurried(monkeypatch):
    """No test asks how long anything takes, and none waits for a compiler: not here, nor in a new process."""
    monkeypatch.setattr(dispatch, "FROM_ENVIRONMENT", "reference")
    monkeypatch.setenv("GNREF_BACKEND", "reference")
    monkeypatch.setattr(timing_of_bench, "SETTLE", 0.0)
    monkeypatch.setattr(timing_of_bench, "TRIAL", 0.0)
    monkeypatch.setattr(timing_of_bench, "LEAST", 0.0)


@pytest.fixture
def machine():
    return MACHINE


@pytest.fixture
def results():
    """Two large rows, one of them lost to a peer, and a small one; every number is easy to check."""
    none, wrong = Outcome("none", reason="no such thing"), Outcome("wrong", reason="off by 3e-01", error=0.3)
    large, small = (8, 256, 56, 56), (2, 64, 16, 16)
    copies = {"one thread": timing(9.0), "threads": timing(8.0)}
    everybody = {n: timed(40.0) for n in ("numpy", "compile", "jax", "onnxruntime", "openvino")}
    return [
        Result(
            Row("group", "forward", large, num_groups=32),
            timing(12.0, 10.0, 11.0, 9.0, 8.0),
            timing(10.0),
            {**everybody, "torch": timed(20.0)},
            copies,
        ),
        Result(
            Row("group", "backward", large, num_groups=32),
            timing(20.0),
            timing(15.0),
            {"torch": timed(10.0), "numpy": timed(2000.0), "openvino": none, "jax": wrong},
            copies,
        ),
        Result(
            Row("batch", "forward", small), timing(0.05), None, {"torch": timed(0.05)}, {"one": timing(0.02)}
        ),
    ]
