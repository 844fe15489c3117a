import numpy as np
import pytest

import gnref
from gnref.conventions import MODES


def batch(shape=(4, 3, 5), seed=0):
    return np.random.default_rng(seed).standard_normal(shape) * 2 + 3


def make(norm, mode, track):
    layer = {"batch": gnref.BatchNorm, "instance": gnref.InstanceNorm}[norm](
        3, track_running_stats=track, dtype="float64"
    )
    if track:
        layer.running_mean, layer.running_var = np.full(3, 1.5), np.full(3, 2.5)
    return {"train": layer.train, "eval": layer.eval, "frozen": layer.freeze}[mode]()


ROWS = [(norm, mode, track, rule) for norm, rows in MODES.items() for (mode, track), rule in rows.items()]


@pytest.mark.parametrize(("norm", "mode", "track", "rule"), ROWS)
def test_the_truth_table(norm, mode, track, rule):
    if rule.source == "error":
        with pytest.raises(ValueError, match="track_running_stats is False; expected True"):
            make(norm, mode, track)
        return
    layer, x = make(norm, mode, track), batch()
    y = layer.forward(x)
    own = {"batch": gnref.batch_norm, "instance": gnref.instance_norm}[norm](x)
    running = gnref.batch_norm_frozen(x, np.full(3, 1.5), np.full(3, 2.5))
    assert not np.allclose(own, running)
    assert np.array_equal(y, own if rule.source == "own" else running)
    if track:
        assert rule.updates == (not np.array_equal(layer.running_mean, np.full(3, 1.5)))
        assert rule.updates == (not np.array_equal(layer.running_var, np.full(3, 2.5)))


def test_the_table_is_complete():
    assert set(MODES) == {"batch", "instance"}
    for rows in MODES.values():
        assert set(rows) == {(mode, track) for mode in ("train", "eval", "frozen") for track in (True, False)}


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_momentum_0_keeps_and_momentum_1_takes_the_new_unbiased_value(norm):
    x = batch()
    for momentum in (0.0, 1.0):
        layer = make(norm, "train", True)
        layer.momentum = momentum
        layer.forward(x)
        axes = (0, 2) if norm == "batch" else 2
        new_mean, new_var = x.mean(axis=axes), x.var(axis=axes, ddof=1)
        if norm == "instance":
            new_mean, new_var = new_mean.mean(axis=0), new_var.mean(axis=0)
        np.testing.assert_allclose(layer.running_mean, new_mean if momentum else 1.5)
        np.testing.assert_allclose(layer.running_var, new_var if momentum else 2.5)


@pytest.mark.parametrize("norm", [gnref.BatchNorm, gnref.InstanceNorm])
def test_momentum_0_keeps_the_statistics_from_an_infinite_batch(norm):
    layer = norm(2, momentum=0.0, track_running_stats=True)
    with np.errstate(all="ignore"):
        layer.forward(np.full((3, 2, 4), np.inf))
    assert np.array_equal(layer.running_mean, np.zeros(2))
    assert np.array_equal(layer.running_var, np.ones(2))


def test_momentum_weights_the_new_value():
    layer, x = make("batch", "train", True), batch()
    layer.forward(x)
    np.testing.assert_allclose(layer.running_mean, 0.9 * 1.5 + 0.1 * x.mean(axis=(0, 2)))


@pytest.mark.parametrize("norm", [gnref.BatchNorm, gnref.InstanceNorm])
def test_momentum_none_is_the_cumulative_average(norm):
    layer = norm(3, momentum=None, track_running_stats=True, dtype="float64")
    xs = [batch(seed=seed) for seed in range(4)]
    for x in xs:
        layer.forward(x)
    np.testing.assert_allclose(layer.running_mean, np.mean([x.mean(axis=(0, 2)) for x in xs], axis=0))
    assert layer.num_batches_tracked == 4


@pytest.mark.parametrize("shape", [(0, 3, 5), (4, 3, 0)])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_an_empty_batch_leaves_the_state(norm, shape):
    layer = make(norm, "train", True)
    before = layer.state_dict()
    y = layer.forward(np.zeros(shape))
    dx = layer.backward(np.zeros(shape))
    assert y.shape == dx.shape == shape
    assert all(np.array_equal(before[name], value) for name, value in layer.state_dict().items())
    assert layer.grads["weight"].tolist() == layer.grads["bias"].tolist() == [0.0, 0.0, 0.0]


