import numpy as np
import pytest

import gnref
from gnref.teaching.lab.trainer.norms import NORMS, BatchRenorm, make_norm

AXES = {"batch": (0, 2, 3), "layer": (1, 2, 3), "instance": (2, 3)}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("name", AXES)
def test_which_axes_share(name):
    x = normal(4, 6, 3, 3) * 3 + 1
    y = make_norm(name, 6, 2, None, "float64").forward(x)
    mean, var = x.mean(axis=AXES[name], keepdims=True), x.var(axis=AXES[name], keepdims=True)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5), atol=1e-12)


def test_group_takes_the_number_of_groups():
    assert make_norm("group", 6, 3, None).num_groups == 3
    with pytest.raises(gnref.ShapeError, match="num_groups is 4, which does not divide"):
        make_norm("group", 6, 4, None)


@pytest.mark.parametrize("name", NORMS)
def test_all_have_a_weight_per_channel(name):
    layer = make_norm(name, 6, 2, None)
    assert layer.weight.shape == layer.bias.shape == (6,)
    assert layer.weight.dtype == np.float32


@pytest.mark.parametrize("name", NORMS)
def test_who_looks_at_the_virtual_batch(name):
    """Only batch norm and its relatives; all others to the bit the same, forward and backward."""
    x, dy = (normal(8, 6, 3, 3, seed=seed).astype("float32") for seed in (1, 2))
    results = []
    for size in (None, 2, 4):
        layer = make_norm(name, 6, 2, size)
        results.append((layer.forward(x), layer.backward(dy), *layer.grads.values()))
    same = [all(map(np.array_equal, results[0], result)) for result in results[1:]]
    assert same == [name not in ("batch", "renorm")] * 2


def test_an_unknown_norm():
    with pytest.raises(ValueError, match="norm is 'power'; expected one of batch, layer"):
        make_norm("power", 6, 2, None)


def limits(layer, x):
    """R and d of Ioffe 2017, Algorithm 1, for each piece of the batch."""
    sigma = np.sqrt(x.var(axis=(1, 3, 4)) + layer.eps)  # (pieces, C)
    running = np.sqrt(layer.running_var + layer.eps)
    r = np.clip(sigma / running, 1 / 1.5, 1.5)
    d = np.clip((x.mean(axis=(1, 3, 4)) - layer.running_mean) / running, -0.5, 0.5)
    return r[:, None, :, None, None], d[:, None, :, None, None]


def renormed(x, r, d, weight, bias, eps=1e-5):
    """The formula with r and d given, of x (pieces, N / pieces, C, H, W); x and weight may be complex."""
    mean = x.mean(axis=(1, 3, 4), keepdims=True)
    var = ((x - mean) ** 2).mean(axis=(1, 3, 4), keepdims=True)
    return ((x - mean) / np.sqrt(var + eps) * r + d) * weight[:, None, None] + bias[:, None, None]


def renorm(size, offset):
    """A layer whose r and d lie partly within their limits and partly at both ends, and its x in pieces."""
    layer = BatchRenorm(4, virtual_batch_size=size, dtype="float64")
    layer.weight, layer.bias = normal(4, seed=1), normal(4, seed=2)
    layer.running_mean, layer.running_var = np.array([0, 0.1, -9, 9]), np.array([1, 1.2, 0.01, 90])
    x = normal(4, 4, 3, 3, seed=3) + offset
    return layer, x, x.reshape(-1, size or 4, 4, 3, 3)


@pytest.mark.parametrize("size", [None, 2])
def test_renorm_is_the_formula(size):
    layer, x, pieces = renorm(size, 0.2)
    r, d = limits(layer, pieces)
    assert {1 / 1.5, 1.5} < set(r.ravel())
    assert {-0.5, 0.5} < set(d.ravel())
    expected = renormed(pieces, r, d, layer.weight, layer.bias)
    np.testing.assert_allclose(layer.forward(x), expected.reshape(x.shape), rtol=1e-12)


@pytest.mark.parametrize("size", [None, 2])
def test_renorm_backward_by_complex_steps_with_r_and_d_held(size):
    layer, x, pieces = renorm(size, 0.2)
    dy, (r, d) = normal(*x.shape, seed=4), limits(layer, pieces)
    layer.forward(x)
    found = {"x": layer.backward(dy), **layer.grads}
    inputs = {"x": pieces, "weight": layer.weight, "bias": layer.bias}
    for name, value in inputs.items():
        expected = np.empty(value.size)
        for i in range(value.size):
            moved = value.astype(complex)
            moved.flat[i] += 1e-30j
            y = renormed(r=r, d=d, **inputs | {name: moved})
            expected[i] = (y * dy.reshape(pieces.shape)).sum().imag / 1e-30
        np.testing.assert_allclose(found[name].ravel(), expected, rtol=1e-10, atol=1e-12, err_msg=name)


def test_renorm_moves_its_running_statistics_after_using_them():
    layer, x, _ = renorm(None, 0.2)
    twin = gnref.BatchNorm(4, dtype="float64")
    twin.load_state_dict(layer.state_dict())
    layer.forward(x), twin.forward(x)
    assert all(np.array_equal(value, twin.state_dict()[key]) for key, value in layer.state_dict().items())


@pytest.mark.parametrize("mode", ["eval", "freeze"])
def test_renorm_in_evaluation_is_batch_norm(mode):
    layer, x, _ = renorm(None, 0.2)
    twin = gnref.BatchNorm(4, dtype="float64")
    twin.load_state_dict(layer.state_dict())
    getattr(layer, mode)(), getattr(twin, mode)()
    assert np.array_equal(layer.forward(x), twin.forward(x))
    assert np.array_equal(layer.backward(x), twin.backward(x))
    assert layer.grads.keys() == twin.grads.keys()


def test_renorm_without_a_forward_pass():
    with pytest.raises(RuntimeError, match=r"BatchRenorm.backward was called before forward"):
        BatchRenorm(4).backward(np.ones((2, 4)))
