import io
from collections import Counter

import numpy as np
import pytest
from rich.console import Console

from gnref.testing import Property, check_property, selftest
from gnref.testing.check import check, checker_of
from gnref.testing.checker import asked
from gnref.testing.mutants import EQUIVALENT, KINDS, MUTANTS, SOURCE, build, equivalent, textbook
from gnref.testing.properties.property import close, identical, results
from gnref.testing.selftest import WEAK, first_failure, killed, self_test, weakly_killed
from gnref.testing.targets import Functions

EVERY = {**MUTANTS, **EQUIVALENT}
NORMS = ("batch", "instance", "group", "layer", "rms")
SMALL = 64
PLACES = [(name, norm) for name, edit in EQUIVALENT.items() for norm in edit.norms]


def named(edits):
    return pytest.mark.parametrize("edit", edits, ids=[edit.name for edit in edits])


@named(list(MUTANTS.values()))
def test_every_mutant_is_killed(edit):
    assert killed(edit, edit.norms[0]) is not None


@pytest.mark.parametrize("norm", NORMS)
def test_the_textbook_is_not(norm):
    layouts = ("channels_first",) if norm in ("layer", "rms") else ("channels_first", "channels_last")
    assert first_failure(*textbook.functions(norm), norm, layouts=layouts) is None


def test_there_are_enough_of_every_kind():
    assert len(MUTANTS) >= 60
    assert set(Counter(edit.kind for edit in MUTANTS.values())) == set(KINDS)
    assert len(EQUIVALENT) >= 5
    assert not MUTANTS.keys() & EQUIVALENT.keys()


@named(list(EVERY.values()))
def test_an_edit_is_one_place_and_runs(edit):
    assert SOURCE.count(edit.old) == 1
    assert edit.new != edit.old
    assert "\n" not in edit.new
    for norm in edit.norms:
        assert all(callable(function) for function in build(edit, norm))


@pytest.mark.parametrize(("name", "norm"), PLACES)
def test_an_equivalent_mutant_gives_the_same(name, norm):
    edit, right = EQUIVALENT[name], Functions(*textbook.functions(norm), norm=norm)

    def same(target, problem):
        one, other = results(right, problem), results(target, problem)
        if edit in equivalent.SAME_BITS:
            return identical(*((one[k], other[k]) for k in one))
        return close(problem, one, other)

    target = Functions(*build(edit, norm), norm=norm, name=name)
    options = {"grade": "B", "virtual": (False,), "channel_axes": False, "eps": (1e-5, 0.5)}
    result = check_property(Property("the same", same), target, norm, max_examples=40, **options)
    assert (result.status, result.reason) == ("passed", "")
    assert edit.proof


@named([edit for edit in MUTANTS.values() if not edit.large][::8])
def test_counterexamples_are_small(edit):
    checker, pairs = checker_of(None, *build(edit, edit.norms[0]), norm=edit.norms[0], layouts=edit.layouts)
    found = (checker.ask(prop, pairs).counterexample for prop in asked(edit.norms[0]))
    assert any(problem.x.size <= SMALL for problem in found if problem is not None)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("dy = 1", "dy taken for 1"),
        ("weight = 1", "weight dropped"),
        ("G = C/G", "G and K swapped"),
        ("normal data", "variance as E[x^2] - E[x]^2"),
    ],
)
def test_a_weak_test_misses_what_it_does_not_look_at(pattern, name):
    assert not weakly_killed(MUTANTS[name], "group", WEAK[pattern])
    assert not weakly_killed(MUTANTS["eps outside the root"], "group", WEAK[pattern])
    assert weakly_killed(MUTANTS["mean of g xhat dropped"], "group", WEAK[pattern])


def test_the_textbook_passes_the_weak_tests():
    harmless = EQUIVALENT["variance at least 0"]
    assert not any(weakly_killed(harmless, norm, weak) for weak in WEAK.values() for norm in NORMS)


@pytest.mark.parametrize("name", ["dx is 0", "a wrong G becomes a divisor of C"])
def test_what_the_self_test_kills_fails_in_a_check(name):
    edit = MUTANTS[name]
    forward, backward = build(edit, "group")
    words = {"norm": "group", "dtypes": ("float32",), "max_examples": 10}
    assert not check(forward, backward, require=edit.require, **words).ok
    if edit.require:
        assert check(forward, backward, **words).ok


def test_a_self_test_counts(monkeypatch):
    edits = (MUTANTS["dx is 0"], MUTANTS["bias dropped"], EQUIVALENT["variance at least 0"])
    monkeypatch.setattr(selftest, "MUTANTS", {edit.name: edit for edit in edits})
    seen = []
    found = self_test(max_examples=4, on_mutant=seen.append)
    assert seen == list(edits)
    assert (found.killed, found.total, found.survivors) == (2, 3, ["variance at least 0"])
    assert not found.ok
    assert found.killers["dx is 0"] == "gradients equal exact fractions"
    assert str(found.weak["weight = 1"]["term"]) == "1 / 2"
    console = Console(file=io.StringIO(), width=100)
    console.print(found.table())
    assert "2 / 3" in console.file.getvalue()


def test_a_traceback_shows_the_edited_line():
    forward, _ = build(MUTANTS["G and K swapped"], "group")
    with pytest.raises(TypeError, match="unsupported operand") as caught:
        forward(np.ones((1, 2)), "2", None, None)
    assert "<mutant: G and K swapped>" in str(caught.traceback[-1].path)
