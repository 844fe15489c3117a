import numpy as np

from gnref.testing import PROPERTIES, Gnref, Problem
from gnref.testing.diagnosis import derived, diagnose, diagnosis, outcome
from gnref.testing.museum import MECHANISMS, ask, showing

RNG = np.random.default_rng(0)
PROBLEM = Problem(
    "batch", RNG.standard_normal((3, 2)), RNG.standard_normal((3, 2)), weight=RNG.standard_normal(2)
)


class Wrong(Gnref):
    def backward(self, dy, forward, **options):
        grads = super().backward(dy, forward, **options)
        dx = grads.dx.copy()
        dx[2, 1] += 1
        return grads._replace(dx=dx)


def test_the_wrong_element_is_named_and_the_right_results_too():
    right = outcome(Gnref("reference"), PROBLEM)["dx"][2, 1]
    told = diagnose(Wrong("reference"), PROBLEM)
    assert told == f"dx[2, 1] is {right + 1:.9g}, expected {right:.9g}; y, dweight are right"


def test_nothing_wrong_is_nothing_to_say():
    assert diagnose(Gnref("reference"), PROBLEM) == ""


def test_shapes_nans_and_words():
    assert diagnosis(PROBLEM, {"y": np.zeros(3)}) == "y has the shape (3,), expected (3, 2)"
    assert "y[0, 0] is nan" in diagnosis(PROBLEM, {"y": np.full((3, 2), np.nan)})
    assert diagnosis(PROBLEM, "raises ValueError: no") == "raises ValueError: no"


def test_the_problems_that_a_property_makes_are_found_in_one_place():
    shift = PROPERTIES["shift: f(x + c) = f(x)"]
    made = derived(shift, Gnref("reference"), PROBLEM)
    assert any(not np.array_equal(p.x, PROBLEM.x) for p in made)
    assert showing.derived is derived
    mechanism = MECHANISMS["cancelling variance"]
    result = ask(mechanism, max_examples=10)
    first, *rest = showing.asked(mechanism, result)
    assert first is result.counterexample
    prop = PROPERTIES[result.property]
    assert len(rest) == len(derived(prop, mechanism.target(), result.counterexample))
