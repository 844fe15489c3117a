"""gnref's public functions on CuPy arrays, on emulated kernels: the same calls, the same results."""

import ml_dtypes
import numpy as np
import pytest

import gnref
from gnref import dispatch, passes

SHAPE = (4, 6, 5, 4)


def arrays(dtype=np.float32):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, *SHAPE)).astype(dtype)
    weight, bias = rng.standard_normal((2, 6)).astype(dtype)
    return x, dy, weight, bias


NORMS = {
    "batch": (gnref.batch_norm_forward, ()),
    "instance": (gnref.instance_norm_forward, ()),
    "group": (gnref.group_norm_forward, (3,)),
}


def run(function, x, dy, weight, bias, *options, **named):
    y, saved = function(x, *options, weight, bias, **named)
    return (y, saved.mean, saved.var, saved.rstd, *gnref.backward(dy, saved)), saved


def assert_same(cupy, got, expected, bar):
    for a, e in zip(got, expected, strict=True):
        assert isinstance(a, cupy.ndarray)
        assert a.shape == e.shape
        assert a.dtype == e.dtype
        a, e = cupy.asnumpy(a).astype(np.float64), e.astype(np.float64)
        np.testing.assert_allclose(a, e, atol=bar, rtol=bar)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("norm", NORMS)
def test_every_norm(cupy, norm, dtype):
    function, options = NORMS[norm]
    given = arrays(dtype)
    got, saved = run(function, *map(cupy.asarray, given), *options)
    expected, _ = run(function, *given, *options, backend="reference")
    assert saved.backend == "cuda"
    bar = {4: 2e-5, 8: 1e-13, 2: 1e-1 if dtype == ml_dtypes.bfloat16 else 1e-2}[np.dtype(dtype).itemsize]
    assert_same(cupy, got, expected, bar)


@pytest.mark.parametrize("norm", NORMS)
def test_channels_last(cupy, norm):
    function, options = NORMS[norm]
    x, dy, weight, bias = arrays()
    x, dy = (np.ascontiguousarray(np.moveaxis(a, 1, -1)) for a in (x, dy))
    given = x, dy, weight, bias
    got, _ = run(function, *map(cupy.asarray, given), *options, channel_axis=-1)
    assert_same(cupy, got, run(function, *given, *options, channel_axis=-1)[0], 2e-5)


def test_layer_rms_and_frozen(cupy):
    x, dy, _, _ = arrays()
    weight, bias = np.random.default_rng(1).standard_normal((2, 5, 4)).astype(np.float32)
    cx, cdy, cw, cb = map(cupy.asarray, (x, dy, weight, bias))
    assert_same(
        cupy,
        run(gnref.layer_norm_forward, cx, cdy, cw, cb, (5, 4))[0],
        run(gnref.layer_norm_forward, x, dy, weight, bias, (5, 4))[0],
        2e-5,
    )
    y, saved = gnref.rms_norm_forward(cx, (5, 4), cw)
    expected, there = gnref.rms_norm_forward(x, (5, 4), weight)
    dx, dweight, dbias = gnref.backward(cdy, saved)
    assert saved.mean is None
    assert dbias is None
    assert_same(cupy, (y, dx, dweight), (expected, *gnref.backward(dy, there)[:2]), 2e-5)
    mean, var = np.random.default_rng(2).uniform(0.5, 2, (2, 6)).astype(np.float32)
    got, saved = gnref.batch_norm_frozen_forward(cx, *map(cupy.asarray, (mean, var)))
    expected, there = gnref.batch_norm_frozen_forward(x, mean, var)
    assert saved.backend == "cuda"
    assert_same(cupy, (got, gnref.backward(cdy, saved)[0]), (expected, gnref.backward(dy, there)[0]), 2e-5)


def test_out_is_written_and_returned(cupy):
    x, dy, weight, bias = map(cupy.asarray, arrays())
    out = cupy.empty(x.shape, x.dtype)
    y, saved = gnref.group_norm_forward(x, 3, weight, bias, out=out)
    assert y is out
    assert gnref.backward(dy, saved, out=out)[0] is out


def test_a_numpy_weight_is_refused(cupy):
    x, _, weight, _ = arrays()
    with pytest.raises(TypeError, match="weight is a numpy array and x is a cupy array; expected one"):
        gnref.group_norm(cupy.asarray(x), 3, weight)


def test_a_numpy_array_is_refused_by_cuda(cupy):
    with pytest.raises(
        gnref.BackendError, match=r"backend is 'cuda', which takes a cupy array or .*; x is a numpy"
    ):
        gnref.group_norm(arrays()[0], 3, backend="cuda")


def test_the_reference_runs_on_cupy_arrays_when_asked(cupy):
    x, _, weight, bias = arrays()
    y = gnref.group_norm(*map(cupy.asarray, (x,)), 3, *map(cupy.asarray, (weight, bias)), backend="reference")
    np.testing.assert_allclose(cupy.asnumpy(y), gnref.group_norm(x, 3, weight, bias), atol=1e-6)


