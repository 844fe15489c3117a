import pytest

from gnref.bench.summary import figure, summary


def test_geometric_means_and_the_worst(results):
    found = summary(results)
    assert found["forward"]["torch"].mean == pytest.approx(2**0.5)
    assert found["backward"]["torch"].mean == pytest.approx(0.5)
    both = found["both"]
    assert both["torch"].mean == pytest.approx((2 * 0.5 * 1) ** (1 / 3))
    assert both["fastest"].worst == 0.5
    assert both["fastest"].where == "group backward 8x256x56x56 float32"
    assert both["fastest"].rows == 3
    assert both["marked"] == 1
    assert both["share"].rows == 2, "the large ones"
    assert both["share"].mean == pytest.approx(0.8)


def test_what_nobody_has_is_none(results):
    assert figure(results, lambda r: r.ratio("nobody")) is None
    assert "backward" not in summary(results[:1])
