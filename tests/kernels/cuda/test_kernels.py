"""The seven functions of the contract on emulated kernels equal those of the reference.

All are run in three orders of threads, on memory that is NaN until it is written and guarded at both ends.
"""

from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

from gnref.kernels import reference

DTYPES = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
UNIT = {"float32": 2.0**-24, "float64": 2.0**-53, "float16": 2.0**-11, "bfloat16": 2.0**-8}

# Both sides of every edge: lanes of a warp and a second warp, one item and two, short runs taken together,
# several sets in a block, registers and what comes behind them; strips of every width; columns and chunks.
VIEWS = [
    *[(2, 1, 3, 4, S) for S in (2, 3, 16, 49, 64)],
    *[(2, 1, 2, 1, S) for S in (31, 33, 128, 129, 511, 512, 513)],
    *[(3, 5, 2, 3, 8), (3, 5, 2, 1, 36), (1, 9, 3, 1, 6), (2, 3, 2, 2, 130), (1, 67, 2, 1, 2)],
    *[(5, 1, 2, B, 1) for B in (1, 2, 33, 64, 130, 516)],
    *[(70, 1, 1, 20, 1), (33, 1, 1, 129, 1), (301, 1, 1, 4, 1)],
    *[(2, P, 3, 1, 1) for P in (2, 7, 8, 9, 64, 65, 255, 256, 257)],
    *[(2, 20, 3, 4, 1), (1, 300, 5, 7, 1), (3, 6, 1, 130, 1), (2, 520, 2, 2, 1)],
]
LARGE = [
    (1, 1, 1, 3, 2800),
    (2, 1, 1, 8, 2100),
    (1, 1, 2, 600, 16),
    (2, 1, 1, 9001, 1),
    (1, 270_000, 1, 1, 1),
]


def arrays(slots, dtype, seed=0, parameters=None):
    """x, dy, weight and bias, all random."""
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal((2, *slots))
    weight, bias = rng.uniform(0.5, 2.0, (2, slots[2], slots[3])) * rng.choice(
        [-1, 1], (2, slots[2], slots[3])
    )
    parameters = dtype if parameters is None else parameters
    return x.astype(dtype), dy.astype(dtype), weight.astype(parameters), bias.astype(parameters)


def wide(a):
    return np.asarray(a, np.float64)


def both_passes(xp, run, x, dy, weight, bias, eps=1e-5, center=True):
    """What forward and backward return, as NumPy arrays."""
    x, dy, weight, bias = (None if a is None else xp.asarray(a) for a in (x, dy, weight, bias))
    y, mean, var, rstd = run.forward(x, weight, bias, eps, center)
    dx, dweight, dbias = run.backward(dy, x, mean, rstd, weight, center)
    results = {"y": y, "mean": mean, "var": var, "rstd": rstd, "dx": dx, "dweight": dweight, "dbias": dbias}
    return {name: None if a is None else xp.asnumpy(a) for name, a in results.items()}


NUMPY = SimpleNamespace(asarray=np.asarray, asnumpy=np.asarray)


def assert_close(x, dy, weight, bias, eps=1e-5, center=True, *, cupy):
    """Within the bars of the design, whatever the spread and the offset of x; with all results returned."""
    from gnref.kernels.cuda import contract as cuda

    got = both_passes(cupy, cuda, x, dy, weight, bias, eps, center)
    exact = (None if a is None else wide(a) for a in (x, dy, weight, bias))
    expected = both_passes(NUMPY, reference, *exact, eps, center)
    u = UNIT[x.dtype.name]
    g = wide(dy) * (1.0 if weight is None else wide(weight)[None, None, :, :, None])
    rstd = expected["rstd"][:, None, :, None, None]
    mean = 0.0 if expected["mean"] is None else expected["mean"][:, None, :, None, None]
    xhat = (wide(x) - mean) * rstd
    own = {"axis": (1, 3, 4), "keepdims": True}
    w, b = (0.0 if p is None else abs(wide(p))[None, None, :, :, None] for p in (weight, bias))
    w = 1.0 if weight is None else w
    slope = abs(g) + abs(g).mean(**own) + abs(xhat) * abs(xhat * g).mean(**own)
    shared = {"axis": (0, 1, 4)}
    bars = {
        "y": 6 * u * (w * (1 + abs(xhat)) + b),
        "dx": 10 * u * rstd * slope,
        "dweight": 10 * u * (abs(wide(dy)) * (1 + abs(xhat))).sum(**shared),
        "dbias": 10 * u * abs(wide(dy)).sum(**shared),
        "var": 1e-6 * expected["var"] if u > 1e-10 else 1e-14 * expected["var"],
        "rstd": 1e-6 * expected["rstd"] if u > 1e-10 else 1e-14 * expected["rstd"],
    }
    for name, bar in bars.items():
        error = abs(wide(got[name]) - expected[name])
        assert np.all(error <= bar + 1e-300), (name, error.max(), np.max(error / (bar + 1e-300)))
    if center:
        spread = np.sqrt(expected["var"] + eps)
        assert np.all(abs(got["mean"] - expected["mean"]) <= 1e-7 * spread + 2e-16 * abs(expected["mean"]))
    return got


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_forward_and_backward(order, cupy, dtype):
    for slots in VIEWS:
        assert_close(*arrays(slots, dtype), cupy=cupy)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("slots", LARGE, ids=str)
