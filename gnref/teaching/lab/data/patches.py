"""Classification: square patches of the photographs; the class is which photograph."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnref.teaching.lab.data.photos import PHOTOS, half
from gnref.teaching.lab.trainer.training import Data

Array = np.ndarray[Any, Any]

SIZE = 16  # H and W


def patches(per_photo: int, side: str, rng: np.random.Generator, size: int = SIZE) -> tuple[Array, Array]:
    """Cut patches at random places out of one half of each photograph.

    Parameters
    ----------
    per_photo : int
        Patches from each photograph.
    side : str
        "left" (to train on) or "right" (to test on).
    rng : Generator
        Draws the places.
    size : int
        H and W of a patch, in pixels.

    Returns
    -------
    x : ndarray
        (n, 3, size, size), float32, -0.5 to 0.5.
    labels : ndarray
        (n,), the photograph's place in `PHOTOS`.

    Raises
    ------
    ValueError
        Another side; a size that is larger than a half.
    """
    x = np.empty((len(PHOTOS), per_photo, 3, size, size), np.float32)
    for photo, cut in zip(PHOTOS, x, strict=True):
        area = half(photo.name, side)
        most = min(area.shape[1:])
        if size > most:
            raise ValueError(f"size is {size}; expected at most {most}, as half of {photo.name} has")
        top = rng.integers(area.shape[1] - size + 1, size=per_photo)
        left = rng.integers(area.shape[2] - size + 1, size=per_photo)
        for i in range(per_photo):
            cut[i] = area[:, top[i] : top[i] + size, left[i] : left[i] + size]
    return x.reshape(-1, *x.shape[2:]) - 0.5, np.repeat(np.arange(len(PHOTOS)), per_photo)


def relight(rng: np.random.Generator, x: Array, strength: float) -> Array:
    r"""Return x (N, C, \*S) as under another light, another for each example: x * gain + offset.

    Parameters
    ----------
    rng : Generator
        Draws gain and offset.
    x : ndarray
        (N, C, \*S), float32, around 0.
    strength : float
        gain is exp(u) and offset v / 2, with u and v uniform between -strength and strength.

    Returns
    -------
    x : ndarray
        Of the same shape and dtype.

    Examples
    --------
    >>> x = relight(np.random.default_rng(0), np.ones((2, 3, 16, 16), np.float32), strength=0.7)
    >>> x[:, 0, 0, 0].round(2)
    array([0.89, 0.39], dtype=float32)
    """
    each = (len(x), *(1 for _ in x.shape[1:]))
    gain = np.exp(rng.uniform(-strength, strength, each)).astype(x.dtype)
    offset = rng.uniform(-strength / 2, strength / 2, each).astype(x.dtype)
    relit: Array = x * gain + offset
    return relit


def mirror(rng: np.random.Generator, x: Array) -> Array:
    r"""Return x (N, C, \*S) with every other example, on average, mirrored: its last axis, W, backwards.

    Examples
    --------
    >>> mirror(np.random.default_rng(0), np.array([[[1, 2]], [[3, 4]]])).tolist()
    [[[1, 2]], [[4, 3]]]
    """
    chosen = rng.random(len(x)) < 0.5
    return np.where(chosen.reshape(-1, *(1 for _ in x.shape[1:])), x[..., ::-1], x)


def photo_data(seed: int, per_photo: int = 64, tests_per_photo: int = 100, strength: float = 0.7) -> Data:
    """Return the data of a seed: patches of left halves to train on, relit ones of right halves to test on.

    Parameters
    ----------
    seed : int
        0, 1, ...: each draws other patches and other lights.
    per_photo, tests_per_photo : int
        Patches from each photograph, to train on and to test on.
    strength : float
        Of `relight`, for the test; in training it is a `Change`, new in each step.

    Returns
    -------
    data : Data
        x (n, 3, 16, 16), float32, and the photographs' places in `PHOTOS`.
    """
    x_train, labels_train = patches(per_photo, "left", np.random.default_rng([seed, 1]))
    x_test, labels_test = patches(tests_per_photo, "right", np.random.default_rng([seed, 2]))
    return Data(
        x_train, labels_train, relight(np.random.default_rng([seed, 3]), x_test, strength), labels_test
    )
