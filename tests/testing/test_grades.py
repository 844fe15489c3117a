import numpy as np
import pytest

from gnref.testing import Functions, Gnref
from gnref.testing.domain import Domain, domain
from gnref.testing.grades import grade, standard
from gnref.testing.mutants import textbook


@pytest.mark.parametrize("norm", ["batch", "instance", "group", "layer", "rms"])
@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"ranks": (3,)},
        {"ranks": (2,)},
        {"ranks": (6,)},
        {"channel_multiple": 8},
        {"ranks": (4,), "channel_multiple": 32, "affine_required": True},
        {"max_set": 16},
    ],
)
def test_there_is_a_standard_problem_inside_a_domain(norm, limits):
    if norm == "instance" and limits.get("max_set") == 16:
        limits = {"max_set": 12}
    problem = standard(norm, "float32", "float32", domain(limits))
    assert domain(limits).why_not(problem) == ""
    assert problem.set_size > 1 or limits.get("ranks") == (2,)


def test_gnref_has_an_a_and_a_textbook_a_b():
    functions = Functions(*textbook.functions("group"), norm="group")
    for target, letter, far in ((Gnref("reference"), "A", 1e18), (functions, "B", 1e15)):
        found = grade(target, "group", "float32", "float32", Domain())
        assert (found.accuracy, found.range) == (letter, far)
        found = grade(target, "group", "float64", "float64", Domain())
        assert (found.accuracy, found.range) == (letter, 1e18)


def test_squares_that_overflow_end_the_range():
    def forward(x, normalized_shape, weight, eps):
        squares = (x * x).mean(-1, keepdims=True)
        return x / np.sqrt(squares + x.dtype.type(eps)) * (1 if weight is None else weight)

    one = Functions(forward, norm="rms", domain=domain(lambda problem: len(problem.normalized_shape) == 1))
    assert grade(one, "rms", "float32", "float32", Domain()).range == 1e15
    assert grade(one, "rms", "float64", "float64", Domain()).range == 1e18


def test_outside_the_domain_there_is_no_grade():
    limits = domain(lambda problem: False)
    assert grade(Gnref("reference"), "group", "float32", "float32", limits) is None
