"""The statistics that batch norms keep: read, put back, measured anew."""

from __future__ import annotations

from typing import Any

import numpy as np

import gnref
from gnref.teaching.lab.trainer.network import Network
from gnref.teaching.lab.trainer.training import norms

Array = np.ndarray[Any, Any]
Statistics = list[tuple[Array, Array]]  # running_mean and running_var (C,) of each norm, in forward order


def stored(network: Network) -> Statistics:
    """Return copies of the running statistics of a network's batch norms."""
    return [(norm.running_mean.copy(), norm.running_var.copy()) for norm in _batch_norms(network)]


def store(network: Network, statistics: Statistics) -> None:
    """Put statistics in the place of a network's own; all else stays."""
    for norm, (mean, var) in zip(_batch_norms(network), statistics, strict=True):
        norm.running_mean, norm.running_var = mean.copy(), var.copy()


def remeasure(network: Network, x: Array) -> None:
    r"""Set all running statistics to those of x (n, C, \*S), as one batch; modes and weights stay.

    The norms are in the mode "train" while they measure, so that each sees what it will see with the new
    statistics before it.

    Examples
    --------
    >>> network = Network(gnref.BatchNorm(1).freeze())
    >>> remeasure(network, np.array([[1.0], [3.0]]))
    >>> stored(network)
    [(array([2.], dtype=float32), array([2.], dtype=float32))]
    >>> network.parts[0].mode
    'frozen'
    """
    layers = _batch_norms(network)
    before = [(norm.momentum, norm.mode) for norm in layers]
    for norm in layers:
        norm.momentum, norm.mode = 1.0, "train"
    try:
        network.forward(x)
    finally:
        for norm, (momentum, mode) in zip(layers, before, strict=True):
            norm.momentum, norm.mode = momentum, mode


def _batch_norms(network: Network) -> list[Any]:
    return [norm for norm in norms(network) if isinstance(norm, gnref.BatchNorm)]
