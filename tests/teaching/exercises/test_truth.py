"""The quantities of `truth`, against NumPy and against differences."""

import numpy as np
import pytest

from gnref.teaching.exercises.cases import draw
from gnref.teaching.exercises.exercise import Exercise
from gnref.teaching.exercises.truth import NAMES, PER_SET, Truth
from gnref.testing.oracles import load
from gnref.testing.problems import Problem

NORMS = {"batch": (0, 2, 3), "instance": (2, 3), "group": (2, 3, 4)}


def problem_of(norm):
    return draw(Exercise(f"truth of {norm}", 0, "", "", norm=norm))[-1]


def rows(problem, t):
    """An array of x's shape, with its groups split off where there are any."""
    N, C, H, W = problem.shape
    G = problem.num_groups
    return t if G is None else t.reshape(N, G, C // G, H, W)


@pytest.mark.parametrize("norm", NORMS)
def test_statistics_equal_numpys(norm):
    problem, axes = problem_of(norm), NORMS[norm]
    truth, x = Truth(problem), rows(problem, problem.x)
    kept = Truth(problem, keepdims=True)
    m = x.size // x.mean(axes).size
    assert truth["m"] == m
    for name, expected in {
        "mean": x.mean(axes),
        "var": x.var(axes),
        "unbiased_var": x.var(axes, ddof=1),
        "std": np.sqrt(x.var(axes) + problem.eps),
        "rstd": (x.var(axes) + problem.eps) ** -0.5,
    }.items():
        np.testing.assert_allclose(truth[name], expected, rtol=1e-12, err_msg=name)
        assert kept[name].shape == x.mean(axes, keepdims=True).shape
        assert np.all(np.abs(truth[name] - expected) <= truth.limit(name))


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_of_intermediates_are_the_chain_rule(norm):
    problem = problem_of(norm)
    truth, kept = Truth(problem), Truth(problem, keepdims=True)
    dxhat, xc = rows(problem, truth["dxhat"]), rows(problem, truth["xc"])
    m = truth["m"]
    dx = dxhat * kept["rstd"] + kept["dvar"] * 2 * xc / m + kept["dmean"] / m
    np.testing.assert_allclose(dx.reshape(problem.shape), truth["dx"], rtol=1e-9, atol=1e-12)
    one_line = kept["rstd"] * (dxhat - kept["mean_dxhat"] - xc * kept["rstd"] * kept["mean_dxhat_xhat"])
    np.testing.assert_allclose(one_line.reshape(problem.shape), truth["dx"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(kept["dvar"], -(kept["rstd"] ** 3) / 2 * kept["drstd"], rtol=1e-12)


def test_dx_equals_complex_steps():
    x, dy = np.random.default_rng(0).standard_normal((2, 2, 4, 3))
    problem = Problem("group", x, dy, weight=np.arange(1.0, 5), bias=np.zeros(4), num_groups=2, eps=0.1)
    dx, dweight, dbias = load("complex_step").gradients(problem)
    for name, expected in {"dx": dx, "dweight": dweight, "dbias": dbias}.items():
        np.testing.assert_allclose(Truth(problem)[name], expected, rtol=1e-10, atol=1e-12)


def test_running_statistics_weigh_the_new_value_and_take_the_unbiased_variance():
    truth = Truth(problem_of("batch"))
    x, momentum = truth["x"], truth["momentum"]
    new = {"mean": x.mean((0, 2, 3)), "var": x.var((0, 2, 3), ddof=1)}
    for name, value in new.items():
        expected = (1 - momentum) * truth[f"running_{name}"] + momentum * value
        np.testing.assert_allclose(truth[f"new_running_{name}"], expected, rtol=1e-12)
        assert np.all(truth.limit(f"new_running_{name}") < 1e-9)


@pytest.mark.parametrize("name", NAMES[8:])
def test_tolerances_are_small_and_of_the_quantitys_shape(name):
    truth = Truth(problem_of("group" if name in PER_SET else "batch"))
    if name in ("running_mean", "running_var", "momentum"):
        return
    limit, value = truth.limit(name), truth[name]
    assert np.shape(limit) == np.shape(value)
    assert np.all(limit > 0)
    assert np.max(limit) < 1e-8 * np.max(np.abs(value))


def test_an_unknown_quantity_is_named():
    with pytest.raises(KeyError, match="there is no quantity 'men'; expected one of x, dy"):
        Truth(problem_of("batch"))["men"]
