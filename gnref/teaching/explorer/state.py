"""The state of the explorer: what is shown, checked, and as the address of a page.

`explorer.js` has the same fields with the same limits; the tests compare the two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from operator import index
from typing import Any
from urllib.parse import parse_qsl

from gnref.errors import ShapeError
from gnref.teaching.palette import NAMES

LIMITS = {"n": 6, "c": 12, "h": 4, "w": 4}  # more cells could be neither told apart nor hit
CHOICES = {
    "norm": ("bn", "ln", "in", "gn", "ln-pytorch"),
    "view": ("block", "slices"),
    "show": ("mean", "weight", "dx"),
    "task": ("", "mark", "count"),
    "theme": ("auto", "light", "dark"),
}
# The norms as the rest of gnref calls them. Both layer norms have the sets of the paper's.
NORMS = {"bn": "batch", "ln": "layer", "in": "instance", "gn": "group", "ln-pytorch": "layer"}
USUAL_G = 3


@dataclass(frozen=True, slots=True)
class State:
    """What the explorer shows; `state_of` makes one, and checks it."""

    norm: str
    n: int
    c: int
    h: int
    w: int
    g: int
    cell: tuple[int, ...]
    view: str
    show: str
    task: str
    theme: str

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W) of the block."""
        return self.n, self.c, self.h, self.w

    @property
    def title(self) -> str:
        """The name of the norm, with its G if it has one."""
        name = "PyTorch's LayerNorm" if self.norm == "ln-pytorch" else NAMES[NORMS[self.norm]]
        return f"{name}, G = {self.g}" if self.norm == "gn" else name

    @property
    def address(self) -> str:
        """What follows the name of the explorer's page in an address that shows this state.

        Examples
        --------
        >>> state_of("bn", c=4, show="dx").address
        '?norm=bn&n=2&c=4&h=2&w=2&g=4&cell=0,0,0,0&show=dx'
        """
        values = {key: getattr(self, key) for key in ("norm", *LIMITS, "g")}
        values["cell"] = ",".join(map(str, self.cell))
        # The first of the choices is what a page shows unless told.
        changed = {key: getattr(self, key) for key in ("view", "show", "task")}
        values |= {key: value for key, value in changed.items() if value != CHOICES[key][0]}
        return "?" + "&".join(f"{key}={value}" for key, value in values.items())

    @classmethod
    def from_address(cls, address: str) -> State:
        """Return the state of an address; what it leaves out is as in `state_of`.

        Parameters
        ----------
        address : str
            As `State.address`, with its question mark or without.

        Raises
        ------
        ValueError
            A field that no state has, or a value that `state_of` does not take.

        Examples
        --------
        >>> State.from_address("?norm=bn&n=2&c=4&cell=0,2,1,0").cell
        (0, 2, 1, 0)
        >>> State.from_address("g=4")
        Traceback (most recent call last):
            ...
        gnref.errors.ShapeError: g is 4; expected a divisor of c = 6: 1, 2, 3 or 6
        """
        given = dict(parse_qsl(address.removeprefix("?"), keep_blank_values=True))
        known = list(cls.__dataclass_fields__)
        for name in given:
            if name not in known:
                raise ValueError(f"address has the field {name!r}; expected {_either(known)}")
        return state_of(**{name: _read(name, text) for name, text in given.items()})

    def fields(self) -> dict[str, Any]:
        """All fields by name: the keywords of `state_of`."""
        return asdict(self)


