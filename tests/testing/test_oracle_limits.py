"""What the oracles refuse, and what they leave alone."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from oracle_problems import (
    PROBLEMS,
    TOLERANCE,
    disagreement,
    floats,
    random_problem,
    trailing_problem,
)

from gnref.testing import oracles
from gnref.testing.oracles import differences, exact, loops
from gnref.testing.oracles.inputs import widened


def ask(oracle, what, problem):
    """Ask an oracle for what it gives; second derivatives and forward mode take directions, too."""
    rng, arrays = np.random.default_rng(3), (problem.x, problem.weight, problem.bias)
    directions = [None if a is None else rng.standard_normal(a.shape) for a in arrays]
    return getattr(oracle, what)(problem, *directions if what in ("second", "forward_mode") else ())


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
                    ask(solve, what, problem)


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
                ask(oracles.load(name), what, problem)
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
