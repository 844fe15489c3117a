import math

import array_api_strict as strict
import numpy as np
import pytest

from gnref.kernels import reference

SHAPE = (2, 3, 2, 4, 5)  # (O, P, A, B, S), all different but O = A


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    x5, dy5 = rng.standard_normal((2, *SHAPE))
    weight, bias = rng.standard_normal((2, 2, 4))
    return x5, dy5, weight, bias


def test_forward_is_the_formula():
    x5, _, weight, bias = arrays()
    y5, mean, var, rstd = reference.forward(x5, weight, bias, 1e-3, True)
    own = {"axis": (1, 3, 4), "keepdims": True}
    xhat = (x5 - x5.mean(**own)) / np.sqrt(x5.var(**own) + 1e-3)
    np.testing.assert_allclose(y5, xhat * weight[None, None, :, :, None] + bias[None, None, :, :, None])
    np.testing.assert_allclose(mean, x5.mean(axis=(1, 3, 4)))
    np.testing.assert_allclose(var, x5.var(axis=(1, 3, 4)))
    np.testing.assert_allclose(rstd, 1 / np.sqrt(var + 1e-3))


def test_apply_and_backward_given_take_any_statistics():
    x5, dy5, weight, bias = arrays()
    mean, rstd = np.random.default_rng(1).uniform(1, 2, (2, 2, 2))
    y5 = reference.apply(x5, mean, rstd, weight, bias)
    dx5, dweight, dbias = reference.backward_given(dy5, x5, mean, rstd, weight)
    xhat = (x5 - mean[:, None, :, None, None]) * rstd[:, None, :, None, None]
    np.testing.assert_allclose(y5, xhat * weight[None, None, :, :, None] + bias[None, None, :, :, None])
    np.testing.assert_allclose(dx5, dy5 * weight[None, None, :, :, None] * rstd[:, None, :, None, None])
    np.testing.assert_allclose(dweight, (dy5 * xhat).sum(axis=(0, 1, 4)))
    np.testing.assert_allclose(dbias, dy5.sum(axis=(0, 1, 4)))


def test_shards_merge_to_the_whole():
    x5, dy5, weight, _ = arrays()
    _, mean, _, rstd = reference.forward(x5, weight, None, 1e-5, True)
    shards = [(x5[:, :1], dy5[:, :1]), (x5[:, 1:], dy5[:, 1:])]
    counts, means, m2s = zip(*(reference.moments(x) for x, _ in shards), strict=True)
    count = sum(counts)
    merged = sum(n * m for n, m in zip(counts, means, strict=True)) / count
    M2 = sum(m2 + n * (m - merged) ** 2 for n, m, m2 in zip(counts, means, m2s, strict=True))
    np.testing.assert_allclose(merged, mean)
    np.testing.assert_allclose(1 / np.sqrt(M2 / count + 1e-5), rstd)
    sums = [reference.backward_sums(dy, x, mean, rstd, weight) for x, dy in shards]
    total = [sum(parts) for parts in zip(*sums, strict=True)]
    dx = [reference.backward_from_sums(dy, x, mean, rstd, weight, count, *total) for x, dy in shards]
    whole = reference.backward(dy5, x5, mean, rstd, weight, True)[0]
    np.testing.assert_allclose(np.concatenate(dx, axis=1), whole, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8, 255, 256, 257])
def test_sums_in_pairs(n):
    t = np.arange(2 * n, dtype=np.float64).reshape(2, n)
    got = reference.combine_in_pairs(t, lambda a, b: a + b)
    assert np.array_equal(got, t.sum(axis=-1))


def test_a_pairwise_sum_is_closer_than_a_running_one():
    t = np.random.default_rng(0).uniform(size=100_001)
    exact = math.fsum(t)
    pairs = abs(float(reference.combine_in_pairs(t, lambda a, b: a + b)) - exact)
    running = abs(float(np.add.accumulate(t)[-1]) - exact)
    assert pairs <= 17 * 2.0**-53 * exact  # log2 of the length, in roundings
    assert pairs < running / 4


