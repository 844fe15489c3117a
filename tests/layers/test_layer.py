import numpy as np
import pytest

import gnref

LAYERS = {
    "batch": lambda **words: gnref.BatchNorm(6, **words),
    "instance": lambda **words: gnref.InstanceNorm(6, **words),
    "group": lambda **words: gnref.GroupNorm(3, 6, **words),
    "layer": lambda **words: gnref.LayerNorm((6, 5), **words),
    "rms": lambda **words: gnref.RMSNorm((6, 5), **words),
}
FUNCTIONS = {
    "batch": lambda x, w, b: gnref.batch_norm_forward(x, w, b),
    "instance": lambda x, w, b: gnref.instance_norm_forward(x, w, b),
    "group": lambda x, w, b: gnref.group_norm_forward(x, 3, w, b),
    "layer": lambda x, w, b: gnref.layer_norm_forward(x, (6, 5), w, b),
    "rms": lambda x, w, b: gnref.rms_norm_forward(x, (6, 5), w),
}


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def randomized(name):
    layer = LAYERS[name]()
    layer.weight = random(*layer.weight.shape, seed=1)
    if layer.bias is not None:
        layer.bias = random(*layer.bias.shape, seed=2)
    return layer


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_its_function(name):
    layer, x, dy = randomized(name), random(4, 6, 5), random(4, 6, 5, seed=3)
    y, saved = FUNCTIONS[name](x, layer.weight, layer.bias)
    dx, dweight, dbias = gnref.backward(dy, saved)
    assert np.array_equal(layer.forward(x), y)
    assert np.array_equal(layer.backward(dy), dx)
    assert np.array_equal(layer.grads["weight"], dweight)
    assert ("bias" in layer.grads) == (name != "rms")
    assert name == "rms" or np.array_equal(layer.grads["bias"], dbias)


@pytest.mark.parametrize("name", LAYERS)
def test_calling_is_forward_and_grads_do_not_accumulate(name):
    layer, x, dy = randomized(name), random(4, 6, 5), random(4, 6, 5, seed=3)
    layer(x)
    layer.backward(dy)
    once = {key: value.copy() for key, value in layer.grads.items()}
    layer.backward(dy)
    assert all(np.array_equal(once[key], layer.grads[key]) for key in once)


@pytest.mark.parametrize("name", LAYERS)
def test_frozen_layers_have_no_parameter_gradients(name):
    layer, x, dy = randomized(name), random(4, 6, 5), random(4, 6, 5, seed=3)
    layer.freeze().forward(x)
    assert layer.backward(dy).shape == x.shape
    assert layer.grads == {}


@pytest.mark.parametrize("name", LAYERS)
def test_state_dicts_are_copies_and_come_back(name):
    layer, other = randomized(name), LAYERS[name]()
    state = layer.state_dict()
    other.load_state_dict(state)
    state["weight"][...] = 7
    assert np.array_equal(other.weight, layer.weight)
    assert not np.any(layer.weight == 7)


def test_without_affine_there_is_no_weight():
    assert gnref.GroupNorm(3, 6, affine=False).state_dict() == {}
    assert list(gnref.LayerNorm(5, bias=False).state_dict()) == ["weight"]
    assert gnref.LayerNorm(5, elementwise_affine=False).state_dict() == {}
    assert gnref.RMSNorm(5, elementwise_affine=False).weight is None


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (
            {"weight": np.zeros(6)},
            ValueError,
            r"state has the names \['weight'\]; expected \['bias', 'weight'\]",
        ),
        (None, ValueError, "state has the names None; expected"),
        (
            {"weight": np.zeros(6), "bias": np.zeros(5)},
            ValueError,
            r"state\['bias'\] has shape \(5,\); .* \(6,\)",
        ),
        (
            {"weight": np.zeros(6), "bias": np.zeros(6, complex)},
            TypeError,
            r"state\['bias'\] has dtype complex128",
        ),
        ({"weight": np.zeros(6), "bias": np.array(["a"] * 6)}, TypeError, r"state\['bias'\] has dtype str"),
        (
            {"weight": np.zeros(6), "bias": [0.0] * 6},
            TypeError,
            r"state\['bias'\] is a list; expected a numpy",
        ),
    ],
)
def test_a_wrong_state_changes_nothing(state, error, message):
    layer = gnref.GroupNorm(3, 6)
    with pytest.raises(error, match=message):
        layer.load_state_dict(state)
    assert layer.weight.tolist() == [1.0] * 6


def test_the_count_of_batches_is_an_integer():
    state = gnref.BatchNorm(3).state_dict() | {"num_batches_tracked": np.array(1.7)}
    with pytest.raises(
        TypeError, match=r"state\['num_batches_tracked'\] has dtype float64; expected an integer"
    ):
        gnref.BatchNorm(3).load_state_dict(state)


@pytest.mark.parametrize("affine", [True, False])
def test_a_layer_takes_numpy_arrays(affine):
    strict = pytest.importorskip("array_api_strict")
    layer = gnref.BatchNorm(3, affine=affine)
    with pytest.raises(TypeError, match="x is a array_api_strict array; expected a numpy array"):
        layer.forward(strict.ones((2, 3)))
    assert layer.num_batches_tracked == 0


def test_the_backward_pass_is_that_of_the_last_forward_pass():
    layer, x, dy = randomized("group"), random(4, 6, 5), random(4, 6, 5, seed=3)
    layer.forward(x)
    layer.freeze().backward(dy)
    assert set(layer.grads) == {"weight", "bias"}


def test_a_layer_shows_its_mode_and_shapes():
    assert repr(gnref.GroupNorm(3, 6)) == "<GroupNorm in train mode: {'weight': (6,), 'bias': (6,)}>"


def test_backward_needs_a_forward():
    with pytest.raises(RuntimeError, match=r"GroupNorm\.backward was called before forward"):
        gnref.GroupNorm(3, 6).backward(random(2, 6))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gnref.GroupNorm(4, 6), "num_groups is 4, which does not divide C = 6"),
        (lambda: gnref.GroupNorm(1, 0), "num_channels is 0; expected a positive integer"),
        (lambda: gnref.LayerNorm(()), r"normalized_shape is \(\); expected a positive integer"),
        (lambda: gnref.RMSNorm((3, -1)), r"normalized_shape is \(3, -1\); expected a positive integer"),
        (lambda: gnref.LayerNorm(2.5), "normalized_shape is 2.5; expected a positive integer"),
    ],
)
def test_bad_sizes(make, message):
    with pytest.raises(gnref.ShapeError, match=message):
        make()


def test_bfloat16_parameters():
    pytest.importorskip("ml_dtypes")
    assert gnref.GroupNorm(1, 2, dtype="bfloat16").weight.dtype.name == "bfloat16"


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (
            gnref.GroupNorm(3, 6, eps=0.3, channel_axis=-1),
            lambda x: np.moveaxis(gnref.group_norm(np.moveaxis(x, -1, 1), 3, eps=0.3), 1, -1),
        ),
        (gnref.LayerNorm((5, 6), eps=0.3), lambda x: gnref.layer_norm(x, (5, 6), eps=0.3)),
        (gnref.RMSNorm(6, eps=0.3), lambda x: gnref.rms_norm(x, 6, eps=0.3)),
    ],
)
def test_channel_axis_and_eps_reach_the_arithmetic(layer, expected):
    x = random(4, 5, 6)
    np.testing.assert_allclose(layer.forward(x), expected(x), rtol=1e-6)
