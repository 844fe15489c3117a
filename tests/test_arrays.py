import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnref import arrays

SIZES = st.sampled_from([1, 1, 2, 2, 3, 4])
STEPS = st.sampled_from([0, 1, 1, 2, 3, 4, 4, 6, 12, 24])  # of numbers, such that many are equal


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


@st.composite
def looks(draw):
    """A shape, and strides as numbers: any, or those of a permuted array in one piece or with gaps."""
    shape = tuple(draw(st.lists(SIZES, max_size=5)))
    if draw(st.booleans()):
        return shape, tuple(draw(STEPS) for _ in shape)
    order, stride = draw(st.permutations(range(len(shape)))), draw(st.sampled_from([1, 1, 1, 2]))
    made, odd = [0] * len(shape), draw(st.booleans())
    for axis in order:
        made[axis] = draw(STEPS) if odd and shape[axis] == 1 else stride
        stride *= shape[axis]
    return shape, tuple(made)


def signed(look, signs):
    shape, own = look
    return shape, tuple(-step if minus else step for step, minus in zip(own, signs, strict=False))


@given(looks(), st.lists(st.booleans(), min_size=5, max_size=5), st.sampled_from(["f2", "f4", "f8"]))
def test_strides_like_numpy_s(look, signs, dtype):
    shape, own = signed(look, signs)
    where = np.zeros(6000, dtype)[3000:]
    x = np.lib.stride_tricks.as_strided(where, shape, [step * where.itemsize for step in own])
    assert arrays.strides_like(x) == np.empty_like(x).strides
    assert arrays._by_numpys_rules(x.shape, x.strides, x.itemsize) == np.empty_like(x).strides


@given(looks())
def test_strides_like_pytorch_s(look):
    torch = pytest.importorskip("torch")
    x = torch.zeros(3000).as_strided(*look)
    assert arrays.strides_like(x) == torch.empty_like(x).stride()


@given(looks(), st.lists(st.booleans(), min_size=5, max_size=5))
def test_strides_like_the_real_cupy_s(look, signs):
    cupy = pytest.importorskip("cupy", reason="needs cupy")
    shape, own = signed(look, signs)

    def nowhere(nbytes):
        return cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(1 << 20, max(nbytes, 1 << 20), None, 0), 0)

    with cupy.cuda.using_allocator(nowhere):  # no device is asked for it
        x = cupy.ndarray(shape, "f4", nowhere(1), [4 * step for step in own])
        assert arrays.strides_like(x) == cupy.empty_like(x).strides


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3), (0, 1)])
def test_an_array_without_elements_is_laid_out_somehow(shape):
    x = np.zeros(shape, order="F")
    assert arrays.like_layout(np.zeros(shape), x).shape == shape
    arrays.check_out(np.zeros(shape), x, {"x": x})


def test_memory_is_made_for_a_copy_alone(monkeypatch):
    torch = pytest.importorskip("torch")
    made, empty_like = [], arrays.empty_like
    monkeypatch.setattr(arrays, "empty_like", lambda x: made.append(x) or empty_like(x))
    for x, a in (
        (np.zeros((2, 3, 4), order="F"), np.zeros((2, 3, 4))),
        (torch.zeros(2, 3, 4).permute(2, 0, 1), torch.zeros(4, 2, 3)),
    ):
        arrays.check_out(empty_like(x), x, {"x": x})
        assert arrays.like_layout(arrays.like_layout(x, x), x) is x
        assert made == []
        assert arrays.strides(arrays.like_layout(a, x)) == arrays.strides(x)
        assert len(made) == 1
        made.clear()


def test_the_ends_of_a_tensor():
    torch = pytest.importorskip("torch")
    a = torch.zeros(4, 5)
    start = a.data_ptr()
    assert arrays._span(a[1:3, 1:2]) == (start + 4 * 6, start + 4 * 12)
    assert arrays._span(a.T) == (start, start + 4 * 20)
    assert arrays._span(a[0].expand(3, 5)) == (start, start + 4 * 5)
    first, end = arrays._span(a[:0])
    assert first == end


def test_the_ends_of_an_array_of_the_real_cupy():
    cupy = pytest.importorskip("cupy", reason="needs cupy")
    memory = cupy.cuda.UnownedMemory(4096, 4096, None, 0)
    a = cupy.ndarray((4, 5), "f4", cupy.cuda.MemoryPointer(memory, 0))
    assert arrays._span(a[1:3, 1:2]) == (4096 + 4 * 6, 4096 + 4 * 12)
    assert arrays._span(a[::-1]) == arrays._span(a[:, ::-1]) == arrays._span(a) == (4096, 4096 + 4 * 20)
    assert arrays._span(a[2:0:-1, 1]) == (4096 + 4 * 6, 4096 + 4 * 12)
