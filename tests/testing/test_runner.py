import numpy as np
import pytest

from gnref.testing import PROPERTIES, Functions, Gnref, check_property
from gnref.testing.coverage import FEATURES, Coverage
from gnref.testing.properties.property import identical, worst
from gnref.testing.runner import plan
from gnref.testing.snippet import array_literal, snippet

PLAIN = {"channel_axes": False, "layouts": ("plain",), "kinds": ("integers", "normal")}


class Shifted(Gnref):
    """A target whose dx is off by 1."""

    def backward(self, dy, forward, **options):
        grads = super().backward(dy, forward, **options)
        return grads._replace(dx=grads.dx + grads.dx.dtype.type(1))


class Raises(Gnref):
    """A target that fails in its own way."""

    def forward(self, problem, **options):
        if problem.shape[0] > 1:
            raise ZeroDivisionError("N > 1")
        return super().forward(problem, **options)


def test_a_failure_is_shrunk_and_reproduces():
    prop = PROPERTIES["dx sums to 0 over a set"]
    target = Shifted("reference")
    result = check_property(prop, target, "group", max_examples=50, **PLAIN)
    assert result.status == "failed"
    assert "times the tolerance" in result.reason
    problem = result.counterexample
    assert problem.x.size <= 2
    assert set(problem.x.ravel()) <= set(range(-8, 9))
    assert prop.check(target, problem) > 1
    assert prop.check(Gnref("reference"), problem) <= 1


def test_the_snippet_runs_and_shows_the_failure(capsys):
    prop, target = PROPERTIES["f(x)[i] = f(x[i:i+1])"], Raises("reference")
    result = check_property(prop, target, "group", max_examples=50)
    assert result.reason == "ZeroDivisionError: N > 1"
    namespace = {}
    exec(result.snippet, namespace)
    assert capsys.readouterr().out == "0.0\n", "the honest backend keeps the property"
    again, problem = namespace["problem"], result.counterexample
    assert np.array_equal(again.x, problem.x)
    assert again.x.strides == problem.x.strides
    with pytest.raises(ZeroDivisionError):
        prop.check(target, again)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_array_literals_read_back_bit_for_bit(dtype):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    a = np.array([[0.1, -np.inf], [np.nan, 1e4]]).astype(getattr(ml_dtypes, dtype, dtype))
    names = {"np": np, "bfloat16": ml_dtypes.bfloat16}
    assert eval(array_literal(a), names).tobytes() == a.tobytes()


def test_a_target_that_cannot_be_written_down_is_named():
    target = Functions(lambda x: x, norm="group", name="mine")
    text = snippet(PROPERTIES["inputs are unchanged"], target, problem_of("bfloat16"))
    assert "target = Functions(..., None, norm='group', arrays='numpy')  # mine" in text
    assert "from ml_dtypes import bfloat16" in text
    assert "x=LAYOUTS['every_second'](np.array(" in text


def problem_of(dtype):
    from gnref.testing import LAYOUTS, Problem
    from gnref.testing.strategies import np_dtype

    x = LAYOUTS["every_second"](np.ones((2, 4, 3)).astype(np_dtype(dtype)))
    return Problem("group", x, x, num_groups=2, layout="every_second")


def test_equal_seeds_draw_equal_problems():
    prop = PROPERTIES["y equals plain loops"]
    one, same, other = (check_property(prop, Gnref("reference"), "group", seed=seed) for seed in (5, 5, 6))
    assert one.worst == same.worst
    assert one.coverage == same.coverage
    assert one.worst != other.worst


def test_the_plan_has_what_gnref_can_be_asked():
    names = [prop.name for prop, norm in plan(["rms"])]
    assert "out= takes the same result" in names
    assert "reads and writes in bounds" not in names, "its arrays cannot be placed in larger ones"
    assert {norm for _, norm in plan(["rms", "layer"])} == {"rms", "layer"}


def test_a_property_that_no_problem_touches_is_no_pass():
    prop = PROPERTIES["f(x)[i] = f(x[i:i+1])"]
    silent = type(prop)("silent", lambda target, problem: None)
    assert check_property(silent, Gnref("reference"), "batch", max_examples=3).status == "empty"


def test_a_missing_oracle_is_a_skip(monkeypatch):
    monkeypatch.setattr("gnref.testing.oracles.find_spec", lambda name: None)
    result = check_property(PROPERTIES["y equals torch"], Gnref("reference"), "batch", max_examples=3)
    assert result.status == "skipped"
    assert "torch is not installed" in result.reason


def test_worst_and_identical():
    assert worst((np.array([1.0, -3.0]), np.array([2.0, 2.0])), (np.zeros(0), np.zeros(0))) == 1.5
    assert worst((np.array([np.nan]), 1.0)) == np.inf
    assert worst((np.array([0.0]), 0.0)) == 0
    assert identical((np.array([0.0, np.nan]), np.array([-0.0, np.nan]))) == 0
    assert identical((np.ones(2), np.ones(2, "f4"))) == np.inf
    assert identical((None, None)) == 0
    assert identical((None, np.ones(2))) == np.inf


def test_coverage_counts():
    one, two = Coverage(), Coverage()
    one.note(problem_of("float32"))
    two.add(one)
    two.add(one)
    assert two.asked["weight varies inside a set"] == 2
    assert two.shares()["weight varies inside a set"] == 0.0
    assert set(two.shares()) == set(FEATURES)
    assert Coverage().shares()["dx far from 0"] is None
