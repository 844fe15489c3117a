"""`gnref bench --backend cuda` on the stand-in for CuPy, whose times mean nothing."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "kernels" / "cuda"))
import standin

from gnref import cli
from gnref.bench import device, events, runner, session
from gnref.bench.case import draw
from gnref.bench.grid import Row
from gnref.bench.peers import PEERS, Way, load

ROWS = [
    Row("group", "forward", (3, 4, 4, 4), num_groups=2),
    Row("group", "backward", (3, 4, 4, 4), num_groups=2),
]


@pytest.fixture
def cupy(monkeypatch):
    if standin.compiler() is None:
        pytest.skip("needs g++ on Linux")
    with standin.installed() as module:
        monkeypatch.setattr(events, "LEAST_FLUSH", 1 << 12)
        standin.device["L2CacheSize"] = 1 << 10
        yield module


class Other:
    """A peer that is right, and one way of it that is wrong."""

    def __init__(self, factor):
        self.factor = factor

    def ways(self, case):
        result = device.Own(case, "cpu") if self.factor == 1 else None
        run = result.run if result else (lambda: case.x * self.factor)
        return {"only": Way(run, lambda r: r if isinstance(r, tuple) else (r,))}


def test_rows_are_measured(cupy):
    peers = {"right": Other(1), "wrong": Other(3)}
    results = list(device.bench(ROWS, peers, 2))
    for result in results:
        assert len(result.own.seconds) == 2
        assert result.own_out is None
        assert set(result.copies) == {"memcpy", "kernel"}
        assert result.peers["right"].status == "timed"
        assert set(result.hosts) == {"gnref", "gnref, out=", "right"}
        assert result.rate > 0
    assert results[0].peers["wrong"].status == "wrong"


def test_the_rate_counts_what_must_be_moved(results):
    forward, backward = results[0], results[1]  # both of 25.7 MB with out=
    assert forward.rate == pytest.approx(2 * forward.row.nbytes / 10e-3)
    assert backward.rate == pytest.approx(3 * backward.row.nbytes / 15e-3)


def test_gnref_s_kernels_run_for_it(cupy):
    standin.launches.clear()
    list(device.bench(ROWS[:1], {}, 1))
    assert any(launch.name.startswith("forward<") for launch in standin.launches)


def test_the_cache_is_flushed_before_each_call(cupy):
    clock = events.Clock()
    log = []
    clock.flush = lambda: log.append("flush")
    taken, hosts = events.interleave(clock, {"a": lambda: log.append("a"), "b": lambda: log.append("b")}, 3)
    timed = log[2 * events.CALLS :]
    assert timed.count("a") == timed.count("b") == 4, "one round more, which is not recorded"
    assert all(timed[i - 1] == "flush" for i, who in enumerate(timed) if who != "flush")
    assert len(taken["a"].seconds) == 3
    assert set(hosts) == {"a", "b"}


def test_times_are_in_seconds_and_of_one_call(cupy, monkeypatch):
    """CUDA has them in milliseconds."""
    clock, log = events.Clock(), []
    clock.flush = lambda: log.append("flush")
    real = cupy.cuda.Event.record
    monkeypatch.setattr(cupy.cuda.Event, "record", lambda event: (log.append("event"), real(event)))
    monkeypatch.setattr(cupy.cuda, "get_elapsed_time", lambda start, end: 2.5)
    assert clock.once(lambda: log.append("call"), 2) == 2.5e-3
    assert log == ["flush", "flush", "event", "call", "event"]


def test_a_large_result_is_compared_in_part(monkeypatch):
    monkeypatch.setattr(runner, "COMPARED", 100)
    a = np.arange(8 * 256.0).reshape(2, 4, 256)
    some = runner.part(a)
    assert some.shape[0] == 2
    assert 80 <= some.size <= 110
    assert {int(number) % 4 for number in some.flat} == {0, 1, 2, 3}, "channels last, every channel"
    assert runner.difference((a + 1,), (a,)) == pytest.approx(1 / some.max())


def test_a_long_launch_is_hidden_behind_longer_flushing(cupy):
    clock = events.Clock()
    clock.flushing = 1e-4
    assert [clock.flushes(host) for host in (0.0, 1e-4, 4e-4, 10.0)] == [1, 3, 7, events.MOST_FLUSHES]


def test_copies_copy(cupy):
    x = cupy.asarray(np.arange(6, dtype=np.float16))
    for run in events.copies(x).values():
        run()  # into memory that is NaN before
    made = events.copies(x)
    cells = dict(
        zip(made["copy, kernel"].__code__.co_freevars, made["copy, kernel"].__closure__, strict=True)
    )
    target = cells["target"].cell_contents
    for run in made.values():
        target.fill(np.nan)
        run()
        assert target.get().tobytes() == x.get().tobytes()


def test_the_command_prints_and_writes(cupy, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(session, "grid", lambda: ROWS)
    file = tmp_path / "a.json"
    words = ["bench", "--backend", "cuda", "--peer", "numpy", "--rounds", "2", "--json", str(file)]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    assert "stand-in, compute capability 9.0, 132 multiprocessors" in shown
    assert "cuda backend" in shown
    assert "GB/s" in shown
    assert "not there: NumPy: is timed on the processor" in shown
    found = json.loads(file.read_text())
    assert found["machine"]["backend"] == "cuda"
    assert found["settings"]["backend"] == "cuda"
    assert [len(row["gnref"]["seconds"]) for row in found["rows"]] == [2, 2]
    assert found["rows"][0]["bytes_per_second"] > 0


def test_costs_are_the_processor_s(capsys):
    assert cli.main(["bench", "--backend", "cuda", "--costs"]) == 2
    assert "--costs is given with --backend cuda; expected" in capsys.readouterr().err


def test_threads_are_the_processor_s(capsys):
    assert cli.main(["bench", "--backend", "cuda", "--threads", "3"]) == 2
    said = capsys.readouterr().err
    assert said == "gnref: --threads is 3 with --backend cuda; expected it with the cpu backend only\n"


def test_without_a_device_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr("gnref.backends", lambda: {"cuda": "no CUDA device: the driver found none"})
    assert cli.main(["bench", "--backend", "cuda"]) == 2
    said = capsys.readouterr().err
    assert said == "gnref: backend is 'cuda', which is not ready: no CUDA device: the driver found none\n"


def test_who_runs_on_a_device():
    assert [name for name, entry in PEERS.items() if entry.on_device] == ["torch", "compile"]
    found, absent = load(["numpy", "jax"], 1, "cuda")
    assert found == {}
    assert absent["jax"] == "is timed on the processor, not on 'cuda'"


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_pytorch_s_ways_on_a_device(direction, monkeypatch):
    """On PyTorch's device "meta" nothing is computed, and all the same every call has to be a right one."""
    torch = pytest.importorskip("torch")
    from gnref.bench.peers.torch import calls

    for norm, more in [("batch", {}), ("instance", {}), ("group", {"num_groups": 2}), ("layer", {})]:
        shape = (3, 4, 5, 2)
        more = {"normalized_shape": shape[1:]} if norm == "layer" else more
        for dtype in ("float32", "float16"):
            case = draw(Row(norm, direction, shape, dtype, **more))
            found = calls(case, "meta")
            assert any(name.startswith("autograd") for name in found) == (direction == "backward")
            for function, arguments in found.values():
                result = function(*arguments)
                first = result if isinstance(result, torch.Tensor) else result[0]
                assert first.shape == shape
                assert first.device.type == "meta"


def test_autograd_s_way_is_pytorch_s_gradient():
    torch = pytest.importorskip("torch")
    from gnref.bench.peers import torch as peer

    case = draw(ROWS[1])
    inputs = peer.tensors(case)
    function, arguments = peer.recorded(peer.forwards(case.row)["group_norm"], inputs)
    operator, operands = peer.backwards(case.row, inputs)["native_group_norm_backward"]
    for _ in range(2):
        for a, b in zip(function(*arguments), operator(*operands), strict=True):
            torch.testing.assert_close(a, b)
