import numpy as np
import pytest

from gnref.testing.memory import LAYOUTS


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3), (1, 3, 1), (4,)])
@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "broadcast"])
def test_the_numbers_stay(name, shape):
    a = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    laid = LAYOUTS[name](a)
    assert np.array_equal(laid, a)
    assert laid.shape == a.shape
    assert laid.dtype == a.dtype


def test_the_layouts_differ():
    a = np.zeros((2, 3, 4, 1))
    strides = {name: layout(a).strides for name, layout in LAYOUTS.items()}
    assert strides["channels_last"] == (96, 8, 24, 24)
    assert strides["fortran"][0] == 8
    assert strides["every_second"] == (1536, 256, 32, 16)
    assert all(stride < 0 for stride in strides["backwards"])
    assert strides["odd_unit_strides"] != strides["plain"]
    assert not LAYOUTS["read_only"](a).flags.writeable


def test_broadcast_repeats_the_first_number():
    a = np.arange(6.0).reshape(2, 3)
    laid = LAYOUTS["broadcast"](a)
    assert laid.tolist() == [[0, 0, 0], [3, 3, 3]]
    assert laid.strides[1] == 0
    assert np.array_equal(LAYOUTS["broadcast"](laid), laid), "again is the same, as counterexamples need"
