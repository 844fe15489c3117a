"""Forward mode and second derivatives: against differences of the first ones, PyTorch and JAX."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gnref
from gnref.testing.problems import NORMS
from gnref.testing.strategies import problems

CLOSE = 1e-6  # of the largest number
STEP = 1e-5


@st.composite
def smooth(draw):
    """A problem in float64 of ordinary size, and a source of directions."""
    norm = draw(st.sampled_from(NORMS))
    kinds = ("normal", "integers")
    problem = draw(
        problems(norm, max_elements=80, dtypes=("float64",), kinds=kinds, hard=False, eps=(0.5, 1e-2))
    )
    return problem, np.random.default_rng(draw(st.integers(0, 2**32)))


def forward(problem, **changes):
    """y and saved of a problem with other arrays."""
    changed = problem.but(**{name: a for name, a in changes.items() if a is not None})
    function = getattr(gnref, f"{changed.function}_forward")
    return function(*changed.positional.values(), **changed.keywords, backend="reference")


def like(rng, *arrays):
    return tuple(None if a is None else rng.standard_normal(a.shape) for a in arrays)


def inner(a, b):
    return (
        0.0
        if a is None or b is None
        else float(np.sum(np.asarray(a, np.float64) * np.asarray(b, np.float64)))
    )


def moved(a, direction, step):
    return None if a is None else a + step * direction


def assert_near(got, expected, largest=0.0):
    assert abs(np.asarray(got) - expected).max(initial=0) <= CLOSE * max(
        abs(np.asarray(expected)).max(initial=0), largest, 1
    )


@settings(deadline=None, max_examples=150)
@given(smooth())
def test_jvp_is_the_slope_of_the_forward_pass(drawn):
    problem, rng = drawn
    x, weight, bias = problem.x, problem.weight, problem.bias
    x_dot, weight_dot, bias_dot = like(rng, x, weight, bias)
    _, saved = forward(problem)
    there, back = (
        forward(
            problem, x=moved(x, x_dot, h), weight=moved(weight, weight_dot, h), bias=moved(bias, bias_dot, h)
        )[0]
        for h in (STEP, -STEP)
    )
    assert_near(
        gnref.jvp(saved, x_dot, weight_dot, bias_dot), (there - back) / (2 * STEP), abs(there).max(initial=0)
    )


@settings(deadline=None, max_examples=150)
@given(smooth())
def test_forward_mode_is_the_adjoint_of_backward(drawn):
    problem, rng = drawn
    _, saved = forward(problem)
    directions = like(rng, problem.x, problem.weight, problem.bias)
    gradients = gnref.backward(problem.dy, saved)
    along = sum(map(inner, directions, gradients))
    scale = sum(inner(abs(v), abs(g)) for v, g in zip(directions, gradients, strict=True) if v is not None)
    assert inner(gnref.jvp(saved, *directions), problem.dy) == pytest.approx(along, abs=1e-12 * (1 + scale))


@settings(deadline=None, max_examples=150)
@given(smooth())
def test_double_backward_is_the_slope_of_backward(drawn):
    problem, rng = drawn
    x, dy, weight, bias = problem.x, problem.dy, problem.weight, problem.bias
    second = like(rng, x, weight, bias)
    along = like(rng, dy, x, weight)

    def loss(h):
        _, saved = forward(problem, x=moved(x, along[1], h), weight=moved(weight, along[2], h))
        return sum(map(inner, second, gnref.backward(moved(dy, along[0], h), saved)))

    _, saved = forward(problem)
    got = gnref.double_backward(dy, saved, *second)
    scale = sum(inner(abs(v), abs(g)) for v, g in zip(along, got, strict=True) if v is not None)
    assert_near(sum(map(inner, along, got)), (loss(STEP) - loss(-STEP)) / (2 * STEP), scale)


SHAPE = (4, 6, 5, 3)
CALLS = {
    "batch": ("batch_norm", (), (6,)),
    "instance": ("instance_norm", (), (6,)),
    "group": ("group_norm", (3,), (6,)),
    "layer": ("layer_norm", ((5, 3),), (5, 3)),
    "rms": ("rms_norm", ((5, 3),), (5, 3)),
    "frozen": ("batch_norm_frozen", "running", (6,)),
}
PRESENT = [(True, True), (True, False), (False, True), (False, False)]


def numbers(norm, weighted=True, biased=True, dtype=np.float64):
    """x, dy, weight, bias; ddx, ddweight, ddbias; running statistics."""
    rng = np.random.default_rng(0)
    _, _, params = CALLS[norm]
    x, dy, ddx = rng.standard_normal((3, *SHAPE)).astype(dtype)
    weight, ddweight = rng.standard_normal((2, *params)).astype(dtype) if weighted else (None, None)
    bias, ddbias = (
        rng.standard_normal((2, *params)).astype(dtype) if biased and norm != "rms" else (None, None)
    )
    return (x, dy, weight, bias), (ddx, ddweight, ddbias), rng.uniform(0.5, 2, (2, 6)).astype(dtype)


def saved_of(norm, x, weight, bias, running, **options):
    function, between, _ = CALLS[norm]
    between = tuple(running) if between == "running" else between
    params = (weight,) if norm == "rms" else (weight, bias)
    return getattr(gnref, f"{function}_forward")(x, *between, *params, **options)[1]


def in_torch(torch, norm, running):
    """The norm in PyTorch's own functions, whose double backward fails for a bias without a weight."""
    F = torch.nn.functional
    functions = {
        "batch": lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
        "instance": lambda x, w, b: F.instance_norm(x, weight=w, bias=b),
        "group": lambda x, w, b: F.group_norm(x, 3, w, b),
        "layer": lambda x, w, b: F.layer_norm(x, (5, 3), w, b),
        "rms": lambda x, w, b: F.rms_norm(x, (5, 3), w, eps=1e-5),
        "frozen": lambda x, w, b: F.batch_norm(x, *map(torch.from_numpy, running), w, b, training=False),
    }

    def run(x, w, b):
        return functions[norm](x, torch.ones_like(b) if w is None and b is not None else w, b)

    return run


