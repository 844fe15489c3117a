"""Every property holds for gnref; a planted mistake breaks one; four tolerances are too many."""

import numpy as np
import pytest
from textbook import MISTAKES, Textbook

import gnref
from gnref.testing import PROPERTIES, Gnref, check_property, tolerance
from gnref.testing.problems import NORMS
from gnref.testing.runner import plan

READY = [name for name, state in gnref.backends().items() if state == "ready" and name != "cuda"]
PLAIN = {"channel_axes": False, "layouts": ("plain",), "kinds": ("integers", "normal", "heavy_tailed")}


@pytest.mark.parametrize("backend", READY)
@pytest.mark.parametrize(("prop", "norm"), [(prop.name, norm) for prop, norm in plan(NORMS)])
def test_the_property_holds(backend, prop, norm):
    result = check_property(PROPERTIES[prop], Gnref(backend), norm, max_examples=25, seed=1)
    if result.status == "skipped":
        pytest.skip(result.reason)
    assert result.status == "passed", f"{result.reason}\n{result.snippet}"
    assert result.examples > 5


def group_properties():
    return [
        property
        for prop in PROPERTIES.values()
        if "group" in prop.norms and prop.oracle not in ("torch", "jax")
    ]


# What a correct float64 two-pass may not do: float64 at offsets of 1e9, which take a two-number mean.
MODEST = {**PLAIN, "dtypes": ("float32", "bfloat16", "float16")}


@pytest.mark.parametrize("prop", [prop.name for prop in group_properties() if "layout" not in prop.name])
def test_a_correct_textbook_kernel_breaks_no_property(prop):
    if PROPERTIES[prop].name in (
        "channels last is a transpose",
        "f(any layout) = f(plain layout)",
        "G = 1 is layer norm",
    ):
        pytest.skip("the textbook knows group norm in channels first only")
    result = check_property(PROPERTIES[prop], Textbook(), "group", max_examples=20, **MODEST)
    assert result.status == "passed", f"{result.reason}\n{result.snippet}"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_breaks_a_property(mistake):
    target = Textbook(mistake)
    results = (check_property(prop, target, "group", max_examples=40, **PLAIN) for prop in group_properties())
    broken = next((result for result in results if result.status == "failed"), None)
    assert broken is not None
    assert broken.counterexample.x.size <= 64


class Off(Gnref):
    """gnref, with 4 times the tolerance added to one element of one result."""

    def __init__(self, what):
        super().__init__("reference")
        self.what = what

    def shifted(self, name, a, problem):
        if a is None or name != self.what or a.size == 0:
            return a
        a = a.copy()
        place = problem.seed % a.size
        limit = np.broadcast_to(getattr(tolerance(problem), name), a.shape).flat[place]
        a.flat[place] = (a.flat[place].astype(np.float64) + 4 * limit).astype(a.dtype)
        return a

    def forward(self, problem, **options):
        forward = super().forward(problem, **options)
        return forward._replace(y=self.shifted("y", forward.y, problem), saved=(forward.saved, problem))

    def backward(self, dy, forward, **options):
        saved, problem = forward.saved
        grads = super().backward(dy, forward._replace(saved=saved), **options)
        return type(grads)(*(self.shifted(k, a, problem) for k, a in zip(self.names, grads, strict=True)))

    names = ("dx", "dweight", "dbias")


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("what", ["y", "dx", "dweight", "dbias"])
def test_four_tolerances_are_too_many(what, norm):
    if (what, norm) == ("dbias", "rms"):
        pytest.skip("rms norm has no bias")
    prop = PROPERTIES["y equals exact fractions" if what == "y" else "gradients equal exact fractions"]
    for dtype in ("float32", "float64", "float16", "bfloat16"):
        result = check_property(prop, Off(what), norm, max_examples=3, dtypes=(dtype,), affine=True)
        assert result.status == "failed", dtype


def test_every_property_says_what_it_states():
    assert all(
        prop.check.__doc__ or prop.oracle in ("autograd", "torch", "jax") for prop in PROPERTIES.values()
    )
    assert all(len(name) <= 36 for name in PROPERTIES)
