"""Video: short clips of a camera that pans over a photograph; the class is the way it goes."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np

from gnref.teaching.lab.data.photos import PHOTOS, half
from gnref.teaching.lab.trainer.training import Data

Array = np.ndarray[Any, Any]

SIZE = 12  # H and W
FRAMES = 8  # T of the longest clips
MOVES = 0.75  # how often the camera moves from one frame to the next
CONTRAST = 20  # gives the detail of all photographs together a spread of about 1
FLAT = 0.05  # a spread that is no more than the grain of a photograph
WAYS = {  # rows down and columns to the right, at each move; the class is the place in this list
    "still": (0, 0),
    "up": (-1, 0),
    "up right": (-1, 1),
    "right": (0, 1),
    "down right": (1, 1),
    "down": (1, 0),
    "down left": (1, -1),
    "left": (0, -1),
    "up left": (-1, -1),
}


def clips(
    per_photo: int, side: str, rng: np.random.Generator, T: int = FRAMES, size: int = SIZE
) -> tuple[Array, Array]:
    """Pan over one half of each photograph, from places drawn at random, the ways in turn.

    Parameters
    ----------
    per_photo : int
        Clips from each photograph.
    side : str
        "left" (to train on) or "right" (to test on).
    rng : Generator
        Draws where a clip starts, and when the camera moves.
    T : int
        Frames of a clip, 1 to `FRAMES`. Shorter clips are the first frames of the longest ones.
    size : int
        H and W of a frame, in pixels.

    Returns
    -------
    x : ndarray
        (n, 1, T, size, size), float32: the photographs' fine detail, in grey.
    labels : ndarray
        (n,), the way's place in `WAYS`.

    Raises
    ------
    ValueError
        T is not between 1 and `FRAMES`.

    Examples
    --------
    >>> x, labels = clips(9, "left", np.random.default_rng(0), T=4)
    >>> x.shape, labels[:9]
    ((90, 1, 4, 12, 12), array([0, 1, 2, 3, 4, 5, 6, 7, 8]))
    """
    if not 1 <= T <= FRAMES:
        raise ValueError(f"T is {T}; expected 1 to {FRAMES} frames")
    x = np.empty((len(PHOTOS), per_photo, 1, T, size, size), np.float32)
    labels = np.arange(len(PHOTOS) * per_photo) % len(WAYS)
    steps = np.array(list(WAYS.values()))[labels]  # (n, 2)
    for photo, cut, ways in zip(PHOTOS, x, steps.reshape(len(PHOTOS), -1, 2), strict=True):
        area = detail(photo.name, side)
        for clip, step in zip(cut, ways, strict=True):
            clip[0] = pan(area, step, rng, size)[:T]
    return x.reshape(-1, *x.shape[2:]), labels


def pan(area: Array, step: Array, rng: np.random.Generator, size: int) -> Array:
    """Return `FRAMES` frames (T, size, size), cut from an area (H, W) by a camera that moves by a step."""
    moves = np.cumsum(np.append(0, rng.random(FRAMES - 1) < MOVES))  # (T,), how many so far
    path = np.outer(moves, step)  # (T, 2)
    path -= path.min(axis=0)
    path += rng.integers(np.array(area.shape) - size - path.max(axis=0) + 1)
    return np.stack([area[top : top + size, left : left + size] for top, left in path])


@cache
def detail(name: str, side: str) -> Array:
    """Return half a photograph in grey, less the mean of the 3 x 3 pixels around each pixel.

    Without the large shapes, which look the same from one frame to the next, a small network learns to see
    motion in seconds.
    """
    grey = half(name, side).mean(axis=0)  # (H, W)
    H, W = grey.shape
    around = sum(grey[i : H - 2 + i, j : W - 2 + j] for i, j in product(range(3), repeat=2)) / 9
    sharp: Array = CONTRAST * (grey[1:-1, 1:-1] - around)
    return sharp


def clip_data(
    seed: int, T: int = FRAMES, per_photo: int = 90, tests_per_photo: int = 90, *, equal: bool = False
) -> Data:
    """Return the data of a seed: clips of left halves to train on, of right halves to test on.

    Parameters
    ----------
    seed : int
        0, 1, ...
    T : int
        Frames of a clip.
    per_photo, tests_per_photo : int
        Clips from each photograph.
    equal : bool
        Whether all clips are brought to the same contrast.
    """
    x_train, labels_train = clips(per_photo, "left", np.random.default_rng([seed, 1]), T)
    x_test, labels_test = clips(tests_per_photo, "right", np.random.default_rng([seed, 2]), T)
    if equal:
        x_train, x_test = equalized(x_train), equalized(x_test)
    return Data(x_train, labels_train, x_test, labels_test)


def equalized(x: Array) -> Array:
    """Return clips (N, C, T, H, W), each divided by its own spread; flat ones, which have none, stay flat.

    Examples
    --------
    >>> x = np.array([1.0, 3.0, 10.0, 30.0], np.float32).reshape(2, 1, 2, 1, 1)
    >>> equalized(x).ravel().round(1)
    array([1. , 2.9, 1. , 3. ], dtype=float32)
    """
    spread = x.std(axis=(1, 2, 3, 4), keepdims=True)  # (N, 1, 1, 1, 1)
    even: Array = x / (spread + x.dtype.type(FLAT))
    return even
