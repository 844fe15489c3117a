"""A net that classifies pieces of photographs, and the same features with a class for every pixel."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnref.teaching.lab.trainer.convolution import Convolution
from gnref.teaching.lab.trainer.nets import Norm
from gnref.teaching.lab.trainer.network import Network, Residual
from gnref.teaching.lab.trainer.parts import GlobalMean, Linear, ReLU, Upsample

Array = np.ndarray[Any, Any]

WIDTHS = (16, 32)


def features(norm: Norm, *, rng: np.random.Generator) -> Network:
    """What is pretrained: two convolutions that halve H and W, and two residual blocks.

    Examples
    --------
    >>> import gnref
    >>> net = features(lambda C: gnref.GroupNorm(4, C), rng=np.random.default_rng(0))
    >>> net.forward(np.zeros((2, 3, 32, 32), np.float32)).shape
    (2, 32, 8, 8)
    """
    a, b = WIDTHS
    return Network(
        *(Convolution(3, a, 5, stride=2, rng=rng), norm(a), ReLU()),  # (N, a, H / 2, W / 2)
        *(Convolution(a, b, stride=2, rng=rng), norm(b), ReLU()),  # (N, b, H / 4, W / 4)
        *(_block(norm, b, rng), _block(norm, b, rng)),
    )


def _block(norm: Norm, C: int, rng: np.random.Generator) -> Residual:
    """A residual block that keeps the shape."""
    first, second = Convolution(C, C, rng=rng), Convolution(C, C, rng=rng)
    return Residual(Network(first, norm(C), ReLU(), second, norm(C)))


def classifier(net: Network, classes: int, *, rng: np.random.Generator) -> Network:
    """Put a head for one class per image on `features`: (N, 3, H, W) -> (N, classes)."""
    return Network(*net.parts, GlobalMean(), Linear(WIDTHS[-1], classes, rng=rng))


def segmenter(net: Network, classes: int, *, rng: np.random.Generator) -> Network:
    """Put a head for one class per pixel on `features`: (N, 3, H, W) -> (N, classes, H, W).

    A 1 x 1 convolution scores each cell of the features, and a cell is 4 x 4 pixels.

    Examples
    --------
    >>> import gnref
    >>> rng = np.random.default_rng(0)
    >>> net = segmenter(features(gnref.BatchNorm, rng=rng), 3, rng=rng)
    >>> net.forward(np.zeros((2, 3, 32, 32), np.float32)).shape
    (2, 3, 32, 32)
    """
    return Network(*net.parts, Convolution(WIDTHS[-1], classes, 1, rng=rng), Upsample(), Upsample())


def overlap(predicted: Array, labels: Array, classes: int) -> float:
    """Return the mean IoU in %: intersection over union of each class, over all pixels, then their mean.

    A class that is neither predicted nor there is left out.

    Examples
    --------
    >>> round(overlap(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), classes=3), 2)  # 1 / 2 and 2 / 3
    58.33
    """
    pairs = [(predicted == k, labels == k) for k in range(classes)]
    unions = [int((a | b).sum()) for a, b in pairs]
    shares = [int((a & b).sum()) / union for (a, b), union in zip(pairs, unions, strict=True) if union]
    return 100 * float(np.mean(shares))
