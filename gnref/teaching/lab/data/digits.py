"""Handwritten digits, 8 x 8, which scikit-learn ships: every image with nearly the same brightness."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnref.errors import MissingExtraError
from gnref.teaching.lab.data.patches import relight
from gnref.teaching.lab.trainer.training import Data

Array = np.ndarray[Any, Any]


def digits() -> tuple[Array, Array]:
    """Return all digits and what they say.

    Returns
    -------
    x : ndarray
        (1797, 3, 8, 8), float32, -0.5 (paper) to 0.5 (ink): three equal channels, as of a grey photograph.
    labels : ndarray
        (1797,), 0 to 9.

    Raises
    ------
    MissingExtraError
        scikit-learn is not installed.

    Notes
    -----
    The test set of Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", 1998, UCI Machine
    Learning Repository, CC BY 4.0.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtraError("the digits need scikit-learn: pip install 'gnref[lab]'") from error
    images, labels = load_digits(return_X_y=True)  # (1797, 64), 0 to 16
    grey = images.astype(np.float32).reshape(-1, 1, 8, 8) / 16 - 0.5
    return np.repeat(grey, 3, axis=1), labels


def digit_data(seed: int, strength: float = 0.0, train: int = 640, tests: int = 800) -> Data:
    """Return the data of a seed: some digits to train on, others, relit, to test on.

    Parameters
    ----------
    seed : int
        Decides which, and the light.
    strength : float
        Of `gnref.teaching.lab.data.patches.relight` on the test digits; 0 leaves them as they are.
    train, tests : int
        How many.

    Raises
    ------
    ValueError
        More digits than there are.
    """
    x, labels = digits()
    if train + tests > len(x):
        raise ValueError(f"train + tests is {train + tests}; expected at most the {len(x)} digits")
    order = np.random.default_rng([seed, 1]).permutation(len(x))
    first, last = order[:train], order[-tests:]
    x_test = relight(np.random.default_rng([seed, 3]), x[last], strength)
    return Data(x[first], labels[first], x_test, labels[last])
