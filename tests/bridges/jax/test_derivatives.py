"""JAX's derivatives of the bridge's functions: against those of plain formulas, and against differences."""

from functools import cache, partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

jax = pytest.importorskip("jax")
jnp = jax.numpy
from jax.test_util import check_grads  # noqa: E402

from gnref.bridges import jax as bridge  # noqa: E402

pytestmark = pytest.mark.usefixtures("float64")
SHAPE = (4, 6, 2)
CALLS = {  # the arguments between x and weight, the options, the shape of weight
    "batch": ((), {}, (6,)),
    "batch, virtual": ((), {"virtual_batch_size": 2}, (6,)),
    "instance": ((), {"channel_axis": 1}, (6,)),
    "group": ((3,), {}, (6,)),
    "group, last": ((2,), {"channel_axis": -1}, (2,)),
    "layer": (((6, 2),), {}, (6, 2)),
    "rms": (((6, 2),), {}, (6, 2)),
    "batch_frozen": ((np.linspace(-1, 1, 6), np.linspace(1, 2, 6)), {}, (6,)),
}
NORMS = [name for name in CALLS if name != "batch_frozen"]
PRESENT = [(True, True), (True, False), (False, True), (False, False)]


def own(name, x, weight=None, bias=None, **more):
    """The bridge's function."""
    between, options, _ = CALLS[name]
    norm = name.partition(",")[0]
    function = getattr(bridge, "batch_norm_frozen" if norm == "batch_frozen" else f"{norm}_norm")
    params = (weight,) if norm == "rms" else (weight, bias)
    return function(x, *between, *params, **options, **more)


