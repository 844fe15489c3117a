"""Every public function on another device than the first: results are there, and equal to NumPy's.

array-api-strict has devices that refuse to be mixed, and no function that is not in the array API.
"""

import numpy as np
import pytest

import gnref

strict = pytest.importorskip("array_api_strict")

HOST, AWAY = strict.Device("CPU_DEVICE"), strict.Device("device1")
SHAPE = (4, 6, 5)
CHANNELS, TRAILING = (6,), (6, 5)
# The function, what stands between x and weight, the shape of weight, and the options.
CALLS = {
    "batch": ("batch_norm", (), CHANNELS, {}),
    "batch, virtual": ("batch_norm", (), CHANNELS, {"virtual_batch_size": 2}),
    "batch, last": ("batch_norm", (), (5,), {"channel_axis": -1}),
    "instance": ("instance_norm", (), CHANNELS, {}),
    "instance, last": ("instance_norm", (), (5,), {"channel_axis": -1}),
    "group": ("group_norm", (3,), CHANNELS, {}),
    "group, last": ("group_norm", (5,), (5,), {"channel_axis": -1}),
    "layer": ("layer_norm", (TRAILING,), TRAILING, {}),
    "layer, last axis": ("layer_norm", (5,), (5,), {}),
    "rms": ("rms_norm", (TRAILING,), TRAILING, {}),
    "frozen": ("batch_norm_frozen", "running", CHANNELS, {}),
    "frozen, last": ("batch_norm_frozen", "running", (5,), {"channel_axis": -1}),
}


def away(a):
    return None if a is None else strict.asarray(np.asarray(a), device=AWAY)


def home(a):
    assert a.device == AWAY
    return np.asarray(a.to_device(HOST))


def given(name, dtype="float64", shape=SHAPE):
    """x, dy, weight, bias, running_mean and running_var, in NumPy."""
    rng = np.random.default_rng(0)
    params = CALLS[name][2]
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    weight, bias, mean = rng.standard_normal((3, *params)).astype(dtype)
    if CALLS[name][0] == "rms_norm":
        bias = None
    return x, dy, weight, bias, mean, rng.uniform(0.5, 2, params).astype(dtype)


def call(name, forward, x, weight, bias, mean, var, **words):
    function, between, _, options = CALLS[name]
    between = (mean, var) if between == "running" else between
    params = (weight,) if function == "rms_norm" else (weight, bias)
    function = getattr(gnref, f"{function}_forward" if forward else function)
    return function(x, *between, *params, **options, backend="reference", **words)


def results(name, x, dy, weight, bias, mean, var, **words):
    """All that a user can get: y twice, the statistics and the gradients."""
    y, saved = call(name, True, x, weight, bias, mean, var, **words)
    dx, dweight, dbias = gnref.backward(dy, saved)
    found = {"y": y, "y alone": call(name, False, x, weight, bias, mean, var, **words)}
    found |= {"mean": saved.mean, "var": saved.var, "rstd": saved.rstd}
    return found | {"dx": dx, "dweight": dweight, "dbias": dbias}


def assert_equal(got, expected):
    for name, e in expected.items():
        assert (got[name] is None) == (e is None), name
        if e is not None:
            a = home(got[name])
            assert (a.shape, a.dtype) == (e.shape, e.dtype), name
            assert np.array_equal(a, e), name


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CALLS)
def test_every_function(name, dtype):
    arrays = given(name, dtype)
    assert_equal(results(name, *map(away, arrays)), results(name, *arrays))


@pytest.mark.parametrize("name", CALLS)
def test_without_parameters(name):
    x, dy, _, _, *running = given(name)
    arrays = x, dy, None, None, *running
    assert_equal(results(name, *map(away, arrays)), results(name, *arrays))


@pytest.mark.parametrize("shape", [(0, 6, 5), (4, 6, 0)])
@pytest.mark.parametrize("name", ["batch", "instance", "group", "layer", "rms", "frozen"])
def test_nothing(name, shape):
    if shape[2] == 0 and CALLS[name][2] == TRAILING:
        pytest.skip("its normalized_shape has five columns")
    arrays = given(name, shape=shape)
    assert_equal(results(name, *map(away, arrays)), results(name, *arrays))


@pytest.mark.parametrize("needs", [("x",), ("weight",), ("bias",), ("x", "bias"), ()])
@pytest.mark.parametrize("name", CALLS)
def test_only_what_is_needed(name, needs):
    x, dy, *others = given(name)
    _, saved = call(name, True, away(x), *map(away, others))
    _, there = call(name, True, x, *others)
    got, expected = gnref.backward(away(dy), saved, needs=needs), gnref.backward(dy, there, needs=needs)
    names = ("dx", "dweight", "dbias")
    assert_equal(dict(zip(names, got, strict=True)), dict(zip(names, expected, strict=True)))


@pytest.mark.parametrize("name", CALLS)
def test_out(name):
    x, dy, *others = given(name)
    out, dx = strict.empty(SHAPE, device=AWAY), strict.empty(SHAPE, device=AWAY)
    y, saved = call(name, True, away(x), *map(away, others), out=out)
    assert y is out
    assert gnref.backward(away(dy), saved, out=dx)[0] is dx
    expected = results(name, x, dy, *others)
    assert_equal({"y": out, "dx": dx}, {"y": expected["y"], "dx": expected["dx"]})
    again = strict.empty(SHAPE, device=AWAY)
    assert call(name, False, away(x), *map(away, others), out=again) is again
    assert_equal({"y": again}, {"y": expected["y"]})


def beside_x(name):
    """Every array that a function takes beside x, by name."""
    _, _, weight, bias, mean, var = given(name)
    found = {"weight": weight, "bias": bias, "out": np.empty(SHAPE)}
    found |= {"running_mean": mean, "running_var": var} if CALLS[name][1] == "running" else {}
    return {k: a for k, a in found.items() if a is not None}


@pytest.mark.parametrize(("name", "wrong"), [(name, wrong) for name in CALLS for wrong in beside_x(name)])
def test_two_devices(name, wrong):
    function, between, _, options = CALLS[name]
    words = {k: strict.asarray(a, device=HOST if k == wrong else AWAY) for k, a in beside_x(name).items()}
    x, between = given(name)[0], () if between == "running" else between
    said = rf"^{wrong} is on device .*CPU_DEVICE.* and x is on .*device1.*; expected one device$"
    for both in (function, f"{function}_forward"):
        with pytest.raises(TypeError, match=said):
            getattr(gnref, both)(away(x), *between, **options, **words)


@pytest.mark.parametrize("wrong", ["dy", "out"])
@pytest.mark.parametrize("name", CALLS)
def test_two_devices_backward(name, wrong):
    x, dy, *others = given(name)
    _, saved = call(name, True, away(x), *map(away, others))
    dy = strict.asarray(dy, device=HOST if wrong == "dy" else AWAY)
    out = strict.empty(SHAPE, device=HOST if wrong == "out" else AWAY)
    said = rf"^{wrong} is on device .*CPU_DEVICE.* and x is on .*device1.*; expected one device$"
    with pytest.raises(TypeError, match=said):
        gnref.backward(dy, saved, out=out)
