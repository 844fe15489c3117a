import numpy as np
import pytest

from gnref.testing import Functions, Problem
from gnref.testing.strategies import np_dtype
from gnref.testing.targets.guarded import GUARD
from gnref.testing.targets.libraries import library
from gnref.testing.targets.watched import CANARIES, overrun

X = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
PROBLEM = Problem("instance", X, X)
BEYOND = "reads and writes in bounds"


def past_the_end(a):
    np.lib.stride_tricks.as_strided(a.reshape(-1), (a.size + 1,))[-1] = 0


@pytest.mark.parametrize("make", [np.empty_like, np.zeros_like, lambda x: np.empty(x.shape, x.dtype)])
def test_a_write_past_the_end_of_a_result_is_noted(make):
    name = getattr(make, "__name__", "")

    def wrong(x, weight, bias, eps):
        y = getattr(np, name)(x) if name in ("empty_like", "zeros_like") else np.empty(x.shape, x.dtype)
        y[...] = x
        past_the_end(y)
        return y

    target = Functions(wrong, norm="instance")
    assert np.array_equal(target.forward(PROBLEM).y, X)
    assert [(finding.property, finding.message) for finding in target.findings] == [
        (BEYOND, "writes outside an array that it made")
    ]


@pytest.mark.parametrize("dtype", CANARIES)
@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.fill(np.nan),
        lambda a: np.multiply(a, a.dtype.type(1), out=a),
        lambda a: a.view(np.uint8)[:1].fill(1),
        lambda a: a.view(np.uint8)[-1:].fill(1),
    ],
    ids=["NaN", "a product in place", "a low byte", "a high byte"],
)
def test_no_write_past_the_end_leaves_the_bits_that_are_there(dtype, change):
    dtype = np_dtype(dtype)
    with library("numpy").watched() as buffers:
        a = np.empty(3, dtype)
    beyond = np.lib.stride_tricks.as_strided(a, (4,))[3:]
    assert not overrun(buffers, np.asarray)
    with np.errstate(all="ignore"):
        assert np.isnan(beyond), "a read past the end is seen in the result"
        change(beyond)
    assert overrun(buffers, np.asarray)


def test_a_kernel_that_writes_nan_past_the_end_of_its_result_fails():
    def wrong(x, weight, bias, eps):
        y = np.empty_like(x)
        y[...] = x
        np.lib.stride_tricks.as_strided(y.reshape(-1), (y.size + 1,))[-1] = np.nan
        return y

    target = Functions(wrong, norm="instance")
    target.forward(PROBLEM)
    assert [finding.property for finding in target.findings] == [BEYOND]


def test_what_is_never_written_is_nan():
    def wrong(x, weight, bias, eps):
        y = np.empty_like(x)
        y[:1] = x[:1]
        return y

    target = Functions(wrong, norm="instance")
    assert np.isnan(target.forward(PROBLEM).y[1:]).all()
    assert target.findings == []


def test_layout_dtype_and_zeros_are_those_that_were_asked_for():
    with library("numpy").watched() as buffers:
        like = np.empty_like(np.asfortranarray(X))
        zeros = np.zeros((3, 2), np.float16)
        whole = np.zeros(3, int), np.empty((0, 3)), np.empty(())
    assert like.strides == np.asfortranarray(X).strides
    assert (zeros.dtype, zeros.tolist()) == (np.float16, [[0, 0]] * 3)
    assert [size for _, size in buffers] == [24, 6]
    assert whole[0].tolist() == [0, 0, 0]
    assert not overrun(buffers, np.asarray)
    buffers[1][0][GUARD - 1] = 0
    assert overrun(buffers, np.asarray)
    assert np.empty is not None
    assert np.empty(3).base is None, "afterwards all is as before"


def test_tensors():
    torch = pytest.importorskip("torch")
    with library("torch").watched() as buffers:
        a = torch.empty_like(torch.ones(2, 3).t())
        b = torch.zeros(2, 3, dtype=torch.bfloat16)
        c = torch.zeros(2, 3, dtype=torch.int32)
    if not buffers:
        pytest.skip("torch.compile is in use in this process, which reads these functions")
    assert a.stride() == (1, 3)
    assert torch.isnan(a).all()
    assert b.tolist() == c.tolist() == [[0, 0, 0]] * 2
    assert len(buffers) == 2
    back = library("torch").back
    for i, (tensor, value) in enumerate([(a, torch.nan), (b, 1)]):
        assert not overrun(buffers[i : i + 1], back)
        tensor.as_strided((7,), (1,))[-1] = value
        assert overrun(buffers[i : i + 1], back)
