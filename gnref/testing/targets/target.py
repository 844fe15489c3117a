"""What the properties see of a target: two passes of NumPy arrays, and what may go wrong in them."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from gnref.testing.problems import Array, Problem


class Forward(NamedTuple):
    """The results of a forward pass; ``saved`` is the target's own business."""

    y: Array
    mean: Array | None = None
    var: Array | None = None
    rstd: Array | None = None
    saved: Any = None


class Gradients(NamedTuple):
    """The results of a backward pass; None for what is absent or not needed."""

    dx: Array | None = None
    dweight: Array | None = None
    dbias: Array | None = None


class Directions(NamedTuple):
    """What x, weight and bias move along, or what dx, dweight and dbias are multiplied by; None if absent."""

    x: Array
    weight: Array | None = None
    bias: Array | None = None


class Second(NamedTuple):
    """The gradients of <ddx, dx> + <ddweight, dweight> + <ddbias, dbias>."""

    dy: Array
    x: Array
    weight: Array | None = None


class Unsupported(Exception):  # noqa: N818  no error: nobody did anything wrong
    """The problem is outside the domain that the target declares."""


class Refused(Exception):  # noqa: N818  an error only where the problem was fair
    """The target raised an exception."""


class NotOffered(Exception):  # noqa: N818
    """The target says that it cannot do more than it must; ``ratio`` is the error of what it did do."""

    def __init__(self, message: str, ratio: float | None = None) -> None:
        super().__init__(message)
        self.ratio = ratio


class Stopped(Exception):  # noqa: N818
    """The target was lost so often that it is asked no more."""


class Finding(Exception):  # noqa: N818  about the target, not an error of the kit
    """The target did what no result can make good; ``property`` is the name of the law it broke."""

    def __init__(self, property: str, message: str) -> None:
        super().__init__(property, message)
        self.property, self.message = property, message

    def __str__(self) -> str:
        return self.message


class Target(Protocol):
    """An implementation of the norms, called with NumPy arrays.

    Attributes
    ----------
    name : str
        How reports call it.
    abilities : frozenset of str
        What properties may ask of it: "backward", "statistics" (forward saves mean and rstd), "var",
        "out", "needs" (some gradients alone), "differentiates" (a framework makes the backward pass, and
        there are ``second`` and ``forward_mode``, as of `Functions`),
        "layout" (results lie in memory as x does), "norms" (every norm, not one alone),
        "channel_axis", "strides" (arrays may lie in any order), "fill" (what lies around them can be chosen).
    affine_required : bool
        Whether weight and bias must be there.
    findings : list of Finding
        What it did wrong in calls that returned all the same; who reads it empties it.
    """

    name: str
    abilities: frozenset[str]
    affine_required: bool
    findings: list[Finding]

    def forward(self, problem: Problem, **options: Any) -> Forward:
        """Normalize the problem's x."""

    def backward(self, dy: Array, forward: Forward, **options: Any) -> Gradients:
        """Differentiate a forward pass."""


def gradients(target: Target, problem: Problem) -> Gradients:
    """Run both passes of a problem; nothing where the target has no backward pass."""
    if "backward" not in target.abilities:
        return Gradients()
    return target.backward(problem.dy, target.forward(problem))
