"""vmap, jit, scan, checkpoint and nestings of them: each equals a loop in Python."""

from itertools import product

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp = jax.numpy

from gnref.bridges import jax as bridge  # noqa: E402
from gnref.bridges.jax import entry, host, primitives  # noqa: E402

pytestmark = pytest.mark.usefixtures("float64")
SIZE, SHAPE = 3, (4, 6, 2)
CALLS = {
    "batch": (bridge.batch_norm, (), {}, (6,)),
    "batch, virtual": (bridge.batch_norm, (), {"virtual_batch_size": 2}, (6,)),
    "batch, last": (bridge.batch_norm, (), {"channel_axis": -1}, (2,)),
    "instance": (bridge.instance_norm, (), {}, (6,)),
    "group": (bridge.group_norm, (3,), {}, (6,)),
    "layer": (bridge.layer_norm, (2,), {}, (2,)),
    "layer, of all": (bridge.layer_norm, (SHAPE,), {}, SHAPE),
    "rms": (bridge.rms_norm, ((6, 2),), {}, (6, 2)),
}


def function(name):
    """y of x, weight and bias; rms norm has no bias, so it is added."""
    norm, between, options, _ = CALLS[name]
    if norm is bridge.rms_norm:
        return lambda x, weight, bias: norm(x, *between, weight, **options) + bias
    return lambda x, weight, bias: norm(x, *between, weight, bias, **options)


def numbers(name, batched, seed=0):
    """x, weight, bias and dy, those that are batched with an axis in front."""
    rng = np.random.default_rng(seed)
    shapes = SHAPE, CALLS[name][3], CALLS[name][3], SHAPE
    return [
        jnp.asarray(rng.standard_normal((SIZE, *s) if b else s)) for s, b in zip(shapes, batched, strict=True)
    ]


def looped(f, arrays, batched):
    """f of each example, stacked."""
    each = [f(*(a[i] if b else a for a, b in zip(arrays, batched, strict=True))) for i in range(SIZE)]
    return jax.tree.map(lambda *a: jnp.stack(a), *each)


def assert_same(got, expected, tolerance=1e-12):
    for a, e in zip(*map(jax.tree.leaves, (got, expected)), strict=True):
        assert a.shape == e.shape
        assert a.dtype == e.dtype
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance * (1 + float(abs(e).max(initial=0))))


BATCHED = [some for some in product([True, False], repeat=4) if any(some)]


@pytest.mark.parametrize("name", CALLS)
def test_vmap_is_a_loop(name):
    """Of the forward and the backward pass and forward mode, whatever is batched."""
    f = function(name)

    def passes(x, weight, bias, dy):
        y, vjp = jax.vjp(f, x, weight, bias)
        dots = (dy, weight * 2, bias * 3)
        return y, vjp(dy), jax.jvp(f, (x, weight, bias), dots)[1]

    for batched in BATCHED:
        arrays = numbers(name, batched)
        axes = tuple(0 if b else None for b in batched)
        assert_same(jax.vmap(passes, in_axes=axes)(*arrays), looped(passes, arrays, batched))


@pytest.mark.parametrize("batched", [(True, False, False), (False, True, False), (False, False, True)])
@pytest.mark.parametrize("name", CALLS)
def test_a_vmap_of_one_gradient_is_a_loop(name, batched):
    f = function(name)
    arrays = numbers(name, (*batched, False))[:3]
    axes = tuple(0 if b else None for b in batched)
    for i in range(3):
        gradient = jax.grad(lambda *a: jnp.sum(jnp.sin(f(*a))), argnums=i)
        assert_same(jax.vmap(gradient, in_axes=axes)(*arrays), looped(gradient, arrays, batched))


SOME = [(True, False, False), (True, True, False), (False, True, True), (True, True, True)]


@pytest.mark.parametrize("batched", SOME)
@pytest.mark.parametrize("name", CALLS)
def test_the_gradient_of_a_vmap_is_that_of_a_loop(name, batched):
    f = function(name)
    arrays = numbers(name, (*batched, False))[:3]
    axes = tuple(0 if b else None for b in batched)

    def gradient(all_of):
        return jax.grad(lambda *a: jnp.sum(jnp.sin(all_of(*a))), argnums=(0, 1, 2))(*arrays)

    assert_same(gradient(jax.vmap(f, axes)), gradient(lambda *a: looped(f, a, batched)))


