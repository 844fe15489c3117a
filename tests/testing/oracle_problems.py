"""Problems to ask every oracle, and how far apart two answers are."""

import numpy as np
import pytest

from gnref.testing import oracles
from gnref.testing.problems import Problem

TOLERANCE = 2e-14  # of the largest value; 64 roundings in float64 and more


def random_problem(norm, shape, *, params=None, dtype=np.float64, **words):
    """A problem of normal numbers; params is the shape of weight and bias, else that of the channels."""
    rng = np.random.default_rng([len(norm), *shape])
    params = params or (shape[words.get("channel_axis", 1)],)
    words = {"weight": rng.standard_normal(params), "bias": rng.standard_normal(params)} | words
    if norm == "batch_frozen":
        words |= {"running_mean": rng.standard_normal(params), "running_var": rng.uniform(0.5, 2.0, params)}
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    return Problem(norm, x, dy, **words)


def trailing_problem(norm, shape, ndim, **words):
    trailing = shape[len(shape) - ndim :]
    bias = {"bias": None} if norm == "rms" else {}
    return random_problem(norm, shape, params=trailing, normalized_shape=trailing, **(bias | words))


PROBLEMS = {
    "batch": random_problem("batch", (4, 3, 2, 2)),
    "batch of (N, C)": random_problem("batch", (7, 3)),
    "batch, channels last": random_problem("batch", (3, 2, 2, 4), channel_axis=-1),
    "batch, virtual": random_problem("batch", (6, 3, 2), virtual_batch_size=2),
    "batch, virtual, channels last": random_problem("batch", (6, 2, 3), virtual_batch_size=3, channel_axis=2),
    "batch, no weight": random_problem("batch", (4, 3, 2), weight=None),
    "frozen": random_problem("batch_frozen", (3, 4, 2)),
    "frozen, channels last": random_problem("batch_frozen", (3, 2, 2, 4), channel_axis=-1),
    "frozen, one element": random_problem("batch_frozen", (1, 1), bias=None),
    "instance": random_problem("instance", (2, 3, 2, 3)),
    "instance, channels last": random_problem("instance", (2, 3, 2, 3), channel_axis=-1),
    "instance, one example, channels last": random_problem("instance", (1, 4, 2, 3), channel_axis=-1),
    "instance of (N, C)": random_problem("instance", (2, 3)),
    "instance, bare": random_problem("instance", (2, 3, 5), weight=None, bias=None),
    "group": random_problem("group", (2, 6, 2, 2), num_groups=3),
    "group, channels last": random_problem("group", (2, 2, 2, 6), num_groups=3, channel_axis=-1),
    "group, channels between": random_problem("group", (2, 2, 6, 2), num_groups=2, channel_axis=-2),
    "group of (N, C)": random_problem("group", (3, 8), num_groups=2, bias=None),
    "group, no weight": random_problem("group", (2, 4, 3), num_groups=2, weight=None),
    "instance, no weight": random_problem("instance", (2, 3, 4), weight=None),
    "layer, no weight": trailing_problem("layer", (2, 3), 1, weight=None),
    "layer": trailing_problem("layer", (3, 2, 4), 2),
    "layer, all": trailing_problem("layer", (11,), 1),
    "layer, bare": trailing_problem("layer", (3, 5), 1, weight=None, bias=None),
    "layer, large eps": trailing_problem("layer", (3, 5), 1, eps=0.5),
    "rms": trailing_problem("rms", (3, 7), 1),
    "rms, two axes": trailing_problem("rms", (2, 3, 4), 2),
    "rms, bare": trailing_problem("rms", (3, 7), 1, weight=None),
}


def load_for(name, problem):
    """The oracle, or a visible skip where its package is absent or the problem is not for it."""
    needs = oracles.ORACLES[name].needs
    if needs is not None:
        pytest.importorskip(needs)
    if not oracles.supports(name, problem):
        pytest.skip(oracles.why_not(name, problem))
    return oracles.load(name)


def floats(a):
    return None if a is None else a.astype(float)


def disagreement(got, expected):
    """The largest difference, relative to the largest value."""
    if got is None or expected is None:
        return 0.0 if got is expected else np.inf
    assert got.shape == expected.shape
    assert got.dtype == np.float64
    expected = floats(expected)
    return np.max(np.abs(got - expected), initial=0.0) / max(np.max(np.abs(expected), initial=0.0), 1e-300)


def worst(got, expected):
    return max(disagreement(a, b) for a, b in zip(got, expected, strict=True))
