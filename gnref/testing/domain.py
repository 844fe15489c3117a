"""Which problems a target is meant for: outside its domain it is not asked, and not blamed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from gnref.testing.problems import CHANNEL_NORMS, Problem

Supports = Callable[[Problem], bool] | Mapping[str, Any] | None


@dataclass(frozen=True)
class Domain:
    """What a target declares that it takes; None where it has no limit.

    Attributes
    ----------
    ranks : tuple of int, optional
        The numbers of dimensions of x: (4,) for N C H W alone.
    dtypes : tuple of str, optional
        Of x.
    channel_multiple : int
        C is a multiple of this (layer and rms: the number of normalized elements).
    max_set : int, optional
        The largest number of elements that share a mean.
    affine_required : bool
        Whether weight and bias must be there.
    eps : tuple of float, optional
        The values that eps has: one, for a kernel in which it is built in.
    contiguous : bool
        Whether the arrays must lie in memory in the order of their axes.
    where : callable, optional
        ``where(problem) -> bool``, for all else.
    """

    ranks: tuple[int, ...] | None = None
    dtypes: tuple[str, ...] | None = None
    channel_multiple: int = 1
    max_set: int | None = None
    affine_required: bool = False
    eps: tuple[float, ...] | None = None
    contiguous: bool = False
    where: Callable[[Problem], bool] | None = None

    @property
    def limited(self) -> bool:
        """Whether anything is declared at all."""
        return self != Domain()

    def why_not(self, problem: Problem) -> str:
        """Say which declared limit a problem exceeds; "" if none."""
        for reason, outside in self._limits(problem):
            if outside:
                return reason
        return ""

    def _limits(self, problem: Problem) -> Iterable[tuple[str, bool]]:
        """Every limit that is declared, and whether the problem exceeds it."""
        yield "ranks", self.ranks is not None and problem.rank not in self.ranks
        yield "dtypes", self.dtypes is not None and problem.dtype not in self.dtypes
        channels = problem.channels if problem.norm in CHANNEL_NORMS else problem.set_size
        yield "channel_multiple", (channels or 0) % self.channel_multiple != 0
        yield "max_set", self.max_set is not None and problem.set_size > self.max_set
        absent = problem.weight is None or (problem.bias is None and problem.norm != "rms")
        yield "affine_required", self.affine_required and absent
        yield "eps", self.eps is not None and problem.eps not in self.eps
        arrays = (problem.x, problem.dy, problem.weight, problem.bias)
        yield (
            "contiguous",
            self.contiguous and not all(a is None or a.flags.c_contiguous for a in arrays),
        )
        yield "supports", self.where is not None and not self._inside(problem)

    def _inside(self, problem: Problem) -> bool:
        """What the user's function says."""
        assert self.where is not None
        try:
            return bool(self.where(problem))
        except Exception as error:
            raise ValueError(
                f"supports raises {type(error).__name__} for {problem!r}: {error}; expected a bool"
            ) from error


def domain(supports: Supports) -> Domain:
    """Make a domain of what a user declared.

    Parameters
    ----------
    supports : callable, mapping or None
        ``supports(problem) -> bool``; or the fields of `Domain` by name; None for no limit.

    Examples
    --------
    >>> domain({"ranks": (4,), "channel_multiple": 8}).ranks
    (4,)
    >>> domain({"rank": 4})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: supports has the key 'rank'; expected ranks, dtypes, channel_multiple, max_set, ...
    """
    if supports is None:
        return Domain()
    if callable(supports):
        return Domain(where=supports)
    if not isinstance(supports, Mapping):
        raise TypeError(f"supports is {supports!r}; expected a function of a problem, or a dict of limits")
    keys = [field.name for field in fields(Domain)]
    for key in supports:
        if key not in keys:
            raise ValueError(f"supports has the key {key!r}; expected {', '.join(keys)}")
    given = dict(supports)
    for key in ("ranks", "dtypes", "eps"):
        if given.get(key) is not None:
            value = given[key]
            kind = {"ranks": int, "dtypes": str, "eps": float}[key]
            given[key] = (value,) if isinstance(value, int | float | str) else tuple(value)
            if not given[key] or not all(type(member) is kind for member in given[key]):
                raise ValueError(f"supports[{key!r}] is {value!r}; expected {kind.__name__} values")
    for key in ("channel_multiple", "max_set"):
        value = given.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ValueError(f"supports[{key!r}] is {value!r}; expected a positive integer")
    return Domain(**given)
