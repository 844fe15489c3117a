"""The bars of `gnref.testing.tolerances` hold on long sets, at every offset and scale, in all three regimes.

Exact values are those of `math.fsum`, set by set. What float64 cannot hold is brought into its range by a
power of two, which changes no digit.
"""

import math

import ml_dtypes
import numpy as np
import pytest
from numba import config

from gnref.kernels import cpu, reference
from gnref.kernels.cpu.columns import ROWS
from gnref.kernels.cpu.sums import CHUNK
from gnref.testing.data import nonzero, values
from gnref.testing.oracles import fsum
from gnref.testing.problems import Problem
from gnref.testing.targets import Gnref, gradients
from gnref.testing.tolerances import WIDE, spacing, tolerance, unit_roundoff

JIT = not config.DISABLE_JIT
CPU = Gnref("cpu")
pytestmark = [] if JIT else pytest.mark.filterwarnings("ignore::RuntimeWarning")  # as in test_contract.py
takes_long = pytest.mark.skipif(not JIT, reason="takes long without the compiler")
U, U64 = 2.0**-24, 2.0**-53

# Two sets or more of 25,088 elements each, or about as many in columns and in several chunks.
NORMS = {
    "group": ((2, 64, 28, 28), {"num_groups": 2}),
    "group, channels last": ((2, 28, 28, 64), {"num_groups": 2, "channel_axis": -1}),
    "instance": ((1, 3, 112, 224), {}),
    "instance, channels last": ((1, 112, 224, 3), {"channel_axis": -1}),
    "batch": ((32, 3, 28, 28), {}),
    "batch, channels last": ((32, 28, 28, 3), {"channel_axis": -1}),
    "layer": ((3, 25_088), {"normalized_shape": (25_088,)}),
    "layer, many": ((200, 333), {"normalized_shape": (333,)}),
    "rms": ((3, 25_088), {"normalized_shape": (25_088,)}),
}


def problem(name, dtype=np.float32, kind="normal", offset=0.0, scale=1.0, **options):
    """Every set is `offset` spreads away from 0; dy and weight are random."""
    (shape, axes), norm = NORMS[name], name.partition(",")[0]
    x = (values(kind, shape, 1) + offset) * scale
    dy = np.random.default_rng(2).standard_normal(shape)
    size = axes.get("normalized_shape") or (shape[axes.get("channel_axis", 1)],)
    weight, bias = (nonzero(size, seed).astype(dtype) for seed in (3, 4))
    given = {"weight": weight, "bias": None if norm == "rms" else bias, "eps": 1e-5 * scale**2}
    return Problem(norm, x.astype(dtype), dy.astype(dtype), **axes | given | options)


def assert_accurate(p):
    """All four results are within their bars."""
    bars = tolerance(p, oracle="fsum")
    got = {"y": CPU.forward(p).y, **gradients(CPU, p)._asdict()}
    expected = dict(zip(got, (fsum.y(p), *fsum.gradients(p)), strict=True))
    for name in [name for name, e in expected.items() if e is not None]:
        error = abs(got[name].astype(np.float64) - expected[name])
        bar = getattr(bars, name)
        assert (error <= bar).all(), f"{name}: {(error / bar).max():.3g} of what is allowed"


@pytest.fixture(params=NORMS)
def name(request):
    return request.param


@takes_long
@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4, 1e6])
def test_far_from_0(name, offset):
    assert_accurate(problem(name, offset=offset))


@takes_long
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("scale", [1e-18, 1e18])
def test_large_and_small(name, scale, offset):
    assert_accurate(problem(name, scale=scale, offset=offset))


@takes_long
@pytest.mark.parametrize("kind", ["heavy_tailed", "one_hot"])
def test_far_from_normal(name, kind):
    assert_accurate(problem(name, kind=kind))


@takes_long
@pytest.mark.parametrize("offset", [0.0, 1e4, 1e9])
def test_float64(name, offset):
    assert_accurate(problem(name, np.float64, offset=offset))


@takes_long
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("offset", [0.0, 9.0])
def test_16_bits(name, dtype, offset):
    assert_accurate(problem(name, dtype, offset=offset))


# Below, in slots (O, P, A, B, S): every regime, with sets of one chunk and of several.

SHAPES = {
    "rows": (2, 1, 2, 3, 11),
    "rows, many short": (3, 150, 2, 2, 3),
    "rows, chunks": (2, 1, 2, 1, 2 * CHUNK + 5),
    "columns": (2, 20, 2, 3, 1),
    "columns, chunks": (2, 2 * ROWS + 3, 2, 1, 1),
    "trailing": (3, 1, 2, 40, 1),
    "trailing, chunks": (2, 1, 2, 2 * CHUNK + 5, 1),
}
DTYPES = {"float32": np.float32, "float64": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
OWN = {"axis": (1, 3, 4), "keepdims": True}


def spread(stat):
    """(O, A) to what broadcasts against (O, P, A, B, S)."""
    return stat[:, None, :, None, None]


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def shape(request):
    return request.param


def random(shape, dtype=np.float32, seed=0):
    """x and dy, standard normal."""
    return np.random.default_rng([seed, *shape]).standard_normal((2, *shape)).astype(dtype)


@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4, 1e6])
def test_statistics(shape, offset):
    x = random(shape)[0] + np.float32(offset)
    _, mean, var, rstd = cpu.forward(x, None, None, 1e-5, True)
    for o, a in np.ndindex(mean.shape):
        numbers = x[o, :, a].ravel().astype(np.float64)
        m = math.fsum(numbers) / numbers.size
        v = math.fsum((numbers - m) ** 2) / numbers.size
        assert abs(mean[o, a] - m) <= 4 * (U64 * abs(m) + U * v**0.5)
        assert abs(var[o, a] - v) <= 8 * U * v
        assert abs(rstd[o, a] * (v + 1e-5) ** 0.5 - 1) <= 4 * U


