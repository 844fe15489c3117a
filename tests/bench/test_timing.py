import gc
from collections import Counter
from itertools import pairwise

import pytest

from gnref.bench import timing
from gnref.bench.timing import estimate, interleave, once, order


@pytest.mark.parametrize("count", range(2, 11))
def test_each_stands_in_each_place_and_behind_each_other_equally_often(count):
    orders = [order(count, turn) for turn in range(2 * count)]
    assert all(sorted(places) == list(range(count)) for places in orders)
    places = Counter((who, place) for places in orders for place, who in enumerate(places))
    neighbours = Counter(pair for places in orders for pair in pairwise(places))
    assert set(places.values()) == {2}
    assert len(neighbours) == count * (count - 1)
    assert set(neighbours.values()) == {2}


@pytest.fixture
def calls(monkeypatch):
    """Calls of three participants in order, by a clock that only their calls move."""
    made, clock = [], [0.0]
    monkeypatch.setattr(timing, "SETTLE", 10e-3)
    monkeypatch.setattr(timing, "LEAST", 2e-3)
    monkeypatch.setattr(timing, "perf_counter", lambda: clock[0])

    def participant(name, seconds):
        def run():
            made.append(name)
            clock[0] += seconds

        return run

    def run(rounds, **seconds):
        found = interleave({name: participant(name, s) for name, s in seconds.items()}, rounds, seconds)
        return made, found

    return run


def test_rounds_are_interleaved_and_their_order_changes(calls):
    made, found = calls(6, a=0.2, b=0.3, c=0.4)
    rounds = [tuple(made[i : i + 3]) for i in range(0, len(made), 3)]
    assert len(rounds) == 7, "one round comes before those that are recorded"
    assert len(set(rounds[1:])) == 6
    assert {name: len(t.seconds) for name, t in found.items()} == {"a": 6, "b": 6, "c": 6}
    assert [found[name].median for name in "abc"] == pytest.approx([0.2, 0.3, 0.4])


def test_short_calls_are_many_and_come_after_some_that_are_not_timed(calls):
    made, found = calls(1, a=0.0005, b=0.02)
    assert found["a"].calls == 4
    assert found["b"].calls == 1
    assert found["a"].median == pytest.approx(0.0005)
    runs = "".join(made)
    assert "a" * (20 + 4) in runs, "10 ms to settle, then 2 ms"
    assert "bb" in runs


def test_slow_ones_are_timed_in_every_fifth_round(calls):
    _, found = calls(15, a=0.01, b=0.2)
    assert len(found["a"].seconds) == 15
    assert len(found["b"].seconds) == 3


def test_an_estimate_is_the_least_after_the_first(monkeypatch):
    clock, lengths = [0.0], iter([5.0, 0.004, 0.002, 0.006, 0.1])
    monkeypatch.setattr(timing, "perf_counter", lambda: clock[0])

    def run():
        clock[0] += next(lengths)

    monkeypatch.setattr(timing, "TRIAL", 0.01)
    assert estimate(run) == pytest.approx(0.002)


def test_the_mean_of_calls(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(timing, "perf_counter", lambda: clock[0])

    def run():
        clock[0] += 2.0

    assert once(run, 5) == 2.0


def test_nothing_is_collected_meanwhile():
    seen = []
    interleave({"a": lambda: seen.append(gc.isenabled())}, 1, {"a": 1.0})
    assert seen == [False, False]
    assert gc.isenabled()
