"""The networks of the experiments, small enough to read: each takes ``norm(C)``, which makes its norms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gnref.layers.layer import Layer
from gnref.teaching.lab.trainer.convolution import Convolution
from gnref.teaching.lab.trainer.network import Network, Residual
from gnref.teaching.lab.trainer.parts import GlobalMean, Linear, MeanPool, ReLU

Norm = Callable[[int], Layer]


def residual_net(
    norm: Norm, classes: int, *, rng: np.random.Generator, widths: tuple[int, int, int] = (16, 32, 32)
) -> Network:
    """Return a ResNet in miniature: a convolution and two residual blocks, each of which halves H and W.

    Parameters
    ----------
    norm : callable
        ``norm(C)`` returns a new layer for C channels.
    classes : int
        K, scores per image.
    rng : Generator
        Draws the weights: the same ones whatever the norm.
    widths : tuple of int
        Channels after the convolution and after each block.

    Returns
    -------
    network : Network
        From x (N, 3, H, W), float32, to scores (N, K).

    Examples
    --------
    >>> import gnref
    >>> rng = np.random.default_rng(0)
    >>> net = residual_net(lambda C: gnref.GroupNorm(4, C), 10, rng=rng)
    >>> net.forward(np.zeros((2, 3, 16, 16), np.float32)).shape
    (2, 10)
    """
    a, b, c = widths
    return Network(
        Convolution(3, a, rng=rng),  # (N, 3, H, W) -> (N, a, H, W)
        norm(a),
        ReLU(),
        block(norm, a, b, rng=rng),  # (N, b, H / 2, W / 2)
        block(norm, b, c, rng=rng),  # (N, c, H / 4, W / 4)
        GlobalMean(),  # (N, c)
        Linear(c, classes, rng=rng),  # (N, classes)
    )


def block(norm: Norm, C_in: int, C_out: int, *, rng: np.random.Generator) -> Residual:
    """Return a residual block that halves H and W; its shortcut is a 1 x 1 convolution (He et al. 2016, B).

    Parameters
    ----------
    norm : callable
        As in `residual_net`.
    C_in, C_out : int
        Channels of x and of y.
    rng : Generator
        Draws the weights.

    Examples
    --------
    >>> import gnref
    >>> made = block(gnref.BatchNorm, 4, 8, rng=np.random.default_rng(0))
    >>> made.forward(np.zeros((2, 4, 6, 6), np.float32)).shape
    (2, 8, 3, 3)
    """
    branch = Network(
        Convolution(C_in, C_out, stride=2, rng=rng),
        norm(C_out),
        ReLU(),
        Convolution(C_out, C_out, rng=rng),
        norm(C_out),
    )
    return Residual(branch, Network(Convolution(C_in, C_out, 1, stride=2, rng=rng), norm(C_out)))


def plain_net(
    norm: Norm, classes: int, *, rng: np.random.Generator, widths: tuple[int, int, int] = (16, 32, 32)
) -> Network:
    """Return three convolutions in a row, each with norm and ReLU, with pooling between: no shortcut.

    Parameters
    ----------
    norm, classes, rng, widths
        As in `residual_net`; ``widths`` are the channels after each convolution.

    Returns
    -------
    network : Network
        From x (N, 3, H, W), with H and W multiples of 4, to scores (N, K).

    Examples
    --------
    >>> import gnref
    >>> net = plain_net(gnref.BatchNorm, 10, rng=np.random.default_rng(0))
    >>> net.forward(np.zeros((2, 3, 16, 16), np.float32)).shape
    (2, 10)
    """
    a, b, c = widths
    return Network(
        *(Convolution(3, a, rng=rng), norm(a), ReLU(), MeanPool(2, 2)),  # (N, a, H / 2, W / 2)
        *(Convolution(a, b, rng=rng), norm(b), ReLU(), MeanPool(2, 2)),  # (N, b, H / 4, W / 4)
        *(Convolution(b, c, rng=rng), norm(c), ReLU(), GlobalMean()),  # (N, c)
        Linear(c, classes, rng=rng),
    )
