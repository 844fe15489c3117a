"""SyncBatchNorm beside BatchNorm on the whole batch, on ranks that are threads."""

import copy

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


class Deaf(ThreadComm):
    def Ialltoallv(self, send, received):  # noqa: N802
        raise AssertionError("nothing should be exchanged")


@pytest.mark.parametrize("mode", ["eval", "frozen"])
def test_in_evaluation_and_frozen_nothing_is_exchanged(mode):
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


def test_a_failed_forward_leaves_nothing_to_go_back_through():
    def step(layer, rank):
        layer(batch(0)[0])
        with pytest.raises((RankError, TypeError)):
            layer(np.ones((2, 3), "int64" if rank == 1 else "float64"))
        with pytest.raises(RuntimeError, match=r"SyncBatchNorm\.backward was called before forward"):
            layer.backward(batch(0)[1])

    for layer, _ in trained(step, size=2):
        assert layer.num_batches_tracked == 1
        assert layer.grads == {}


def test_a_backward_before_any_forward_is_told_to_all():
    def step(layer, rank):
        x, dy = batch(0)
        with pytest.raises(RuntimeError) as raised:
            layer.backward(dy) if rank == 1 else layer(x)
        layer(x)
        layer.backward(dy)
        return str(raised.value)

    sentence = "SyncBatchNorm.backward was called before forward"
    told = [told for _, told in trained(step)]
    assert told[1] == sentence
    assert told[0] == told[2] == f"rank 1 failed: RuntimeError: {sentence}"


@pytest.mark.parametrize("mode", ["eval", "freeze"])
def test_in_the_other_modes_a_backward_before_any_forward_is_told_at_once(mode):
    layer = getattr(SyncBatchNorm(3, comm=Deaf(0, 2, {}, [])), mode)()
    with pytest.raises(RuntimeError, match="was called before forward"):
        layer.backward(batch(0)[1])


def test_gradients_come_back_after_a_frozen_pass():
    x, dy = batch(0)

    def steps(layer, rank):
        layer.freeze()(x)
        layer.backward(dy)
        assert layer.grads == {}
        layer.train()(np.split(x, [3])[rank])
        layer.backward(np.split(dy, [3])[rank])

    alone = whole()
    alone(x)
    alone.backward(dy)
    for layer, _ in trained(steps, size=2):
        for name in ("weight", "bias"):
            np.testing.assert_allclose(layer.grads[name], alone.grads[name], rtol=1e-12)


def test_a_deep_copy_is_another_layer_on_the_same_ranks():
    def steps(layer, rank):
        layer(batch(0)[0])
        copied = copy.deepcopy(layer)
        assert copied.comm is layer.comm
        copied.backward(batch(0)[1])
        copied(batch(1)[0])
        return copied

    for layer, copied in trained(steps, size=2):
        assert type(copied) is SyncBatchNorm
        assert (layer.num_batches_tracked, copied.num_batches_tracked) == (1, 2)
        assert (layer.grads.keys(), copied.grads.keys()) == (set(), {"weight", "bias"})
        assert not np.shares_memory(layer.weight, copied.weight)
        assert not np.array_equal(layer.running_mean, copied.running_mean)


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ({"momentum": 0.2}, "rank 1 has momentum = 0.2 and rank 0 has momentum = 0.1"),
        ({"momentum": None}, "rank 1 has momentum = None and rank 0 has momentum = 0.1"),
        (
            {"track_running_stats": False},
            "rank 1 does not track running statistics and rank 0 tracks running statistics",
        ),
        ({"num_batches_tracked": 5}, "rank 1 is at batch number 5 and rank 0 is at batch number 1"),
    ],
)
def test_layers_whose_running_statistics_would_part_are_told(odd, told):
    def steps(layer, rank):
        layer(batch(0)[0])
        if rank == 1:
            vars(layer).update({name: np.asarray(v) if name[0] == "n" else v for name, v in odd.items()})
        before = layer.state_dict()
        with pytest.raises(RankError) as raised:
            layer(batch(1)[0])
        assert all(np.array_equal(before[name], value) for name, value in layer.state_dict().items())
        return str(raised.value)

    assert {said for _, said in trained(steps)} == {f"{told}; expected the same on every rank"}


def test_a_momentum_is_the_same_in_every_type_of_number():
    def steps(layer, rank):
        layer.momentum = (1, 1.0, np.float32(1))[rank]
        return layer(batch(0)[0])

    assert len(trained(steps)) == 3


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