@pytest.mark.parametrize(("weighted", "biased"), PRESENT)
@pytest.mark.parametrize("norm", CALLS)
def test_double_backward_is_that_of_autograd(norm, weighted, biased):
    torch = pytest.importorskip("torch")
    (x, dy, weight, bias), second, running = numbers(norm, weighted, biased)
    tensors = [None if a is None else torch.from_numpy(a).requires_grad_() for a in (x, dy, weight, bias)]
    tx, tdy, tw, tb = tensors
    inputs = [a for a in (tx, tw, tb) if a is not None]
    first = torch.autograd.grad(in_torch(torch, norm, running)(tx, tw, tb), inputs, tdy, create_graph=True)
    wanted = [a for a in (tdy, tx, tw) if a is not None]
    along = [torch.from_numpy(a) for a in second if a is not None]
    expected = torch.autograd.grad(first, wanted, along, allow_unused=True)
    got = [
        a
        for a in gnref.double_backward(dy, saved_of(norm, x, weight, bias, running), *second)
        if a is not None
    ]
    for a, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, 0.0 if e is None else e.detach().numpy(), rtol=1e-11, atol=1e-12)


def in_jax(jnp, norm, x, weight, bias, running):
    """The plain formulas, for JAX to differentiate."""
    C = {"frozen": (), "batch": (0, 2, 3), "instance": (2, 3), "layer": (2, 3), "rms": (2, 3)}
    if norm == "frozen":
        mean, var = (a[:, None, None] for a in running)
        xhat = (x - mean) / jnp.sqrt(var + 1e-5)
    elif norm == "rms":
        xhat = x / jnp.sqrt(jnp.mean(x * x, axis=(2, 3), keepdims=True) + 1e-5)
    else:
        t, axes = (x.reshape(4, 3, -1), (2,)) if norm == "group" else (x, C[norm])
        mean = jnp.mean(t, axis=axes, keepdims=True)
        t = (t - mean) / jnp.sqrt(jnp.mean((t - mean) ** 2, axis=axes, keepdims=True) + 1e-5)
        xhat = t.reshape(x.shape)
    w, b = (a if norm in ("layer", "rms") else a[:, None, None] for a in (weight, bias))
    return xhat * w + b


@pytest.mark.parametrize("norm", CALLS)
def test_what_jax_makes_of_double_backward_is_its_own_third_derivative(norm):
    jax = pytest.importorskip("jax")
    with enabled_x64(jax):
        (x, dy, weight, bias), (ddx, ddweight, ddbias), running = numbers(norm)
        bias = np.zeros_like(weight) if bias is None else bias
        ddbias = np.zeros_like(weight) if ddbias is None else ddbias
        rng = np.random.default_rng(1)
        dots = [rng.standard_normal(a.shape) for a in (dy, x, weight)]

        def second_by_jax(dy, x, weight):
            def loss(dy, x, weight):
                _, back = jax.vjp(lambda *a: in_jax(jax.numpy, norm, *a, running), x, weight, bias)
                return sum((a * b).sum() for a, b in zip(back(dy), (ddx, ddweight, ddbias), strict=True))

            return jax.grad(loss, argnums=(0, 1, 2))(dy, x, weight)

        def second_by_gnref(dy, x, weight):
            arrays = jax.numpy.asarray
            own = None if norm == "rms" else arrays(bias)
            saved = saved_of(norm, x, weight, own, tuple(map(arrays, running)))
            along = (arrays(ddx), arrays(ddweight), None if norm == "rms" else arrays(ddbias))
            return gnref.double_backward(dy, saved, *along)

        arguments = (tuple(map(jax.numpy.asarray, (dy, x, weight))), tuple(map(jax.numpy.asarray, dots)))
        expected, expected_dot = jax.jvp(second_by_jax, *arguments)
        got, got_dot = jax.jvp(second_by_gnref, *arguments)
        for a, e in zip((*got, *got_dot), (*expected, *expected_dot), strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-9, atol=1e-9 * float(abs(e).max() + 1))


