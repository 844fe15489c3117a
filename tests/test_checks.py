import numpy as np
import pytest

from gnref import checks
from gnref.errors import ShapeError


def test_numpy_integers_are_integers():
    assert checks.check_num_groups(np.int64(3), (2, 6), 1) == 3
    assert checks.check_virtual_batch_size(np.int32(2), (4, 6)) == 2
    assert checks.check_normalized_shape(np.int64(6), (4, 6)) == 1
    assert checks.check_channel_axis(np.int64(-1), (4, 6, 5), "batch") == 2
    assert checks.check_sizes(np.array([2, 3]), "normalized_shape") == (2, 3)


def test_numpy_numbers_are_numbers():
    assert checks.check_eps(np.float32(0.5)) == 0.5
    assert checks.check_eps(0) == 0.0
    assert checks.check_momentum(np.float64(0.25)) == 0.25


@pytest.mark.parametrize("value", [0, -1, 2.5, "3", None, True])
def test_no_positive_integer(value):
    with pytest.raises(ShapeError, match=f"size is {value!r}; expected a positive integer"):
        checks.check_positive(value, "size")