def test_one_element_sets_have_no_unbiased_variance_and_leave_the_state():
    layer = make("instance", "train", True)
    layer.forward(np.ones((2, 3, 1)))
    assert layer.running_var.tolist() == [2.5] * 3


def test_frozen_holds_everything_but_dx():
    layer, x = make("batch", "frozen", True), batch()
    dy = np.random.default_rng(1).standard_normal(x.shape)
    layer.weight = np.array([0.5, -1.0, 2.0])
    layer.forward(x)
    np.testing.assert_allclose(layer.backward(dy), dy * layer.weight[:, None] / np.sqrt(2.5 + 1e-5))
    assert layer.grads == {}
    assert layer.train().mode == "train"


def test_eval_gradients_are_those_of_constant_statistics():
    layer, x = make("batch", "eval", True), batch()
    dy = np.random.default_rng(1).standard_normal(x.shape)
    layer.forward(x)
    layer.backward(dy)
    np.testing.assert_allclose(layer.grads["bias"], dy.sum(axis=(0, 2)))


def test_running_statistics_are_float32_at_least():
    assert gnref.BatchNorm(3, dtype="float16").running_var.dtype == np.float32
    assert gnref.BatchNorm(3, dtype="float64").running_var.dtype == np.float64


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"num_features": 0}, ValueError, "num_features is 0; expected a positive integer"),
        ({"num_features": 3, "momentum": 1.5}, ValueError, "momentum is 1.5; expected a number from 0 to 1"),
        ({"num_features": 3, "momentum": "fast"}, TypeError, "momentum is 'fast'; expected a number"),
        ({"num_features": 3, "dtype": "int32"}, TypeError, "dtype is 'int32'; expected one of float16"),
        ({"num_features": 3, "dtype": "no"}, TypeError, "dtype is 'no'; expected one of float16"),
        ({"num_features": 3, "affine": "no"}, TypeError, "affine is 'no'; expected True or False"),
        (
            {"num_features": 3, "track_running_stats": None},
            TypeError,
            "track_running_stats is None; expected",
        ),
        ({"num_features": 3, "dtype": None}, TypeError, "dtype is None; expected one of float16"),
        ({"num_features": 3, "channel_axis": 0}, ValueError, "channel_axis is 0; expected an"),
        ({"num_features": 3, "channel_axis": "last"}, ValueError, "channel_axis is 'last'; expected an"),
        ({"num_features": 3, "eps": -1.0}, ValueError, "eps is -1.0; expected a finite number >= 0"),
    ],
)
def test_bad_arguments(words, error, message):
    with pytest.raises(error, match=message):
        gnref.BatchNorm(**words)


def test_another_number_of_channels():
    with pytest.raises(gnref.ShapeError, match=r"C = 4; expected C = 3, as this BatchNorm was made"):
        gnref.BatchNorm(3, affine=False).forward(np.ones((2, 4)))


@pytest.mark.parametrize("mode", ["train", "eval", "frozen"])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_channel_axis_and_eps_reach_the_arithmetic(norm, mode):
    layer, x = make(norm, mode, True), batch()
    layer.eps, layer.channel_axis = 0.3, -1
    own = {"batch": gnref.batch_norm, "instance": gnref.instance_norm}[norm]
    expected = (
        own(x, eps=0.3)
        if mode == "train"
        else gnref.batch_norm_frozen(x, np.full(3, 1.5), np.full(3, 2.5), eps=0.3)
    )
    np.testing.assert_allclose(np.moveaxis(layer.forward(np.moveaxis(x, 1, -1)), -1, 1), expected)


@pytest.mark.parametrize(
    ("name", "value"), [("running_var", -np.ones(3)), ("num_batches_tracked", np.array(-1))]
)
def test_a_state_without_meaning(name, value):
    layer = gnref.BatchNorm(3)
    with pytest.raises(ValueError, match=rf"state\['{name}'\] is .*; expected numbers >= 0"):
        layer.load_state_dict(layer.state_dict() | {name: value})


def test_a_failed_forward_leaves_nothing_to_differentiate():
    layer = gnref.BatchNorm(3)
    layer.forward(np.eye(3))
    with pytest.raises(gnref.ShapeError):
        layer.forward(np.eye(4))
    with pytest.raises(RuntimeError, match="backward was called before forward"):
        layer.backward(np.eye(3))


