"""Compare answers: with what is right, and with each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gnref.teaching.exercises.asking import Outcome, short
from gnref.teaching.exercises.cases import Case
from gnref.teaching.exercises.exercise import Exercise

KINDS: dict[Any, str] = {bool: "True or False", str: "a text", set | frozenset: "a set"}
ROUNDING = 1e-9  # relative: how much two ways to write the same mistake may differ


class Unread(NamedTuple):
    """An answer that has the wrong type or shape, or nothing in it; and why."""

    why: str


@dataclass(frozen=True)
class Wrong:
    """The element of a result that is farthest from right."""

    name: str
    index: tuple[int, ...]
    got: float
    right: float
    size: float = 0.0  # of the largest number in the right result


def read(exercise: Exercise, case: Case, value: Any) -> tuple[Any, ...] | Unread:
    """Take an answer apart into its results, as arrays."""
    if value is None:
        return Unread("your function returns None: is its `return` missing?")
    value = exercise.reads(value) if exercise.reads else value
    if len(case.names) == 1:
        values: tuple[Any, ...] = (value,)
    elif (isinstance(value, tuple | list) and len(value) == len(case.names)) or _stacked(case, value):
        values = tuple(value)
    else:
        it = "what your function returns" if exercise.is_function else exercise.name
        return Unread(f"{it} is {described(value)}; expected ({', '.join(case.names)})")
    found = []
    for name, one, right in zip(case.names, values, case.right, strict=True):
        reading = _read_one(name, one, right)
        if isinstance(reading, Unread):
            return reading
        found.append(reading)
    return tuple(found)


def _stacked(case: Case, value: Any) -> bool:
    """Whether an array holds all results, one after the other, as `np.array((a, b))` does."""
    shapes = {np.shape(right) for right in case.right}
    return (
        isinstance(value, np.ndarray) and len(shapes) == 1 and value.shape == (len(case.right), *shapes.pop())
    )


def _read_one(name: str, value: Any, right: Any) -> Any:
    """One result as an array; text, truth and sets as they are."""
    for kind, expected in KINDS.items():
        if isinstance(right, kind):
            value = value.item() if isinstance(value, np.bool_) else value
            return (
                value
                if isinstance(value, kind)
                else Unread(f"{name} is {described(value)}; expected {expected}")
            )
    try:
        array = np.asarray(value)
    except Exception:  # whatever an object's own __array__ raises
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf":
        real = "real " if array.dtype.kind == "c" else ""
        return Unread(f"{name} is {described(value)}; expected {real}{_expected(right)}")
    if array.size == 0 and np.size(right) > 0:
        return Unread(f"{name} is empty, with the shape {array.shape}; expected {_expected(right)}")
    return array


def shapes(case: Case, found: tuple[Any, ...]) -> str:
    """Say which result has the wrong shape; "" if none has."""
    for name, got, right in zip(case.names, found, case.right, strict=True):
        if isinstance(got, np.ndarray) and got.shape != np.shape(right):
            if got.ndim == np.ndim(right) == 1 and not case.arguments:
                return f"{name} has {len(got)} entries; expected {len(right)}"
            has = f"has the shape {got.shape}" if got.ndim else "is one number"
            expected = f"the shape {np.shape(right)}" if np.ndim(right) else "one number"
            where = f" where {case.where}" if case.arguments else ""
            return f"{name} {has}; expected {expected}{where}"
    return ""


def wrong(exercise: Exercise, case: Case, found: tuple[Any, ...]) -> dict[str, Wrong | str]:
    """The results that are wrong, each with its worst element, or with a sentence where it has none."""
    off: dict[str, Wrong | str] = {}
    for name, got, right, limit in zip(case.names, found, case.right, case.limits, strict=True):
        if isinstance(got, np.ndarray):
            if worst := worst_element(name, got, right, limit, exercise.rtol):
                off[name] = worst
        elif got != right:
            off[name] = f"{name} is {described(got)}, which is not right."
    return off


def worst_element(name: str, got: Any, right: Any, limit: Any, rtol: float) -> Wrong | None:
    """The element that is off by most of its tolerance; None if all are right."""
    got, right = np.asarray(got, float), np.asarray(right, float)
    if limit is None:
        limit = rtol * np.max(np.abs(right), initial=0.0)
    with np.errstate(all="ignore"):
        error = np.where(got == right, 0.0, np.abs(got - right))
        ratio = np.where(error == 0, 0.0, error / np.maximum(limit, 1e-300))
    ratio = np.where(np.isnan(ratio), np.inf, ratio)
    if ratio.size == 0 or ratio.max() <= 1:
        return None
    where = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
    index = tuple(int(i) for i in where)
    return Wrong(name, index, float(got[where]), float(right[where]), float(np.max(np.abs(right))))


def right_on(exercise: Exercise, case: Case, outcome: Outcome) -> bool:
    """Whether an outcome is right in every respect."""
    if outcome.raised or outcome.missing or outcome.written:
        return False
    found = read(exercise, case, outcome.value)
    return not isinstance(found, Unread) and not shapes(case, found) and not wrong(exercise, case, found)


def same(exercise: Exercise, case: Case, one: Outcome, other: Outcome) -> bool:
    """Whether two outcomes are the same, rounding aside; exceptions by type and message."""
    if one.raised or other.raised:
        pair = [(o.raised.kind, o.raised.message) if o.raised else None for o in (one, other)]
        return pair[0] == pair[1]
    if set(one.written) != set(other.written):
        return False
    a, b = (read(exercise, case, outcome.value) for outcome in (one, other))
    if isinstance(a, Unread) or isinstance(b, Unread):
        return isinstance(a, Unread) and isinstance(b, Unread) and a.why == b.why
    return all(_close(p, q, limit) for p, q, limit in zip(a, b, case.limits, strict=True))


def _close(a: Any, b: Any, limit: Any) -> bool:
    """Whether two results agree."""
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return bool(type(a) is type(b) and a == b)
    if a.shape != b.shape:
        return False
    a, b = a.astype(float), b.astype(float)
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return False
    fine = np.isfinite(a)
    most = 0.0 if limit is None else float(np.max(limit, initial=0.0))
    allowed = ROUNDING * np.max(np.abs(b[fine]), initial=0.0) + most
    return bool(np.all(np.abs(a[fine] - b[fine]) <= allowed)) and np.array_equal(
        np.nan_to_num(a[~fine]), np.nan_to_num(b[~fine])
    )


def described(value: Any) -> str:
    """An answer in a few words, for a sentence."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} with the shape {value.shape}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if value is None or isinstance(value, int | float | str):
        try:
            return short(repr(value))
        except Exception:  # its own __repr__ fails, or it has too many digits
            pass
    return f"of type {short(type(value).__name__)}"


def _expected(right: Any) -> str:
    """What was expected, in a few words."""
    if np.ndim(right) == 0:
        return "a number"
    kind = "True and False" if np.asarray(right).dtype == bool else "numbers"
    return f"{kind} in the shape {np.shape(right)}"