def plain(name, x, weight=None, bias=None, eps=1e-5):
    """The same as a formula, for JAX to differentiate."""
    N, C, L = x.shape
    split, axes = {
        "batch": (x.shape, (0, 2)),
        "batch, virtual": ((N // 2, 2, C, L), (1, 3)),
        "instance": (x.shape, (2,)),
        "group": ((N, 3, C // 3, L), (2, 3)),
        "group, last": ((N, C, 2, L // 2), (1, 3)),
        "layer": (x.shape, (1, 2)),
        "rms": (x.shape, (1, 2)),
        "batch_frozen": (x.shape, ()),
    }[name]
    t = jnp.reshape(x, split)
    if name == "batch_frozen":
        mean, var = (jnp.asarray(a)[:, None] for a in CALLS[name][0])
        t = (t - mean) / jnp.sqrt(var + eps)
    else:
        t = t if name == "rms" else t - jnp.mean(t, axes, keepdims=True)
        t = t / jnp.sqrt(jnp.mean(t * t, axes, keepdims=True) + eps)
    per_channel = (lambda a: a) if name in ("layer", "rms", "group, last") else (lambda a: a[:, None])
    y = jnp.reshape(t, x.shape)
    y = y if weight is None else y * per_channel(weight)
    return y if bias is None else y + per_channel(bias)


def numbers(name, present, seed):
    """x, and weight and bias where they are present."""
    rng = np.random.default_rng(seed)
    x, *params = (rng.standard_normal(s) for s in (SHAPE, CALLS[name][2], CALLS[name][2]))
    biased = present[1] and name != "rms"
    return (x, params[0] if present[0] else None, params[1] if biased else None), rng


def like(rng, arrays):
    return tuple(None if a is None else rng.standard_normal(a.shape) for a in arrays)


def dot(a, b):
    return sum(jnp.sum(p * q) for p, q in zip(a, b, strict=True) if p is not None)


@cache
def derivatives(function, name):
    """Directional derivatives of y by x, weight and bias, compiled: forward, reverse, one of the other."""
    f = partial(function, name)

    def reverse(arrays, dy):
        return jax.vjp(lambda *a: f(*a), *arrays)[1](dy)

    def forward(arrays, dots):
        return jax.jvp(lambda *a: f(*a), arrays, dots)[1]

    def all_of(arrays, dy, dots, more):
        def along(arrays):
            return dot((forward(arrays, dots),), (dy,))

        return {
            "forward": forward(arrays, dots),
            "reverse": reverse(arrays, dy),
            "forward of reverse": jax.jvp(reverse, (arrays, dy), (dots, more[0])),
            "reverse of forward": jax.grad(along)(arrays),
            "reverse of reverse": jax.grad(lambda arrays, dy: dot(reverse(arrays, dy), dots), argnums=(0, 1))(
                arrays, dy
            ),
            "forward of forward": jax.jvp(lambda *a: forward(a, dots), arrays, more[1:])[1],
        }

    return jax.jit(all_of)


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=20)
@given(st.data())
def test_first_and_second_derivatives_are_those_of_the_formula(name, enable_x64, data):
    kinds = PRESENT if name == "group" else PRESENT[:1]  # JAX compiles each, which takes seconds
    present = data.draw(st.sampled_from(kinds), "weight and bias present")
    arrays, rng = numbers(name, present, data.draw(st.integers(0, 2**32), "seed"))
    dy, dots = rng.standard_normal(SHAPE), like(rng, arrays)
    more = like(rng, (dy, *arrays))
    with enable_x64(True):
        got = derivatives(own, name)(arrays, dy, dots, more)
        expected = derivatives(plain, name)(arrays, dy, dots, more)
    for kind in expected:
        for a, e in zip(*map(jax.tree.leaves, (got[kind], expected[kind])), strict=True):
            assert a.dtype == e.dtype == np.float64
            np.testing.assert_allclose(a, e, rtol=1e-9, atol=1e-9 * (1 + float(abs(e).max())), err_msg=kind)


@pytest.mark.parametrize("name", ["batch", "group", "rms"])
def test_third_derivatives_are_those_of_the_formula(name):
    arrays, rng = numbers(name, (True, True), 0)
    dy, dots = rng.standard_normal(SHAPE), [like(rng, arrays) for _ in range(2)]

    def third(function):
        def loss(*a):
            return dot((function(name, *a),), (dy,))

        def second(*a):
            return jax.jvp(jax.grad(loss, argnums=(0, 1)), a, dots[0])[1]

        return jax.jit(lambda *a: jax.jvp(second, a, dots[1])[1])(*arrays)

    for a, e in zip(third(own), third(plain), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-9, atol=1e-9 * float(abs(e).max()))


CHECKED = [("group", *present) for present in PRESENT]
CHECKED += [(name, True, True) for name in ("batch", "instance", "layer", "rms")]


@pytest.mark.parametrize(("name", "weighted", "biased"), CHECKED)
def test_check_grads(name, weighted, biased):
    arrays, _ = numbers(name, (weighted, biased), 0)
    there = [a is not None for a in arrays]

    def f(*some):
        rest = iter(some)
        return own(name, *(next(rest) if here else None for here in there), eps=0.1)

    given = tuple(a for a in arrays if a is not None)
    check_grads(f, given, order=2, modes=("fwd", "rev"))


@pytest.mark.parametrize("name", ["batch", "group", "layer", "instance", "rms"])
def test_check_grads_in_float32(name, enable_x64):
    with enable_x64(False):
        arrays, _ = numbers(name, (True, True), 0)
        given = tuple(jnp.asarray(a, jnp.float32) for a in arrays if a is not None)
        check_grads(partial(own, name, eps=1.0), given, order=2, modes=("fwd", "rev"), eps=3e-3)


@pytest.mark.parametrize("name", ["batch", "group", "layer"])
def test_float32_and_16_bits_are_float64_rounded(name):
    """First and second derivatives, far from 0; 1e-4 is what second derivatives in float32 cost there."""
    arrays, rng = numbers(name, (True, True), 0)
    dy, dots = rng.standard_normal(SHAPE), like(rng, arrays)
    more = like(rng, (dy, *arrays))
    x, *params = arrays
    for dtype, close in ((jnp.float32, 1e-4), (jnp.bfloat16, 3e-2), (jnp.float16, 4e-3)):
        given = (x + 8, *params), dy, dots, more
        rounded = jax.tree.map(partial(jnp.asarray, dtype=dtype), given)
        got = derivatives(own, name)(*rounded)
        expected = derivatives(own, name)(*jax.tree.map(lambda a: a.astype(jnp.float64), rounded))
        for kind in expected:
            for a, e in zip(*map(jax.tree.leaves, (got[kind], expected[kind])), strict=True):
                assert a.dtype == dtype
                largest = float(abs(e).max(initial=1))
                np.testing.assert_allclose(
                    a.astype(jnp.float64), e, rtol=0, atol=close * largest, err_msg=kind
                )


@pytest.mark.parametrize("power", [-50, 50])
def test_second_derivatives_at_any_scale(power, enable_x64):
    """Scaled by a power of two, they are scaled: nothing leaves the range of float32."""
    with enable_x64(False):
        (x, weight, _), rng = numbers("group", (True, True), 0)
        dy = jnp.asarray(rng.standard_normal(SHAPE), jnp.float32)

        def gradient(x):
            loss = lambda x: jnp.sum(own("group", x, weight.astype(np.float32), eps=0.0) * dy)  # noqa: E731
            return jax.grad(loss)(x)

        def slope(factor):
            given = jnp.asarray(x * factor, jnp.float32)
            return jax.jvp(gradient, (given,), (given[::-1],))[1]  # scales as the gradient: by 1/factor

        factor = 2.0**power
        assert np.array_equal(slope(factor) * np.float32(factor), slope(1.0))


@pytest.mark.parametrize("name", ["batch", "group", "layer"])
def test_second_derivatives_far_from_0(name, enable_x64):
    """In float32 a mean near 1e6 is rounded: what is left of it after its subtraction is subtracted too."""
    arrays, rng = numbers(name, (True, True), 0)
    given = [np.float32(a) for a in (arrays[0] + 1e6, *arrays[1:])]
    dots, dy = [np.float32(a) for a in like(rng, given)], np.float32(rng.standard_normal(SHAPE))

    def second(function, given, dots):
        return jax.jvp(jax.grad(lambda *a: jnp.sum(function(name, *a) * dy)), given, dots)[1]

    wide = [a.astype(np.float64) for a in given], [a.astype(np.float64) for a in dots]
    expected = second(plain, *wide)
    with enable_x64(False):
        got = second(own, given, dots)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * float(abs(expected).max()))


@pytest.mark.parametrize("name", NORMS)
def test_the_backward_pass_is_the_transpose_of_forward_mode(name):
    arrays, rng = numbers(name, (True, True), 0)
    dots, dy = like(rng, arrays), rng.standard_normal(SHAPE)
    f = lambda *a: own(name, *a)  # noqa: E731
    gradients = jax.vjp(f, *arrays)[1](dy)
    _, linear = jax.linearize(f, *arrays)
    transposed = jax.linear_transpose(linear, *arrays)(dy)
    along = dot(dots, gradients)
    assert float(dot((linear(*dots),), (dy,))) == pytest.approx(float(along), rel=1e-12, abs=1e-12)
    for a, e in zip(transposed, gradients, strict=True):
        assert (a is None) == (e is None)
        assert a is None or np.array_equal(a, e)


def test_no_derivative_where_nothing_moves():
    (x, weight, bias), _ = numbers("group", (True, True), 0)
    y, y_dot = jax.jvp(lambda t: own("group", x, weight, bias) + 0 * t, (1.0,), (1.0,))
    assert y.shape == SHAPE
    assert not y_dot.any()


def test_running_statistics_have_no_gradient():
    (x, _, _), _ = numbers("batch", (False, False), 0)
    mean, var = map(jnp.asarray, CALLS["batch_frozen"][0])
    gradients = jax.grad(lambda *a: bridge.batch_norm_frozen(x, *a).sum(), argnums=(0, 1))(mean, var)
    assert not any(a.any() for a in gradients)
