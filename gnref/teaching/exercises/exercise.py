"""What an exercise is: data. Its solution is a text, and a mistake is one edit of that text."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gnref.testing.problems import Problem


@dataclass(frozen=True)
class Mistake:
    """A known mistake: one place of the solution, and what stands there instead.

    Attributes
    ----------
    name : str
        What a verdict's ``hint`` is.
    old, new : str
        The text that is in the solution, exactly once, and the text in its place.
    hint : str
        One or two sentences: which mistake this is, and how to see it. Code goes between backticks.
    """

    name: str
    old: str
    new: str
    hint: str


@dataclass(frozen=True)
class Symptom:
    """What can be said of a wrong answer by looking at it, whatever mistake is behind it.

    Attributes
    ----------
    name : str
        What it is called in tests.
    shows : callable
        ``shows(got, right, problem) -> bool``: the answer and the right one, as arrays (the first of them,
        if there are several).
    hint : str
        A sentence that is true of every answer that shows it.
    """

    name: str
    shows: Callable[[Any, Any, Problem], bool]
    hint: str


@dataclass(frozen=True, eq=False)
class Exercise:
    """One exercise; how to write one is shown in `gnref.teaching.exercises`.

    Attributes
    ----------
    name : str
        What `check` calls it, and what the solution defines: a function, or a variable.
    tutorial : int
        The number of its tutorial.
    title : str
        A few words.
    solution : str
        Python text.
    mistakes : tuple of Mistake
        The known ones.
    norm : str
        Of the problems: "batch", "instance", "group", "layer", "rms" or "batch_frozen".
    takes : tuple of str
        The arguments of the function, by the names of `gnref.teaching.exercises.truth`; none for a variable.
    answers : tuple of str
        The results, by names of the same list: one is returned as it is, several as a tuple.
    keepdims : bool
        Whether statistics keep the axes that they are over, with size 1.
    oracle : callable, optional
        ``oracle(problem)`` returns the right answer, in place of the names in ``answers``.
    arguments : callable, optional
        ``arguments(problem)`` returns the tuple of arguments; ``takes`` then only says what they are called.
    problems : callable, optional
        Returns the problems; without it they are drawn.
    ranks : tuple of int
        The numbers of dimensions of x in problems that are drawn.
    options : mapping
        Over those of `gnref.teaching.exercises.cases.drawn`: offsets, eps, kinds.
    symptoms : tuple of Symptom
        What to say of a wrong answer that is none of the mistakes.
    context : str
        Python text that the solution needs before it, such as a function of the tutorial.
    rtol : float
        Of a free oracle's answer, relative to the largest number in it.
    reads : callable, optional
        ``reads(value)`` makes what is compared of what a function returns, where that is no array of NumPy's.
    """

    name: str
    tutorial: int
    title: str
    solution: str
    mistakes: tuple[Mistake, ...] = ()
    norm: str = "group"
    takes: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    keepdims: bool = False
    oracle: Callable[[Problem], Any] | None = None
    arguments: Callable[[Problem], tuple[Any, ...]] | None = None
    problems: Callable[[], Sequence[Problem]] | None = None
    ranks: tuple[int, ...] = (4,)
    options: Mapping[str, Any] = field(default_factory=dict)
    symptoms: tuple[Symptom, ...] = ()
    context: str = ""
    rtol: float = 1e-9
    reads: Callable[[Any], Any] | None = None

    @property
    def is_function(self) -> bool:
        """Whether the answer is a function; a variable otherwise."""
        return bool(self.takes) or self.arguments is not None

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """What the arguments of the function are called."""
        return self.takes or tuple(inspect.signature(build(self, self.solution)).parameters)

    def edited(self, *mistakes: Mistake) -> str:
        """Return the solution's text with one or several mistakes in it.

        Raises
        ------
        ValueError
            The old text of one does not stand there exactly once.
        """
        text = self.solution
        for mistake in mistakes:
            count = text.count(mistake.old)
            if count != 1:
                raise ValueError(f"{mistake.name}: {mistake.old!r} occurs {count} times; expected once")
            text = text.replace(mistake.old, mistake.new)
        return text


def build(exercise: Exercise, text: str, label: str = "solution") -> Any:
    """Execute a text and return what it defines under the exercise's name.

    The lines go into `linecache`, so that tracebacks show them.
    """
    import gnref

    filename = f"<{exercise.name}: {label}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"__name__": filename, "np": np, "gnref": gnref}
    exec(exercise.context, namespace)
    exec(compile(text, filename, "exec"), namespace)
    if exercise.name not in namespace:
        raise ValueError(f"the {label} of {exercise.name!r} defines no such name")
    return namespace[exercise.name]
