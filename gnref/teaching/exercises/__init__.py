"""Exercises that say which mistake an answer has: `check(name, answer)`.

An exercise is data, in one file for each tutorial: a solution as text, and mistakes as single edits of it,
each with its hint. A check compares the answer with the kit's exact oracle on a few problems of different
shapes; if it is wrong, it compares it with each mistake, and gives the hint of one only if the two agree on
every problem. For what is no known mistake it names the first quantity that is off, with its numbers. A right
answer is asked the kit's properties, too: `gnref.testing` searches for a problem where it is wrong.

To write one, in ``tutorial_NN.py``, whose tuple ``EXERCISES`` is found by itself::

    Exercise(
        name="group_mean",  # what check calls it, and what the solution defines
        tutorial=3,
        title="One mean per group",
        norm="group",
        takes=("x", "num_groups"),  # names of gnref.teaching.exercises.truth, in order
        answers=("mean",),  # several make a tuple
        solution=GROUP_MEAN,  # Python text
        mistakes=(Mistake("InstanceNorm", "axis=(2, 3, 4)", "axis=(3, 4)", "Every channel has ..."),),
    )

An answer that is no function (a count, a mask, a word) has no ``takes``, and ``oracle=lambda problem: 6``.
For a function of one's own invention there are ``arguments`` and ``oracle``, both functions of a problem.
`tests/teaching/exercises` runs over all of them: every solution is right, every mistake gets its hint and no
other, and two mistakes at once get no wrong one.
"""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import Any

from gnref.errors import MissingExtraError

if find_spec("hypothesis") is None:
    raise MissingExtraError("exercises need Hypothesis: pip install 'gnref[testing]'")

from gnref.teaching.exercises.checking import check_in
from gnref.teaching.exercises.exercise import Exercise, Mistake, Symptom
from gnref.teaching.exercises.verdict import Verdict

__all__ = ["EXERCISES", "Exercise", "Mistake", "Symptom", "Verdict", "check"]


def _collected() -> dict[str, Exercise]:
    """The exercises of all tutorials, by name."""
    found: dict[str, Exercise] = {}
    for module in sorted(module.name for module in iter_modules(__path__)):
        if not re.fullmatch(r"tutorial_\d\d", module):
            continue
        for exercise in import_module(f"{__name__}.{module}").EXERCISES:
            if exercise.name in found:
                raise ValueError(f"two exercises are called {exercise.name!r}")
            found[exercise.name] = exercise
    return found


EXERCISES = _collected()


def check(name: str, answer: Any) -> Verdict:
    """Say whether an answer to an exercise is right, and what is wrong with it if not.

    Parameters
    ----------
    name : str
        A key of `EXERCISES`.
    answer : callable or value
        The reader's function, or what they computed.

    Returns
    -------
    verdict : Verdict
        A notebook displays it; ``str`` makes text of it.

    Examples
    --------
    >>> check("group_mean", lambda x, num_groups: ...).status
    'not written yet'
    """
    return check_in(EXERCISES, name, answer)
