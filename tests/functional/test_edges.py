"""The edges of the contract: one-element sets, nothing at all, eps = 0, all of x, strange arrays."""

import numpy as np
import pytest

import gnref

RNG = np.random.default_rng(0)
W, B = RNG.standard_normal((2, 4))


def run(norm, x, weight=W, bias=B, **words):
    """y, saved and gradients of a norm over x of shape (N, 4, ...)."""
    first = {"group": [2], "layer": [x.shape[1:]], "rms": [x.shape[1:]]}.get(norm, [])
    if norm in ("layer", "rms"):
        weight, bias = (np.resize(p, x.shape[1:]) for p in (weight, bias))
    params = [weight] if norm == "rms" else [weight, bias]
    y, saved = getattr(gnref, f"{norm}_norm_forward")(x, *first, *params, **words)
    return y, saved, gnref.backward(np.random.default_rng(1).standard_normal(x.shape).astype(x.dtype), saved)


NORMS = ("batch", "instance", "group", "layer", "rms")


def test_sets_of_one_element():
    x = RNG.standard_normal((3, 4))
    y, _, (dx, dweight, dbias) = run("instance", x)
    assert np.array_equal(y, np.broadcast_to(B, x.shape))
    assert not dx.any()
    assert not dweight.any()
    assert dbias.all()
    y, saved = gnref.layer_norm_forward(x[:, :1], 1, W[:1], B[:1])
    assert np.array_equal(y, np.broadcast_to(B[:1], (3, 1)))
    assert not gnref.backward(y, saved)[0].any()


def test_rms_norm_of_one_element_is_its_formula():
    y, saved = gnref.rms_norm_forward(np.array([[3.0]]), 1)
    np.testing.assert_allclose(y, 3 / np.sqrt(9 + 1e-5))
    np.testing.assert_allclose(gnref.backward(np.ones((1, 1)), saved)[0], 1e-5 * (9 + 1e-5) ** -1.5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 4, 0), (2, 4, 0, 3), (0, 4)])
@pytest.mark.parametrize("norm", NORMS)
def test_a_dimension_of_size_0(norm, shape):
    y, saved, (dx, dweight, dbias) = run(norm, np.zeros(shape))
    assert y.shape == dx.shape == shape
    assert not dweight.any()
    assert dweight.shape == saved.weight.shape
    assert norm == "rms" or (dbias.shape == saved.bias.shape and not dbias.any())


@pytest.mark.parametrize("words", [{}, {"virtual_batch_size": 2}])
def test_an_empty_batch_keeps_its_channels(words):
    _, saved = gnref.batch_norm_forward(np.zeros((0, 4, 3)), **words)
    assert saved.mean.shape == ((0, 4) if words else (4,))
    assert np.isfinite(saved.rstd).all()


