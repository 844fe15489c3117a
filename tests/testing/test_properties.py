"""Every property holds for gnref; a planted mistake breaks one; four tolerances are too many."""

import numpy as np
import pytest
from textbook import MISTAKES, MISTAKES_OF_MEMORY, Textbook

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
        prop for prop in PROPERTIES.values() if "group" in prop.norms and prop.oracle not in ("torch", "jax")
    ]


# Not asked of a textbook: float64 at offsets of 1e9, which takes a mean in two numbers.
MODEST = {"channel_axes": False, "dtypes": ("float32", "bfloat16", "float16")}
NOT_OF_A_TEXTBOOK = (
    "channels last is a transpose",
    "G = 1 is layer norm",
    "an empty array gives empty results",
)


@pytest.mark.parametrize("prop", [p.name for p in group_properties() if p.name not in NOT_OF_A_TEXTBOOK])
def test_a_correct_textbook_kernel_breaks_no_property(prop):
    result = check_property(PROPERTIES[prop], Textbook(), "group", max_examples=20, **MODEST)
    assert result.status == "passed", f"{result.reason}\n{result.snippet}"


def first_broken(mistake, **options):
    target = Textbook(mistake)
    results = (check_property(p, target, "group", max_examples=40, **options) for p in group_properties())
    return next((result for result in results if result.status == "failed"), None)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_breaks_a_property(mistake):
    broken = first_broken(mistake, **PLAIN)
    assert broken is not None
    assert broken.counterexample.x.size <= 64


@pytest.mark.parametrize("mistake", MISTAKES_OF_MEMORY)
def test_a_mistake_that_takes_strides_or_length_to_show(mistake):
    assert first_broken(mistake, **MODEST) is not None


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
    if prop.oracle not in (None, "exact", "central_differences")
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
