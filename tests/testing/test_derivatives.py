"""Second derivatives and forward mode: what is right, what is wrong, and what says that it is not offered."""

import numpy as np
import pytest

from gnref.testing import PROPERTIES, check
from gnref.testing.check import checker_of
from gnref.testing.properties.derivatives import (
    FORWARD_MODE,
    SECOND,
    directional_sizes,
    directions,
    second_sizes,
    with_and_without,
)
from gnref.testing.report import ConformanceError

EXACT = {"require": {"second_order": "exact"}}


@pytest.fixture
def layers():
    """The module of layer norms that PyTorch differentiates."""
    pytest.importorskip("torch")
    import differentiated

    return differentiated


def answer(name, forward, *, max_examples=20, norm="layer", arrays="torch", **words):
    """What comes of one property."""
    checker, pairs = checker_of(
        None,
        forward,
        norm=norm,
        arrays=arrays,
        max_examples=max_examples,
        **({"dtypes": ("float64",)} | words),
    )
    try:
        return checker.ask(PROPERTIES[name], pairs)
    finally:
        checker.close()


@pytest.mark.parametrize("name", [SECOND, FORWARD_MODE])
def test_what_is_right_passes(layers, name):
    for forward in (layers.plain, layers.function(layers.Right)):
        result = answer(name, forward, **EXACT)
        assert (result.status, result.reason) == ("passed", "")
        assert 0 < result.worst < 1e-3


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_statistics_that_are_constants_to_the_second_derivative_are_found(layers, seed):
    wrong = layers.function(layers.ConstantStatistics)
    result = answer(SECOND, wrong, seed=seed)
    assert result.status == "failed"
    assert "grad_x[" in result.reason
    assert result.counterexample.set_size == 3
    assert answer(FORWARD_MODE, wrong, seed=seed).status == "passed"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_weight_inside_the_jacobian_is_found_by_forward_mode(layers, seed):
    wrong = layers.function(layers.WeightInside)
    result = answer(FORWARD_MODE, wrong, seed=seed)
    assert result.status == "failed"
    assert result.reason.startswith("with weight")
    assert "y_dot[" in result.reason
    assert answer(SECOND, wrong, seed=seed).status == "passed"


def test_what_says_that_it_cannot_is_no_failure(layers):
    report = check(
        layers.function(layers.Once), norm="layer", arrays="torch", dtypes=("float64",), max_examples=8
    )
    assert report.ok
    status = {result.property: (result.status, result.reason) for result in report.results}
    assert status[SECOND][0] == status[FORWARD_MODE][0] == "refused"
    assert "once_differentiable" in status[SECOND][1]
    assert "with weight and bias: it raises" in status[FORWARD_MODE][1]
    assert set(report.refused) == {SECOND, FORWARD_MODE}
    assert not {SECOND, FORWARD_MODE} & set(report.not_exercised)
    assert ", 2 refused, " in report.summary()
    assert f"Refused: {SECOND}: with weight and bias: it raises RuntimeError" in report.to_markdown()


def test_where_it_is_required_what_no_problem_shows_is_a_failure(layers):
    words = {"norm": "layer", "arrays": "torch", "dtypes": ("float64",), "max_examples": 1}
    assert check(layers.plain, **words).ok
    report = check(layers.plain, **words, **EXACT)
    assert report.failed == [SECOND, FORWARD_MODE]
    with pytest.raises(
        ConformanceError, match=r"not shown, and require\['second_order'\] is 'exact': no prob"
    ):
        report.raise_if_failed()
    assert "try more examples (max_examples is 1)" in report.to_markdown()


@pytest.mark.parametrize("name", [SECOND, FORWARD_MODE])
def test_where_it_is_required_a_refusal_is_a_failure(layers, name):
    result = answer(name, layers.function(layers.Once), max_examples=8, **EXACT)
    assert result.status == "failed"
    assert result.reason.startswith("is not offered: with weight and bias: it raises")


def test_a_backward_pass_that_hangs_on_nothing_is_wrong(layers):
    result = answer(SECOND, layers.function(layers.Silent))
    assert result.status == "failed"
    assert "is 0, expected" in result.reason


def test_what_is_refused_for_one_choice_of_parameters_is_told(layers):
    result = answer(SECOND, layers.no_bias_alone)
    assert result.status == "passed"
    assert result.reason == "with bias alone: it raises RuntimeError: no weight"
    required = answer(SECOND, layers.no_bias_alone, **EXACT)
    assert required.status == "failed"


def test_a_backward_pass_that_is_refused_belongs_to_another_property(layers):
    def forward(x, normalized_shape, weight, bias, eps):
        y = layers.plain(x, normalized_shape, weight, bias, eps)
        return y.detach() if weight is None else y

    result = answer(SECOND, forward, **EXACT)
    assert (result.status, result.reason) == ("passed", "")


def test_a_small_mistake_is_found(layers):
    result = answer(SECOND, layers.function(layers.Slightly))
    assert result.status == "failed"
    assert "grad_dy[" in result.reason