@takes_long
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0.0, 0.1, -1 / 3, 1e-7, 12345.678, 3e38, 1e-40, -1e300])
def test_a_constant_set_gives_its_bias(shape, dtype, value):
    with np.errstate(over="ignore", under="ignore"):
        value = DTYPES[dtype](value)
    if not np.isfinite(value):
        pytest.skip("not a number of this type")
    x, (weight, bias) = np.full(shape, value), np.random.default_rng(0).standard_normal((2, *shape[2:4]))
    y, mean, var, _ = cpu.forward(x, weight, bias.astype(x.dtype), 1e-5, True)
    assert np.array_equal(y, np.broadcast_to(bias.astype(x.dtype)[:, :, None], shape))
    assert (mean == float(value)).all()
    assert (var == 0).all()


@pytest.mark.parametrize("n", [*range(1, 40), 127, 128, 129, 1000])
def test_a_constant_set_of_any_length(n):
    for shape in ((2, 1, 3, 1, n), (2, n, 3, 1, 1), (2, 1, 3, n, 1)):
        x = np.full(shape, np.float32(0.1))
        y, _, var, _ = cpu.forward(x, None, None, 1e-5, True)
        assert not y.any()
        assert not var.any()


# The ends of the exponent. If eps is 0, y does not depend on the scale 2^k of x, nor dx * 2^k and dweight.

SCALES = [(np.float32, k) for k in (128, 100, 70, -70, -100, -125, -140)]
SCALES += [(np.float64, k) for k in (1022, 900, 600, -600, -900, -1010)]
SCALES += [(ml_dtypes.bfloat16, 128), (ml_dtypes.bfloat16, -125), (np.float16, 16), (np.float16, -16)]
if not JIT:
    SCALES = [(np.float32, 128), (np.float32, -140), (np.float64, 1022), (np.float64, -1010)]


def scaled(shape, dtype, k):
    """x below 2^k, and in float64 the same numbers times 2^-k, exactly."""
    x = np.random.default_rng(shape).uniform(-0.99, 0.99, shape)
    x = np.ldexp(x, k).astype(dtype)  # with k = -140 a few bits are left
    return x, np.ldexp(x.astype(np.float64), -k)


def sizes(x, dtype):
    """u, and |xhat| of every element. Twice the u: the reference may be off by as much."""
    xc = x - x.mean(**OWN)
    return 2 * unit_roundoff(WIDE.get(np.dtype(dtype).name, dtype)), abs(xc) / (xc * xc).mean(**OWN) ** 0.5


@pytest.mark.parametrize(("dtype", "k"), SCALES)
def test_y_at_the_ends_of_the_exponent(shape, dtype, k):
    x, ordinary = scaled(shape, dtype, k)
    y, mean, _, rstd = cpu.forward(x, None, None, 0.0, True)
    expected = reference.forward(ordinary, None, None, 0.0, True)
    u, xhat = sizes(ordinary, dtype)
    limit = 6 * u * (1 + xhat) + spacing(xhat, dtype) / 2
    assert (abs(y.astype(np.float64) - expected[0]) <= limit).all()
    np.testing.assert_allclose(np.ldexp(mean, -k), expected[1], rtol=0, atol=6 * u)
    np.testing.assert_allclose(np.ldexp(rstd, k), expected[3], rtol=8 * u)


@pytest.mark.parametrize(("dtype", "k"), [scale for scale in SCALES if scale[0] != np.float64])
def test_y_of_given_statistics(shape, dtype, k):
    x, ordinary = scaled(shape, dtype, k)
    mean, rstd = np.random.default_rng(0).uniform(0.5, 1.5, (2, *shape[:3:2]))
    y = cpu.apply(x, np.ldexp(mean, k), np.ldexp(rstd, -k), None, None)
    expected = (ordinary - spread(mean)) * spread(rstd)
    limit = 6 * U * abs(expected) + spacing(abs(expected), dtype) / 2
    assert (abs(y.astype(np.float64) - expected) <= limit).all()


