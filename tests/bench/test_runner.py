from time import sleep

import numpy as np
import pytest

from gnref.bench.case import draw
from gnref.bench.grid import Row
from gnref.bench.own import Own
from gnref.bench.peers import Refusal, Way
from gnref.bench.peers.numpy import Peer as NumPy
from gnref.bench.runner import bench, difference, prepare

ROW = Row("group", "forward", (2, 4, 3, 3), num_groups=2)


class Stub:
    """A peer whose ways are functions of the right result."""

    def __init__(self, **ways):
        self.functions = ways

    def ways(self, case):
        own = Own(case)
        right = own.arrays(own.run())[0]
        return {name: Way(lambda f=f: f(right), lambda y: (y,)) for name, f in self.functions.items()}


class Refuses:
    def ways(self, case):
        raise Refusal("not this one")


class Breaks:
    def ways(self, case):
        raise RuntimeError("boom\nand more")


def slow(y):
    sleep(0.002)
    return y


def wrong(y):
    return y * 1.5


def broken(y):
    raise MemoryError("no room")


def prepared(peer):
    case = draw(ROW)
    own = Own(case)
    return prepare(peer, case, own.arrays(own.run()))


def test_the_fastest_right_way_is_taken():
    ready = prepared(Stub(slow=slow, quick=lambda y: y, wrong=wrong, broken=broken))
    assert ready.outcome.way == "quick"
    assert ready.outcome.error == 0


@pytest.mark.parametrize(
    ("peer", "status", "reason"),
    [
        (Refuses(), "none", "not this one"),
        (Breaks(), "failed", "RuntimeError: boom"),
        (Stub(only=broken), "failed", "MemoryError: no room"),
        (Stub(only=wrong), "wrong", "its result is off by 5.0e-01 of gnref's largest number"),
        (Stub(only=lambda y: y * np.nan), "wrong", "its result is off by nan of gnref's largest number"),
        (
            Stub(only=lambda y: y[0]),
            "failed",
            "ValueError: a result has shape (4, 3, 3); expected (2, 4, 3, 3)",
        ),
    ],
)
def test_who_cannot_is_not_timed(peer, status, reason):
    outcome = prepared(peer)
    assert (outcome.status, outcome.reason, outcome.timing) == (status, reason, None)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_row_is_measured(direction):
    row = ROW._replace(direction=direction)
    (result,) = bench([row], {"numpy": NumPy(1), "torch": Refuses()}, threads=1, rounds=2)
    assert result.row is row
    assert len(result.own.seconds) == 2
    assert result.own_out is None, "only large rows have it"
    assert result.peers["numpy"].timing.median > 0
    assert result.peers["torch"].status == "none"
    assert set(result.copies) >= {"one thread"}
    assert result.limit > 0


def test_large_rows_are_also_timed_with_out(monkeypatch):
    monkeypatch.setattr("gnref.bench.grid.LARGE", 1)
    (result,) = bench([ROW], {}, threads=1, rounds=1)
    assert result.own_out is not None
    assert result.share > 0


def test_rows_come_one_by_one():
    results = bench([ROW, None], {}, threads=1, rounds=1)
    assert next(results).row is ROW


def test_differences_are_relative_to_the_largest_number():
    a, b = np.array([1.0, 10.0]), np.array([2.0, 10.0])
    assert difference((a,), (b,)) == pytest.approx(0.1)
    assert np.isnan(difference((np.array([np.nan, 1]), a), (b, b)))
