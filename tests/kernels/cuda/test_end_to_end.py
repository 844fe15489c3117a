"""gnref's public functions on CuPy arrays, on emulated kernels: the same calls, the same results."""

import ml_dtypes
import numpy as np
import pytest

import gnref

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