def enabled_x64(jax):
    try:
        return jax.enable_x64(True)
    except (AttributeError, TypeError):  # before JAX 0.8
        from jax.experimental import enable_x64

        return enable_x64()


@pytest.mark.parametrize("norm", CALLS)
def test_array_api_strict_gives_the_same(norm):
    strict = pytest.importorskip("array_api_strict")
    inputs, second, running = numbers(norm)
    away = strict.Device("device1")

    def moved(a):
        return None if a is None else strict.asarray(a, device=away)

    def both(convert):
        x, dy, weight, bias = map(convert, inputs)
        saved = saved_of(norm, x, weight, bias, tuple(map(convert, running)), backend="reference")
        along = tuple(map(convert, second))
        return gnref.jvp(saved, *along), *gnref.double_backward(dy, saved, *along)

    for a, e in zip(both(moved), both(lambda a: a), strict=True):
        assert a.device == away
        assert np.array_equal(np.asarray(a.to_device(strict.Device("CPU_DEVICE"))), e)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("norm", CALLS)
def test_jvp_on_the_cpu_backend(norm, dtype):
    pytest.importorskip("numba")
    (x, _, weight, bias), along, running = numbers(norm, dtype=dtype)
    x = np.asfortranarray(x)
    got, expected = (
        gnref.jvp(saved_of(norm, x, weight, bias, running, backend=backend), *along)
        for backend in ("cpu", "reference")
    )
    assert got.dtype == x.dtype
    assert got.strides == x.strides
    unit = float(ml_dtypes.finfo(dtype).eps)
    got, expected = (a.astype(np.float64) for a in (got, expected))
    np.testing.assert_allclose(got, expected, rtol=8 * unit, atol=8 * unit)


@pytest.mark.parametrize("norm", CALLS)
def test_what_is_not_given_is_zero(norm):
    (x, dy, weight, bias), (ddx, ddweight, _), running = numbers(norm)
    saved = saved_of(norm, x, weight, bias, running)
    assert not gnref.jvp(saved).any()
    assert all(a is None or not a.any() for a in gnref.double_backward(dy, saved))
    whole = gnref.double_backward(dy, saved, ddx, ddweight)
    parts = gnref.double_backward(dy, saved, ddx), gnref.double_backward(dy, saved, ddweight=ddweight)
    for a, b, c in zip(whole, *parts, strict=True):
        np.testing.assert_allclose(a, b + c, rtol=1e-12, atol=1e-12)


def test_sets_without_a_spread_and_arrays_without_numbers():
    weight, bias = np.ones(4), np.zeros(4)
    x = np.full((2, 4, 3), 7.0)
    _, saved = gnref.group_norm_forward(x, 2, weight, bias, eps=0.0)
    assert not gnref.jvp(saved, x_dot=x * np.arange(3)).any()
    assert not any(a.any() for a in gnref.double_backward(x, saved, ddx=x * np.arange(3)))
    empty = np.empty((0, 4, 3))
    _, saved = gnref.batch_norm_forward(empty, weight, bias)
    assert gnref.jvp(saved, empty, weight, bias).shape == empty.shape
    assert not gnref.double_backward(empty, saved, empty)[2].any()


def test_far_from_zero_nothing_is_lost():
    (x, dy, weight, bias), second, running = numbers("group")
    near, far = (saved_of("group", a, weight, bias, running) for a in (x, x + 2.0**20))
    for a, b in zip(
        gnref.double_backward(dy, near, *second), gnref.double_backward(dy, far, *second), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


BAD = [
    (lambda saved, x: gnref.jvp(x), TypeError, "saved is a ndarray; expected the Saved of a"),
    (
        lambda saved, x: gnref.jvp(saved, x[:1]),
        gnref.ShapeError,
        "x_dot has shape .1, 6, 5.; expected that of x, .2, 6, 5.",
    ),
    (
        lambda saved, x: gnref.jvp(saved, x.astype("f4")),
        TypeError,
        "x_dot has dtype float32; expected that of x, float64",
    ),
    (lambda saved, x: gnref.jvp(saved, [1.0]), TypeError, "x_dot is a builtins.list; expected an array of"),
    (
        lambda saved, x: gnref.jvp(saved, weight_dot=np.ones(5)),
        gnref.ShapeError,
        "weight_dot has shape .5,.; expected that",
    ),
    (
        lambda saved, x: gnref.jvp(saved, bias_dot=np.ones(6)),
        ValueError,
        "bias_dot is given and bias was absent",
    ),
    (lambda saved, x: gnref.double_backward(x[:1], saved), gnref.ShapeError, "dy has shape"),
    (
        lambda saved, x: gnref.double_backward(x, saved, ddbias=np.ones(6)),
        ValueError,
        "ddbias is given and bias was absent",
    ),
    (lambda saved, x: gnref.double_backward(x, None), TypeError, "saved is a NoneType"),
]


@pytest.mark.parametrize(("call", "error", "words"), BAD)
def test_bad_input(call, error, words):
    x = np.random.default_rng(0).standard_normal((2, 6, 5))
    _, saved = gnref.group_norm_forward(x, 3, np.ones(6))
    with pytest.raises(error, match=words):
        call(saved, x)