# ---- Memory ----

LARGE = (3, 12, 20, 24)  # the sums beside it are smaller


def laid_out(cupy, a, channels_last):
    return (
        cupy.moveaxis(cupy.asarray(np.moveaxis(a, 1, -1).copy()), -1, 1) if channels_last else cupy.asarray(a)
    )


@pytest.mark.parametrize("with_out", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("norm", [*NORMS, "frozen"])
def test_nothing_as_large_as_x_but_the_results(cupy, norm, channels_last, with_out):
    import standin

    rng = np.random.default_rng(0)
    x, dy, out, dx = (laid_out(cupy, a, channels_last) for a in rng.standard_normal((4, *LARGE), np.float32))
    mean, var, weight, bias = map(cupy.asarray, rng.uniform(0.5, 2, (4, 12)).astype(np.float32))
    function, options = NORMS.get(norm, (gnref.batch_norm_frozen_forward, (mean, var)))

    def large():
        found = [nbytes for nbytes in standin.allocations if nbytes >= x.nbytes]
        standin.allocations.clear()
        return found

    results = [] if with_out else [x.nbytes]
    large()
    y, saved = function(x, *options, weight, bias, out=out if with_out else None)
    assert large() == results
    gradients = gnref.backward(dy, saved, out=dx if with_out else None)
    assert large() == results
    assert saved.backend == "cuda"
    assert y.strides == gradients[0].strides == x.strides


SEEN = {
    "the same": lambda both: both[:4],
    "its last": lambda both: both[3:7],
    "its first": lambda both: both[:1],
    "backwards": lambda both: both[6:2:-1],
    "channels backwards": lambda both: both[3:7, ::-1],
    "all axes backwards": lambda both: both[6:2:-1, ::-1, ::-1, ::-1],
}


@pytest.mark.parametrize("see", SEEN.values(), ids=SEEN)
def test_an_out_beside_x_in_one_memory(cupy, see):
    both = cupy.asarray(np.random.default_rng(0).standard_normal((11, 6, 5, 4), np.float32))
    x = see(both)
    with pytest.raises(ValueError, match="out may share memory with x; expected an array that overlaps no"):
        gnref.group_norm(x, 3, out=both[: len(x)] if len(x) == 1 else both[3 : 3 + len(x)])
    expected, free = gnref.group_norm(x.get(), 3), both[7 : 7 + len(x)]
    assert gnref.group_norm(x, 3, out=free) is free
    np.testing.assert_allclose(free.get(), expected, atol=2e-5)


# ---- What is recalled ----


@pytest.fixture
def made(cupy, monkeypatch):
    """The norms of all plans that were made."""
    norms, make = [], passes.make_plan

    def spy(norm, *given, **others):
        norms.append(norm)
        return make(norm, *given, **others)

    monkeypatch.setattr(passes, "make_plan", spy)
    return norms


def test_a_plan_is_made_once(cupy, made):
    x, dy, weight, bias = map(cupy.asarray, arrays())
    first, again = (gnref.group_norm(x, 3, weight, bias) for _ in range(2))
    assert made == ["group"]
    assert np.array_equal(cupy.asnumpy(first), cupy.asnumpy(again))
    gnref.group_norm(dy, 3)
    assert len(made) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda x: (x[:2], {"num_groups": 3}),
        lambda x: (x.astype(np.float64), {"num_groups": 3}),
        lambda x: (x[..., ::-1], {"num_groups": 3}),
        lambda x: (x, {"num_groups": 2}),
        lambda x: (x, {"num_groups": 3, "backend": "reference"}),
        lambda x: (x.get(), {"num_groups": 3}),
    ],
)
def test_another_look_is_another_plan(cupy, made, change):
    x = cupy.asarray(arrays()[0])
    gnref.group_norm(x, 3)
    other, words = change(x)
    gnref.group_norm(other, **words)
    assert made == ["group"] * 2


def test_a_device_that_is_lost_is_another_plan(cupy, made, monkeypatch):
    x = cupy.asarray(arrays()[0])
    assert gnref.group_norm_forward(x, 3)[1].backend == "cuda"
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 0)
    dispatch.status.cache_clear()
    assert gnref.group_norm_forward(x, 3)[1].backend == "reference"
    assert made == ["group"] * 2


@pytest.mark.parametrize("norm", NORMS)
def test_forward_mode_and_second_derivatives(cupy, norm):
    function, options = NORMS[norm]
    x, dy, weight, bias = arrays()
    second = dy[::-1].copy(), bias, weight  # ddx, ddweight, ddbias

    def both(convert):
        _, saved = function(convert(x), *options, convert(weight), convert(bias))
        along = tuple(map(convert, second))
        return gnref.jvp(saved, *along), *gnref.double_backward(convert(dy), saved, *along)

    assert_same(cupy, both(cupy.asarray), both(np.asarray), 5e-5)
