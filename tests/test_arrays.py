import numpy as np
import pytest

from gnref import arrays


def test_numpy_and_what_is_none():
    assert arrays.library(np.zeros(2)) == "numpy"
    assert arrays.strides(np.zeros((2, 3))) == (24, 8)
    for other in ([1.0], 1.0, None, np.float32(1), np.ma.zeros(2), np.zeros((1, 1)).view(np.matrix), dict):
        assert arrays.library(other) is None


def test_dtype_names_are_the_same_in_every_library():
    assert arrays.dtype_name(np.dtype(">f4")) == "float32"
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert arrays.dtype_name(np.dtype(ml_dtypes.bfloat16)) == "bfloat16"
    strict = pytest.importorskip("array_api_strict")
    assert arrays.dtype_name(strict.float32) == "float32"
    assert arrays.strides(strict.zeros(2)) is None


def test_torch():
    torch = pytest.importorskip("torch")
    x = torch.zeros(2, 3).T
    assert arrays.library(x) == "torch"
    assert arrays.dtype_name(torch.bfloat16) == "bfloat16"
    assert arrays.strides(x) == (1, 3)


@pytest.mark.parametrize("order", ["C", "F"])
def test_like_layout(order):
    x = np.zeros((2, 3, 4), order=order)
    a = np.arange(24.0).reshape(2, 3, 4)
    laid = arrays.like_layout(a, x)
    assert laid.strides == x.strides
    assert np.array_equal(laid, a)
    assert (laid is a) == (order == "C")


def test_like_layout_does_not_copy_for_an_axis_of_length_1():
    x, numbers = np.zeros((1, 3, 4)), np.arange(12.0)
    a = np.lib.stride_tricks.as_strided(numbers, (1, 3, 4), (8, 32, 8))
    laid = arrays.like_layout(a, x)
    assert laid.strides == x.strides == (96, 32, 8)
    assert np.shares_memory(laid, numbers)
    assert np.array_equal(laid.ravel(), numbers)
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(numbers)
    laid = arrays.like_layout(tensor.as_strided((1, 3, 4), (1, 4, 1)), torch.zeros(1, 3, 4))
    assert laid.stride() == (12, 4, 1)
    assert laid.data_ptr() == tensor.data_ptr()


def test_an_out_that_interleaves_with_x_overlaps_nothing():
    both = np.zeros((2, 3, 8))
    arrays.check_out(both[..., 1::2], both[..., ::2], {"x": both[..., ::2]})


def test_overlap_too_hard_to_find_counts_as_overlap(monkeypatch):
    def give_up(*args, **words):
        raise np.exceptions.TooHardError

    monkeypatch.setattr(np, "shares_memory", give_up)
    with pytest.raises(ValueError, match="out may share memory with x"):
        arrays.check_out(np.zeros(3), np.zeros(3), {"x": np.zeros(3)})


def test_an_out_that_overlaps_itself_is_refused():
    window = np.lib.stride_tricks.sliding_window_view(np.arange(6.0), 3)
    own = np.lib.stride_tricks.as_strided(np.zeros(6), window.shape, window.strides)
    with pytest.raises(ValueError, match="out has strides"):
        arrays.check_out(own, window, {"x": window})
    arrays.check_out(np.empty(window.shape), window, {"x": window})
    arrays.check_out(np.empty((2, 3)), np.broadcast_to(np.ones(3), (2, 3)), {})


def test_another_byte_order_is_named():
    with pytest.raises(ValueError, match=r"dtype <f4; expected those of x, .* and >f4"):
        arrays.check_out(np.zeros(2, "<f4"), np.zeros(2, ">f4"), {})
