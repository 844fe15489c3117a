"""Every property holds for gnref, and four tolerances are too many. test_mutants.py plants mistakes."""

import numpy as np
import pytest

import gnref
from gnref.testing import PROPERTIES, Gnref, check_property, tolerance
from gnref.testing.problems import NORMS
from gnref.testing.runner import plan

READY = [name for name, state in gnref.backends().items() if state == "ready" and name != "cuda"]


@pytest.mark.parametrize("backend", READY)
@pytest.mark.parametrize(("prop", "norm"), [(prop.name, norm) for prop, norm in plan(NORMS)])
def test_the_property_holds(backend, prop, norm):
    result = check_property(PROPERTIES[prop], Gnref(backend), norm, max_examples=25, seed=1)
    if result.status == "skipped":
        pytest.skip(result.reason)
    assert result.status == "passed", f"{result.reason}\n{result.snippet}"
    assert result.examples > (5 if PROPERTIES[prop].examples >= 1 else 0), "few are drawn of the largest"


class Off(Gnref):
    """gnref, with 4 times an oracle's tolerance added to one element of one result, or to every one."""

    names = ("dx", "dweight", "dbias")

    def __init__(self, what, oracle="exact", everywhere=False):
        super().__init__("reference")
        self.what, self.oracle, self.everywhere = what, oracle, everywhere

    def shifted(self, name, a, problem):
        if a is None or name != self.what or a.size == 0:
            return a
        a = a.copy()
        limit = np.broadcast_to(getattr(tolerance(problem, oracle=self.oracle), name), a.shape)
        places = slice(None) if self.everywhere else problem.seed % a.size
        a.flat[places] = (a.flat[places].astype(np.float64) + 4 * limit.flat[places]).astype(a.dtype)
        return a

    def forward(self, problem, **options):
        forward = super().forward(problem, **options)
        return forward._replace(y=self.shifted("y", forward.y, problem), saved=(forward.saved, problem))

    def backward(self, dy, forward, **options):
        saved, problem = forward.saved
        grads = super().backward(dy, forward._replace(saved=saved), **options)
        return type(grads)(*(self.shifted(k, a, problem) for k, a in zip(self.names, grads, strict=True)))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("what", ["y", "dx", "dweight", "dbias"])
def test_four_tolerances_are_too_many(what, norm):
    if (what, norm) == ("dbias", "rms"):
        pytest.skip("rms norm has no bias")
    prop = PROPERTIES["y equals exact fractions" if what == "y" else "gradients equal exact fractions"]
    for dtype in ("float32", "float64", "float16", "bfloat16"):
        result = check_property(prop, Off(what), norm, max_examples=3, dtypes=(dtype,), affine=True)
        assert result.status == "failed", dtype


OTHERS = [
    (name, prop.oracle, what)
    for name, prop in PROPERTIES.items()
    if prop.oracle not in (None, "exact", "central_differences") and "differentiates" not in prop.requires
    for what in (("y",) if name.startswith("y ") else ("dx", "dweight", "dbias"))
]


@pytest.mark.parametrize(("name", "oracle", "what"), OTHERS)
def test_four_tolerances_are_too_many_for_every_oracle(name, oracle, what):
    for dtype in ("float32", "float64"):
        result = check_property(
            PROPERTIES[name], Off(what, oracle), "group", max_examples=3, dtypes=(dtype,), affine=True
        )
        if result.status == "skipped":
            pytest.skip(result.reason)
        assert result.status == "failed", dtype


@pytest.mark.parametrize("what", ["dx", "dweight", "dbias"])
def test_four_tolerances_are_too_many_for_differences(what):
    target, prop = Off(what, "loops", everywhere=True), PROPERTIES["gradients equal differences"]
    result = check_property(prop, target, "group", max_examples=20, dtypes=("float32",), affine=True)
    assert result.status == "failed"


def test_every_property_says_what_it_states():
    assert all(
        prop.check.__doc__ or prop.oracle in ("autograd", "torch", "jax") for prop in PROPERTIES.values()
    )
    assert all(len(name) <= 36 for name in PROPERTIES)
