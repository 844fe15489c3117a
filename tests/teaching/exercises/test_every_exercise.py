"""Every exercise of every tutorial, three ways: solved, untouched, and with each known mistake."""

import ast
from contextlib import suppress
from itertools import combinations

import pytest

from gnref.teaching.exercises import EXERCISES, check
from gnref.teaching.exercises.asking import ask
from gnref.teaching.exercises.cases import cases
from gnref.teaching.exercises.checking import known
from gnref.teaching.exercises.exercise import build

MISTAKES = [(name, mistake) for name, exercise in EXERCISES.items() for mistake in exercise.mistakes]


def named(value):
    return getattr(value, "name", value)


def answered(name, *mistakes):
    """The verdict on the solution with some mistakes in it."""
    exercise = EXERCISES[name]
    return check(name, build(exercise, exercise.edited(*mistakes)))


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_is_right_and_shows_its_result(name):
    verdict = answered(name)
    assert verdict.status == "right", str(verdict)
    assert verdict.hint is None


@pytest.mark.parametrize("name", EXERCISES)
def test_an_untouched_stub_is_not_written_yet(name):
    assert check(name, ...).status == "not written yet"
    if EXERCISES[name].is_function:
        assert check(name, lambda *arguments: ...).status == "not written yet"


@pytest.mark.parametrize(("name", "mistake"), MISTAKES, ids=named)
def test_a_mistake_gets_its_own_hint(name, mistake):
    verdict = answered(name, mistake)
    assert (verdict.status, verdict.hint) == ("wrong", mistake.name), str(verdict)
    assert mistake.hint in str(verdict)


def pairs(exercise):
    """Every pair of mistakes whose edits go together, with the answer that has both."""
    for pair in combinations(exercise.mistakes, 2):
        with suppress(ValueError, SyntaxError):  # one edit removes the place of the other
            text = exercise.edited(*pair)
            yield pair, build(exercise, text, " and ".join(mistake.name for mistake in pair))


@pytest.mark.parametrize("name", EXERCISES)
def test_two_mistakes_at_once_get_no_wrong_hint(name):
    exercise = EXERCISES[name]
    for pair, answer in pairs(exercise):
        found = known(exercise, [ask(exercise, answer, case) for case in cases(exercise)])
        assert found is None or found in pair, f"{pair[0].name} and {pair[1].name} look like {found.name}"


@pytest.mark.parametrize("name", EXERCISES)
def test_the_data_are_sound(name):
    exercise = EXERCISES[name]
    names = [mistake.name for mistake in exercise.mistakes]
    assert len(set(names)) == len(names)
    assert all(exercise.solution.count(mistake.old) == 1 for mistake in exercise.mistakes)
    assert all(mistake.hint.strip().endswith((".", "?", "!", ".)", "?)")) for mistake in exercise.mistakes)
    ast.parse(exercise.solution)


def test_equal_checks_say_the_same():
    exercise = EXERCISES["group_mean"]
    wrong = build(exercise, exercise.solution.replace("return ", "return 1 + "))
    before = check("group_mean", wrong)
    cases.cache_clear()
    assert check("group_mean", wrong) == before
    assert before.status == "wrong"