def test_float32_is_asked_where_there_is_no_float64(layers):
    result = answer(SECOND, layers.plain, dtypes=("float32",))
    assert result.status == "passed"
    assert set(result.worst_by_dtype) == {"float32"}
    assert result.worst < 0.5
    wrong = layers.function(layers.ConstantStatistics)
    assert answer(SECOND, wrong, dtypes=("float32",)).status == "failed"
    assert answer(SECOND, layers.plain, dtypes=("float16",)).status == "empty"


def test_another_process_answers_alike(layers):
    words = {"isolate": True, "max_examples": 8}
    assert answer(SECOND, layers.plain, **words).worst == answer(SECOND, layers.plain, max_examples=8).worst
    assert answer(FORWARD_MODE, layers.function(layers.WeightInside), **words).status == "failed"
    refused = answer(SECOND, layers.function(layers.Once), **words)
    assert refused.status == "refused"
    assert "once_differentiable" in refused.reason


def custom_vjp():
    """A group norm of one's own in JAX, and the same with rstd a constant to its backward pass."""
    jax = pytest.importorskip("jax")
    jnp = pytest.importorskip("jax.numpy")

    def rows(x, num_groups):
        return x.reshape(x.shape[0], num_groups, -1)

    @jax.custom_vjp
    def xhat(r, eps):
        return forward(r, eps)[0]

    def forward(r, eps):
        d = r - r.mean(-1, keepdims=True)
        rstd = 1 / jnp.sqrt((d * d).mean(-1, keepdims=True) + eps)
        return d * rstd, (d * rstd, rstd)

    def backward(saved, dy):
        h, rstd = saved
        return rstd * (dy - dy.mean(-1, keepdims=True) - h * (dy * h).mean(-1, keepdims=True)), None

    def constant(saved, dy):
        return backward((saved[0], jax.lax.stop_gradient(saved[1])), dy)

    def norm(rule):
        @jax.custom_vjp
        def own(r, eps):
            return forward(r, eps)[0]

        own.defvjp(forward, rule)

        def group(x, num_groups, weight, bias, eps):
            y = own(rows(x, num_groups), eps).reshape(x.shape)
            shape = (1, -1) + (1,) * (x.ndim - 2)
            y = y if weight is None else y * weight.reshape(shape)
            return y if bias is None else y + bias.reshape(shape)

        return group

    return norm(backward), norm(constant)


def test_a_custom_vjp_of_jax_has_no_forward_mode_and_says_so():
    right, constant = custom_vjp()
    words = {"norm": "group", "arrays": "jax", "max_examples": 8}
    assert answer(SECOND, right, **words).status == "passed"
    refused = answer(FORWARD_MODE, right, **words)
    assert refused.status == "refused"
    assert "custom_vjp" in refused.reason
    assert answer(FORWARD_MODE, right, **words, **EXACT).status == "failed"
    assert answer(SECOND, constant, **words).status == "failed"


def test_two_functions_of_ones_own_are_not_asked():
    import kernels

    words = {"norm": "group", "dtypes": ("float32",), "max_examples": 2}
    report = check(kernels.right, kernels.backward, **words)
    assert not {SECOND, FORWARD_MODE} & {result.property for result in report.results}
    with pytest.raises(ValueError, match=r"'exact', and the backward pass of right is a function of"):
        check(kernels.right, kernels.backward, **words, **EXACT)


def test_sets_of_one_element_say_nothing(layers):
    result = answer(SECOND, layers.plain, max_examples=2)
    assert (result.status, result.examples) == ("empty", 0), "the first problem is the smallest"


def test_every_choice_of_parameters_is_asked(problem):
    made = list(with_and_without(problem))
    there = {tuple(p.parameters) for p in made}
    both = {("weight",), ()} if problem.norm == "rms" else {("weight", "bias"), ("weight",), ("bias",), ()}
    assert there == both
    assert len(made) == len(both)
    assert all(p.weight is None or p.weight.shape == made[0].weight.shape for p in made)


def test_outside_the_domain_no_choice_is_asked(layers):
    def forward(x, normalized_shape, weight, bias, eps):
        assert weight is not None
        assert bias is not None
        return layers.plain(x, normalized_shape, weight, bias, eps)

    result = answer(SECOND, forward, supports={"affine_required": True}, **EXACT)
    assert (result.status, result.reason) == ("passed", "")


def test_directions_are_like_what_there_is(problem):
    along = directions(problem)
    assert along.x.shape == problem.shape
    assert (along.weight is None) == (problem.weight is None)
    assert all(not np.array_equal(along.x, a) for a in (problem.x, problem.dy))


def test_sizes_bound_what_they_are_of(problem):
    """No term is larger than its size says, so that a tolerance in units of it is none of something else."""
    from gnref.testing import oracles

    if problem.norm == "batch_frozen" or problem.virtual_batch_size:
        pytest.skip("not asked of targets")
    along = directions(problem)
    found = oracles.load("autograd").second(problem, *along)
    for a, size in zip(found, second_sizes(problem, along), strict=True):
        if a is not None:
            assert (np.abs(a) <= size).all()
            assert problem.set_size <= 1 or size.min() < 1e3 * np.abs(a).max()
    assert (directional_sizes(problem, along) >= np.abs(found[0])).all()
