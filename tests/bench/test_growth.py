import pytest

from gnref.bench import growth


def test_sizes_double_up_to_the_largest_and_stay_beyond_the_cache():
    assert growth.sizes(cache=100, most=1000) == [125, 250, 500, 1000]
    assert growth.sizes(cache=999, most=1000) == [1000]
    assert growth.sizes(cache=5000, most=1000) == [1000], "where all is cache, one is left"


def test_time_per_element_has_both_directions(monkeypatch):
    monkeypatch.setattr(growth, "EXAMPLE", (32, 2, 2))
    monkeypatch.setattr(growth, "cache_size", lambda: 4000)
    monkeypatch.setattr(growth, "CALLS", 1)
    found = growth.time_per_element(most=16_000)
    assert list(found) == [8000, 16_000]
    assert all(seconds > 0 for both in found.values() for seconds in both)


def test_it_is_the_least_time_over_the_elements(monkeypatch):
    monkeypatch.setattr(growth, "EXAMPLE", (32, 2, 2))
    times = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(growth, "once", lambda run: next(times))
    assert growth._per_element(10 * 32 * 4 * 4, backward=False) == pytest.approx(1 / (10 * 32 * 4))


def test_a_small_call():
    timings = growth.small_call(threads=1, rounds=1)
    assert timings["gnref"].median > 0