def test_one_channel_without_variance_beside_another():
    assert reference.reciprocal_std(np.array([0.0, 4.0]), 0.0).tolist() == [0.0, 0.5]


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e300])
def test_the_range_of_float64_is_no_limit(scale):
    x5, _, weight, bias = arrays()
    y5, _, _, rstd = reference.forward(x5, weight, bias, 0.0, True)
    with np.errstate(over="ignore"):
        scaled, mean_scaled, _, rstd_scaled = reference.forward(x5 * scale, weight, bias, 0.0, True)
    np.testing.assert_allclose(scaled, y5, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(mean_scaled, x5.mean(axis=(1, 3, 4)) * scale, rtol=1e-12)
    np.testing.assert_allclose(rstd_scaled, rstd / scale, rtol=1e-14)


def test_each_set_has_its_own_range():
    x5, dy5, weight, bias = arrays()
    scale = np.array([1e300, 1.0])[:, None, None, None, None]
    with np.errstate(over="ignore"):  # the variance of the first set is infinite
        y5, mean, _, rstd = reference.forward(x5 * scale, weight, bias, 0.0, True)
    dx5 = reference.backward(dy5, x5 * scale, mean, rstd, weight, True)[0]
    one, mean, _, rstd = reference.forward(x5[1:], weight, bias, 0.0, True)
    assert np.array_equal(y5[1:], one)
    assert np.array_equal(dx5[1:], reference.backward(dy5[1:], x5[1:], mean, rstd, weight, True)[0])


@pytest.mark.parametrize("scale", [1e-140, 1e140])
def test_the_saved_variance_is_in_the_units_of_x(scale):
    x5 = arrays()[0] * scale
    np.testing.assert_allclose(
        reference.forward(x5, None, None, 0.0, True)[2], x5.var(axis=(1, 3, 4)), rtol=1e-12
    )


def test_given_statistics_are_subtracted_before_they_scale():
    x5 = arrays()[0] + 1e9
    mean, rstd = np.full((2, 2), 1e9), np.full((2, 2), 0.5)
    assert np.array_equal(reference.apply(x5, mean, rstd, None, None), (x5 - 1e9) * 0.5)


def test_tiny_numbers_do_not_outgrow_eps():
    x5 = arrays()[0]
    y5 = reference.forward(x5 * 1e-200, None, None, 1e-5, True)[0]
    centered = x5 - x5.mean(axis=(1, 3, 4), keepdims=True)
    np.testing.assert_allclose(y5, centered * 1e-200 / np.sqrt(1e-5), rtol=1e-10, atol=1e-212)


def test_float32_is_the_widest_where_there_is_no_float64(monkeypatch):
    monkeypatch.setattr(reference, "widest", lambda xp: xp.float32)
    x5 = arrays()[0].astype(np.float32)
    for scale in (1.0, 1e-18, 1e18):
        y5, mean, _, _ = reference.forward(x5 * np.float32(scale), None, None, 1e-5 * scale**2, True)
        assert mean.dtype == np.float32
        np.testing.assert_allclose(y5, reference.forward(x5, None, None, 1e-5, True)[0], atol=2e-6)


def test_array_api_strict_passes_and_agrees():
    x5, dy5, weight, bias = arrays()
    device = strict.Device("device1")
    sx, sdy, sw, sb = (strict.asarray(a, device=device) for a in (x5, dy5, weight, bias))
    y5, mean, _, rstd = reference.forward(x5, weight, bias, 1e-5, True)
    sy5, smean, _, srstd = reference.forward(sx, sw, sb, 1e-5, True)
    grads = reference.backward(dy5, x5, mean, rstd, weight, True)
    sgrads = reference.backward(sdy, sx, smean, srstd, sw, True)
    for got, expected in zip((sy5, *sgrads), (y5, *grads), strict=True):
        assert got.device == device
        assert np.array_equal(np.asarray(got.to_device(strict.Device("CPU_DEVICE"))), expected)
