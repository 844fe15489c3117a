import pytest

from gnref.bench import costs
from gnref.bench.first_call import FirstCalls
from gnref.bench.results import Timing


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(costs, "peak_memory", lambda row, threads, out=False: 0.0 if out else 1.0)
    calls = {False: (FirstCalls(9, 3), FirstCalls(0.9, 0.1)), True: (FirstCalls(2, 0), FirstCalls(0.5, 0))}
    monkeypatch.setattr(costs, "first_calls", lambda trivial=False: calls[trivial])
    timings = {"gnref": Timing((12e-6,)), "torch": Timing((10e-6,))}
    monkeypatch.setattr(costs, "small_call", lambda threads: timings)
    monkeypatch.setattr(costs, "time_per_element", lambda: {10**9: (2e-10, 5e-10)})
    monkeypatch.setattr(costs.gnref, "backends", lambda: {"cpu": "ready"})


def test_every_cost_is_said():
    parts = list(costs.measure(2))
    assert len(parts) == costs.PARTS
    shown = {cost.what: (cost.own, cost.other) for part in parts for cost in part}
    assert shown["peak memory over that of x: group backward 32x256x56x56 float32"] == (
        "1.00",
        "with out= 0.00",
    )
    assert shown["first call, nothing compiled before"] == ("9.00 s, backward 3.00 s", "x + x 2.00 s")
    assert shown["first call, compiled by an earlier process"] == ("0.90 s, backward 0.10 s", "x + x 0.50 s")
    assert shown["one call of group norm, 2x64x16x16"] == ("12.0 us", "PyTorch 10.0 us")
    assert shown["time per element, group norm, 1000 MB"] == ("0.200 ns, backward 0.500 ns", "")


def test_without_the_cpu_backend_there_is_nothing_to_measure(monkeypatch):
    monkeypatch.setattr(costs.gnref, "backends", lambda: {"cpu": "numba is not installed"})
    assert [c.what for part in costs.measure(1) for c in part] == [
        "the cpu backend is not ready: numba is not installed"
    ]
