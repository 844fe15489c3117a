"""A user's own functions as a target: plain callables in the arrays of any library."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from gnref.testing.domain import Domain
from gnref.testing.problems import Array, Problem
from gnref.testing.targets.guarded import Guarded, guarded
from gnref.testing.targets.libraries import library
from gnref.testing.targets.target import (
    Directions,
    Finding,
    Forward,
    Gradients,
    Refused,
    Second,
    Unsupported,
)
from gnref.testing.targets.watched import overrun

Function = Callable[..., Any]
WRITES = ("destination is read-only", "output array is read-only")  # how NumPy puts it
UNCHANGED, IN_BOUNDS = "inputs are unchanged", "reads and writes in bounds"


class Saved(NamedTuple):
    """What a backward pass needs of its forward pass."""

    problem: Problem
    mean: Array | None
    rstd: Array | None


class Recipe(NamedTuple):
    """How to make a target: its functions, or the text that names them; and the options of `Functions`."""

    forward: Function | str
    backward: Function | None
    options: dict[str, Any]


class Functions:
    """A forward and a backward function of one norm.

    Parameters
    ----------
    forward, backward : callable
        As `gnref.testing.check` describes them.
    norm : str
        What they compute.
    arrays, device
        The library whose arrays they take, and where.
    domain : Domain
        The problems that they are meant for.
    channel_axis : bool
        Whether they take ``channel_axis=``.
    name : str, optional
        How reports call them; by default the name of ``forward``.
    """

    def __init__(
        self,
        forward: Function,
        backward: Function | None = None,
        *,
        norm: str,
        arrays: str = "numpy",
        device: Any = None,
        domain: Domain | None = None,
        channel_axis: bool = False,
        name: str | None = None,
    ) -> None:
        for what, function in (("forward", forward), ("backward", backward)):
            if not callable(function) and not (what == "backward" and function is None):
                raise TypeError(f"{what} is {function!r}; expected a function")
        self.function, self.derivative, self.norm = forward, backward, norm
        options = {"norm": norm, "arrays": arrays, "device": device, "channel_axis": channel_axis}
        self.recipe = Recipe(forward, backward, options)
        self.library = library(arrays, device)
        self.domain = domain or Domain()
        self.affine_required = self.domain.affine_required
        self.name: str = name or _name(forward)
        self.abilities = frozenset(
            ["backward"] * (backward is not None or self.library.differentiates)
            + ["channel_axis"] * channel_axis
            + ["fill"] * self.library.mutable
            + ["needs", "differentiates"] * (backward is None and self.library.differentiates)
            + ["strides"] * (self.library.mutable and not self.domain.contiguous)
        )
        self.takes = _parameters(backward)
        self.findings: list[Finding] = []  # of calls that returned all the same

    def forward(self, problem: Problem, **options: Any) -> Forward:
        """Call the forward function; options are ``fill``, what lies around the arrays, and ``recorded``.

        That says whether to call it in the way in which it will be differentiated.
        """
        self.require(problem)
        arrays, recorded = [problem.x, *_arrays_of(problem)], options.pop("recorded", False)
        if recorded:
            options |= {"how": "differentiate", "more": [problem.dy]}
        found = self.call(problem, self.function, arrays, _order(problem), **options)
        y, mean, rstd = (found[0], None, None) if recorded else _three(found, problem.norm)
        back = [None if a is None else self.library.back(a) for a in (y, mean, rstd)]
        if back[0] is None:
            raise Finding("dtype and shape preserved", "forward returned None for y")
        return Forward(back[0], back[1], None, back[2], Saved(problem, back[1], back[2]))

    def backward(self, dy: Array, forward: Forward, **options: Any) -> Gradients:
        """Call the backward function, or differentiate the forward one; options: ``fill`` and ``needs``."""
        problem, mean, rstd = forward.saved
        self.require(problem)
        params = _arrays_of(problem)
        if self.derivative is None:
            options |= {"how": "differentiate", "more": [dy]}
            found = self.call(problem, self.function, [problem.x, *params], _order(problem), **options)[1]
        else:
            order = ["dy", *_order(problem)]
            arrays, words = [dy, problem.x, *params], {}
            stats = {name: s for name, s in (("mean", mean), ("rstd", rstd)) if name in self.takes}
            for name in stats:
                if stats[name] is None and not (name == "mean" and problem.norm == "rms"):
                    raise Finding(
                        "saved statistics equal exact", f"backward takes {name}, and forward returns none"
                    )
            if stats and self.takes[2 : 2 + len(stats)] == list(stats):
                order[2:2] = list(stats)
                arrays[2:2] = list(stats.values())
            else:
                words = stats
            found = self.call(problem, self.derivative, arrays, order, words=words, **options)
        if not isinstance(found, tuple | list) or len(found) not in (3, 2 if problem.norm == "rms" else 3):
            raise _no_gradients(found)
        absent = (False, problem.weight is None, problem.bias is None)
        kept = [None if gone else a for a, gone in zip([*found, None][:3], absent, strict=True)]
        if not _arrays(kept):
            raise _no_gradients(found)
        return Gradients(*(None if a is None else self.library.back(a) for a in kept))

    def second(self, problem: Problem, along: Directions) -> Second:
        """Differentiate the sum of the gradients, each times its array of ``along``."""
        found = self.further("second", problem, [problem.dy], along)
        dy, x, weight = (None if a is None else self.library.back(a) for a in found)
        assert dy is not None and x is not None
        return Second(dy, x, weight)

    def forward_mode(self, problem: Problem, along: Directions) -> Array:
        """Differentiate y along directions of x, weight and bias."""
        return self.library.back(self.further("forward_mode", problem, [], along))

    def further(self, how: str, problem: Problem, more: list[Array | None], along: Directions) -> Any:
        """Call a method of the library that differentiates the forward function."""
        self.require(problem)
        arrays = [problem.x, *_arrays_of(problem)]
        more = [*more, *along[: len(arrays)]]
        return self.call(problem, self.function, arrays, _order(problem), how=how, more=more)

    def require(self, problem: Problem) -> None:
        """Raise `Unsupported` for a problem outside the domain."""
        if problem.norm != self.norm:
            raise Unsupported(f"{self.name} is no {problem.norm} norm")
        if reason := self.domain.why_not(problem):
            raise Unsupported(reason)

    def call(
        self,
        problem: Problem,
        function: Function,
        arrays: list[Array | None],
        order: list[str],
        *,
        how: str = "",
        more: Sequence[Array | None] = (),
        words: dict[str, Array] | None = None,
        fill: float = np.nan,
        needs: tuple[str, ...] = ("x", "weight", "bias"),
    ) -> Any:
        """Call a function with arrays of its library, and look at the memory afterwards.

        With ``how`` the library's method of that name differentiates it, and is given the arrays ``more``.
        """
        words = words or {}
        places = [self.place(a, fill) for a in [*arrays, *words.values(), *more]]
        buffers = [None if p is None else self.library.buffer(p) for p in places]
        given = [None if p is None else self.library.view(b, p) for p, b in zip(places, buffers, strict=True)]
        own = dict(zip(words, given[len(arrays) :], strict=False))
        options = _options(problem)

        def called(*native: Any) -> Any:
            return function(*_arguments(problem, order, list(native)), **options, **own)

        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                # PyTorch's forward mode compiles code of its own, and would compile what watches with it.
                watch = self.library.watched() if how in ("", "differentiate") else nullcontext([])
                with self.library.context(), watch as made:
                    if how:
                        found = getattr(self.library, how)(
                            lambda *native: _three(called(*native), problem.norm)[0],
                            given[: len(arrays)],
                            *given[len(arrays) :],
                            **({"needs": needs} if how == "differentiate" else {}),
                        )
                    else:
                        found = called(*given[: len(arrays)])
        except Finding:  # about what the function returned to the library that differentiates it
            raise
        except Exception as error:
            if isinstance(error, ValueError) and str(error).endswith(WRITES):
                raise Finding(UNCHANGED, "writes to an array that it was given") from error
            raise Refused(f"raises {type(error).__name__}: {error}") from error
        if self.library.mutable:
            self.look(places, buffers)
        if overrun(made, self.library.back):
            self.findings.append(Finding(IN_BOUNDS, "writes outside an array that it made"))
        return found

    def place(self, a: Array | None, fill: float) -> Guarded | None:
        """Where an array goes: into a buffer of NaN, or of another number."""
        if a is None:
            return None
        if not self.library.negative_strides and any(stride < 0 for stride in a.strides):
            a = a.copy()
        return guarded(a, fill)

    def look(self, places: list[Guarded | None], buffers: list[Any]) -> None:
        """Note a finding if a buffer was written to."""
        for place, buffer in zip(places, buffers, strict=True):
            if place is None:
                continue
            where = place.changed(self.library.back(buffer))
            if where == "around":
                self.findings.append(Finding(IN_BOUNDS, "writes outside an array that it was given"))
            elif where:
                self.findings.append(Finding(UNCHANGED, "writes to an array that it was given"))


def _name(function: Function) -> str:
    """What a function is called, without the functions that it stands in."""
    full = str(getattr(function, "__qualname__", type(function).__name__))
    return full.rpartition("<locals>.")[2] or full


def _parameters(function: Function | None) -> list[str]:
    """The names of a function's parameters; none where Python cannot tell."""
    try:
        return [] if function is None else list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def _arrays_of(problem: Problem) -> list[Array | None]:
    """weight and, but for rms norm, bias."""
    return [problem.weight] if problem.norm == "rms" else [problem.weight, problem.bias]