def in_pieces(x, g):
    return x.reshape(-1, g, *x.shape[1:])


@pytest.mark.parametrize("channel_axis", [1, -1])
@pytest.mark.parametrize("g", [1, 2, 3, 6])
def test_a_virtual_batch_is_a_batch_of_its_own(g, channel_axis):
    x, dy = batch((6, 3, 3)), batch((6, 3, 3), seed=1)
    options = {"channel_axis": channel_axis, "dtype": "float64"}
    layer, piece = gnref.BatchNorm(3, virtual_batch_size=g, **options), gnref.BatchNorm(3, **options)
    layer.weight = piece.weight = np.array([0.5, -1.0, 2.0])
    y, dx, grads = [], [], []
    for x_piece, dy_piece in zip(in_pieces(x, g), in_pieces(dy, g), strict=True):
        y.append(piece.forward(x_piece)), dx.append(piece.backward(dy_piece)), grads.append(piece.grads)
    np.testing.assert_allclose(layer.forward(x), np.concatenate(y), rtol=1e-12)
    np.testing.assert_allclose(layer.backward(dy), np.concatenate(dx), rtol=1e-9, atol=1e-12)
    for name, grad in layer.grads.items():
        np.testing.assert_allclose(grad, sum(found[name] for found in grads), rtol=1e-10)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_move_once_to_the_average_of_the_virtual_batches(momentum):
    x = batch((6, 3, 5))
    layer = gnref.BatchNorm(3, virtual_batch_size=2, momentum=momentum, dtype="float64")
    layer.forward(x)
    mean = in_pieces(x, 2).mean(axis=(1, 3)).mean(axis=0)
    var = in_pieces(x, 2).var(axis=(1, 3), ddof=1).mean(axis=0)
    share = momentum or 1
    np.testing.assert_allclose(layer.running_mean, share * mean)
    np.testing.assert_allclose(layer.running_var, 1 - share + share * var)
    assert layer.num_batches_tracked == 1


@pytest.mark.parametrize("mode", ["eval", "freeze"])
def test_running_statistics_know_no_virtual_batch(mode):
    x, plain = batch((5, 3, 5)), gnref.BatchNorm(3, dtype="float64")
    layer = gnref.BatchNorm(3, virtual_batch_size=2, dtype="float64")
    layer.forward(x[:4])
    plain.load_state_dict(layer.state_dict())
    y = getattr(layer, mode)().forward(x)  # 2 does not divide 5
    assert np.array_equal(y, getattr(plain, mode)().forward(x))
    assert np.array_equal(layer.backward(x), plain.backward(x))


def test_virtual_batches_without_running_statistics():
    x = batch((6, 3, 5))
    layer = gnref.BatchNorm(3, virtual_batch_size=2, track_running_stats=False, dtype="float64")
    assert np.array_equal(layer.forward(x), gnref.batch_norm(x, virtual_batch_size=2))
    assert np.array_equal(layer.eval().forward(x), gnref.batch_norm(x))


@pytest.mark.parametrize("g", [6, None])
def test_one_virtual_batch_is_the_whole_to_the_bit(g):
    x, plain = batch((6, 3, 5)), gnref.BatchNorm(3, dtype="float64")
    layer = gnref.BatchNorm(3, virtual_batch_size=g, dtype="float64")
    assert np.array_equal(layer.forward(x), plain.forward(x))
    assert np.array_equal(layer.backward(x), plain.backward(x))
    assert all(np.array_equal(value, plain.state_dict()[key]) for key, value in layer.state_dict().items())


@pytest.mark.parametrize("g", [0, -2, 1.5, True])
def test_a_virtual_batch_of_no_size(g):
    with pytest.raises(gnref.ShapeError, match=f"virtual_batch_size is {g}; expected a positive integer"):
        gnref.BatchNorm(3, virtual_batch_size=g)


def test_a_virtual_batch_that_does_not_divide_the_batch():
    with pytest.raises(gnref.ShapeError, match=r"virtual_batch_size is 4; expected .* divides N = 6"):
        gnref.BatchNorm(3, virtual_batch_size=4).forward(batch((6, 3, 5)))
    with pytest.raises(TypeError, match="virtual_batch_size"):
        gnref.InstanceNorm(3, virtual_batch_size=2)