def test_large_sets(cupy, dtype, slots):
    assert_close(*arrays(slots, dtype), cupy=cupy)


@pytest.mark.parametrize("name", ["float32", "float16"])
@pytest.mark.parametrize("parameters", [(True, True), (True, False), (False, True), (False, False)])
def test_parameters_may_be_absent_and_of_another_dtype(cupy, name, parameters):
    for slots in [(3, 1, 2, 4, 16), (3, 1, 1, 40, 1), (1, 40, 3, 2, 1)]:
        for dtype in (np.float32, np.float64, DTYPES[name]):
            x, dy, weight, bias = arrays(slots, DTYPES[name], parameters=dtype)
            given = (p if there else None for p, there in zip((weight, bias), parameters, strict=True))
            assert_close(x, dy, *given, cupy=cupy)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_without_a_mean(cupy, dtype):
    for slots in [(5, 1, 1, 130, 1), (2, 1, 3, 2, 33), (1, 70, 2, 3, 1), (4, 1, 2, 1, 1)]:
        x, dy, weight, _ = arrays(slots, dtype)
        assert assert_close(x, dy, weight, None, center=False, cupy=cupy)["mean"] is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_from_zero(order, cupy, dtype):
    offset = 1e6 if dtype == np.float32 else 1e9
    for slots in [(2, 1, 3, 4, 64), (9, 1, 1, 520, 1), (2, 300, 3, 2, 1), (1, 1, 1, 3, 2800)]:
        x, dy, weight, bias = arrays(slots, np.float64)
        x = (x + offset).astype(dtype)
        assert_close(x, *(a.astype(dtype) for a in (dy, weight, bias)), cupy=cupy)


