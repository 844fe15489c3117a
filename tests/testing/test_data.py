import numpy as np
import pytest

from gnref.testing import data


@pytest.mark.parametrize("kind", data.KINDS)
def test_equal_seeds_give_equal_values(kind):
    one, same, other = (data.values(kind, (4, 50), seed) for seed in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert one.dtype == np.float64


def test_each_kind_is_what_it_says():
    integers = data.values("integers", (1000,), 0)
    assert set(integers) == set(range(-8, 9))
    assert len(set(data.values("normal", (1000,), 0))) == 1000
    assert np.abs(data.values("heavy_tailed", (1000,), 0)).max() > 10
    assert np.count_nonzero(data.values("one_hot", (1000,), 0)) == 1
    assert np.count_nonzero(data.values("one_hot", (1000,), 1)) == 16
    assert len(set(data.values("constant", (1000,), 0))) == 1


def test_weights_are_not_constant_and_not_small():
    weight = data.nonzero((1000,), 0)
    assert (weight < 0).any()
    assert np.abs(weight).min() >= 0.5
    assert np.abs(weight).max() <= 2
