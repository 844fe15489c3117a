"""The check: ask an answer every problem, and find out what to say."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

from gnref.teaching.exercises.asking import Outcome, ask, parameters_fit
from gnref.teaching.exercises.cases import Case, case_of, cases
from gnref.teaching.exercises.compare import Unread, read, right_on, same, shapes, what, wrong
from gnref.teaching.exercises.diagnosing import ORDER, first_wrong, numbers, read_back
from gnref.teaching.exercises.exercise import Exercise, Mistake, build
from gnref.teaching.exercises.passes import HINTS, OWN, failed, told
from gnref.teaching.exercises.pictures import easiest, picture_of
from gnref.teaching.exercises.verdict import MISSING, RIGHT, UNREAD, WRONG, Verdict
from gnref.testing.runner import Result

UNTOUCHED = "Write your lines in the place of `...`, run that cell, and then this one."
SEVERAL = 2  # problems on which a mistake must differ from the right answer before it is named


def check_in(exercises: Mapping[str, Exercise], name: Any, answer: Any) -> Verdict:
    """Check an answer to one of some exercises."""
    if not isinstance(name, str) or name not in exercises:
        near = get_close_matches(str(name), exercises, n=3, cutoff=0.5)
        told = " or ".join(f"`{one}`" for one in near) or f"one of {', '.join(exercises)}"
        return Verdict(str(name), UNREAD, f"There is no exercise {name!r}; expected {told}.")
    return check_answer(exercises[name], answer)


def check_answer(exercise: Exercise, answer: Any) -> Verdict:
    """Check an answer to an exercise."""

    def said(status: str, text: str, **more: Any) -> Verdict:
        return Verdict(exercise.name, status, text, norm=exercise.norm, **more)

    if Outcome(answer).missing:
        return said(MISSING, UNTOUCHED)
    if exercise.is_function and not callable(answer):
        call = f'`check("{exercise.name}", {exercise.name})`'
        told = f"The answer is {what(answer)}; expected your function itself, not called: {call}."
        return said(UNREAD, told)
    asked = cases(exercise)
    if exercise.is_function and (why := parameters_fit(exercise, answer, len(asked[0].arguments))):
        return said(UNREAD, f"{_capital(why)}.")
    outcomes = [ask(exercise, answer, case) for case in asked]
    if any(outcome.missing for outcome in outcomes):
        return said(MISSING, UNTOUCHED)
    if all(right_on(exercise, case, outcome) for case, outcome in zip(asked, outcomes, strict=True)):
        return _right(exercise, answer, outcomes)
    if mistake := known(exercise, outcomes):
        return said(WRONG, mistake.hint, hint=mistake.name)
    return said(*_told(exercise, answer, asked, outcomes))


def known(exercise: Exercise, outcomes: list[Outcome]) -> Mistake | None:
    """The mistake that an answer equals on every problem, if there is one."""
    asked = cases(exercise)
    for mistake in exercise.mistakes:
        theirs = mistaken(exercise, mistake)
        if not tells(exercise, theirs):
            continue
        if all(same(exercise, *triple) for triple in zip(asked, outcomes, theirs, strict=True)):
            return mistake
    return None


@cache
def mistaken(exercise: Exercise, mistake: Mistake) -> list[Outcome]:
    """What a mistake answers to every problem."""
    function = build(exercise, exercise.edited(mistake), mistake.name)
    return [ask(exercise, function, case) for case in cases(exercise)]


def tells(exercise: Exercise, theirs: list[Outcome]) -> bool:
    """Whether a mistake differs from the right answer on several problems."""
    asked = cases(exercise)
    off = sum(not right_on(exercise, case, outcome) for case, outcome in zip(asked, theirs, strict=True))
    return off >= min(SEVERAL, len(asked))


def _right(exercise: Exercise, answer: Any, outcomes: list[Outcome]) -> Verdict:
    """A right answer: right on other problems, too, where it is a whole pass."""
    if broken := failed(exercise, answer, own=True):
        return Verdict(exercise.name, WRONG, _beyond(exercise, answer, *broken), norm=exercise.norm)
    asked = cases(exercise)
    i = easiest(asked)
    found = read(exercise, asked[i], outcomes[i].value)
    assert not isinstance(found, Unread)
    picture = picture_of(exercise, asked[i], found)
    many = f"On {len(asked)} problems of different shapes." if len(asked) > 1 and asked[0].arguments else ""
    return Verdict(
        exercise.name, RIGHT, many, norm=exercise.norm, picture=picture.svg, caption=picture.caption
    )


def _beyond(exercise: Exercise, answer: Any, result: Result, diagnosis: str) -> str:
    """What to say of an answer that is right on the problems of the exercise, and wrong on others."""
    if result.property != OWN or result.counterexample is None:
        return told(exercise, result, diagnosis)
    case = case_of(exercise, result.counterexample)
    text = _told(exercise, answer, (case,), [ask(exercise, answer, case)])[1]
    return f"It is right on some problems, and wrong on another one. {text}"


def _told(
    exercise: Exercise, answer: Any, asked: tuple[Case, ...], outcomes: list[Outcome]
) -> tuple[str, str]:
    """What can be said of a wrong answer that is no known mistake."""
    for case, outcome in zip(asked, outcomes, strict=True):
        if right_on(exercise, case, outcome):
            continue
        if outcome.raised:
            return WRONG, f"Where {case.where}, {outcome.raised.text}."
        found = read(exercise, case, outcome.value)
        if isinstance(found, Unread):
            return UNREAD, f"{_capital(found.why)}."
        if why := shapes(case, found):
            return UNREAD, f"{_capital(why)}."
        if outcome.written:
            return WRONG, f"It writes to {', '.join(outcome.written)}, which belongs to the caller."
        return WRONG, _wrong_numbers(exercise, answer, case, found)
    raise AssertionError("an answer that is right everywhere is not wrong")


def _wrong_numbers(exercise: Exercise, answer: Any, case: Case, found: tuple[Any, ...]) -> str:
    """What can be said of results that are wrong: what they show, and the first quantity that is off."""
    off = {name: worst for name, worst in wrong(exercise, case, found).items() if worst}
    shown = next((s.hint for s in exercise.symptoms if s.shows(found[0], case.right[0], case.problem)), "")
    if (
        not shown
        and (broken := failed(exercise, answer))
        and broken[0].property in HINTS | dict(exercise.hints)
    ):
        shown = told(exercise, *broken)
    results = dict(zip(case.names, found, strict=True))
    first = first_wrong(exercise, answer, case) or (not shown and read_back(case, results)) or ""
    name = min(off, key=lambda name: ORDER.index(name) if name in ORDER else 0)
    worst = off[name]
    last = _capital(worst) if isinstance(worst, str) else f"In your result, {numbers(worst)}."
    if not exercise.is_function and not isinstance(worst, str):  # a number of theirs, and no more
        last = f"{numbers(worst).partition(', right')[0]}, which is not right."
    if f"`{name}`:" in first:  # the result itself
        last = ""
    fine = [one for one in case.names if one not in off]
    also = f"({', '.join(fine)} {'is' if len(fine) == 1 else 'are'} right.)" if fine else ""
    at = f"(Here {case.where}.)" if case.arguments else ""
    return " ".join(part for part in (shown, first, last, also, at) if part)


def _capital(text: str) -> str:
    """A sentence begins with a capital, unless with a name."""
    return text[:1].upper() + text[1:] if text.startswith(("the ", "there ", "your ")) else text
