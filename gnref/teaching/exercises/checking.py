"""The check: ask an answer every problem, and find out what to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

from gnref.teaching.exercises.asking import Outcome, ask, parameters_fit
from gnref.teaching.exercises.cases import Case, case_of, cases
from gnref.teaching.exercises.compare import Unread, Wrong, described, read, right_on, same, shapes, wrong
from gnref.teaching.exercises.diagnosing import ORDER, first_wrong, got_and_right, read_back
from gnref.teaching.exercises.exercise import Exercise, Mistake, build
from gnref.teaching.exercises.passes import HINTS, OWN, failed, said_of
from gnref.teaching.exercises.pictures import easiest, picture_of
from gnref.teaching.exercises.verdict import MISSING, RIGHT, UNREAD, WRONG, Verdict
from gnref.testing.runner import Result

UNTOUCHED = "Write your lines in the place of `...`, run that cell, and then this one."
UNSTEADY = (
    "Asked the same again, your function gives another result. Does it draw random numbers, or keep "
    "something from one call to the next?"
)
SMALL = 1e-6  # of the largest number: what a step in float32 may leave
SEVERAL = 2  # problems on which a mistake must differ from the right answer before it is named


def check_in(exercises: Mapping[str, Exercise], name: Any, answer: Any) -> Verdict:
    """Check an answer to one of some exercises."""
    if not isinstance(name, str) or name not in exercises:
        near = get_close_matches(str(name), exercises, n=3, cutoff=0.5)
        expected = " or ".join(f"`{one}`" for one in near) or f"one of {', '.join(exercises)}"
        return Verdict(str(name), UNREAD, f"There is no exercise {described(name)}; expected {expected}.")
    return check_answer(exercises[name], answer)


def check_answer(exercise: Exercise, answer: Any) -> Verdict:
    """Check an answer to an exercise."""

    def said(status: str, text: str, **more: Any) -> Verdict:
        return Verdict(exercise.name, status, text, norm=exercise.norm, **more)

    if Outcome(answer).missing:
        return said(MISSING, UNTOUCHED)
    if exercise.is_function and not callable(answer):
        call = f'`check("{exercise.name}", {exercise.name})`'
        return said(
            UNREAD, f"The answer is {described(answer)}; expected your function itself, not called: {call}."
        )
    asked = cases(exercise)
    if exercise.is_function and (why := parameters_fit(exercise, answer, len(asked[0].arguments))):
        return said(UNREAD, _sentence(why))
    outcomes = [ask(exercise, answer, case) for case in asked]
    if any(outcome.missing for outcome in outcomes):
        return said(MISSING, UNTOUCHED)
    right = all(right_on(exercise, case, outcome) for case, outcome in zip(asked, outcomes, strict=True))
    broken = failed(exercise, answer, own=True) if right else None
    if right and broken is None:
        return _right(exercise, outcomes)
    if mistake := known(exercise, outcomes):
        return said(WRONG, mistake.hint, hint=mistake.name)
    if not steady(exercise, answer, outcomes):
        return said(WRONG, UNSTEADY)
    return said(*(_beyond(exercise, answer, *broken) if broken else _told(exercise, answer, asked, outcomes)))


def steady(exercise: Exercise, answer: Any, outcomes: list[Outcome]) -> bool:
    """Whether an answer gives the same results when it is asked again; exceptions may have other words."""
    for case, before in zip(cases(exercise), outcomes, strict=True):
        found = read(exercise, case, before.value)
        if not before.raised and (isinstance(found, Unread) or shapes(case, found)):
            continue  # told by their type or shape, which is quicker than to ask again
        again = ask(exercise, answer, case)
        if bool(before.raised) != bool(again.raised):
            return False
        if not before.raised and not same(exercise, case, before, again):
            return False
    return True


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


def _right(exercise: Exercise, outcomes: list[Outcome]) -> Verdict:
    """A right answer, and a picture of what it returns."""
    asked = cases(exercise)
    i = easiest(asked)
    found = read(exercise, asked[i], outcomes[i].value)
    assert not isinstance(found, Unread)
    picture = picture_of(exercise, asked[i], found)
    many = f"On {len(asked)} problems of different shapes." if len(asked) > 1 and asked[0].arguments else ""
    return Verdict(
        exercise.name, RIGHT, many, norm=exercise.norm, picture=picture.svg, caption=picture.caption
    )


def _beyond(exercise: Exercise, answer: Any, result: Result, diagnosis: str) -> tuple[str, str]:
    """What to say of an answer that is right on the problems of the exercise, and wrong on others."""
    assert result.counterexample is not None
    case = case_of(exercise, result.counterexample)
    outcome = ask(exercise, answer, case)
    if result.property != OWN and not outcome.raised:
        return WRONG, said_of(exercise, result, diagnosis)
    if right_on(exercise, case, outcome):
        return WRONG, UNSTEADY
    text = UNTOUCHED if outcome.missing else _told(exercise, answer, (case,), [outcome])[1]
    return WRONG, f"It is right on some problems, and wrong on another one. {text}"


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
            return UNREAD, _sentence(found.why)
        if why := shapes(case, found):
            return UNREAD, _sentence(why)
        if outcome.written:
            written = _listed([f"`{name}`" for name in outcome.written])
            return WRONG, f"It writes to {written}: what it is given belongs to the caller. Work on a copy."
        return WRONG, _wrong_numbers(exercise, answer, case, found)
    raise AssertionError("an answer that is right everywhere is not wrong")


def _wrong_numbers(exercise: Exercise, answer: Any, case: Case, found: tuple[Any, ...]) -> str:
    """What can be said of results that are wrong: what they show, and the first quantity that is off."""
    off = {name: worst for name, worst in wrong(exercise, case, found).items() if worst}
    shown = next((s.hint for s in exercise.symptoms if s.shows(found[0], case.right[0], case.problem)), "")
    if not shown and (broken := failed(exercise, answer)) and broken[0].property in HINTS:
        shown = said_of(exercise, *broken)
    results = dict(zip(case.names, found, strict=True))
    detail = first_wrong(exercise, answer, case) or (not shown and read_back(case, results)) or ""
    if not detail:
        detail = _result(exercise, off[min(off, key=lambda name: ORDER.index(name) if name in ORDER else 0)])
    fine = [one for one in case.names if one not in off]
    also = [f"{_listed(fine)} {'is' if len(fine) == 1 else 'are'} right"] if fine else []
    notes = "; ".join([*also, *([f"here {case.where}"] if case.arguments else [])])
    return " ".join(part for part in (shown, detail, f"({_capital(notes)}.)" if notes else "") if part)


def _result(exercise: Exercise, worst: Wrong | str) -> str:
    """What is wrong with one result."""
    if isinstance(worst, str):
        return worst
    if not exercise.is_function:  # a number of theirs, and no more
        return f"{got_and_right(worst).partition(', right')[0]}, which is not right."
    if abs(worst.got - worst.right) < SMALL * worst.size:
        return (
            f"In your result, {got_and_right(worst)}. The difference is small: is there a step in float32, "
            "or a small number added?"
        )
    return f"In your result, {got_and_right(worst)}."


def _listed(names: Sequence[str]) -> str:
    """Names as a part of a sentence: a, b and c."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _sentence(why: str) -> str:
    """A reason as a sentence, if it is not a question."""
    return _capital(why) + ("" if why.endswith("?") else ".")


def _capital(text: str) -> str:
    """A sentence begins with a capital, unless with a name."""
    return text[:1].upper() + text[1:] if text.startswith(("here ", "your ", "what ")) else text
