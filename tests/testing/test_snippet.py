import sys

import numpy as np
import pytest

from gnref.testing import PROPERTIES, Functions, Gnref, Problem
from gnref.testing.domain import domain
from gnref.testing.mutants import textbook
from gnref.testing.snippet import snippet
from gnref.testing.targets.functions import Recipe

X = np.arange(8.0, dtype=np.float32).reshape(2, 2, 2)
PROBLEM = Problem("instance", X, X, np.ones(2, np.float32), np.zeros(2, np.float32))
MOMENTS = PROPERTIES["mean 0 and variance v/(v+eps)"]
LIMITS = {"affine_required": True, "ranks": (3, 4)}


def doubled(x, weight, bias, eps):
    """Twice what is right, and only with both parameters."""
    assert weight is not None
    assert bias is not None
    return 2 * textbook.functions("instance")[0](x, weight, bias, eps)[0]


doubled.norm, doubled.supports = "instance", lambda problem: problem.rank == 3


def printed(target, capsys):
    """What the program prints, after the program itself."""
    text = snippet(MOMENTS, target, PROBLEM)
    exec(text, {})
    return text, float(capsys.readouterr().out)


def target_of(**words):
    return Functions(doubled, norm="instance", **words)


def test_a_declared_domain_is_written_down(capsys):
    text, ratio = printed(target_of(domain=domain(LIMITS)), capsys)
    assert "domain=domain({'ranks': (3, 4), 'affine_required': True})" in text
    assert ratio > 1


def test_a_function_that_declares_it_is_left_out_and_the_rest_kept(capsys):
    text, ratio = printed(target_of(domain=domain(LIMITS | {"where": lambda problem: True})), capsys)
    assert "domain=domain({'ranks': (3, 4), 'affine_required': True})" in text
    assert ratio > 1
    assert "domain" not in snippet(MOMENTS, target_of(domain=domain(lambda problem: True)), PROBLEM)


@pytest.mark.parametrize("target", [Gnref("reference"), target_of()])
def test_without_limits_there_is_no_domain(target):
    assert "domain" not in snippet(MOMENTS, target, PROBLEM)


def test_a_target_made_from_a_text_takes_its_limits_from_there(monkeypatch, capsys):
    module = type(sys)("own_limits")
    module.forward = type("Forward", (), {"__call__": staticmethod(doubled), "norm": "instance"})()
    module.forward.supports = LIMITS
    monkeypatch.setitem(sys.modules, "own_limits", module)
    target = target_of(domain=domain(LIMITS))
    target.recipe = Recipe("own_limits:forward", None, target.recipe.options)
    text, ratio = printed(target, capsys)
    assert "domain=domain(given.get('supports'))" in text
    assert ratio > 1
    target.domain = domain(None)
    assert "domain" not in snippet(MOMENTS, target, PROBLEM)


@pytest.mark.parametrize("arrays", ["torch", "jax"])
def test_a_device_is_written_down_as_python(arrays):
    module = pytest.importorskip(arrays)
    device = module.device("cpu") if arrays == "torch" else module.devices()[0]
    target = target_of(arrays=arrays, device=device)
    made = {}
    exec(snippet(MOMENTS, target, PROBLEM).partition("problem =")[0], made)
    assert made["target"].library.device in (device, str(device))
    target.recipe = Recipe("own:forward", None, target.recipe.options)
    assert "device=given['device']" in snippet(MOMENTS, target, PROBLEM)
