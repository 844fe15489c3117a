"""The small layers of a network: each a forward and an explicit backward, shapes on the lines."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class ReLU:
    """max(x, 0), of any shape.

    Examples
    --------
    >>> relu = ReLU()
    >>> relu.forward(np.array([-1.0, 2.0])), relu.backward(np.array([5.0, 5.0]))
    (array([0., 2.]), array([0., 5.]))
    """

    def __init__(self) -> None:
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return y, of x's shape."""
        self.y = np.maximum(x, 0)
        return self.y

    def backward(self, dy: Array) -> Array:
        """Return dx: dy where x was positive, and 0 elsewhere."""
        return dy * (self.y > 0)


class MeanPool:
    """The mean of each block of cells.

    Parameters
    ----------
    sizes : int
        Of a block, one for each spatial axis: ``MeanPool(2, 2)`` halves H and W, ``MeanPool(1, 2, 2)`` of a
        video leaves T alone.

    Raises
    ------
    ValueError
        A size does not divide its axis of x.

    Examples
    --------
    >>> pool = MeanPool(1, 2)
    >>> pool.forward(np.array([[[[1.0, 3.0, 5.0, 7.0]]]])), pool.backward(np.array([[[[4.0, 8.0]]]]))
    (array([[[[2., 6.]]]]), array([[[[2., 2., 4., 4.]]]]))
    """

    def __init__(self, *sizes: int) -> None:
        self.sizes = sizes
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return y (N, C, H / 2, W / 2) of x (N, C, H, W), for the sizes (2, 2)."""
        S = x.shape[2:]
        if len(S) != len(self.sizes) or any(size % k for size, k in zip(S, self.sizes, strict=True)):
            raise ValueError(f"x has shape {x.shape}; expected (N, C, *S) with S in blocks of {self.sizes}")
        blocks = [part for size, k in zip(S, self.sizes, strict=True) for part in (size // k, k)]
        inside = tuple(range(3, 3 + 2 * len(self.sizes), 2))
        y: Array = x.reshape(*x.shape[:2], *blocks).mean(axis=inside)  # (N, C, H / 2, [2], W / 2, [2])
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx: every cell of a block has the same share in its mean."""
        dx = dy / np.prod(self.sizes, dtype=dy.dtype)
        for axis, k in enumerate(self.sizes, start=2):
            dx = dx.repeat(k, axis=axis)
        return dx


class Upsample:
    """Each cell twice along H and along W: what `MeanPool` (2, 2) halved is as large as before.

    Examples
    --------
    >>> up = Upsample()
    >>> up.forward(np.array([[[[1.0, 2.0]]]]))
    array([[[[1., 1., 2., 2.],
             [1., 1., 2., 2.]]]])
    >>> up.backward(np.ones((1, 1, 2, 4)))
    array([[[[4., 4.]]]])
    """

    def __init__(self) -> None:
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return y (N, C, 2H, 2W) of x (N, C, H, W)."""
        return x.repeat(2, axis=2).repeat(2, axis=3)

    def backward(self, dy: Array) -> Array:
        """Return dx: the sum over the four copies."""
        N, C, H, W = dy.shape
        dx: Array = dy.reshape(N, C, H // 2, 2, W // 2, 2).sum(axis=(3, 5))
        return dx


class GlobalMean:
    r"""The mean over all spatial axes: (N, C, \*S) -> (N, C).

    Examples
    --------
    >>> mean = GlobalMean()
    >>> mean.forward(np.array([[[[1.0, 3.0]]]])), mean.backward(np.array([[1.0]]))
    (array([[2.]]), array([[[[0.5, 0.5]]]]))
    """

    def __init__(self) -> None:
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return y (N, C)."""
        self.shape = x.shape
        y: Array = x.reshape(*x.shape[:2], -1).mean(axis=2)
        return y

    def backward(self, dy: Array) -> Array:
        r"""Return dx (N, C, \*S): dy, shared out equally."""
        share = dy / np.prod(self.shape[2:], dtype=dy.dtype)  # (N, C)
        spread = share.reshape(*dy.shape, *(1 for _ in self.shape[2:]))
        return np.broadcast_to(spread, self.shape).copy()


class Linear:
    """y = x @ weight.T + bias, as torch.nn.Linear.

    Parameters
    ----------
    D_in, D_out : int
        Length of a row of x and of y.
    rng : Generator
        Draws the weight: normal with variance 1 / D_in, which keeps the variance from x to y.
    dtype : str
        Of weight and bias; x has the same.

    Attributes
    ----------
    weight, bias : ndarray
        (D_out, D_in) and (D_out,); the bias starts at 0.
    grads : dict
        "weight" and "bias", after `backward`.

    Examples
    --------
    >>> line = Linear(2, 1, rng=np.random.default_rng(0), dtype="float64")
    >>> line.weight[...] = [3.0, 4.0]
    >>> line.forward(np.array([[1.0, 10.0]])), line.backward(np.array([[1.0]]))
    (array([[43.]]), array([[3., 4.]]))
    >>> line.grads
    {'weight': array([[ 1., 10.]]), 'bias': array([1.])}
    """

    def __init__(self, D_in: int, D_out: int, *, rng: np.random.Generator, dtype: str = "float32") -> None:
        self.weight = (rng.standard_normal((D_out, D_in)) * np.sqrt(1 / D_in)).astype(dtype)
        self.bias = np.zeros(D_out, dtype)
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return y (N, D_out) of x (N, D_in)."""
        self.x = x
        y: Array = x @ self.weight.T + self.bias
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx (N, D_in) of dy (N, D_out)."""
        self.grads = {"weight": dy.T @ self.x, "bias": dy.sum(axis=0)}
        dx: Array = dy @ self.weight
        return dx
