"""Running statistics, as properties: Hypothesis draws the shape, the momentum and the batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gnref

LAYERS = {"batch": gnref.BatchNorm, "instance": gnref.InstanceNorm}
SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(2, 7))
FEW = settings(max_examples=40, deadline=None)


def batch(shape, seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) * rng.uniform(0.1, 10) + rng.uniform(-5, 5)


def estimates(norm, x):
    """The mean and the unbiased variance of a batch; those of instance norm average over N."""
    axes = (0, 2) if norm == "batch" else 2
    mean, var = x.mean(axis=axes), x.var(axis=axes, ddof=1)
    return (mean, var) if norm == "batch" else (mean.mean(axis=0), var.mean(axis=0))


def tracked(norm, x, **options):
    return LAYERS[norm](x.shape[1], track_running_stats=True, dtype="float64", **options)


@pytest.mark.parametrize("norm", LAYERS)
@FEW
@given(shape=SHAPES, seed=st.integers(0, 999), momentum=st.floats(0, 1))
def test_every_batch_moves_them_by_momentum(norm, shape, seed, momentum):
    x = batch(shape, seed)
    layer, expected = tracked(norm, x, momentum=momentum), [np.zeros(shape[1]), np.ones(shape[1])]
    for step in range(3):
        x = batch(shape, seed + step)
        layer.forward(x)
        new = estimates(norm, x)
        expected = [(1 - momentum) * old + momentum * value for old, value in zip(expected, new, strict=True)]
    np.testing.assert_allclose(layer.running_mean, expected[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.running_var, expected[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("norm", LAYERS)
@FEW
@given(shape=SHAPES, seed=st.integers(0, 999))
def test_momentum_0_and_1_are_the_ends_to_the_bit(norm, shape, seed):
    x = batch(shape, seed)
    still, moved = tracked(norm, x, momentum=0.0), tracked(norm, x, momentum=1.0)
    still.forward(x), moved.forward(x)
    assert still.running_mean.tolist() == [0.0] * shape[1]
    assert still.running_var.tolist() == [1.0] * shape[1]
    once = moved.state_dict()
    moved.forward(batch(shape, seed + 1)), moved.forward(x)
    assert all(np.array_equal(once[k], moved.state_dict()[k]) for k in ("running_mean", "running_var"))


@pytest.mark.parametrize("norm", LAYERS)
@FEW
@given(shape=SHAPES, seed=st.integers(0, 999), momentum=st.sampled_from([None, 0.1, 1.0]))
def test_nothing_moves_for_an_empty_batch_or_in_evaluation(norm, shape, seed, momentum):
    x = batch(shape, seed)
    layer = tracked(norm, x, momentum=momentum)
    layer.forward(x)
    before = layer.state_dict()
    layer.forward(x[:0])
    layer.eval().forward(x)
    layer.freeze().forward(x)
    assert all(np.array_equal(before[k], value) for k, value in layer.state_dict().items())
