"""SyncBatchNorm beside BatchNorm on the whole batch, on ranks that are threads."""

import numpy as np
import pytest

import gnref
from gnref.distributed import RankError, SyncBatchNorm
from gnref.layers.tracking import batch_statistics
from gnref.teaching.threads import ThreadComm, on_ranks


def batch(seed, shape=(7, 3, 2, 2)):
    return np.random.default_rng(seed).standard_normal((2, *shape)) * 2 + 1


def trained(work, size=3, **options):
    """A layer on every rank, after ``work(layer, rank)``."""

    def on_rank(comm):
        layer = SyncBatchNorm(3, comm=comm, dtype="float64", timeout=60, **options)
        layer.weight, layer.bias = np.array([1.0, -2.0, 0.5]), np.array([0.0, 1.0, 2.0])
        return layer, work(layer, comm.Get_rank())

    return on_ranks(size, on_rank)


def whole(**options):
    layer = gnref.BatchNorm(3, dtype="float64", **options)
    layer.weight, layer.bias = np.array([1.0, -2.0, 0.5]), np.array([0.0, 1.0, 2.0])
    return layer


@pytest.mark.parametrize("momentum", [0.1, 1.0, None])
@pytest.mark.parametrize("edges", [[2, 5], [0, 3], [0, 0]])
def test_every_rank_has_the_running_statistics_and_gradients_of_the_whole(edges, momentum):
    def steps(layer, rank):
        for seed in range(3):
            x, dy = batch(seed)
            y = layer(np.split(x, edges)[rank])
            dx = layer.backward(np.split(dy, edges)[rank])
        return y, dx

    alone = whole(momentum=momentum)
    for seed in range(3):
        x, dy = batch(seed)
        y, dx = alone(x), alone.backward(dy)
    found = trained(steps, momentum=momentum)
    for place, right in ((0, y), (1, dx)):
        got = np.concatenate([results[place] for _, results in found])
        np.testing.assert_allclose(got, right, rtol=1e-12, atol=1e-12)
    first, _ = found[0]
    for layer, _ in found:
        for name, value in layer.state_dict().items():
            np.testing.assert_allclose(value, alone.state_dict()[name], rtol=1e-12)
            assert np.array_equal(value, first.state_dict()[name])
        for name, value in layer.grads.items():
            np.testing.assert_allclose(value, alone.grads[name], rtol=1e-12)
            assert np.array_equal(value, first.grads[name])


@pytest.mark.parametrize("mode", ["eval", "frozen"])
def test_in_evaluation_and_frozen_nothing_is_exchanged(mode):
    class Deaf(ThreadComm):
        def Ialltoall(self, send, received):  # noqa: N802
            raise AssertionError("nothing should be exchanged")

    x, dy = batch(0)
    layer, alone = SyncBatchNorm(3, comm=Deaf(0, 2, {}, [])), gnref.BatchNorm(3)
    for each in (layer, alone):
        each.eval() if mode == "eval" else each.freeze()
    assert np.array_equal(layer(x), alone(x))
    assert np.array_equal(layer.backward(dy), alone.backward(dy))
    assert layer.grads.keys() == alone.grads.keys()


def test_the_running_variance_is_unbiased_by_the_count_of_the_whole():
    x = batch(0, shape=(4, 3))[0]  # two elements on each rank: 4 / 3, not 2
    for layer, _ in trained(lambda layer, rank: layer(x[2 * rank : 2 * rank + 2]), size=2, momentum=1.0):
        np.testing.assert_allclose(layer.running_mean, x.mean(0), rtol=1e-12)
        np.testing.assert_allclose(layer.running_var, x.var(0, ddof=1), rtol=1e-12)


def test_after_evaluation_training_goes_on_together():
    def steps(layer, rank):
        x, dy = batch(rank)
        layer.eval()(x)
        layer.train()(x)
        layer.backward(dy)
        return layer.grads["bias"]

    (_, first), (_, second) = trained(steps, size=2)
    assert np.array_equal(first, second)
    np.testing.assert_allclose(first, sum(batch(rank)[1].sum((0, 2, 3)) for rank in (0, 1)), rtol=1e-12)


def test_without_running_statistics_and_parameters():
    def step(layer, rank):
        layer.weight = layer.bias = None
        y = layer(batch(0)[0][rank : rank + 1])
        layer.backward(y)
        return y

    found = trained(step, size=7, track_running_stats=False)
    near = np.concatenate([y for _, y in found])
    np.testing.assert_allclose(near, gnref.batch_norm(batch(0)[0]), rtol=1e-12, atol=1e-12)
    assert all(layer.grads == {} and "running_mean" not in layer.state_dict() for layer, _ in found)


def test_an_empty_batch_leaves_the_state():
    for layer, y in trained(lambda layer, rank: layer(np.ones((0, 3, 2)))):
        assert y.shape == (0, 3, 2)
        assert layer.running_mean.tolist() == [0, 0, 0]
        assert layer.num_batches_tracked == 0


def test_a_rank_with_other_channels_changes_nothing_and_is_told_to_all():
    def step(layer, rank):
        with pytest.raises((RankError, gnref.ShapeError)) as raised:
            layer(np.ones((2, 4 if rank == 1 else 3)))
        with pytest.raises(RuntimeError, match=r"SyncBatchNorm\.backward was called before forward"):
            layer.backward(np.ones((2, 3)))
        return str(raised.value)

    sentence = "x has shape (2, 4), so C = 4; expected C = 3, as this SyncBatchNorm was made"
    for rank, (layer, told) in enumerate(trained(step)):
        assert told == ("" if rank == 1 else "rank 1 refused its arguments: ShapeError: ") + sentence
        assert layer.num_batches_tracked == 0


def test_state_travels_to_batch_norm_and_back():
    ((layer, _),) = trained(lambda layer, rank: layer(batch(0)[0]), size=1)
    alone = gnref.BatchNorm(3, dtype="float64")
    alone.load_state_dict(layer.state_dict())
    x = batch(1)[0]
    assert np.array_equal(alone.eval()(x), layer.eval()(x))


def test_batch_statistics_are_unbiased_and_none_where_there_are_none():
    x = batch(0)[0]
    _, saved = gnref.batch_norm_forward(x)
    mean, var = batch_statistics(saved, 3)
    np.testing.assert_allclose(mean, x.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(var, x.var((0, 2, 3), ddof=1), rtol=1e-12)
    assert np.array_equal(batch_statistics(saved, 3, count=2)[1], saved.var * 2)
    assert batch_statistics(saved, 3, count=1) is None
    assert batch_statistics(saved, 3, count=0) is None
    assert batch_statistics(gnref.batch_norm_forward(x[:0])[1], 3) is None