def _order(problem: Problem) -> list[str]:
    """The names of the positional arguments."""
    return list(problem.positional)


def _arguments(problem: Problem, order: list[str], native: list[Any]) -> list[Any]:
    """The positional arguments, with arrays of the library in the place of NumPy's."""
    arrays = iter(native)
    plain = {"num_groups": problem.num_groups, "normalized_shape": problem.normalized_shape}
    return [plain[name] if name in plain else next(arrays) for name in order]


def _options(problem: Problem) -> dict[str, Any]:
    """The keyword arguments."""
    return problem.keywords


def _three(found: Any, norm: str) -> tuple[Any, Any, Any]:
    """Y, mean and rstd of what forward returned; None for what it did not return."""
    if hasattr(found, "dtype"):
        return found, None, None
    if isinstance(found, tuple | list) and _arrays(found):
        if norm == "rms" and len(found) == 2:  # there is no mean
            return found[0], None, found[1]
        if len(found) == 3:
            return found[0], found[1], found[2]
    raise Finding(
        "dtype and shape preserved", f"forward returned {_brief(found)}; expected y, or (y, mean, rstd)"
    )


def _arrays(found: Sequence[Any]) -> bool:
    """Whether all are arrays or None; lists of numbers, as ``tolist`` makes them, are none."""
    return all(a is None or hasattr(a, "dtype") for a in found)


def _no_gradients(found: Any) -> Finding:
    """What is said of a backward pass that does not return gradients."""
    told = f"backward returned {_brief(found)}; expected (dx, dweight, dbias)"
    return Finding("dtype and shape preserved", told)


def _brief(found: Any) -> str:
    """What was returned, in a few words."""
    if isinstance(found, tuple | list):
        kinds = ", ".join(dict.fromkeys(_brief_type(a) for a in found)) or "nothing"
        return f"a {type(found).__name__} of {len(found)} ({kinds})"
    return _brief_type(found)


def _brief_type(a: Any) -> str:
    """The name of a type."""
    return "None" if a is None else type(a).__name__
