"""What the bridge's functions return, take and refuse."""

import ml_dtypes
import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp = jax.numpy

import gnref  # noqa: E402
from gnref.bridges import jax as bridge  # noqa: E402
from gnref.errors import ShapeError  # noqa: E402

CALLS = {
    "batch_norm": ((), {}, (6,)),
    "instance_norm": ((), {}, (6,)),
    "group_norm": ((np.int64(3),), {}, (6,)),
    "layer_norm": (([6, 5],), {}, (6, 5)),
    "rms_norm": ((5,), {}, (5,)),
}
DTYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]


def numbers(shape, params, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s).astype(dtype) for s in (shape, params, params, shape)]


def arguments(name, weight, bias):
    between, options, _ = CALLS[name]
    return (*between, weight) if name == "rms_norm" else (*between, weight, bias), options


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CALLS)
def test_the_bits_are_those_of_gnref(name, dtype, compiled, enable_x64):
    """y, dx, dweight and dbias; the parameters of 16-bit x are float32, as is usual."""
    x, weight, bias, dy = numbers((4, 6, 5), CALLS[name][2], dtype)
    if np.dtype(dtype).itemsize == 2:
        weight, bias = weight.astype(np.float32), bias.astype(np.float32)
    params, options = arguments(name, weight, bias)
    y, saved = getattr(gnref, f"{name}_forward")(x, *params, **options)
    expected = y, *gnref.backward(dy, saved)

    def passes(x, weight, bias, dy):
        def forward(x, weight, bias):
            params, options = arguments(name, weight, bias)
            return getattr(bridge, name)(x, *params, **options)

        y, vjp = jax.vjp(forward, x, weight, bias)
        return y, *vjp(dy)

    with enable_x64(dtype is np.float64):
        got = (jax.jit(passes) if compiled else passes)(*map(jnp.asarray, (x, weight, bias, dy)))
    for a, e in zip(got, expected, strict=True):
        if e is not None:
            assert isinstance(a, jax.Array)
            assert a.dtype == e.dtype
            assert np.array_equal(a, e)


def test_statistics_stay_float64_where_jax_has_none():
    """In float32 the mean of such numbers is off by hundreds of spreads."""
    x = np.random.default_rng(0).standard_normal((2, 4, 100)).astype(np.float32) + np.float32(1e6)
    dy = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    _, saved = gnref.group_norm_forward(x, 2)
    _, vjp = jax.vjp(lambda x: bridge.group_norm(x, 2), jnp.asarray(x))
    assert np.array_equal(vjp(jnp.asarray(dy))[0], gnref.backward(dy, saved)[0])


def test_numpy_arrays_are_taken_as_jax_takes_them():
    x, weight, bias, _ = numbers((4, 6, 5), (6,), np.float64)
    y = bridge.group_norm(x, 3, weight, bias)
    assert isinstance(y, jax.Array)
    assert y.dtype == np.float32  # float64 is off by default
    np.testing.assert_allclose(y, gnref.group_norm(x, 3, weight, bias), rtol=0, atol=2e-6)
    assert bridge.group_norm(x[:, :, ::-1], 3).shape == x.shape


def test_the_frozen_norm():
    x, weight, bias, _ = numbers((4, 6, 5), (6,))
    mean, var = np.linspace(-1, 1, 6, dtype=np.float32), np.linspace(1, 2, 6, dtype=np.float32)
    y = jax.jit(bridge.batch_norm_frozen)(x, mean, var, weight, bias)
    np.testing.assert_allclose(y, gnref.batch_norm_frozen(x, mean, var, weight, bias), rtol=1e-5, atol=1e-5)
    with pytest.raises(TypeError, match="running_var is None"):
        bridge.batch_norm_frozen(x, mean, None)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("shape", [(0, 6, 5), (4, 6, 0), (0, 6, 0)])
def test_empty_arrays(name, shape):
    params = CALLS[name][2] if name != "layer_norm" else shape[1:]
    if name == "rms_norm":
        params = shape[2:]
    between = {"layer_norm": (params,), "rms_norm": (params,)}.get(name, CALLS[name][0])
    x, weight = jnp.zeros(shape), jnp.ones(params)

    def loss(x, weight):
        return jnp.sum(getattr(bridge, name)(x, *between, weight) ** 2)

    for function in (jax.grad, jax.hessian):
        gradients = function(loss, argnums=(0, 1))(x, weight)
        assert all(not np.any(a) for a in jax.tree.leaves(gradients))


def test_sets_of_one_element_and_eps_0():
    x, weight, bias, dy = map(jnp.asarray, numbers((3, 4), (4,)))
    y, vjp = jax.vjp(lambda *a: bridge.instance_norm(*a), x, weight, bias)
    dx, dweight, _ = vjp(dy)
    assert np.array_equal(y, jnp.broadcast_to(bias, y.shape))
    assert not dx.any()
    assert not dweight.any()
    constant = jnp.full((2, 4, 5), 3.0)
    y, vjp = jax.vjp(lambda x: bridge.group_norm(x, 2, eps=0.0), constant)
    assert not y.any()
    assert not vjp(y + 1)[0].any()
    second = jax.hessian(lambda x: jnp.sum(bridge.group_norm(x, 2, eps=0.0) ** 3))(constant)
    assert np.all(np.isfinite(second))


