"""Stochastic gradient descent with momentum and weight decay, and how the learning rate falls."""

from __future__ import annotations

from collections.abc import Iterable
from math import cos, pi
from typing import Any

import numpy as np

from gnref.layers.layer import Layer
from gnref.teaching.lab.trainer.network import Part

Array = np.ndarray[Any, Any]


class SGD:
    """v = momentum * v + grad + decay * p, then p -= rate * v, for every parameter p, as in torch.optim.SGD.

    The rules of Wu & He 2018 for weight decay: in ImageNet training it takes the norms' weight and bias
    (gamma and beta) like all other parameters (sec. 4.1); in fine-tuning detectors it leaves them out (4.2).

    Parameters
    ----------
    parts : iterable
        Of a network: `Network.walk`.
    momentum, decay : float
        As above.
    decay_norms : bool
        Whether the decay takes the norms' weight and bias, too.

    Examples
    --------
    >>> from gnref.teaching.lab.trainer.parts import Linear
    >>> line = Linear(1, 1, rng=np.random.default_rng(0), dtype="float64")
    >>> line.weight[...], line.grads = 2.0, {"weight": np.array([[4.0]])}
    >>> SGD([line], decay=0.5).step(rate=0.1)  # 2 - 0.1 * (4 + 0.5 * 2)
    >>> line.weight
    array([[1.5]])
    """

    def __init__(
        self, parts: Iterable[Part], *, momentum: float = 0.9, decay: float = 1e-4, decay_norms: bool = True
    ) -> None:
        self.parts = list(parts)
        self.momentum, self.decay, self.decay_norms = momentum, decay, decay_norms
        self.moving: dict[tuple[int, str], Array] = {}

    def step(self, rate: float) -> None:
        """Move every parameter that has a gradient, in place; those of frozen norms have none.

        Parameters
        ----------
        rate : float
            The learning rate of this step.
        """
        for i, part in enumerate(self.parts):
            decay = 0.0 if isinstance(part, Layer) and not self.decay_norms else self.decay
            for name, grad in part.grads.items():
                parameter = getattr(part, name)
                v = grad + decay * parameter
                if (i, name) in self.moving:
                    v += self.momentum * self.moving[i, name]
                self.moving[i, name] = v
                parameter -= rate * v


def cosine(step: int, steps: int) -> float:
    """Return the share of the learning rate at a step: half a cosine, from 1 down to almost 0.

    ``(1 + cos(pi * step / steps)) / 2``: Loshchilov & Hutter 2017, eq. 5, without restarts.

    Parameters
    ----------
    step, steps : int
        Steps made before this one, and steps in all.

    Examples
    --------
    >>> [round(cosine(step, 4), 2) for step in range(4)]
    [1.0, 0.85, 0.5, 0.15]
    """
    return (1 + cos(pi * step / steps)) / 2


def stepped(step: int, steps: int) -> float:
    """Return the share of the learning rate at a step: a tenth after each of 30, 60 and 90 % of all steps.

    Wu & He 2018, sec. 4.1: of 100 epochs, after 30, 60 and 90.

    Parameters
    ----------
    step, steps : int
        As in `cosine`.

    Examples
    --------
    >>> [stepped(epoch, 100) for epoch in (0, 29, 30, 60, 90)]
    [1.0, 1.0, 0.1, 0.01, 0.001]
    """
    drops = sum(10 * step >= tenths * steps for tenths in (3, 6, 9))
    return float(f"1e-{drops}")
