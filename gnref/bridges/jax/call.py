"""What JAX compiles a norm for: everything about it but the numbers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from gnref.axes import View, view

Shape = tuple[int, ...]

# Every array that a primitive takes or gives is like one of these: in shape and dtype.
LIKE = {
    "x": ("x", "dy", "x_dot", "y", "dx", "y_dot"),
    "weight": ("weight", "weight_dot", "dweight"),
    "bias": ("bias", "bias_dot", "dbias"),
    "stat": ("mean", "rstd"),
}
KIND = {name: kind for kind, names in LIKE.items() for name in names}


class Call(NamedTuple):
    """A norm, and the shapes and dtypes of one example of it; hashable.

    Attributes
    ----------
    norm : str
        A key of `gnref.axes.NORMS`.
    shape, dtype
        Those of x.
    weight, bias : str or None
        The dtypes of the parameters.
    eps : float
        The number added to the variance.
    axes : tuple
        Pairs of a name and a value: the options of `gnref.axes.view`.
    """

    norm: str
    shape: Shape
    dtype: str
    weight: str | None
    bias: str | None
    eps: float
    axes: tuple[tuple[str, Any], ...]

    @property
    def view(self) -> View:
        """The view in slots; JAX's arrays have their last axis fastest."""
        return view_of(self)

    def shape_of(self, name: str) -> Shape:
        """The shape of an array of this name, without the axes that vmap has put in front.

        Statistics are float64, which JAX may not have: each goes as two numbers of 32 bits.
        """
        kind = KIND[name]
        if kind == "x":
            return self.shape
        v = self.view
        return (*v.stats.shape, 2) if kind == "stat" else v.params.shape

    def dtype_of(self, name: str) -> Any:
        """The dtype of an array of this name."""
        named = {"x": self.dtype, "weight": self.weight, "bias": self.bias, "stat": "uint32"}[KIND[name]]
        assert named is not None, f"{name} of a norm without one"
        return dtype(named)

    def leading(self, name: str, shape: Shape) -> Shape:
        """The axes of an array that vmap has put in front."""
        return shape[: len(shape) - len(self.shape_of(name))]

    @property
    def stats(self) -> tuple[str, ...]:
        """What the forward pass hands to the backward pass."""
        return ("mean", "rstd") if self.view.center else ("rstd",)

    def folded(self, count: int) -> Call | None:
        """The same norm of so many examples in one array, one after the other; None if there is none."""
        axes = dict(self.axes)
        if "normalized_shape" in axes:
            return self._replace(shape=(count, *self.shape))
        N, *rest = self.shape
        if self.norm == "batch":  # each is a virtual batch
            if N == 0:
                return None
            axes["virtual_batch_size"] = axes.get("virtual_batch_size") or N
        return self._replace(shape=(count * N, *rest), axes=tuple(axes.items()))


@lru_cache(maxsize=1024)
def view_of(call: Call) -> View:
    """The view of a call."""
    return view(call.norm, call.shape, **dict(call.axes))


def dtype(name: str) -> np.dtype[Any]:
    """A dtype by its name; JAX brings bfloat16 along."""
    if name == "bfloat16":
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return found
    return np.dtype(name)


def together(leading: Iterable[Shape]) -> Shape:
    """The axes that vmap has put in front of all: 1 where an array is the same for the whole axis."""
    return np.broadcast_shapes(*leading)