X = jnp.ones((4, 6, 5))
BAD = {
    "integers": (lambda x: bridge.group_norm(x.astype(int), 3), TypeError, "x has dtype int32; expected"),
    "a list": (lambda x: bridge.group_norm([[1.0, 2.0]], 2), TypeError, "x is a builtins.list; expected"),
    "a number": (lambda x: bridge.layer_norm(1.0, 1), TypeError, "x is a builtins.float; expected"),
    "None": (lambda x: bridge.group_norm(None, 3), TypeError, "x is a builtins.NoneType; expected"),
    "complex": (lambda x: bridge.batch_norm(x * 1j), TypeError, "x has dtype complex64"),
    "groups": (lambda x: bridge.group_norm(x, 4), ShapeError, "num_groups is 4, which does not divide C = 6"),
    "weight": (lambda x: bridge.group_norm(x, 3, jnp.ones(3)), ShapeError, r"weight has shape \(3,\)"),
    "bias": (lambda x: bridge.layer_norm(x, 5, None, jnp.ones(6)), ShapeError, r"bias has shape \(6,\)"),
    "integer bias": (
        lambda x: bridge.batch_norm(x, None, jnp.ones(6, int)),
        TypeError,
        "bias has dtype int32",
    ),
    "shape": (lambda x: bridge.rms_norm(x, (6, 4)), ShapeError, r"normalized_shape is \(6, 4\)"),
    "axis": (lambda x: bridge.instance_norm(x, channel_axis=0), ShapeError, "channel_axis is 0"),
    "rank": (lambda x: bridge.batch_norm(x[0, 0]), ShapeError, r"x has shape \(5,\)"),
    "virtual": (lambda x: bridge.batch_norm(x, virtual_batch_size=3), ShapeError, "divides N = 4"),
    "one element": (lambda x: bridge.batch_norm(x[:1, :, :1]), ShapeError, "one element per channel"),
    "eps": (lambda x: bridge.group_norm(x, 3, eps=-1.0), ValueError, "eps is -1.0"),
    "an array for eps": (
        lambda x: bridge.group_norm(x, 3, eps=np.ones(2)),
        TypeError,
        "expected a number >=",
    ),
    "out": (lambda x: bridge.group_norm(x, 3, out=x), TypeError, "out"),
}


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_found_before_anything_is_compiled(what, traced):
    call, error, message = BAD[what]
    run = jax.eval_shape if traced else lambda call, x: call(x)
    with pytest.raises(error, match=message) as raised:
        run(call, X)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("num_groups", jax.jit(bridge.group_norm)),
        ("normalized_shape", jax.jit(bridge.layer_norm)),
        ("normalized_shape", jax.jit(lambda x, size: bridge.rms_norm(x, (size,)))),
        ("eps", jax.jit(lambda x, eps: bridge.batch_norm(x, eps=eps))),
        ("eps", jax.jit(lambda x, eps: bridge.batch_norm_frozen(x, np.ones(6), np.ones(6), eps=eps))),
        (
            "channel_axis",
            jax.jit(lambda x, axis: bridge.batch_norm_frozen(x, np.ones(6), np.ones(6), channel_axis=axis)),
        ),
    ],
)
def test_options_must_be_known_while_jax_traces(name, run):
    with pytest.raises(TypeError, match=rf"{name} is traced; expected .*static_argnames='{name}'"):
        run(X, 3)


def test_a_number_in_an_array_is_a_number():
    expected = bridge.group_norm(X, 3, eps=0.5)
    assert np.array_equal(bridge.group_norm(X, jnp.int32(3), eps=jnp.float32(0.5)), expected)
    mean, var = np.zeros(6, "f"), np.ones(6, "f")
    expected = bridge.batch_norm_frozen(X, mean, var, eps=0.5)
    assert np.array_equal(bridge.batch_norm_frozen(X, mean, var, eps=jnp.float32(0.5)), expected)


def test_other_byte_orders_and_other_libraries():
    x = np.asarray(X)
    assert np.array_equal(bridge.group_norm(x.astype(">f4"), 3), bridge.group_norm(X, 3))
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="x is a torch array; expected one of JAX or NumPy"):
        bridge.group_norm(torch.from_numpy(x.copy()), 3)
    with pytest.raises(TypeError, match="weight is a torch array; expected one of JAX or NumPy"):
        bridge.group_norm(X, 3, torch.ones(6))


def test_what_the_test_kit_looks_at():
    from gnref.testing.targets.known.objects import find

    for norm in ("batch", "instance", "group", "layer", "rms"):
        found = find("gnref.bridges.jax", f"{norm}_norm")
        assert found.norms == (norm,)
        assert found.arguments(norm)["arrays"] == "jax"
    assert find("gnref.bridges", "jax").norms == ("batch", "instance", "group", "layer", "rms")
