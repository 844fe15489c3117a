"""The oracles agree with each other and with values worked out by hand, and see what is wrong."""

import subprocess
import sys
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from gnref.testing import oracles
from gnref.testing.oracles import differences, exact, loops
from gnref.testing.oracles.inputs import widened
from gnref.testing.oracles.sets import by_set, set_key, weight_index
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


@pytest.fixture(params=PROBLEMS.values(), ids=PROBLEMS.keys())
def problem(request):
    return request.param


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


@pytest.mark.parametrize("name", ["loops", "autograd", "torch", "jax"])
def test_y_agrees_with_exact_fractions(name, problem):
    oracle = load_for(name, problem)
    assert disagreement(oracle.y(problem), exact.y(problem)) < TOLERANCE


@pytest.mark.parametrize("name", ["complex_step", "autograd", "torch", "jax"])
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


@pytest.mark.parametrize("name", ["complex_step", "autograd", "torch", "jax"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_gradient_wrong_by_1e_9_is_seen(name, which):
    problem = PROBLEMS["group"]
    wrong = list(load_for(name, problem).gradients(problem))
    wrong[which].flat[1] *= 1 + 1e-9
    assert worst(wrong, exact.gradients(problem)) > 10 * TOLERANCE


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
@pytest.mark.parametrize("name", ["complex_step", "autograd", "torch", "jax"])
def test_gradients_agree_at_every_scale(name, scale):
    problem = PROBLEMS["group"].but(x=PROBLEMS["group"].x * scale, eps=0.0)
    oracle = load_for(name, problem)
    assert worst(oracle.gradients(problem), exact.gradients(problem)) < TOLERANCE


@pytest.mark.parametrize("scale", [1e-180, 1e-105, 1e92])
def test_numbers_beyond_float64_are_refused_except_by_exact(scale):
    problem = PROBLEMS["group"].but(x=PROBLEMS["group"].x * scale, eps=0.0)
    for name in oracles.ORACLES:
        if oracles.available()[name] == "ready":
            assert oracles.supports(name, problem) == (name == "exact")
    dx, _, _ = exact.gradients(problem)
    expected, _, _ = exact.gradients(PROBLEMS["group"].but(eps=0.0))
    assert disagreement(floats(dx * Fraction(scale)), expected) < TOLERANCE


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value):
    problem = PROBLEMS["layer"].but(x=np.full((3, 2, 4), value))
    for name, oracle in oracles.ORACLES.items():
        if oracles.available()[name] == "ready":
            assert "NaN or an infinity" in oracles.why_not(name, problem)
            solve = oracles.load(name)
            for what in set(oracle.gives) - {"central"}:
                with pytest.raises(ValueError, match="NaN or an infinity"):
                    getattr(solve, what)(problem)


def test_a_negative_variance_is_refused():
    frozen = PROBLEMS["frozen"]
    problem = frozen.but(running_var=-frozen.running_var)
    for name in ("exact", "loops", "complex_step"):
        assert oracles.why_not(name, problem) == "running_var + eps is negative"


@pytest.mark.parametrize("name", ["autograd", "torch", "jax"])
def test_frameworks_are_not_asked_for_the_mean_of_nothing(name):
    pytest.importorskip(oracles.ORACLES[name].needs)
    assert "x is empty" in oracles.why_not(name, random_problem("group", (0, 4, 3), num_groups=2))


def test_empty_arrays_have_empty_answers():
    problem = random_problem("group", (0, 4, 3), num_groups=2)
    assert exact.y(problem).shape == loops.y(problem).shape == (0, 4, 3)
    for dx, dweight, dbias in (exact.gradients(problem), differences.complex_step(problem)):
        assert dx.shape == (0, 4, 3)
        assert dweight.tolist() == dbias.tolist() == [0, 0, 0, 0]
    assert differences.central_within(problem, (None, np.ones(4), None)) == (0.0, 0.0)


REFUSED_BY_TORCH = {
    "batch": random_problem("batch", (1, 3)),
    "virtual": random_problem("batch", (4, 3), virtual_batch_size=1),
    "eps": random_problem("batch", (4, 3), eps=0.0),
    "instance": random_problem("instance", (4, 3)),
    "group": random_problem("group", (1, 3, 1), num_groups=3),
}


@pytest.mark.parametrize("refused", REFUSED_BY_TORCH.values(), ids=REFUSED_BY_TORCH.keys())
def test_torch_itself_refuses_what_its_oracle_does(refused):
    pytest.importorskip("torch", minversion="2.10")  # the first to refuse eps = 0
    from gnref.testing.oracles import torch as oracle

    assert "PyTorch refuses" in oracle.why_not(refused)
    with pytest.raises(ValueError, match=r"Expected more than 1|must be positive"):
        oracle._forward(refused, *oracle._inputs(refused))


@pytest.mark.parametrize("wide", [False, True])
def test_jax_settings_are_left_alone(wide):
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", wide)
    try:
        oracles.load("jax").gradients(PROBLEMS["group"])
        assert jax.numpy.ones(1).dtype == (np.float64 if wide else np.float32)
        assert jax.config.jax_default_device is None
    finally:
        jax.config.update("jax_enable_x64", before)


def test_torch_settings_do_not_matter_and_are_left_alone():
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    with torch.no_grad():
        dx, _, _ = oracles.load("torch").gradients(PROBLEMS["group"])
        assert not torch.is_grad_enabled()
    assert torch.get_num_threads() == threads
    assert disagreement(dx, exact.gradients(PROBLEMS["group"])[0]) < TOLERANCE


def test_inputs_are_not_changed(problem):
    before = widened(problem)
    for name, oracle in oracles.ORACLES.items():
        if oracles.available()[name] == "ready" and oracles.supports(name, problem):
            for what in set(oracle.gives) - {"central"}:
                getattr(oracles.load(name), what)(problem)
    for name in ("x", "dy", "weight", "bias"):
        assert np.array_equal(getattr(problem, name), getattr(before, name))


def test_the_registry_imports_no_framework():
    code = "import sys, gnref.testing.oracles; print({'torch', 'jax', 'autograd'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"


def test_the_registry_names_what_is_missing(monkeypatch):
    monkeypatch.setitem(oracles.ORACLES, "torch", oracles.ORACLES["torch"]._replace(needs="no_such_package"))
    assert (
        oracles.available()["torch"] == "no_such_package is not installed; try: pip install no_such_package"
    )
    with pytest.raises(ModuleNotFoundError, match="the oracle torch is not ready: no_such_package"):
        oracles.load("torch")


def test_the_registry_refuses_unknown_names_and_long_problems():
    with pytest.raises(ValueError, match="name is 'abacus'; expected one of exact, fsum, loops"):
        oracles.load("abacus")
    long = trailing_problem("layer", (1, 61), 1)
    assert "x has 61 elements; complex_step takes up to 60" in oracles.why_not("complex_step", long)
    assert oracles.supports("exact", long)
