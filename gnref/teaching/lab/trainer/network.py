"""Layers in a row, and residual blocks: forward from the first, backward from the last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from gnref.layers.layer import Layer
from gnref.teaching.lab.trainer.parts import ReLU

Array = np.ndarray[Any, Any]


class Part(Protocol):
    """What a network is made of, gnref's own layers included."""

    grads: dict[str, Array]

    def forward(self, x: Array) -> Array:
        """Return y."""

    def backward(self, dy: Array) -> Array:
        """Return dx, and leave the parameters' gradients in ``grads``, under the attributes' names."""


class Network:
    """Parts in a row.

    Parameters
    ----------
    parts : Part
        Layers, networks and residual blocks; what each returns is the next one's x.

    Examples
    --------
    >>> from gnref.teaching.lab.trainer.parts import MeanPool
    >>> network = Network(MeanPool(2, 2), ReLU())
    >>> network.forward(np.array([[[[1.0, 3.0], [5.0, 7.0]]]]))
    array([[[[4.]]]])
    >>> network.backward(np.ones((1, 1, 1, 1)))
    array([[[[0.25, 0.25],
             [0.25, 0.25]]]])
    """

    def __init__(self, *parts: Part) -> None:
        self.parts = parts
        self.grads: dict[str, Array] = {}  # its parts have them

    def forward(self, x: Array) -> Array:
        """Return y: x through every part."""
        for part in self.parts:
            x = part.forward(x)
        return x

    def backward(self, dy: Array) -> Array:
        """Return dx: dy back through every part."""
        for part in reversed(self.parts):
            dy = part.backward(dy)
        return dy

    def walk(self) -> Iterator[Part]:
        """Every part that is not made of parts, in the order of the forward pass."""
        for part in self.parts:
            if isinstance(part, Network | Residual):
                yield from part.walk()
            else:
                yield part


class Residual:
    """y = relu(branch(x) + shortcut(x)): the block of He et al. 2016, Fig. 2.

    The branch ends in a norm whose weight starts at 0, so that a new block passes x on
    (Wu & He 2018, sec. 4.1, after Goyal et al. 2017).

    Parameters
    ----------
    branch : Network
        Convolution, norm, ReLU, convolution, norm. The last norm's weight is set to 0.
    shortcut : Network or None
        What changes x's shape to the branch's; None where it is the same already.

    Raises
    ------
    TypeError
        The branch does not end in a norm that has a weight.

    Examples
    --------
    >>> import gnref
    >>> block = Residual(Network(gnref.BatchNorm(1, dtype="float64")))
    >>> block.forward(np.array([[1.0], [2.0]])).ravel()  # x, since weight = 0
    array([1., 2.])
    >>> block.branch.parts[-1].weight[...] = 1
    >>> block.forward(np.array([[1.0], [2.0]])).ravel().round(3)  # relu(x + xhat)
    array([0., 3.])
    """

    def __init__(self, branch: Network, shortcut: Network | None = None) -> None:
        self.branch, self.shortcut, self.relu = branch, shortcut, ReLU()
        self.grads: dict[str, Array] = {}
        last = branch.parts[-1]
        if not isinstance(last, Layer) or last.weight is None:
            raise TypeError(f"branch ends in a {type(last).__name__}; expected a norm that has a weight")
        last.weight[...] = 0

    def forward(self, x: Array) -> Array:
        r"""Return y (N, C_out, \*S_out)."""
        passed = x if self.shortcut is None else self.shortcut.forward(x)
        return self.relu.forward(self.branch.forward(x) + passed)

    def backward(self, dy: Array) -> Array:
        """Return dx: x went two ways, so two gradients come back and are added."""
        dsum = self.relu.backward(dy)
        dpassed = dsum if self.shortcut is None else self.shortcut.backward(dsum)
        return self.branch.backward(dsum) + dpassed

    def walk(self) -> Iterator[Part]:
        """Every part that is not made of parts; the branch's first."""
        yield from self.branch.walk()
        if self.shortcut is not None:
            yield from self.shortcut.walk()
