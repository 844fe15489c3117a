"""Call a reader's function, and keep what comes of it: results, its variables, or what it raises."""

from __future__ import annotations

import io
import linecache
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from types import CodeType, FrameType, TracebackType
from typing import Any

import numpy as np

from gnref.teaching.exercises.cases import Case
from gnref.teaching.exercises.exercise import Exercise


@dataclass(frozen=True)
class Raised:
    """An exception, and the line of the reader's that it comes from."""

    kind: str
    message: str
    number: int = 0
    line: str = ""

    @property
    def text(self) -> str:
        """What happened, in one sentence."""
        what = f"{self.kind}: {self.message}" if self.message else self.kind
        return f"line {self.number}, `{self.line}`, raises {what}" if self.line else f"it raises {what}"


@dataclass(frozen=True)
class Outcome:
    """What came of one call."""

    value: Any = None
    raised: Raised | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    written: tuple[str, ...] = ()  # the arguments that it wrote to

    @property
    def missing(self) -> bool:
        """Whether nothing is written yet."""
        if self.raised is not None:
            return self.raised.kind == "NotImplementedError" or "ellipsis" in self.raised.message.lower()
        values = self.value if isinstance(self.value, tuple | list) and self.value else (self.value,)
        return any(value is None or value is Ellipsis for value in values)


def ask(exercise: Exercise, answer: Any, case: Case, variables: bool = False) -> Outcome:
    """Ask an answer one problem; a variable is its own answer."""
    if not exercise.is_function:
        return Outcome(answer)
    given = [a.copy() if isinstance(a, np.ndarray) else a for a in case.arguments]
    kept: dict[str, Any] = {}
    code = code_of(answer)
    try:
        with quiet(), watched(code if variables else None, kept):
            value = answer(*given)
    except (Exception, SystemExit) as error:
        return Outcome(raised=_raised(error, code), variables=kept)
    names = exercise.takes or [f"argument {i + 1}" for i in range(len(given))]
    written = [n for n, a, b in zip(names, given, case.arguments, strict=True) if not _same(a, b)]
    return Outcome(value, None, kept, tuple(written))


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings, and nothing printed: the answer is called several times."""
    with warnings.catch_warnings(), np.errstate(all="ignore"), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def watched(code: CodeType | None, kept: dict[str, Any]) -> Iterator[None]:
    """Keep the variables that a function has as it returns."""
    if code is None:
        yield
        return

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is code:
            kept.update(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(before)


def code_of(answer: Any) -> CodeType | None:
    """The code of a function; None where Python has none."""
    found = getattr(answer, "__code__", None)
    return found if isinstance(found, CodeType) else None


def _raised(error: BaseException, code: CodeType | None) -> Raised:
    """Where an exception comes from: the last line in the file, or the cell, of the reader's function."""
    number, line = 0, ""
    step: TracebackType | None = error.__traceback__
    while step is not None and code is not None:
        filename = step.tb_frame.f_code.co_filename
        if filename == code.co_filename:
            number, line = step.tb_lineno, linecache.getline(filename, step.tb_lineno).strip()
        step = step.tb_next
    first = str(error).strip().split("\n")[0]
    return Raised(type(error).__name__, first, number, line)


def _same(a: Any, b: Any) -> bool:
    """Whether an argument is as it was."""
    return not isinstance(b, np.ndarray) or (a.shape == b.shape and np.array_equal(a, b, equal_nan=True))


def parameters_fit(exercise: Exercise, answer: Callable[..., Any], count: int) -> str:
    """Say why a function cannot be called with so many arguments; "" if it can."""
    import inspect

    try:
        signature = inspect.signature(answer)
    except (TypeError, ValueError):
        return ""
    try:
        signature.bind(*range(count))
    except TypeError:
        expected = ", ".join(exercise.takes) or f"{count} arguments"
        return f"your function takes {signature}; expected ({expected})"
    return ""
