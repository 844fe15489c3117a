"""The kernel contract: the same functions, on the same shapes, in every backend.

x5 and dy5 are the 5-slot view (O, P, A, B, S) of `gnref.axes`, in any strides; weight and bias are
(A, B) or None; mean, var and rstd are (O, A), in float64 where the namespace has it, and mean is None
where center is False. A kernel writes to none of its inputs. dweight and dbias come back in the dtype
that the arithmetic was done in; the caller casts them to that of their parameter.

out is of x5's shape and dtype, and where y5 or dx5 may go: a kernel that writes there returns it, and one
that returns another array has left it alone.

One float64 is not enough for the mean of float64 numbers far from 0. forward and backward see the
whole set and find what its rounding left out; apply, backward_given and the two halves of backward,
which take the mean as it is given, are off by the offset in spreads times 1e-16. They also let numbers
whose squares or differences leave the range of float64 do so; forward and backward keep them in it, as
long as rstd itself is a number (it is not for subnormal x with eps = 0).
"""

from __future__ import annotations

from typing import Any, Protocol

Array = Any  # an array of any library that follows the array API


class Kernels(Protocol):
    """The functions of a backend."""

    @staticmethod
    def forward(
        x5: Array,
        weight: Array | None,
        bias: Array | None,
        eps: float,
        center: bool,
        out: Array | None = None,
    ) -> tuple[Array, Array | None, Array, Array]:
        """Return y5, mean, var, rstd. var itself, since 1/rstd^2 - eps loses a small one."""

    @staticmethod
    def apply(
        x5: Array,
        mean: Array,
        rstd: Array,
        weight: Array | None,
        bias: Array | None,
        out: Array | None = None,
    ) -> Array:
        """Return y5 for statistics that are given (eval, frozen, synchronized)."""

    @staticmethod
    def backward(
        dy5: Array,
        x5: Array,
        mean: Array | None,
        rstd: Array,
        weight: Array | None,
        center: bool,
        out: Array | None = None,
    ) -> tuple[Array, Array, Array]:
        """Return dx5, dweight, dbias for statistics that `forward` took from x5."""

    @staticmethod
    def backward_given(
        dy5: Array,
        x5: Array,
        mean: Array,
        rstd: Array,
        weight: Array | None,
        out: Array | None = None,
    ) -> tuple[Array, Array, Array]:
        """Return dx5, dweight, dbias for statistics that are constants."""

    @staticmethod
    def moments(x5: Array) -> tuple[int, Array, Array]:
        """Return count, mean and M2 = sum (x - mean)^2, to be merged with those of other shards."""

    @staticmethod
    def backward_sums(
        dy5: Array, x5: Array, mean: Array, rstd: Array, weight: Array | None
    ) -> tuple[Array, Array]:
        """Return the sums of weight*dy and of weight*dy*xhat over (P, B, S), to be added over shards."""

    @staticmethod
    def backward_from_sums(
        dy5: Array,
        x5: Array,
        mean: Array,
        rstd: Array,
        weight: Array | None,
        count: int,
        sum_dxhat: Array,
        sum_dxhat_xhat: Array,
    ) -> Array:
        """Return dx5 from the sums over all shards; count is the number of elements in a set."""