def test_no_channels_and_no_elements():
    assert gnref.batch_norm(np.zeros((2, 0, 3))).shape == (2, 0, 3)
    assert gnref.batch_norm(np.zeros((1, 0, 1))).shape == (1, 0, 1)
    assert gnref.group_norm(np.zeros((2, 0)), 3).shape == (2, 0)
    assert gnref.layer_norm(np.zeros((2, 0)), 0).shape == (2, 0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("norm", NORMS)
def test_eps_0_on_a_constant_set(norm):
    level = 0.0 if norm == "rms" else 3.7
    y, saved, (dx, _, _) = run(norm, np.full((2, 4, 3), level), eps=0.0)
    bias = np.zeros((4, 1)) if norm == "rms" else np.resize(B, (4, 3)) if norm == "layer" else B[:, None]
    assert np.array_equal(y, np.broadcast_to(bias, y.shape))
    assert not saved.rstd.any()
    assert not dx.any()


@pytest.mark.parametrize("shape", [(4, 3, 5), (0, 3, 5), (4, 3, 0)])
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f8"])
@pytest.mark.parametrize(
    "backend", [name for name in ("reference", "cpu") if gnref.backends()[name] == "ready"]
)
def test_frozen_writes_where_it_is_told_to_and_keeps_the_byte_order(backend, dtype, shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    stats = np.array([1.0, -2.0, 0.5]), np.array([0.5, 1.0, 2.0])
    y = gnref.batch_norm_frozen(x, *stats, backend=backend)
    out = np.full_like(x, 7)
    assert gnref.batch_norm_frozen(x, *stats, out=out, backend=backend) is out
    assert y.dtype == out.dtype == x.dtype
    assert np.array_equal(y, out)
    expected = (x - stats[0][:, None]) / np.sqrt(stats[1][:, None] + 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_frozen_with_no_variance_and_no_eps():
    y = gnref.batch_norm_frozen(
        np.ones((1, 2)), np.zeros(2), np.zeros(2), np.ones(2), np.array([3.0, 4.0]), eps=0.0
    )
    assert y.tolist() == [[3.0, 4.0]]


def test_normalized_shape_may_be_all_of_x():
    x = RNG.standard_normal(7)
    y, saved = gnref.layer_norm_forward(x, (7,))
    assert saved.mean.shape == saved.rstd.shape == ()
    np.testing.assert_allclose(y, (x - x.mean()) / np.sqrt(x.var() + 1e-5))


@pytest.mark.parametrize(
    ("norm", "words", "shape"),
    [
        ("batch", {}, (4,)),
        ("batch", {"virtual_batch_size": 2}, (3, 4)),
        ("instance", {}, (6, 4)),
        ("group", {}, (6, 2)),
        ("layer", {}, (6,)),
        ("rms", {}, (6,)),
    ],
)
def test_shapes_of_the_saved_statistics(norm, words, shape):
    _, saved, _ = run(
        norm, RNG.standard_normal((6, 4, 3)).astype("f4"), W.astype("f4"), B.astype("f4"), **words
    )
    assert saved.var.shape == saved.rstd.shape == shape
    assert saved.var.dtype == saved.rstd.dtype == np.float64
    assert saved.mean is None if norm == "rms" else saved.mean.shape == shape


@pytest.mark.parametrize("axis", [2, -2, 3, -1])
def test_channel_axes(axis):
    x = RNG.standard_normal((2, 4, 3, 5))
    moved = np.moveaxis(x, 1, axis)
    np.testing.assert_allclose(
        np.moveaxis(gnref.group_norm(moved, 2, W, B, channel_axis=axis), axis, 1),
        gnref.group_norm(x, 2, W, B),
    )


@pytest.mark.parametrize("n", [1, 2, 3, 255, 256, 257])
@pytest.mark.parametrize("norm", ["instance", "group", "layer", "rms"])
def test_an_example_does_not_see_its_batch(norm, n):
    x = RNG.standard_normal((n, 4, 7)).astype(np.float32)
    params = [W.astype("f4"), B.astype("f4")]
    whole = run(norm, x, *params)[0]
    for i in {0, n // 2, n - 1}:
        assert np.array_equal(whole[i : i + 1], run(norm, x[i : i + 1], *params)[0])


def test_16_bit_x_with_float32_weights():
    x = RNG.standard_normal((2, 4, 3)).astype(np.float16)
    y, saved = gnref.group_norm_forward(x, 2, W.astype("f4"), B.astype("f4"))
    dx, dweight, dbias = gnref.backward(x, saved)
    assert (y.dtype, dx.dtype, dweight.dtype, dbias.dtype) == (np.float16, np.float16, np.float32, np.float32)


def test_a_memmap_gives_an_array(tmp_path):
    x = np.memmap(tmp_path / "x", dtype=np.float32, mode="w+", shape=(2, 4, 3))
    x[...] = RNG.standard_normal(x.shape)
    y, _, _ = run("group", x, W.astype("f4"), B.astype("f4"))
    assert type(y) is np.ndarray
    assert np.array_equal(y, gnref.group_norm(np.array(x), 2, W.astype("f4"), B.astype("f4")))


def test_byte_order_is_kept():
    x = RNG.standard_normal((2, 4, 3)).astype(">f4")
    y, saved = gnref.instance_norm_forward(x)
    assert y.dtype == gnref.backward(x.astype("<f4"), saved)[0].dtype == np.dtype(">f4")


def test_the_ends_of_float64():
    x = np.full((1, 2, 3), 1.7e308)
    x[0, 0, 0] = x[0, 1, 1] = -1.7e308
    y, saved = gnref.group_norm_forward(x, 1)
    dx = gnref.backward(RNG.standard_normal(x.shape), saved)[0]
    signs, _ = gnref.group_norm_forward(np.sign(x), 1, eps=0.0)
    np.testing.assert_allclose(y, signs, rtol=1e-14)
    assert np.isfinite(dx).all()


READY = [name for name, state in gnref.backends().items() if state == "ready" and name != "cuda"]


@pytest.mark.parametrize("backend", READY)
def test_infinities_warn_of_nothing(backend):
    x = np.array([[1.0, np.inf], [2.0, 3.0]])
    weight = np.array([1.0, 2.0])
    with np.errstate(all="raise"):
        y, saved = gnref.layer_norm_forward(x, 2, weight, backend=backend)
        dx, dweight, _ = gnref.backward(np.array([[1.0, -1.0], [np.inf, 2.0]]), saved)
    assert np.isnan(y[0]).all()
    assert np.isfinite(y[1]).all()
    assert np.isnan(dx).all()
    assert np.isnan(dweight).all()
