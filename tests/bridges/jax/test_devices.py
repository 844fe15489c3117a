"""Arrays on four devices: placed by hand, in shard_map, and on meshes of explicit axes."""

import os
import subprocess
import sys

import pytest

jax = pytest.importorskip("jax")

START = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from gnref.bridges import jax as bridge

rng = np.random.default_rng(0)
x, v = (rng.standard_normal((4, 4, 6)).astype(np.float32) for _ in range(2))
w = rng.standard_normal(4).astype(np.float32)
mesh = Mesh(np.array(jax.devices()), ("n",))
assert mesh.size == 4

def group(x, w):
    return bridge.group_norm(x, 2, w, w)

def loss(f):
    return lambda x, w: jnp.sum(jnp.sin(f(x, w)) * v)

def gradient(f):
    return jax.grad(loss(f), argnums=(0, 1))

def second(f):
    return jax.grad(lambda x, w: jnp.sum(jax.grad(loss(f))(x, w) * v), argnums=(0, 1))

def forward(f):
    return lambda x, w: jax.jvp(f, (x, w), (jnp.sin(x), jnp.sin(w)))

def close(got, expected):
    for a, e in zip(*map(jax.tree.leaves, (got, expected)), strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=1e-5 * (1 + abs(np.asarray(e)).max()))
"""


def on_four_devices(code):
    more = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", START + code],
        capture_output=True,
        text=True,
        env=os.environ | more,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr


def test_placements_that_jax_combines_are_taken_and_no_others():
    on_four_devices("""
first = jax.devices()[0]
PLACES = {
    "free": jnp.asarray,
    "spread": lambda a: jax.device_put(a, NamedSharding(mesh, P("n"))),
    "everywhere": lambda a: jax.device_put(a, NamedSharding(mesh, P())),
    "first": lambda a: jax.device_put(a, first),
    "second": lambda a: jax.device_put(a, jax.devices()[1]),
}

def taken(function, *arrays):
    try:
        return jax.block_until_ready(function(*arrays))
    except ValueError as error:
        assert "incompatible devices" in str(error), error

expected, count = [group(x, w), gradient(group)(x, w), bridge.batch_norm_frozen(x, w, w * w)], 0
for at_x in PLACES.values():
    for at_w in PLACES.values():
        x1, w1 = at_x(x), at_w(w)
        jaxs = taken(lambda x, w: x + w[:, None], x1, w1) is not None
        frozen = lambda x, w: bridge.batch_norm_frozen(x, w, w * w)
        got = [taken(f, x1, w1) for f in (group, gradient(group), frozen)]
        assert [a is not None for a in got] == [jaxs] * 3
        count += jaxs
        if jaxs:
            close(got, expected)
assert count == 15, count
""")


@pytest.mark.skipif(not hasattr(jax, "shard_map"), reason="this JAX has no shard_map")
@pytest.mark.parametrize("checked", [True, False])
def test_shard_map_is_the_same_function(checked):
    """The weight is the same on all devices: where JAX keeps account of that, its gradients are added."""
    on_four_devices(
        f"checked = {checked}"
        + """
for f in (group, lambda x, w: jax.vmap(lambda x, w: group(x[None], w)[0], (0, None))(x, w)):
    spread = jax.shard_map(f, mesh=mesh, in_specs=(P("n"), P()), out_specs=P("n"), check_vma=checked)
    for of in (lambda f: f, gradient, second, forward):
        close(jax.jit(of(spread))(x, w), of(f)(x, w))
        if of is not second:  # without jit JAX 0.7 adds float0
            close(of(spread)(x, w), of(f)(x, w))
    if checked:
        own = lambda x, w: jax.grad(lambda x, w: jnp.sum(jnp.sin(f(x, w))), argnums=(0, 1))(x, w)
        inside = jax.shard_map(own, mesh=mesh, in_specs=(P("n"), P()), out_specs=(P("n"), P()))
        close(inside(x, w), own(x, w))
"""
    )


@pytest.mark.skipif(not hasattr(jax.sharding, "reshard"), reason="this JAX has no explicit axes")
def test_explicit_axes():
    on_four_devices("""
mesh = jax.make_mesh((4,), ("n",), axis_types=(jax.sharding.AxisType.Explicit,))
expected = [of(group)(x, w) for of in (lambda f: f, gradient, second, forward)]
with jax.set_mesh(mesh):
    for at_x in (P("n"), P(None, "n"), P()):
        for at_w in (P("n"), P()):
            x1, w1 = (jax.device_put(a, NamedSharding(mesh, at)) for a, at in ((x, at_x), (w, at_w)))
            for of, e in zip((lambda f: f, gradient, second, forward), expected):
                close(of(group)(x1, w1), e)
                close(jax.jit(of(group))(x1, w1), e)
""")
