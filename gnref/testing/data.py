"""Numbers to fill arrays with: a distribution and a seed give the same values everywhere.

Hypothesis draws the shape, the distribution and the seed; its own filling of arrays is mostly one
repeated value, on which a wrong gradient is right.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# Simple ones first: a counterexample shrinks towards the front of the list.
KINDS = ("integers", "normal", "heavy_tailed", "one_hot", "constant")


def values(kind: str, shape: tuple[int, ...], seed: int) -> Array:
    """Return float64 values of a distribution.

    Parameters
    ----------
    kind : str
        "integers": from -8 to 8, whose sums are exact in any order; "normal": standard normal;
        "heavy_tailed": Student's t with 2 degrees of freedom; "one_hot": 0 but for one element, or
        (odd seeds) one in 64; "constant": one normal number everywhere.
    shape : tuple of int
        Of the result.
    seed : int
        Equal seeds give equal values.

    Examples
    --------
    >>> values("integers", (5,), seed=0)
    array([ 6.,  2.,  0., -4., -3.])
    """
    rng = np.random.default_rng([KINDS.index(kind), seed])
    if kind == "integers":
        return rng.integers(-8, 9, size=shape).astype(np.float64)
    if kind == "normal":
        return rng.standard_normal(shape)
    if kind == "heavy_tailed":
        return rng.standard_t(2, size=shape)
    if kind == "one_hot":
        size = int(np.prod(shape))
        flat = np.zeros(size)
        count = 1 if seed % 2 == 0 else 1 + size // 64
        hot = rng.choice(size, size=min(size, count), replace=False)
        flat[hot] = rng.standard_normal(len(hot)) + 2.0
        return flat.reshape(shape)
    return np.full(shape, rng.standard_normal())


def nonzero(shape: tuple[int, ...], seed: int) -> Array:
    """Return numbers of either sign, 0.5 to 2 in size: a weight, whose neglect must show."""
    rng = np.random.default_rng([len(KINDS), seed])
    sign = np.where(rng.random(shape) < 0.5, -1.0, 1.0)
    return sign * 2.0 ** rng.uniform(-1.0, 1.0, shape)