def state_of(
    norm: str = "gn",
    n: int = 2,
    c: int = 6,
    h: int = 2,
    w: int = 2,
    g: int | None = None,
    cell: Sequence[int] = (0, 0, 0, 0),
    view: str = "block",
    show: str = "mean",
    task: str = "",
    theme: str = "auto",
) -> State:
    """Return the state with these fields.

    Parameters
    ----------
    norm : str
        "bn", "ln", "in", "gn" or, with a weight for each element, "ln-pytorch".
    n, c, h, w : int
        The block; up to 6, 12, 4 and 4.
    g : int, optional
        G of the group norm; absent, the divisor of c that is nearest to 3.
    cell : sequence of int
        The picked cell, (n, c, h, w).
    view : str
        "block" or "slices", one for each example.
    show : str
        What is in colour: the cells that share the picked one's "mean" or its "weight", or those that its
        dy reaches, "dx".
    task : str
        "" to explore, or an exercise: "mark" the set, "count" the means.
    theme : str
        "light", "dark" or "auto", the page's.

    Raises
    ------
    ValueError
        A field is none of these.

    Examples
    --------
    >>> state_of(c=8).title
    'GroupNorm, G = 4'
    >>> state_of(g=4)
    Traceback (most recent call last):
        ...
    gnref.errors.ShapeError: g is 4; expected a divisor of c = 6: 1, 2, 3 or 6
    """
    sizes = {axis: check_size(axis, size) for axis, size in zip(LIMITS, (n, c, h, w), strict=True)}
    return State(
        norm=check_choice("norm", norm),
        **sizes,
        g=nearest_groups(USUAL_G, sizes["c"]) if g is None else check_groups(g, sizes["c"]),
        cell=check_cell(cell, tuple(sizes.values())),
        view=check_choice("view", view),
        show=check_choice("show", show),
        task=check_choice("task", task),
        theme=check_choice("theme", theme),
    )


def check_choice(name: str, value: Any) -> str:
    """Return the value, or raise unless it is one of the field's."""
    known = CHOICES[name]
    if isinstance(value, str) and value in known:
        return value
    raise ValueError(f"{name} is {value!r}; expected {_either([repr(choice) for choice in known])}")


def check_size(axis: str, value: Any) -> int:
    """Return the size of an axis, or raise unless a block of it can be drawn."""
    size = _whole(value)
    if 1 <= size <= LIMITS[axis]:
        return size
    raise ShapeError(f"{axis} is {value!r}; expected a whole number from 1 to {LIMITS[axis]}")


def check_groups(value: Any, c: int) -> int:
    """Return the number of groups, or raise unless it divides the number of channels."""
    if _whole(value) in divisors(c):
        return _whole(value)
    known = _either([str(d) for d in divisors(c)])
    raise ShapeError(f"g is {value!r}; expected a divisor of c = {c}: {known}")


def check_cell(value: Any, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the cell, or raise unless it is in the block."""
    cell = tuple(map(_whole, value)) if isinstance(value, list | tuple) else ()
    if len(cell) == 4 and cell == inside(cell, shape):
        return cell
    last = tuple(size - 1 for size in shape)
    raise ShapeError(f"cell is {value!r}; expected (n, c, h, w) from (0, 0, 0, 0) to {last}")


def divisors(c: int) -> list[int]:
    """Return all divisors, from 1 on."""
    return [d for d in range(1, c + 1) if c % d == 0]


def nearest_groups(g: int, c: int) -> int:
    """Return the divisor of c that is nearest to g; the larger of two."""
    return min(divisors(c), key=lambda d: (abs(d - g), -d))


def inside(cell: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """Return the cell of the block that is nearest to this one."""
    return tuple(min(max(i, 0), size - 1) for i, size in zip(cell, shape, strict=True))


def flat(state: State) -> int:
    """Return the number of the picked cell, in the order of memory."""
    return sum(i * prod(state.shape[axis + 1 :]) for axis, i in enumerate(state.cell))


def _read(name: str, text: str) -> Any:
    """A value from an address; what is no number stays text, and is what the checks name."""
    if name not in (*LIMITS, "g", "cell"):
        return text
    parts = text.split(",")
    if not all(re.fullmatch("[0-9]{1,9}", part) for part in parts):
        return text
    numbers = tuple(map(int, parts))
    return numbers if name == "cell" or len(numbers) > 1 else numbers[0]


def _whole(value: Any) -> int:
    """The value as an int, or -1 if it is none; True is none."""
    try:
        return -1 if isinstance(value, bool) else index(value)
    except TypeError:
        return -1


def _either(words: list[str]) -> str:
    """The words as a list with "or"."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
