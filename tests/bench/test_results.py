import pytest

from gnref.bench.results import Result, Timing


def test_median_quartiles_and_spread():
    timing = Timing((5.0, 1.0, 3.0, 2.0, 4.0))
    assert timing.median == 3
    assert timing.quartiles == (2, 4)
    assert timing.spread == pytest.approx(1 / 3)
    assert Timing((2.0,)).quartiles == (2, 2)


def test_ratios(results):
    forward, backward, small = results
    assert forward.ratio("torch") == 2
    assert forward.fastest == "torch"
    assert forward.best_ratio == 2
    assert not forward.marked
    assert backward.ratio("torch") == 0.5
    assert backward.ratio("jax") is backward.ratio("openvino") is backward.ratio("nobody") is None
    assert backward.marked
    assert not small.marked


def test_the_limit_is_the_fastest_copy(results):
    forward, backward, small = results
    assert forward.limit == pytest.approx(8e-3)
    assert forward.share == pytest.approx(0.8), "of the time with out="
    assert forward.share_of(forward.own) == pytest.approx(0.8)
    assert backward.limit == pytest.approx(12e-3)
    assert backward.share == pytest.approx(0.8)
    assert small.share is None
    assert small.share_of(small.own) == pytest.approx(0.4)


def test_nobody_beside_it(results):
    alone = Result(results[0].row, results[0].own)
    assert alone.fastest is alone.best_ratio is alone.limit is alone.share is None
    assert not alone.marked