@pytest.mark.parametrize("name", CALLS)
def test_two_vmaps_over_axes_anywhere(name):
    f = function(name)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((4, SIZE, 6, 2, 5)))
    weight = jnp.asarray(rng.standard_normal((*CALLS[name][3], 5)))
    bias = jnp.asarray(rng.standard_normal((SIZE, *CALLS[name][3])))
    inner = jax.vmap(f, in_axes=(-1, -1, None), out_axes=2)
    got = jax.vmap(inner, in_axes=(1, None, 0))(x, weight, bias)
    for i, j in np.ndindex(SIZE, 5):
        assert_same(got[i][:, :, j], f(x[:, i, ..., j], weight[..., j], bias[i]))


@pytest.mark.parametrize("name", ["batch", "group", "layer", "rms"])
def test_hessians(name):
    f = function(name)
    arrays = numbers(name, (True, False, True, False))[:3]

    def loss(*a):
        return jnp.sum(jnp.sin(f(*a)))

    hessian = jax.hessian(loss, argnums=(0, 1))
    got = jax.jit(jax.vmap(hessian, in_axes=(0, None, 0)))(*arrays)
    one = jax.jit(hessian)
    assert_same(got, looped(one, arrays, (True, False, True)))
    x, weight, bias = arrays[0][0], arrays[1], arrays[2][0]
    other = jax.jacrev(jax.jacfwd(loss, argnums=0), argnums=1)(x, weight, bias)
    assert_same(other, one(x, weight, bias)[0][1])


@pytest.mark.parametrize("name", CALLS)
def test_jacobians_agree(name):
    arrays = numbers(name, (False,) * 4)[:3]
    f = function(name)
    assert_same(jax.jacfwd(f, argnums=(0, 1, 2))(*arrays), jax.jacrev(f, argnums=(0, 1, 2))(*arrays))


def test_scan_and_checkpoint_and_cond():
    f = function("group")
    x, weight, bias, dy = numbers("group", (False, True, True, False))

    def layers(weights, biases):
        def layer(h, params):
            return jax.checkpoint(f)(h, *params) + h, None

        h, _ = jax.lax.scan(layer, x, (weights, biases))
        return jax.lax.cond(jnp.sum(h) > 1e9, lambda h: h, lambda h: f(h, weights[0], biases[0]), h)

    def unrolled(weights, biases):
        h = x
        for params in zip(weights, biases, strict=True):
            h = f(h, *params) + h
        return f(h, weights[0], biases[0])

    def gradient(function):
        return jax.grad(lambda *a: jnp.sum(function(*a) * dy), argnums=(0, 1))(weight, bias)

    assert_same(jax.jit(layers)(weight, bias), unrolled(weight, bias))
    assert_same(gradient(layers), gradient(unrolled))


def test_nothing_is_computed_twice(monkeypatch):
    """A training step calls the host once forward and once backward, and a vmap over x as often."""
    tasks = []
    for task, work in host.TASKS.items():

        def noted(*given, task=task, work=work):
            tasks.append(task)
            return work(*given)

        monkeypatch.setitem(host.TASKS, task, noted)
    x, weight, bias, dy = numbers("group", (False,) * 4)
    f = function("group")
    step = jax.jit(jax.value_and_grad(lambda *a: jnp.sum(f(*a) * dy), argnums=(0, 1, 2)))
    jax.block_until_ready(step(x, weight, bias))
    assert tasks == ["normalize", "differentiate"]
    tasks.clear()
    gradient = jax.vmap(jax.grad(lambda x: jnp.sum(jnp.sin(f(x, weight, bias)))))
    jax.block_until_ready(jax.jit(gradient)(jnp.stack([x] * 5)))
    assert tasks == ["normalize", "differentiate"]


def test_an_empty_vmap():
    f = function("group")
    _, weight, bias, _ = numbers("group", (False,) * 4)
    assert jax.vmap(f, in_axes=(0, None, None))(jnp.zeros((0, *SHAPE)), weight, bias).shape == (0, *SHAPE)


def test_a_callback_gives_the_same():
    """Elsewhere than on the CPU it is a callback; tried here, on the CPU, that gives the same bits."""
    x, weight, bias, _ = numbers("group", (False,) * 4)
    given = {"x": x, "weight": weight, "bias": bias}
    axes = (("num_groups", 3), ("channel_axis", 1))
    call = entry.Call("group", SHAPE, "float64", "float64", "float64", 1e-5, axes)

    def ask(foreign):
        options = {"call": call, "names": tuple(given), "outs": ("y", "mean", "rstd")}
        asked = lambda *a: entry.asked("normalize", primitives.results, foreign, *a, **options)  # noqa: E731
        return jax.jit(asked)(*given.values())

    for a, e in zip(ask(False), ask(True), strict=True):
        assert a.dtype == e.dtype
        assert np.array_equal(a, e)
