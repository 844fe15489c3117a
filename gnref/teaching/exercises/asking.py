"""Call a reader's function, and keep what comes of it: results, its variables, or what it raises."""

from __future__ import annotations

import inspect
import io
import linecache
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from types import CodeType, FrameType, TracebackType
from typing import Any

import numpy as np

from gnref.teaching.exercises.cases import Case
from gnref.teaching.exercises.exercise import Exercise

LONGEST = 160  # characters of what a reader wrote, in a sentence


@dataclass(frozen=True)
class Raised:
    """An exception, and the line of the reader's that it comes from."""

    kind: str
    message: str
    number: int = 0
    line: str = ""
    unwritten: bool = False  # whether it says that nothing is written yet

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
    idle: bool = True  # whether None says that nothing is written yet, and not that `return` is forgotten

    @property
    def missing(self) -> bool:
        """Whether nothing is written yet."""
        if self.raised is not None:
            return self.raised.unwritten
        values = self.value if isinstance(self.value, tuple | list) else (self.value,)
        return any(value is Ellipsis for value in values) or (self.value is None and self.idle)


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
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # an exit, too: the notebook goes on
        return Outcome(raised=_raised(error, code), variables=kept)
    triples = zip(exercise.parameters, given, case.arguments, strict=True)
    written = [name for name, a, b in triples if not _same(a, b)]
    return Outcome(value, None, kept, tuple(written), idle=_idle(code))


def call(answer: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """Call an answer for the kit, which takes any exception, but is ended by an exit."""
    try:
        return answer(*arguments)
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings, and nothing printed: the answer is called several times."""
    nowhere = io.StringIO()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        with redirect_stdout(nowhere), redirect_stderr(nowhere):
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


def _idle(code: CodeType | None) -> bool:
    """Whether a function does nothing, or has dots of the stub in it."""
    if code is None:
        return False
    packed = [flag for flag in (inspect.CO_VARARGS, inspect.CO_VARKEYWORDS) if code.co_flags & flag]
    arguments = code.co_argcount + code.co_kwonlyargcount + len(packed)
    return Ellipsis in code.co_consts or (not code.co_names and code.co_nlocals == arguments)


def _raised(error: BaseException, code: CodeType | None) -> Raised:
    """Where an exception comes from: the last line in the file, or the cell, of the reader's function."""
    number, line, own = 0, "", False
    step: TracebackType | None = error.__traceback__
    while step is not None and code is not None:
        filename = step.tb_frame.f_code.co_filename
        own = filename == code.co_filename
        if own:
            number, line = step.tb_lineno, linecache.getline(filename, step.tb_lineno)
        step = step.tb_next
    message = _message(error)
    dots = isinstance(error, TypeError | AttributeError) and "ellipsis" in message.lower()
    unwritten = dots or (own and isinstance(error, NotImplementedError))
    return Raised(type(error).__name__, message, number, short(line), unwritten)


def _message(error: BaseException) -> str:
    """The first line of what an exception says."""
    try:
        return short(str(error).strip().split("\n")[0])
    except Exception:  # its own __str__ fails
        return ""


def short(text: str) -> str:
    """What a reader wrote, as a part of a sentence: without control characters, and not too long."""
    cut = text.strip()[: LONGEST + 1]
    plain = "".join(c if c.isprintable() else " " for c in cut)
    return plain if len(cut) <= LONGEST else f"{plain[: LONGEST - 1]}…"


def _same(a: Any, b: Any) -> bool:
    """Whether an argument is as it was."""
    return not isinstance(b, np.ndarray) or (a.shape == b.shape and np.array_equal(a, b, equal_nan=True))


def parameters_fit(exercise: Exercise, answer: Callable[..., Any], count: int) -> str:
    """Say why a function cannot be called with so many arguments; "" if it can."""
    try:
        signature = inspect.signature(answer)
    except (TypeError, ValueError):
        return ""
    try:
        signature.bind(*range(count))
    except TypeError:
        return f"your function takes {short(str(signature))}; expected ({', '.join(exercise.parameters)})"
    return ""
