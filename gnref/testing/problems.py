"""A problem: one call of a norm, with every array and number that it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

NORMS = ("batch", "instance", "group", "layer", "rms", "batch_frozen")
CHANNEL_NORMS = ("batch", "instance", "group", "batch_frozen")


@dataclass(frozen=True, eq=False, repr=False)
class Problem:
    """The inputs of a norm's forward and backward pass, as NumPy arrays.

    Attributes
    ----------
    norm : str
        One of `NORMS`.
    x, dy : array
        Of one shape and dtype; dy is the gradient of the loss by y.
    weight, bias : array or None
        (C,) for the norms with channels, normalized_shape for layer and rms.
    eps : float
        The number added to the variance.
    channel_axis, virtual_batch_size
        As in `gnref.batch_norm`.
    num_groups : int or None
        G of group norm.
    normalized_shape : tuple of int or None
        The trailing dimensions of layer and rms.
    running_mean, running_var : array or None
        The statistics of the frozen norm.
    kind : str
        The distribution that x was drawn from, as `gnref.testing.data` names it.
    seed : int
        Where properties take further random numbers from.
    layout, dy_layout, param_layout : str
        How x, dy and the other arrays lie in memory, as `gnref.testing.memory` names it.
    grade : str
        How accurate an answer has to be, "A" or "B": see `gnref.testing.tolerances`.
    """

    norm: str
    x: Array
    dy: Array
    weight: Array | None = None
    bias: Array | None = None
    eps: float = 1e-5
    channel_axis: int = 1
    num_groups: int | None = None
    normalized_shape: tuple[int, ...] | None = None
    virtual_batch_size: int | None = None
    running_mean: Array | None = None
    running_var: Array | None = None
    kind: str = "given"
    seed: int = 0
    layout: str = "plain"
    dy_layout: str = "plain"
    param_layout: str = "plain"
    grade: str = "A"

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise ValueError(f"norm is {self.norm!r}; expected one of {', '.join(NORMS)}")

    def __repr__(self) -> str:
        return f"Problem({self.norm!r}, shape={self.shape}, dtype={self.dtype!r})"

    def but(self, **changes: Any) -> Problem:
        """Return the same problem with some fields changed."""
        return replace(self, **changes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of x."""
        return tuple(self.x.shape)

    @property
    def dtype(self) -> str:
        """The name of x's dtype."""
        return str(self.x.dtype.name)

    @property
    def rank(self) -> int:
        """The number of x's dimensions."""
        return int(self.x.ndim)

    @property
    def channels(self) -> int | None:
        """C; None for layer and rms."""
        return self.shape[self.channel_axis] if self.norm in CHANNEL_NORMS else None

    @property
    def parameters(self) -> dict[str, Array]:
        """weight and bias, as far as they are there."""
        given = {"weight": self.weight, "bias": self.bias}
        return {name: a for name, a in given.items() if a is not None}

    @property
    def set_size(self) -> int:
        """The number m of elements that share a mean and a variance."""
        if self.normalized_shape is not None:
            return prod(self.normalized_shape)
        N, C, size = self.shape[0], self.channels or 1, self.x.size
        if size == 0:
            return 0
        if self.norm == "instance":
            return size // (N * C)
        if self.norm == "group":
            return size // (N * (self.num_groups or 1))
        return size // C // (N // (self.virtual_batch_size or N))

    @property
    def function(self) -> str:
        """The name of the public function that solves it."""
        return "batch_norm_frozen" if self.norm == "batch_frozen" else f"{self.norm}_norm"

    @property
    def positional(self) -> dict[str, Any]:
        """The positional arguments of that function, in order."""
        between: dict[str, dict[str, Any]] = {
            "group": {"num_groups": self.num_groups},
            "layer": {"normalized_shape": self.normalized_shape},
            "rms": {"normalized_shape": self.normalized_shape},
            "batch_frozen": {"running_mean": self.running_mean, "running_var": self.running_var},
        }
        params: dict[str, Any] = {"weight": self.weight}
        if self.norm != "rms":
            params["bias"] = self.bias
        return {"x": self.x} | between.get(self.norm, {}) | params

    @property
    def keywords(self) -> dict[str, Any]:
        """Its keyword arguments, without those that have their default anyway."""
        options: dict[str, Any] = {"eps": self.eps}
        if self.norm in CHANNEL_NORMS and self.channel_axis != 1:
            options["channel_axis"] = self.channel_axis
        if self.virtual_batch_size is not None:
            options["virtual_batch_size"] = self.virtual_batch_size
        return options
