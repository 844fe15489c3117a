"""Convolution in any number of spatial axes: columns (im2col), one matrix product, and back (col2im)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray[Any, Any]


class Convolution:
    """A convolution without a bias (a norm that follows has its own); zeros around x keep its size.

    Parameters
    ----------
    C_in, C_out : int
        Channels of x and of y.
    kernel : int
        k, odd: the width along every spatial axis.
    ndim : int
        Spatial axes: 2 for H W, 3 for T H W.
    stride : int
        Distance between the places where the kernel is put down, along every spatial axis.
    rng : Generator
        Draws the weight: normal with variance 2 / (k^ndim * C_in) (He et al. 2015, eq. 10).
    dtype : str
        Of the weight; x has the same.

    Attributes
    ----------
    weight : ndarray
        (C_out, C_in, k, ..., k), as torch.nn.Conv2d has it.
    grads : dict
        "weight", after `backward`.
    needs_dx : bool
        False for the first layer of a network, whose x are the data: `backward` then returns zeros.

    Raises
    ------
    ValueError
        An even kernel: it has no middle, and y would not have x's size. An x with other channels.

    Notes
    -----
    ``y[n, o, p] = sum over c, i of weight[o, c, i] * x[n, c, stride * p + i - k // 2]``, with p and i
    running over all spatial axes, and x = 0 outside. As in all frameworks the kernel is not flipped: signal
    processing calls this cross-correlation.

    Examples
    --------
    >>> layer = Convolution(1, 1, ndim=1, rng=np.random.default_rng(0), dtype="float64")
    >>> layer.weight[...] = [1.0, 2.0, 4.0]
    >>> layer.forward(np.array([[[1.0, 0.0, 0.0, 10.0]]]))
    array([[[ 2.,  1., 40., 20.]]])
    >>> layer.backward(np.array([[[1.0, 0.0, 0.0, 10.0]]])), layer.grads["weight"]
    (array([[[ 2.,  4., 10., 20.]]]), array([[[  0., 101.,   0.]]]))
    """

    def __init__(
        self,
        C_in: int,
        C_out: int,
        kernel: int = 3,
        *,
        ndim: int = 2,
        stride: int = 1,
        rng: np.random.Generator,
        dtype: str = "float32",
    ) -> None:
        if kernel % 2 == 0:
            raise ValueError(f"kernel is {kernel}; expected an odd number, which has a middle")
        fan_in = C_in * kernel**ndim
        weight = rng.standard_normal((C_out, C_in) + (kernel,) * ndim) * np.sqrt(2 / fan_in)
        self.weight = weight.astype(dtype)
        self.kernel, self.stride = kernel, stride
        self.needs_dx = True
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        r"""Return y (N, C_out, \*S_out) of x (N, C_in, \*S)."""
        if x.shape[1] != self.weight.shape[1]:
            raise ValueError(f"x has C = {x.shape[1]}; expected C_in = {self.weight.shape[1]}")
        self.shape = x.shape
        self.columns = to_columns(x, self.kernel, self.stride)  # (N * L, k^d * C_in)
        y = self.columns @ self._matrix()  # (N * L, C_out)
        y = y.reshape(len(x), *places(x.shape, self.stride), -1)  # (N, *S_out, C_out)
        return np.ascontiguousarray(np.moveaxis(y, -1, 1))

    def backward(self, dy: Array) -> Array:
        r"""Return dx of dy (N, C_out, \*S_out); leave the weight's gradient in ``grads``."""
        dy = np.moveaxis(dy, 1, -1).reshape(-1, dy.shape[1])  # (N * L, C_out)
        dmatrix = self.columns.T @ dy  # (k^d * C_in, C_out)
        cells = (self.kernel,) * (len(self.shape) - 2)
        dweight = dmatrix.reshape(*cells, self.shape[1], -1)  # (k, ..., k, C_in, C_out)
        self.grads = {"weight": np.ascontiguousarray(np.moveaxis(dweight, (-1, -2), (0, 1)))}
        if not self.needs_dx:
            return np.zeros(self.shape, dy.dtype)
        return from_columns(dy, self._matrix(), self.shape, self.kernel, self.stride)

    def _matrix(self) -> Array:
        """The weight as (k^d * C_in, C_out)."""
        matrix: Array = np.moveaxis(self.weight, (0, 1), (-1, -2)).reshape(-1, len(self.weight))
        return matrix


def to_columns(x: Array, kernel: int, stride: int) -> Array:
    r"""Return what the kernel sees at each of its L places, side by side ("im2col").

    Parameters
    ----------
    x : ndarray
        (N, C, \*S).
    kernel, stride : int
        k, and the distance between places, along each of the d spatial axes.

    Returns
    -------
    columns : ndarray
        (N * L, k^d * C), a copy, where each place is a row; a convolution is one matrix product with it.

    Examples
    --------
    >>> x = np.array([[[1, 2, 3]]])  # N = 1, C = 1, three places
    >>> to_columns(x, kernel=3, stride=1)
    array([[0, 1, 2],
           [1, 2, 3],
           [2, 3, 0]])
    """
    C, *S = x.shape[1:]
    padded = np.zeros(_padded(x.shape, kernel), x.dtype)  # channels last: the copy below finds k * C in a row
    padded[_inside(x.shape, kernel)] = np.moveaxis(x, 1, -1)
    seen = sliding_window_view(padded, (kernel,) * len(S), tuple(range(1, 1 + len(S))))
    seen = seen[:, *(slice(None, None, stride) for _ in S)]  # (N, *S_out, C, k, ..., k), still no copy
    return np.moveaxis(seen, 1 + len(S), -1).reshape(-1, kernel ** len(S) * C)


def from_columns(dy: Array, matrix: Array, shape: tuple[int, ...], kernel: int, stride: int) -> Array:
    r"""Return dx: each cell of x collects from all the places that it was copied to ("col2im").

    The columns' gradient is ``dy @ matrix.T``, (N * L, k^d * C). It is made and added up for one cell of the
    kernel at a time, while it is in the cache.

    Parameters
    ----------
    dy : ndarray
        (N * L, C_out).
    matrix : ndarray
        The weight, (k^d * C, C_out).
    shape : tuple of int
        Of x, (N, C, \*S).
    kernel, stride : int
        As in `to_columns`.

    Returns
    -------
    dx : ndarray
        (N, C, \*S).
    """
    N, C, *_ = shape
    dpadded = np.zeros(_padded(shape, kernel), dy.dtype)
    cells = matrix.reshape(-1, C, dy.shape[1])  # (k^d, C, C_out)
    for window, cell in zip(_windows(shape, kernel, stride), cells, strict=True):
        dpadded[window] += (dy @ cell.T).reshape(N, *places(shape, stride), C)
    dx = dpadded[_inside(shape, kernel)]  # (N, *S, C)
    return np.ascontiguousarray(np.moveaxis(dx, -1, 1))


def places(shape: tuple[int, ...], stride: int) -> tuple[int, ...]:
    r"""Return the spatial shape of y, of x's shape (N, C, \*S).

    Examples
    --------
    >>> places((32, 3, 16, 15), stride=2)
    (8, 8)
    """
    return tuple((size - 1) // stride + 1 for size in shape[2:])


def _padded(shape: tuple[int, ...], kernel: int) -> tuple[int, ...]:
    """The shape of x, channels last, with margins for the kernel around it."""
    N, C, *S = shape
    return N, *(size + kernel - 1 for size in S), C


def _inside(shape: tuple[int, ...], kernel: int) -> tuple[slice, ...]:
    """Where x is, within its margins."""
    return slice(None), *(slice(kernel // 2, kernel // 2 + size) for size in shape[2:])


def _windows(shape: tuple[int, ...], kernel: int, stride: int) -> Iterator[tuple[slice, ...]]:
    """For each of the k^d cells of the kernel: what it meets, of x with margins, over all places."""
    for start in product(range(kernel), repeat=len(shape) - 2):
        spatial = zip(start, places(shape, stride), strict=True)
        yield slice(None), *(slice(i, i + stride * n - stride + 1, stride) for i, n in spatial)
