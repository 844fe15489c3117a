"""Shards and the whole batch, on ranks that are threads: many splits, and the edges."""

import copy

import numpy as np
import pytest

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

import gnref
from gnref.distributed import SyncSaved, passes, sync_batch_norm_backward, sync_batch_norm_forward
from gnref.distributed.passes import Moments, merge
from gnref.teaching.threads import ThreadComm, on_ranks


def split(x, edges):
    return np.split(x, sorted(edges))


def both_passes(shards, dys, weight=None, bias=None, **options):
    """What every rank gets: y, saved, dx, dweight, dbias."""

    def work(comm):
        rank = comm.Get_rank()
        y, saved = sync_batch_norm_forward(shards[rank], weight, bias, comm=comm, timeout=60, **options)
        return y, saved, *sync_batch_norm_backward(dys[rank], saved)

    return on_ranks(len(shards), work)


def batch(seed=0, shape=(7, 3, 2, 2), offset=0.0):
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal((2, *shape))
    return x * 2 + offset, dy, *rng.standard_normal((2, shape[1]))


def numbers_of(shard):
    mean = shard.mean(0) if len(shard) else np.zeros(shard.shape[1])
    return Moments(len(shard), mean, ((shard - mean) ** 2).sum(0))


@given(
    edges=st.lists(st.integers(0, 12), max_size=5),
    offset=st.sampled_from([0.0, 10.0, 1e4, 1e6]),
    apart=st.sampled_from([0.0, 1.0, 100.0]),
    seed=st.integers(0, 99),
)
def test_the_moments_of_any_shards_are_those_of_the_whole(edges, offset, apart, seed):
    x = np.random.default_rng(seed).standard_normal((12, 3)) + apart * np.arange(12)[:, None]
    whole, merged = numbers_of(x), Moments(0, np.zeros(3), np.zeros(3))
    for shard in split(x + offset, edges):
        merged = merge(merged, numbers_of(shard))
    assert merged.n == 12
    np.testing.assert_allclose(merged.mean, whole.mean + offset, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(merged.M2, whole.M2, rtol=1e-13 * (1 + offset))


@settings(max_examples=30)
@given(
    edges=st.lists(st.integers(0, 7), max_size=4),
    offset=st.sampled_from([0.0, 100.0]),
    params=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_split_gives_what_the_whole_batch_gives(edges, offset, params, seed):
    x, dy, weight, bias = batch(seed, offset=offset)
    if not params:
        weight = bias = None
    y, saved = gnref.batch_norm_forward(x, weight, bias)
    dx, dweight, dbias = gnref.backward(dy, saved)
    found = both_passes(split(x, edges), split(dy, edges), weight, bias)
    near(np.concatenate([each[0] for each in found]), y)
    near(np.concatenate([each[2] for each in found]), dx)
    for _, own, _, *grads in found:
        near(own.var, saved.var)
        for grad, whole in zip(grads, (dweight, dbias), strict=True):
            assert (grad is None) == (not params)
            assert grad is None or np.array_equal(grad, found[0][3 if whole is dweight else 4])
            assert grad is None or np.allclose(grad, whole, rtol=1e-12, atol=1e-12)


def near(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_every_backend(backend, monkeypatch):
    if gnref.backends()[backend] != "ready":
        pytest.skip(gnref.backends()[backend])
    monkeypatch.setattr("gnref.dispatch.FROM_ENVIRONMENT", backend)
    x, dy, weight, bias = batch(offset=3.0)
    y, saved = gnref.batch_norm_forward(x, weight, bias)
    found = both_passes(split(x, [2, 3]), split(dy, [2, 3]), weight, bias)
    assert [each[1].backend for each in found] == [backend] * 3
    near(np.concatenate([each[0] for each in found]), y)
    near(np.concatenate([each[2] for each in found]), gnref.backward(dy, saved)[0])


@pytest.mark.parametrize("edges", [[], [3], [0, 7]])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("layout", ["channels last", "strided", "other order", "read-only"])
def test_dtypes_and_layouts(edges, dtype, layout):
    pytest.importorskip("ml_dtypes")
    wide = "float64" if dtype == "float64" else "float32"
    x, dy, weight, bias = (a.astype(wide) for a in batch(offset=1.0))
    x, dy = x.astype(dtype), dy.astype(dtype)
    axis = 1
    if layout == "channels last":
        x, dy, axis = np.ascontiguousarray(np.moveaxis(x, 1, -1)), np.moveaxis(dy, 1, -1), -1
    elif layout == "strided":
        x, dy = np.repeat(x, 2, axis=3)[..., ::2], np.repeat(dy, 2, axis=0)[::2]
    elif layout == "other order":
        x, dy = np.asfortranarray(x), dy.copy()
    else:
        x.flags.writeable = dy.flags.writeable = False
    y, saved = gnref.batch_norm_forward(x, weight, bias, channel_axis=axis)
    dx, dweight, dbias = gnref.backward(dy, saved)
    shards, dys = split(x, edges), split(dy, edges)
    found = both_passes(shards, dys, weight, bias, channel_axis=axis)
    limit = {"float64": 1e-12, "float32": 4e-6, "bfloat16": 6e-2, "float16": 8e-3}[dtype]
    for place, whole in ((0, y), (2, dx)):
        got = np.concatenate([each[place].astype("float64") for each in found])
        np.testing.assert_allclose(got, whole.astype("float64"), rtol=limit, atol=limit)
        for each, shard in zip(found, shards, strict=True):
            assert (each[place].dtype, each[place].shape) == (shard.dtype, shard.shape)
            assert 0 in shard.shape or each[place].strides == np.empty_like(shard).strides
    for place, whole in ((3, dweight), (4, dbias)):
        assert found[-1][place].dtype == wide
        np.testing.assert_allclose(found[-1][place], whole, rtol=limit, atol=10 * limit)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_parameters_of_16_bits(dtype):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x, dy, weight, bias = (a.astype(dtype) for a in batch())
    y, saved = gnref.batch_norm_forward(x, weight, bias)
    dx, *grads = gnref.backward(dy, saved)
    found = both_passes(split(x, [2]), split(dy, [2]), weight, bias)
    limit = float(ml_dtypes.finfo(dtype).eps)  # both are rounded once, from sums in float64
    for place, whole in ((0, y), (2, dx)):
        got = np.concatenate([each[place].astype("float64") for each in found])
        np.testing.assert_allclose(got, whole.astype("float64"), rtol=limit, atol=limit)
    for *_, dweight, dbias in found:
        for grad, whole in zip((dweight, dbias), grads, strict=True):
            assert grad.dtype == dtype
            np.testing.assert_allclose(grad.astype("float64"), whole.astype("float64"), rtol=limit)


@pytest.mark.parametrize("eps", [1e-5, 0.0])
@pytest.mark.parametrize("shape", [(0, 3, 2), (4, 3, 0), (0, 3)])
def test_an_empty_batch(shape, eps):
    x = np.ones(shape)
    weight = np.arange(3.0)
    whole = gnref.batch_norm_forward(x, eps=eps)[1]
    for y, saved, dx, dweight, dbias in both_passes([x, x], [x, x], weight, weight, eps=eps):
        assert (y.shape, dx.shape, saved.count) == (shape, shape, 0)
        assert dweight.tolist() == dbias.tolist() == [0, 0, 0]
        for name in ("mean", "var", "rstd"):
            assert np.array_equal(getattr(saved, name), getattr(whole, name))


def test_no_channels():
    x = np.ones((1, 0, 1))
    for y, _, dx, dweight, _ in both_passes([x], [x], np.ones(0), None):
        assert (y.shape, dx.shape, dweight.shape) == ((1, 0, 1), (1, 0, 1), (0,))


@pytest.mark.parametrize("eps", [1e-5, 0.0])
@pytest.mark.parametrize("constant", [0.1, 1e200])
def test_a_constant_batch_is_the_bias_exactly(constant, eps):
    x = np.full((3, 2, 5), constant)
    bias = np.array([0.25, -3.0])
    for y, _, dx, _, _ in both_passes(
        [x, x[:1], x[:0]], [x * 0 + 1, x[:1] * 0 + 1, x[:0]], bias + 1, bias, eps=eps
    ):
        assert np.array_equal(y, np.broadcast_to(bias[None, :, None], y.shape))
        assert np.allclose(dx, 0, atol=1e-10)


def test_one_element_on_each_of_two_ranks_is_a_batch_of_two():
    (a, *_), (b, *_) = both_passes([np.array([[1.0]]), np.array([[3.0]])], [np.ones((1, 1))] * 2, eps=0.0)
    assert (a.item(), b.item()) == (-1, 1)


def test_nan_stays_in_its_channel():
    x, dy, weight, bias = batch()
    x[5, 1, 0, 0] = np.nan
    for y, saved, dx, *_ in both_passes(split(x, [2]), split(dy, [2]), weight, bias):
        for a in (y, dx):
            assert np.isnan(a[:, 1]).all()
            assert np.isfinite(a[:, [0, 2]]).all()
        assert np.isnan(saved.mean).tolist() == [False, True, False]


@pytest.mark.parametrize("backend", ["reference", None])
@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan, 1e200])
def test_no_warnings_of_numpy(odd, backend, monkeypatch):
    """What is not finite is told by its value; here warnings are errors."""
    monkeypatch.setattr("gnref.dispatch.FROM_ENVIRONMENT", backend)
    x, dy, weight, bias = batch()
    x[5, 1], dy[0, 2], weight[0], bias[0] = odd, odd, odd, -odd
    for y, saved, dx, dweight, dbias in both_passes(split(x, [2]), split(dy, [2]), weight, bias, eps=0.0):
        assert not np.isfinite(saved.var[1])
        assert np.isfinite(saved.var[[0, 2]]).all()
        assert np.isfinite(y[:, 2]).all()
        assert np.isfinite(odd) or not any(map(np.isfinite, (y[0, 0, 0, 0], dweight[2], dbias[2])))
        assert np.isfinite(dx[:, 2]).all() == np.isfinite(odd)


def test_no_input_is_written_and_two_backward_passes_are_the_same():
    x, dy, weight, bias = batch()
    before = [a.copy() for a in (x, dy, weight, bias)]

    def work(comm):
        _, saved = sync_batch_norm_forward(x, weight, bias, comm=comm)
        return [sync_batch_norm_backward(dy, saved) for _ in range(2)]

    for once, twice in on_ranks(2, work):
        assert all(np.array_equal(a, b) for a, b in zip(once, twice, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip((x, dy, weight, bias), before, strict=True))


def test_a_deep_copy_of_saved_is_on_the_same_ranks():
    x, dy, weight, _ = batch()

    def work(comm):
        comm.__class__ = Uncopied
        _, saved = sync_batch_norm_forward(x, weight, comm=comm, timeout=60)
        copied, again = copy.deepcopy([saved, saved])
        assert copied is again
        assert copied.comm is comm
        assert not np.shares_memory(copied.x, saved.x)
        return sync_batch_norm_backward(dy, saved)[0], sync_batch_norm_backward(dy, copied)[0]

    for right, found in on_ranks(2, work):
        assert np.array_equal(right, found)


class Uncopied(ThreadComm):
    """A communicator that cannot be copied, as MPI's cannot but for the world."""

    def __reduce_ex__(self, protocol):
        raise TypeError("not the world")


def test_ranks_may_have_pictures_of_different_sizes():
    rng = np.random.default_rng(0)
    small, large = rng.standard_normal((2, 3, 2, 2)), rng.standard_normal((1, 3, 5, 4))
    whole = np.concatenate([a.transpose(0, 2, 3, 1).reshape(-1, 3) for a in (small, large)])
    y = gnref.batch_norm(whole)
    (a, *_), (b, *_) = both_passes([small, large], [small, large])
    near(a.transpose(0, 2, 3, 1).reshape(-1, 3), y[:8])
    near(b.transpose(0, 2, 3, 1).reshape(-1, 3), y[8:])


def test_saved_is_for_its_own_backward_alone():
    x, dy, *_ = batch()
    ((_, saved, *_),) = both_passes([x], [dy])
    assert isinstance(saved, SyncSaved)
    assert (
        repr(saved) == "<SyncSaved of batch norm: shard (7, 3, 2, 2) float64, 28 elements per channel in all>"
    )
    with pytest.raises(TypeError, match="saved is a SyncSaved; expected the Saved"):
        gnref.backward(dy, saved)
    own = gnref.batch_norm_forward(x)[1]
    with pytest.raises(
        TypeError, match="saved is a Saved; expected the SyncSaved of sync_batch_norm_forward"
    ):
        sync_batch_norm_backward(dy, own)


@pytest.mark.parametrize("library", ["torch", "array_api_strict"])
def test_other_libraries_are_refused(library):
    xp = pytest.importorskip(library)
    with pytest.raises(TypeError, match=f"x is a {library} array; expected a numpy array"):
        on_ranks(1, lambda comm: passes.forward(xp.ones((2, 3)), None, None, comm, 1e-5, 1, 60.0))
