"""The oracles agree with each other and with values worked out by hand, and see what is wrong."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from oracle_problems import (
    PROBLEMS,
    TOLERANCE,
    disagreement,
    floats,
    load_for,
    random_problem,
    worst,
)

from gnref.testing import oracles
from gnref.testing.oracles import differences, exact, loops
from gnref.testing.oracles.sets import by_set, set_key, weight_index
from gnref.testing.problems import Problem


@pytest.mark.parametrize("name", ["fsum", "loops", "autograd", "torch", "jax"])
def test_y_agrees_with_exact_fractions(name, problem):
    oracle = load_for(name, problem)
    assert disagreement(oracle.y(problem), exact.y(problem)) < TOLERANCE


@pytest.mark.parametrize("name", ["fsum", "complex_step", "autograd", "torch", "jax"])
def test_gradients_agree_with_exact_fractions(name, problem):
    oracle = load_for(name, problem)
    assert worst(oracle.gradients(problem), exact.gradients(problem)) < TOLERANCE


def along(problem, seed=0):
    """A direction, and the exact derivative of the loss along it."""
    rng = np.random.default_rng(seed)
    arrays = (problem.x, problem.weight, problem.bias)
    direction = tuple(None if a is None else rng.standard_normal(a.shape) for a in arrays)
    slopes = [
        np.sum(exact.fractions(a_dot) * gradient)
        for a_dot, gradient in zip(direction, exact.gradients(problem), strict=True)
        if a_dot is not None
    ]
    return direction, sum(slopes, Fraction(0))


def test_central_differences_are_within_their_bound(problem):
    direction, slope = along(problem)
    got, error = oracles.load("central_differences").central(problem, direction)
    assert abs(Fraction(got) - slope) <= error
    assert error < 1e-8 * np.sum(np.abs(problem.dy))  # it must bound something


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_the_bound_of_central_differences_holds_far_from_0(problem, offset):
    shift = {"x": problem.x + offset}
    if problem.norm == "batch_frozen":
        shift["running_mean"] = problem.running_mean + offset
    shifted = problem.but(**shift)
    direction, slope = along(shifted)
    got, error = differences.central_within(shifted, direction)
    assert abs(Fraction(got) - slope) <= error


def test_central_differences_take_one_part_of_a_direction(problem):
    (x_dot, weight_dot, bias_dot), slope = along(problem)
    parts = [(x_dot, None, None), (None, weight_dot, None), (None, None, bias_dot)]
    total = sum(differences.central(problem, part) for part in parts)
    error = sum(differences.central_error(problem, part) for part in parts)
    assert abs(Fraction(total) - slope) <= error


@pytest.mark.parametrize("name", ["fsum", "complex_step", "autograd", "torch", "jax"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_gradient_wrong_by_1e_9_is_seen(name, which):
    problem = PROBLEMS["group"]
    wrong = list(load_for(name, problem).gradients(problem))
    wrong[which].flat[1] *= 1 + 1e-9
    assert worst(wrong, exact.gradients(problem)) > 10 * TOLERANCE


def total(problem, along):
    """<ddx, dx> + <ddweight, dweight> + <ddbias, dbias>, exactly."""
    pairs = zip(along, exact.gradients(problem), strict=True)
    return sum((np.sum(exact.fractions(a) * gradient) for a, gradient in pairs if a is not None), Fraction(0))


@pytest.mark.parametrize("which", ["dy", "x", "weight"])
def test_second_derivatives_are_differences_of_exact_gradients(problem, which):
    if getattr(problem, which) is None:
        pytest.skip("there is no weight")
    rng = np.random.default_rng(7)
    arrays = (problem.x, problem.weight, problem.bias)
    along = tuple(None if a is None else rng.standard_normal(a.shape) for a in arrays)
    found = dict(
        zip(("dy", "x", "weight"), load_for("autograd", problem).second(problem, *along), strict=True)
    )
    assert (found["weight"] is None) == (problem.weight is None)
    direction, a = rng.standard_normal(found[which].shape), getattr(problem, which)
    h = 2.0**-17
    ends = [total(problem.but(**{which: a + sign * h * direction}), along) for sign in (1, -1)]
    slope, terms = float((ends[0] - ends[1]) / Fraction(2 * h)), np.abs(found[which] * direction).sum()
    # The steps are rounded, by 1e-16 / h; the third derivative, times h^2, is of the same order here.
    assert abs(np.sum(found[which] * direction) - slope) <= 1e-7 * max(terms, 1.0)


def test_forward_mode_is_the_difference_of_y(problem):
    rng = np.random.default_rng(8)
    arrays = {"x": problem.x, "weight": problem.weight, "bias": problem.bias}
    along = {name: None if a is None else rng.standard_normal(a.shape) for name, a in arrays.items()}
    y_dot = load_for("autograd", problem).forward_mode(problem, *along.values())
    h = 2.0**-17
    ends = [
        exact.y(problem.but(**{k: arrays[k] + sign * h * a for k, a in along.items() if a is not None}))
        for sign in (1, -1)
    ]
    slope = ((ends[0] - ends[1]) / Fraction(2 * h)).astype(float)
    assert disagreement(y_dot, slope) < 1e-7


def test_central_differences_see_a_gradient_wrong_by_1e_7():
    problem = PROBLEMS["group"]
    direction, slope = along(problem)
    got, error = differences.central_within(problem, direction)
    assert abs(Fraction(got) - slope * (1 + Fraction(1e-7))) > error


MISTAKES = {
    "the statistics are constants": {
        "norm": "batch_frozen",
        "running_mean": PROBLEMS["batch"].x.mean((0, 2, 3)),
        "running_var": PROBLEMS["batch"].x.var((0, 2, 3)),
    },
    "the statistics are of each example": {"norm": "instance"},
    "the weight is left out": {"weight": None},
    "eps is twice as large": {"eps": 2e-5},
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_wrong_backward_pass_is_seen(mistake):
    problem = PROBLEMS["batch"]
    wrong = floats(exact.gradients(problem.but(**mistake))[0])
    assert disagreement(wrong, exact.gradients(problem)[0]) > 1e-7
    assert disagreement(wrong, differences.complex_step(problem)[0]) > 1e-7


def test_exact_equals_an_example_worked_out_by_hand():
    # mean 2, var 4, rstd 1/2, xhat (-1, -1, 1, 1); dxhat = (2, 0, 0, 2), its mean 1; that of dxhat * xhat 0.
    problem = Problem(
        "layer",
        x=np.array([[0.0, 0.0, 4.0, 4.0]]),
        dy=np.array([[1.0, 0.0, 0.0, 2.0]]),
        weight=np.array([2.0, 3.0, 4.0, 1.0]),
        bias=np.array([0.0, 0.0, 0.5, 0.0]),
        eps=0.0,
        normalized_shape=(4,),
    )
    dx, dweight, dbias = exact.gradients(problem)
    assert exact.statistics(problem) == {(0,): (2, 4, Fraction(1, 2))}
    assert exact.y(problem).tolist() == [[-2, -3, Fraction(9, 2), 1]]
    assert dx.tolist() == [[Fraction(1, 2), Fraction(-1, 2), Fraction(-1, 2), Fraction(1, 2)]]
    assert dweight.tolist() == [-1, 0, 0, 2]
    assert dbias.tolist() == [1, 0, 0, 2]


def test_exact_rms_equals_an_example_worked_out_by_hand():
    # Mean square 4, rstd 1/2, xhat (1, 1, -1, 1); dy * xhat has the mean (4 + 1) / 4.
    x, dy = np.array([2.0, 2.0, -2.0, 2.0]), np.array([4.0, 0.0, 0.0, 1.0])
    problem = Problem("rms", x, dy, eps=0.0, normalized_shape=(4,))
    dx, dweight, _ = exact.gradients(problem)
    assert exact.y(problem).tolist() == [1, 1, -1, 1]
    assert dx.tolist() == [Fraction(n, 8) for n in (11, -5, 5, -1)]
    assert dweight is None


def test_rstd_is_good_to_200_bits():
    for v in map(Fraction, (2.0, 0.3, 1e-41, 7.3e36, 5e-324, 1e308)):
        rstd = exact.reciprocal_sqrt(v)
        assert 0 <= 1 - rstd * rstd * v < Fraction(1, 2**200)
    assert exact.reciprocal_sqrt(Fraction(1, 16)) == 4
    assert exact.reciprocal_sqrt(Fraction(0)) == 0


def test_sets_are_those_of_the_paper():
    zeros = np.zeros((4, 1, 6))
    group = Problem("group", zeros, zeros, num_groups=3, channel_axis=-1)
    assert set_key(group, (3, 0, 5)) == (3, 2)
    assert weight_index(group, (3, 0, 5)) == (5,)
    assert set_key(group.but(norm="instance"), (3, 0, 5)) == (3, 5)
    assert set_key(group.but(norm="batch"), (3, 0, 5)) == (5,)
    assert set_key(group.but(norm="batch", virtual_batch_size=2), (3, 0, 5)) == (1, 5)
    layer = Problem("layer", zeros, zeros, normalized_shape=(1, 6))
    assert set_key(layer, (3, 0, 5)) == (3,)
    assert weight_index(layer, (3, 0, 5)) == (0, 5)


def test_sets_partition_x(problem):
    elements = [i for S in by_set(problem).values() for i in S]
    assert sorted(elements) == list(np.ndindex(problem.shape))


def test_sets_take_arrays_of_indices(problem):
    keys = [
        np.broadcast_to(part, problem.shape) for part in set_key(problem, tuple(np.indices(problem.shape)))
    ]
    for i in np.ndindex(problem.shape):
        assert tuple(part[i] for part in keys) == set_key(problem, i)


@pytest.mark.parametrize("norm", ["batch", "batch_frozen", "group", "layer"])
def test_a_set_without_variance_gives_the_bias(norm):
    x, zeros = np.full((5, 3), 0.1), np.zeros(3)
    problem = Problem(norm, x, x, np.ones(3), np.arange(3.0), eps=0.0, num_groups=1, normalized_shape=(3,))
    problem = problem.but(running_mean=zeros, running_var=zeros)
    dx, dweight, _ = exact.gradients(problem)
    assert (exact.y(problem) == problem.bias).all()
    assert (loops.y(problem) == problem.bias).all()
    assert not dx.any()
    assert not dweight.any()
    assert "var + eps is 0" in differences.why_not(problem)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ml_dtypes.bfloat16])
def test_narrow_inputs_are_widened_exactly(dtype):
    narrow = random_problem("group", (2, 4, 3), num_groups=2, dtype=dtype)
    wide = narrow.but(x=narrow.x.astype(np.float64), dy=narrow.dy.astype(np.float64))
    assert (exact.y(narrow) == exact.y(wide)).all()
    for name in ("loops", "autograd", "torch", "jax"):
        if oracles.available()[name] == "ready":
            assert (oracles.load(name).y(narrow) == oracles.load(name).y(wide)).all()
    assert narrow.x.dtype == dtype


def test_sums_are_rounded_once():
    assert loops.total([1e16, 1.0, -1e16]) == 1.0
    assert loops.total([1e16 + 1e-9j, 1.0 + 1e9j, -1e16 - 1e9j]) == 1.0 + 1e-9j


def test_loops_lose_nothing_far_from_0(problem):
    if problem.norm in ("rms", "batch_frozen"):
        pytest.skip("rms and frozen norms do not subtract the mean of x")
    shifted = problem.but(x=problem.x + 1e9)
    assert disagreement(loops.y(shifted), exact.y(shifted)) < TOLERANCE
    assert worst(differences.complex_step(shifted), exact.gradients(shifted)) < TOLERANCE


@pytest.mark.parametrize("scale", [1e-90, 1e-18, 1e18, 1e85])
@pytest.mark.parametrize("name", ["fsum", "complex_step", "autograd", "torch", "jax"])
def test_gradients_agree_at_every_scale(name, scale):
    problem = PROBLEMS["group"].but(x=PROBLEMS["group"].x * scale, eps=0.0)
    oracle = load_for(name, problem)
    assert worst(oracle.gradients(problem), exact.gradients(problem)) < TOLERANCE