@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 1e18), (np.float32, 1e-18), (np.float32, 1e30)])
def test_every_scale(order, cupy, dtype, scale):
    for slots in [(2, 1, 3, 4, 16), (9, 1, 1, 33, 1), (2, 70, 3, 2, 1), (1, 1, 1, 3, 2800)]:
        x, dy, weight, bias = arrays(slots, dtype)
        assert_close(x * dtype(scale), dy, weight, bias, eps=1e-5 * scale**2, cupy=cupy)


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_the_range_of_float64_is_no_limit(cupy, scale):
    from gnref.kernels.cuda import contract as cuda

    for slots in [(2, 1, 3, 4, 16), (9, 1, 1, 33, 1), (2, 70, 3, 2, 1), (1, 1, 1, 3, 2800)]:
        x, dy, weight, bias = arrays(slots, np.float64)
        got = both_passes(cupy, cuda, x * scale, dy, weight, bias, 0.0)
        expected = both_passes(NUMPY, reference, x, dy, weight, bias, 0.0)
        for name in ("y", "dweight", "dbias"):
            np.testing.assert_allclose(got[name], expected[name], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(got["dx"] * scale, expected["dx"], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    "slots",
    [(4, 1, 3, 2, 16), (4, 1, 3, 5, 1), (4, 20, 3, 2, 1), (4, 20, 8, 1, 1), (4, 1, 1, 3, 700)],
    ids=str,
)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_number_stays_in_its_set(order, cupy, slots, bad):
    from gnref.kernels.cuda import contract as cuda

    x, dy, weight, bias = arrays(slots, np.float32)
    good = both_passes(cupy, cuda, x, dy, weight, bias)
    x[1, 0, 0, 0, 0] = bad
    got = both_passes(cupy, cuda, x, dy, weight, bias)
    for name in ("y", "dx"):
        assert np.isnan(got[name][1, :, 0]).all()
        got[name][1, :, 0] = good[name][1, :, 0]
        assert np.array_equal(got[name], good[name])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("slots", [(9000, 1, 1, 4, 1), (5000, 1, 1, 8, 1)], ids=str)
@pytest.mark.parametrize(
    "scales", [(1.0, 1.0), (1e15, 1.0), (1.0, 1e-27)], ids=str
)  # the latter out of range
def test_roundings_do_not_pile_up_over_many_sets(cupy, dtype, slots, scales):
    x, dy, weight, bias = arrays(slots, dtype)
    x[:], dy[:] = x[0] * dtype(scales[0]), 1.1 * scales[1]  # every addition rounds the same way
    assert_close(x, dy, weight, bias, cupy=cupy)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("eps", [1e-5, 0.0])
def test_a_constant_set_gives_the_bias(cupy, dtype, eps):
    from gnref.kernels.cuda import contract as cuda

    for slots in [(3, 1, 2, 4, 49), (3, 1, 1, 67, 1), (2, 67, 3, 2, 1), (1, 1, 1, 3, 2800)]:
        x, dy, weight, bias = arrays(slots, dtype)
        x = np.broadcast_to(np.array(1234.567, dtype), slots)
        got = both_passes(cupy, cuda, x, dy, weight, bias, eps)
        assert np.array_equal(got["y"], np.broadcast_to(bias[None, None, :, :, None], slots))


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_one_element_has_no_gradient(cupy, dtype):
    from gnref.kernels.cuda import contract as cuda

    x, dy, weight, bias = arrays((5, 1, 3, 1, 1), dtype)
    got = both_passes(cupy, cuda, x, dy, weight, bias)
    assert np.array_equal(got["y"], np.broadcast_to(bias[None, None, :, :, None], x.shape))
    assert not got["dx"].any()
    assert not got["dweight"].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize(
    "slots",
    [(3, 4, 2, 3, 8), (3, 1, 2, 33, 1), (2, 70, 2, 3, 1), (1, 1, 1, 2, 2800), (5, 1, 3, 1, 1)],
    ids=str,
)
def test_given_statistics(order, cupy, dtype, slots):
    from gnref.kernels.cuda import contract as cuda

    x, dy, weight, bias = arrays(slots, dtype)
    mean, rstd = np.random.default_rng(1).uniform(0.5, 2.0, (2, slots[0], slots[2]))
    cx, cdy, cw, cb, cm, cr = map(cupy.asarray, (x, dy, weight, bias, mean, rstd))
    x, dy, weight, bias = map(wide, (x, dy, weight, bias))
    got = [cuda.apply(cx, cm, cr, cw, cb), *cuda.backward_given(cdy, cx, cm, cr, cw)]
    got += [*cuda.backward_sums(cdy, cx, cm, cr, cw), *cuda.moments(cx)[1:]]
    sums = reference.backward_sums(dy, x, mean, rstd, weight)
    got += [cuda.backward_from_sums(cdy, cx, cm, cr, cw, 99, *map(cupy.asarray, sums))]
    expected = [
        reference.apply(x, mean, rstd, weight, bias),
        *reference.backward_given(dy, x, mean, rstd, weight),
    ]
    long = x.astype(np.longdouble)  # M2 is large: the last bit of a sum in float64 is more than the bound
    center = long.mean((1, 3, 4), keepdims=True)
    expected += [*sums, center[:, 0, :, 0, 0], ((long - center) ** 2).sum((1, 3, 4))]
    expected += [reference.backward_from_sums(dy, x, mean, rstd, weight, 99, *sums)]
    assert cuda.moments(cx)[0] == reference.moments(x)[0]
    u = UNIT[cx.dtype.name]
    for a, e in zip(got, expected, strict=True):
        scale = 1 + abs(e) if e.ndim == 5 else np.sqrt(x.size) * 4
        assert np.all(abs(wide(cupy.asnumpy(a)) - e) <= 20 * u * scale)


def test_arrays_in_any_strides_and_at_any_address(cupy):
    from gnref.kernels.cuda import contract as cuda

    for slots in [(3, 1, 2, 4, 16), (3, 1, 1, 40, 1), (1, 40, 4, 2, 1)]:
        x, dy, weight, bias = arrays(slots, np.float16)
        straight = both_passes(cupy, cuda, x, dy, weight, bias)
        shifted = [cupy.asarray(np.append(a.flat[:1], a)) for a in (x, dy, weight, bias)]
        shifted = [s[1:].reshape(a.shape) for s, a in zip(shifted, (x, dy, weight, bias), strict=True)]
        turned = [cupy.asarray(np.ascontiguousarray(a.T)).T for a in (x, dy, weight, bias)]
        keep = SimpleNamespace(asarray=lambda a: a, asnumpy=cupy.asnumpy)
        for other in (shifted, turned):
            got = both_passes(keep, cuda, *other)
            assert all(np.array_equal(got[name], straight[name]) for name in straight)


def test_out_is_where_the_result_goes(cupy):
    from gnref.kernels.cuda import contract as cuda

    x, dy, weight, bias = map(cupy.asarray, arrays((3, 1, 2, 4, 16), np.float32))
    out, other = cupy.empty(x.shape, x.dtype), cupy.empty(x.shape, x.dtype)
    y, mean, _, rstd = cuda.forward(x, weight, bias, 1e-5, True, out)
    dx, _, _ = cuda.backward(dy, x, mean, rstd, weight, True, other)
    assert y is out
    assert dx is other
    assert cuda.apply(x, mean, rstd, weight, bias, out) is out


@pytest.mark.parametrize(
    "slots", [(0, 1, 2, 3, 4), (2, 1, 2, 3, 0), (2, 0, 3, 1, 1), (2, 1, 0, 3, 4)], ids=str
)
def test_nothing(cupy, slots):
    from gnref.kernels.cuda import contract as cuda

    x, dy, weight, bias = arrays(slots, np.float32)
    got = both_passes(cupy, cuda, x, dy, weight, bias)
    expected = both_passes(NUMPY, reference, x, dy, weight, bias)
    for name, e in expected.items():
        assert got[name].shape == e.shape
        assert np.array_equal(got[name], e), name
    assert cuda.moments(cupy.asarray(x))[0] == reference.moments(x)[0]
