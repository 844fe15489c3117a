"""The norms that the experiments compare: gnref's layers, and Batch Renormalization."""

from __future__ import annotations

from typing import Any

import numpy as np

import gnref
from gnref.layers.layer import Layer
from gnref.teaching.lab.trainer.constant import ConstantNorm

Array = np.ndarray[Any, Any]

NORMS = ("batch", "layer", "instance", "group", "constant", "renorm")


def make_norm(name: str, C: int, groups: int, batch: int | None, dtype: str = "float32") -> Layer:
    """Return one of the norms as a layer; all have a weight and a bias per channel, as in the paper.

    Parameters
    ----------
    name : str
        Of `NORMS`. "layer" is the paper's LayerNorm, G = 1; "constant" is `ConstantNorm`, and "renorm" is
        `BatchRenorm`.
    C : int
        Channels.
    groups : int
        G, for "group".
    batch : int or None
        Take statistics over so many examples (``virtual_batch_size``), for "batch" and "renorm"; None for all
        of N. The other norms do not look at it.
    dtype : str
        Of the parameters.

    Raises
    ------
    ValueError
        The name is of no norm here. `ShapeError`, which is one, where G does not divide C.

    Examples
    --------
    >>> make_norm("instance", 8, groups=4, batch=None).num_groups
    8
    """
    if name not in NORMS:
        raise ValueError(f"norm is {name!r}; expected one of {', '.join(NORMS)}")
    if name == "constant":
        return ConstantNorm(C, dtype=dtype)
    if name == "layer":
        return gnref.GroupNorm(1, C, dtype=dtype)
    if name == "instance":
        return gnref.GroupNorm(C, C, dtype=dtype)
    if name == "group":
        return gnref.GroupNorm(groups, C, dtype=dtype)
    kind = BatchRenorm if name == "renorm" else gnref.BatchNorm
    return kind(C, virtual_batch_size=batch, dtype=dtype)


class BatchRenorm(gnref.BatchNorm):
    """Batch Renormalization (Ioffe 2017, Algorithm 1): BatchNorm, moved towards its running statistics.

    With the batch's mean and standard deviation sigma it takes ``xhat * r + d`` for xhat, where
    r = sigma / running sigma and d = (mean - running mean) / running sigma, held within
    [1 / r_max, r_max] and [-d_max, d_max]. Both are constants to the backward pass.

    Parameters
    ----------
    num_features : int
        C.
    r_max, d_max : float
        1.5 and 0.5, as Wu & He 2018 take them for a batch of 4.
    eps, momentum, virtual_batch_size, dtype
        Of `gnref.BatchNorm`.

    Notes
    -----
    Ioffe's r_max and d_max grow slowly from 1 and 0 on; here they stay as they are. The running variance is
    unbiased, as everywhere in gnref.

    Examples
    --------
    >>> layer = BatchRenorm(1, eps=0.0, momentum=1.0, dtype="float64")
    >>> layer.forward(np.array([[1.0], [3.0]]))  # mean 2, sigma 1; running 0 and 1: r = 1, d = 0.5
    array([[-0.5],
           [ 1.5]])
    """

    _training = False  # in the last forward pass

    def __init__(
        self,
        num_features: int,
        *,
        r_max: float = 1.5,
        d_max: float = 0.5,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        virtual_batch_size: int | None = None,
        dtype: Any = "float32",
    ) -> None:
        own: dict[str, Any] = {"eps": eps, "momentum": momentum, "virtual_batch_size": virtual_batch_size}
        super().__init__(num_features, dtype=dtype, **own)
        self.r_max, self.d_max = r_max, d_max

    def forward(self, x: Array) -> Array:
        """Return y; in training, with r and d as above."""
        self._training = self.mode == "train"
        if not self._training:
            y: Array = super().forward(x)
            return y
        g = self.virtual_batch_size
        xhat, saved = gnref.batch_norm_forward(x, eps=self.eps, virtual_batch_size=g)
        mean, rstd = np.atleast_2d(np.asarray(saved.mean)), np.atleast_2d(saved.rstd)  # (N / g, C)
        running_rstd = 1 / np.sqrt(np.asarray(self.running_var) + self.eps)  # (C,)
        r = np.clip(running_rstd / rstd, 1 / self.r_max, self.r_max)
        d = np.clip((mean - self.running_mean) * running_rstd, -self.d_max, self.d_max)
        self._saved, self._r = saved, _per_example(r, x)
        self._renormed = xhat * self._r + _per_example(d, x)
        self._update(saved)
        y = self._renormed * _per_channel(self.weight, x) + _per_channel(self.bias, x)
        return y

    def backward(self, dy: Array) -> Array:
        """Return dx, with r and d held constant."""
        if not self._training:
            dx: Array = super().backward(dy)
            return dx
        others = tuple(axis for axis in range(dy.ndim) if axis != 1)
        self.grads = {"weight": (dy * self._renormed).sum(others), "bias": dy.sum(others)}
        assert self._saved is not None
        dxhat = dy * _per_channel(self.weight, dy) * self._r
        return np.asarray(gnref.backward(dxhat, self._saved, needs="x")[0])


def _per_example(a: Array, x: Array) -> Array:
    """(N / g, C) -> (N, C, 1, 1), in x's dtype."""
    rows = a.repeat(len(x) // len(a), axis=0)
    return rows.reshape(*rows.shape, *(1 for _ in x.shape[2:])).astype(x.dtype)


def _per_channel(a: Any, x: Array) -> Array:
    """(C,) -> (1, C, 1, 1)."""
    return np.reshape(a, (1, -1, *(1 for _ in x.shape[2:])))
