"""A small network for clips N C T H W; with ``ndim=2`` the same one for images N C H W."""

from __future__ import annotations

import numpy as np

from gnref.teaching.lab.trainer.convolution import Convolution
from gnref.teaching.lab.trainer.nets import Norm
from gnref.teaching.lab.trainer.network import Network
from gnref.teaching.lab.trainer.parts import GlobalMean, Linear, ReLU


def video_net(
    norm: Norm,
    classes: int,
    *,
    rng: np.random.Generator,
    widths: tuple[int, int, int] = (8, 16, 32),
    ndim: int = 3,
) -> Network:
    """Return three convolutions in a row, each with norm and ReLU, and the mean over T, H and W.

    A kernel of 3 x 3 x 3 sees a place in three frames, which is what it takes to see that something moves.

    Parameters
    ----------
    norm : callable
        ``norm(C)`` returns a new layer for C channels.
    classes : int
        K, scores per clip.
    rng : Generator
        Draws the weights: the same ones whatever the norm.
    widths : tuple of int
        Channels after each convolution.
    ndim : int
        Spatial axes: 3 for T H W, 2 for H W.

    Returns
    -------
    network : Network
        From x (N, 1, T, H, W), float32, with any T, to scores (N, K).

    Examples
    --------
    >>> import gnref
    >>> net = video_net(lambda C: gnref.GroupNorm(4, C), 9, rng=np.random.default_rng(0))
    >>> net.forward(np.zeros((2, 1, 4, 12, 12), np.float32)).shape
    (2, 9)
    """
    a, b, c = widths
    return Network(
        Convolution(1, a, ndim=ndim, rng=rng),  # (N, 1, T, H, W) -> (N, a, T, H, W)
        norm(a),
        ReLU(),
        Convolution(a, b, ndim=ndim, stride=2, rng=rng),  # (N, b, T / 2, H / 2, W / 2)
        norm(b),
        ReLU(),
        Convolution(b, c, ndim=ndim, rng=rng),  # (N, c, T / 2, H / 2, W / 2)
        norm(c),
        ReLU(),
        GlobalMean(),  # (N, c)
        Linear(c, classes, rng=rng),  # (N, classes)
    )
