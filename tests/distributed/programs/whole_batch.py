"""On every rank: the shard's results against those of the whole batch, which each rank makes for itself."""

import copy
import itertools

import ml_dtypes
import numpy as np
import pytest
from mpi4py import MPI

import gnref
from gnref.distributed import SyncBatchNorm, sync_batch_norm_backward, sync_batch_norm_forward

COMM = MPI.COMM_WORLD
RANK, R = COMM.Get_rank(), COMM.Get_size()
RANKS = {"comm": COMM, "timeout": 60}
LIMIT = {"float64": 1e-12, "float32": 4e-6, "bfloat16": 6e-2, "float16": 8e-3}
SPLITS = {
    "equal": lambda N: np.linspace(0, N, R + 1).round().astype(int),
    "unequal": lambda N: np.concatenate([[0], np.sort(np.random.default_rng(R).integers(0, N, R - 1)), [N]]),
    "first empty": lambda N: np.append(0, np.linspace(0, N, max(R - 1, 1) + 1).round().astype(int))[-R - 1 :],
    "last has all": lambda N: np.array([0] * R + [N]),
}


def problem(dtype, offset, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((13, 5, 3, 4)) * rng.uniform(0.5, 2, (1, 5, 1, 1)) + offset
    dy, weight, bias = rng.standard_normal(x.shape), rng.standard_normal(5), rng.standard_normal(5)
    wide = np.float64 if dtype == np.float64 else np.float32
    return x.astype(dtype), dy.astype(dtype), weight.astype(wide), bias.astype(wide)


def check(dtype, offset, split, channel_axis, params):
    x, dy, weight, bias = problem(dtype, offset, seed=7)
    if not params:
        weight = bias = None
    if channel_axis == -1:  # x in N H W C, and in strides of N C H W
        x, dy = np.moveaxis(x, 1, -1), np.moveaxis(dy, 1, -1)
    y, saved = gnref.batch_norm_forward(x, weight, bias, channel_axis=channel_axis)
    dx, dweight, dbias = gnref.backward(dy, saved)
    edges = SPLITS[split](len(x))
    mine = slice(edges[RANK], edges[RANK + 1])
    y_shard, own = sync_batch_norm_forward(x[mine], weight, bias, channel_axis=channel_axis, **RANKS)
    dx_shard, *grads = sync_batch_norm_backward(dy[mine], own)
    assert own.count == x.size // 5
    near(dtype, y_shard, y[mine])
    near(dtype, dx_shard, dx[mine])
    assert (y_shard.dtype, dx_shard.dtype) == (dtype, dtype)
    for name in ("mean", "var", "rstd"):
        near(np.float64 if dtype == np.float64 else np.float32, getattr(own, name), getattr(saved, name))
    same_bits(own.mean, own.var, own.rstd, *grads)
    if params:
        near(dtype, grads[0] / 10, dweight / 10)  # sums of 156 numbers
        near(dtype, grads[1] / 10, dbias / 10)
    else:
        assert grads == [None, None]


def near(dtype, a, b):
    limit = LIMIT[np.dtype(dtype).name]
    np.testing.assert_allclose(a.astype(np.float64), b.astype(np.float64), rtol=limit, atol=limit)


def same_bits(*arrays):
    own = [None if a is None else (a.dtype.name, a.tobytes()) for a in arrays]
    assert all(other == own for other in COMM.allgather(own))


def check_layer(split, momentum, dtype):
    whole = gnref.BatchNorm(5, momentum=momentum, dtype=dtype)
    layer = SyncBatchNorm(5, momentum=momentum, dtype=dtype, **RANKS)
    rng = np.random.default_rng(3)
    weight, bias = rng.standard_normal((2, 5)).astype(dtype)
    for each in (whole, layer):
        each.weight, each.bias = weight, bias
    means, variances = [], []
    for step in range(3):
        x, dy, _, _ = problem(dtype, 5.0, seed=step)
        means.append(x.mean((0, 2, 3), dtype=np.float64))
        variances.append(x.var((0, 2, 3), dtype=np.float64, ddof=1))
        edges = SPLITS[split](len(x))
        mine = slice(edges[RANK], edges[RANK + 1])
        near(dtype, layer.forward(x[mine]), whole.forward(x)[mine])
        near(dtype, layer.backward(dy[mine]), whole.backward(dy)[mine])
        near(dtype, layer.grads["weight"] / 10, whole.grads["weight"] / 10)
        near(dtype, layer.grads["bias"] / 10, whole.grads["bias"] / 10)
        same_bits(layer.grads["weight"], layer.grads["bias"])
    for name, value in layer.state_dict().items():
        limit = 1e-12 if dtype == "float64" else 4e-7
        np.testing.assert_allclose(value, whole.state_dict()[name], rtol=limit)
        same_bits(value)
    assert layer.num_batches_tracked == 3
    share = np.array([0.081, 0.09, 0.1] if momentum else [1 / 3] * 3)
    near(dtype, layer.running_mean, share @ means)
    near(dtype, layer.running_var, share @ variances + 1 - share.sum() if momentum else share @ variances)
    if RANK == 0:  # alone: in evaluation nothing is exchanged
        near(dtype, layer.eval().forward(x), whole.eval().forward(x))
        near(dtype, layer.backward(dy), whole.backward(dy))
        near(dtype, layer.freeze().forward(x), whole.freeze().forward(x))
        near(dtype, layer.backward(dy), whole.backward(dy))
        assert layer.grads == {}


def check_communicators():
    """Others than the world; and one that a rank is not in."""
    for comm in (COMM.Dup(), COMM.Split(RANK % 2), COMM.Create_cart([R])):
        sizes = [rank + 2 for rank in range(comm.Get_size())]
        x = np.random.default_rng(0).standard_normal((sum(sizes), 3))
        mine = np.split(x, np.cumsum(sizes)[:-1])[comm.Get_rank()]
        _, saved = sync_batch_norm_forward(mine, comm=comm, timeout=60)
        near(np.float64, saved.mean, x.mean(0))
        near(np.float64, saved.var, x.var(0))
        assert copy.deepcopy(SyncBatchNorm(3, comm=comm)).comm is comm
        assert copy.deepcopy(saved).comm is comm
        comm.Free()
    with pytest.raises(ValueError, match="comm is the null communicator"):
        sync_batch_norm_forward(np.ones((2, 3)), comm=MPI.COMM_NULL)


check_communicators()
cases = 0
for dtype, split in itertools.product((np.float64, np.float32, ml_dtypes.bfloat16, np.float16), SPLITS):
    offsets = (0.0, 100.0) if np.dtype(dtype).itemsize > 2 else (0.0,)
    for offset, axis, params in itertools.product(offsets, (1, -1), (True, False)):
        check(dtype, offset, split, axis, params)
        cases += 1
for split, momentum, dtype in itertools.product(SPLITS, (0.1, None), ("float64", "float32")):
    check_layer(split, momentum, dtype)
    cases += 1
print(f"rank {RANK} of {R}: {cases} cases", flush=True)