def assert_gradients(shape, dtype, k, j):
    """Those of x near 2^k and dy near 2^j are those of numbers near 1, scaled."""
    x, ordinary = scaled(shape, dtype, k)
    dy, ordinary_dy = (a.reshape(shape) for a in scaled(shape[::-1], dtype, j))
    _, mean, _, rstd = reference.forward(ordinary, None, None, 0.0, True)
    expected = reference.backward(ordinary_dy, ordinary, mean, rstd, None, True)
    dx, dweight, dbias = cpu.backward(dy, x, np.ldexp(mean, k), np.ldexp(rstd, -k), None, True)
    u, xhat = sizes(ordinary, dtype)
    g = abs(ordinary_dy)
    limit = spread(rstd) * (g + g.mean(**OWN) + xhat * (g * xhat).mean(**OWN))
    error = abs(np.ldexp(dx.astype(np.float64), k - j) - expected[0])
    assert (error <= 10 * u * limit + spacing(np.ldexp(limit, j - k), dtype) * 2.0 ** (k - j) / 2).all()
    for got, e, size in ((dweight, expected[1], g * (1 + xhat)), (dbias, expected[2], g)):
        tiny = np.ldexp(float(np.finfo(got.dtype).smallest_subnormal), -j)  # a sum may be subnormal
        error = abs(np.ldexp(got.astype(np.float64), -j) - e)
        assert (error <= 10 * u * size.sum((0, 1, 4)) + len(x) * tiny).all()


@pytest.mark.parametrize(("dtype", "k"), SCALES)
def test_gradients_at_the_ends_of_the_exponent(shape, dtype, k):
    assert_gradients(shape, dtype, k, k // 2)  # as far as k, dx would leave the range


@pytest.mark.parametrize(("k", "j"), [(-39, 60), (39, -60), (30, -70), (-30, 85)] if JIT else [(-39, 60)])
def test_factors_of_dx_at_the_ends_of_the_exponent(shape, k, j):
    assert_gradients(shape, np.float32, k, j)


@pytest.mark.parametrize("k", [600, 664])
def test_squares_that_overflow_where_eps_is_not_0(shape, k):
    """Infinite minus infinite is not a variance of 0."""
    x, ordinary = scaled(shape, np.float64, k)
    var, rstd = cpu.forward(x, None, None, 1e-5, True)[2:]
    np.testing.assert_allclose(
        np.ldexp(rstd, k), reference.forward(ordinary, None, None, 0.0, True)[3], rtol=1e-14
    )
    assert (var > 1e300).all()


def test_frozen_statistics_keep_infinities_out_of_dx(shape):
    x, dy = np.random.default_rng(shape).standard_normal((2, *shape)).astype(np.float32)
    rstd = np.full(shape[:3:2], 2.0)
    x[-1] = np.inf
    dx = cpu.backward_given(dy, x, 0 * rstd, rstd, None)[0]
    np.testing.assert_array_equal(dx, 2 * dy)


@pytest.mark.parametrize("j", [125, 118, 100, 60, -60, -100, -125, -135] if JIT else [125, -125])
def test_large_and_small_dy(shape, j):
    assert_gradients(shape, np.float32, 0, j)


@takes_long
@pytest.mark.parametrize("j", [1000, 500, -500, -1000])
def test_large_and_small_dy_in_float64(shape, j):
    assert_gradients(shape, np.float64, 0, j)


@takes_long
@pytest.mark.parametrize("scale", [1e-10, 1e-20, 1e-30, 1e-40])
def test_tiny_numbers_beside_eps(shape, scale):
    x = (random(shape)[0] * scale).astype(np.float32)
    y, *_ = cpu.forward(x, None, None, 1e-5, True)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(**OWN)) / 1e-5**0.5
    limit = 6 * U * (abs(expected) + abs(expected).max(**OWN))
    assert (abs(y - expected) <= limit + 2.0**-149 / 1e-5**0.5).all()  # x - mean may be subnormal


# What is odd stays in its set.


def run(x, dy):
    """All results of both passes: y, mean, var, rstd, dx, dweight, dbias."""
    forward = cpu.forward(x, None, None, 1e-5, True)
    return *forward, *cpu.backward(dy, x, forward[1], forward[3], None, True)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e38] if JIT else [np.nan])
@pytest.mark.parametrize("where", [0, -1])
def test_an_odd_number_stays_in_its_set(shape, number, where):
    x, dy = random(shape)
    before = run(x, dy)
    x[where, where, 1, where, where] = number
    after = run(x, dy)
    own = np.zeros(shape, bool)
    own[where, :, 1] = True
    for k in (0, 4):  # y, dx
        assert np.array_equal(after[k][~own], before[k][~own])
        assert not np.isfinite(after[k][own]).any() or np.isfinite(number)
    for k in (5, 6):  # dweight and dbias
        assert np.array_equal(after[k][0], before[k][0])


def test_a_nan_in_dy_stays_in_its_set(shape):
    x, dy = random(shape)
    expected = run(x, dy)[4]
    dy[0, 0, 1, 0, 0] = np.nan
    dx = run(x, dy)[4]
    assert np.isnan(dx[0, :, 1]).all()
    assert np.array_equal(dx[1:], expected[1:])
    assert np.array_equal(dx[:, :, 0], expected[:, :, 0])
