"""Arrays of other libraries: the reference computes in their own namespace, and agrees."""

import numpy as np
import pytest

import gnref

CALLS = {
    "batch": ("batch_norm", (), (6,)),
    "instance": ("instance_norm", (), (6,)),
    "group": ("group_norm", (3,), (6,)),
    "layer": ("layer_norm", ((6, 5),), (6, 5)),
    "rms": ("rms_norm", ((6, 5),), (6, 5)),
    "frozen": ("batch_norm_frozen", "running", (6,)),
}


def numbers(params):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 4, 6, 5))
    weight, bias = rng.standard_normal((2, *params))
    return x, dy, weight, bias, rng.standard_normal(6), rng.uniform(1, 2, 6)


def both_passes(norm, convert):
    name, between, shape = CALLS[norm]
    x, dy, weight, bias, mean, var = (convert(a) for a in numbers(shape))
    between = (mean, var) if between == "running" else between
    params = (weight,) if norm == "rms" else (weight, bias)
    y, saved = getattr(gnref, f"{name}_forward")(x, *between, *params, backend="reference")
    return x, (y, *gnref.backward(dy, saved))


def compare(norm, convert, back=np.asarray, **tolerance):
    x, got = both_passes(norm, convert)
    _, expected = both_passes(norm, lambda a: a)
    for a, b in zip(got, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert type(a) is type(x)
            assert a.dtype == x.dtype
            np.testing.assert_allclose(back(a), b, **tolerance)


@pytest.mark.parametrize("norm", CALLS)
def test_array_api_strict(norm):
    strict = pytest.importorskip("array_api_strict")
    compare(norm, strict.asarray, rtol=0, atol=0)


@pytest.mark.parametrize("norm", CALLS)
def test_array_api_strict_on_a_second_device(norm):
    strict = pytest.importorskip("array_api_strict")
    first, second = strict.Device("CPU_DEVICE"), strict.Device("device1")
    compare(
        norm,
        lambda a: strict.asarray(a, device=second),
        back=lambda a: np.asarray(a.to_device(first)),
        rtol=0,
        atol=0,
    )


@pytest.mark.parametrize("norm", CALLS)
def test_torch(norm):
    torch = pytest.importorskip("torch")
    compare(norm, torch.tensor, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("norm", CALLS)
def test_jax_in_its_default_float32(norm):
    jnp = pytest.importorskip("jax.numpy")
    compare(norm, lambda a: jnp.asarray(a, dtype=jnp.float32), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("norm", CALLS)
def test_jax_in_float64(norm):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        compare(norm, jax.numpy.asarray, rtol=1e-11, atol=1e-12)


def test_torch_channels_last_comes_back_so():
    torch = pytest.importorskip("torch")
    x = torch.randn(2, 6, 3, 5).to(memory_format=torch.channels_last)
    y, saved = gnref.group_norm_forward(x, 3)
    dx = gnref.backward(torch.randn(2, 6, 3, 5), saved)[0]
    assert saved.view.x.slots == (2, 15, 3, 2, 1)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert dx.is_contiguous(memory_format=torch.channels_last)


def test_torch_bfloat16_and_out():
    torch = pytest.importorskip("torch")
    x = torch.randn(2, 6, 5).bfloat16()
    out = torch.empty_like(x)
    assert gnref.group_norm(x, 3, torch.ones(6), out=out) is out
    expected = torch.nn.functional.group_norm(x.float(), 3)
    assert (out.float() - expected).abs().max() < 0.02
    with pytest.raises(ValueError, match="out may share memory with x"):
        gnref.group_norm(x, 3, out=x)
    both = torch.zeros(2, 2, 6, 5)
    gnref.group_norm(both[0], 3, out=both[1])  # one storage, but no byte in common


def test_jax_has_no_out():
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(TypeError, match="out is a jax array, which cannot be written"):
        gnref.group_norm(jnp.ones((2, 4)), 2, out=jnp.ones((2, 4)))


def test_strict_out():
    strict = pytest.importorskip("array_api_strict")
    x, out = strict.asarray(np.random.default_rng(0).standard_normal((2, 4))), strict.zeros((2, 4))
    assert gnref.group_norm(x, 2, out=out) is out
    assert np.array_equal(np.asarray(out), gnref.group_norm(np.asarray(x), 2, backend="reference"))
    for same in (x, x[...]):
        with pytest.raises(ValueError, match="out may share memory with x"):
            gnref.group_norm(x, 2, out=same)
