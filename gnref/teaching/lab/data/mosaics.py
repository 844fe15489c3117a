"""Segmentation: mosaics of pieces of photographs; the class of a pixel is which photograph it is from."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnref.teaching.lab.data.photos import PHOTOS, half

Array = np.ndarray[Any, Any]

TARGET = ("brick", "coins", "coffee")  # what mosaics are made of
SEEN = tuple(photo.name for photo in PHOTOS if photo.name not in TARGET)  # what is pretrained on
SIZE = 32  # H and W of a mosaic
REGIONS = 2  # laid over the background, one after the other


def pieces(
    per_photo: int, side: str, rng: np.random.Generator, names: tuple[str, ...] = SEEN, size: int = 16
) -> tuple[Array, Array]:
    """Cut square pieces at random places out of one half of each photograph, for classification.

    Parameters
    ----------
    per_photo : int
        Pieces from each photograph.
    side : str
        "left" (to train on) or "right" (to test on).
    rng : Generator
        Draws the places.
    names : tuple of str
        Of photographs.
    size : int
        H and W of a piece.

    Returns
    -------
    x : ndarray
        (n, 3, size, size), float32, -0.5 to 0.5.
    labels : ndarray
        (n,), the photograph's place in ``names``.
    """
    x = np.stack([cut(name, side, size, rng) for name in names for _ in range(per_photo)])
    return x - np.float32(0.5), np.repeat(np.arange(len(names)), per_photo)


def mosaics(
    count: int, side: str, rng: np.random.Generator, names: tuple[str, ...] = TARGET
) -> tuple[Array, Array]:
    """Lay pieces of photographs side by side, for segmentation.

    Each mosaic has a background and two regions over it, all three of any photograph: half-planes, discs,
    squares or bands at random places.

    Parameters
    ----------
    count : int
        How many mosaics.
    side, rng, names
        As for `pieces`.

    Returns
    -------
    x : ndarray
        (n, 3, 32, 32), float32, -0.5 to 0.5.
    labels : ndarray
        (n, 32, 32), each pixel's photograph: its place in ``names``.

    Examples
    --------
    >>> x, labels = mosaics(2, "left", np.random.default_rng(0))
    >>> x.shape, labels.shape
    ((2, 3, 32, 32), (2, 32, 32))
    """
    x = np.empty((count, 3, SIZE, SIZE), np.float32)
    labels = np.empty((count, SIZE, SIZE), np.int64)
    for i in range(count):
        labels[i] = mask(len(names), rng)
        for k, name in enumerate(names):
            np.copyto(x[i], cut(name, side, SIZE, rng), where=labels[i] == k)
    return x - np.float32(0.5), labels


def cut(name: str, side: str, size: int, rng: np.random.Generator) -> Array:
    """Return a piece of a photograph at half its size: (3, size, size), the means of 2 x 2 pixels."""
    area = half(name, side)
    top, left = (rng.integers(extent - 2 * size + 1) for extent in area.shape[1:])
    pixels = area[:, top : top + 2 * size, left : left + 2 * size]
    smaller: Array = pixels.reshape(3, size, 2, size, 2).mean(axis=(2, 4))
    return smaller


def mask(classes: int, rng: np.random.Generator) -> Array:
    """Return the labels of a mosaic: (32, 32)."""
    labels = np.full((SIZE, SIZE), rng.integers(classes))
    for _ in range(REGIONS):
        labels[region(rng)] = rng.integers(classes)
    return labels


def region(rng: np.random.Generator) -> Array:
    """Return where a region is: (32, 32), bool."""
    middle = rng.uniform(0.2 * SIZE, 0.8 * SIZE, 2)
    down, right = (at - m for at, m in zip(np.mgrid[:SIZE, :SIZE], middle, strict=True))
    angle, r = rng.uniform(0, 2 * np.pi), rng.uniform(0.15 * SIZE, 0.35 * SIZE)
    along = np.cos(angle) * right + np.sin(angle) * down
    half_plane, band = along > 0, abs(along) < r / 2
    disc, square = down**2 + right**2 < r**2, np.maximum(abs(down), abs(right)) < r
    drawn: Array = (half_plane, disc, square, band)[rng.integers(4)]
    return drawn


def fog(x: Array, rng: np.random.Generator, thickest: float, thinnest: float, airlight: float) -> Array:
    r"""Return x (N, C, \*S) as seen through fog: t * x + (1 - t) * airlight, with a t for each example.

    The share t of the light comes through, and the rest is the fog's own (Koschmieder's law). log(t) is
    uniform between those of ``thickest`` and ``thinnest``. Brightness 0 is middle grey, as in `mosaics`.

    Examples
    --------
    >>> fog(np.array([[-0.5, 0.5]]), np.random.default_rng(0), 0.1, 0.1, airlight=0.02)
    array([[-0.032,  0.068]])
    """
    each = (len(x), *(1 for _ in x.shape[1:]))
    t = np.exp(rng.uniform(np.log(thickest), np.log(thinnest), each))
    return np.asarray(t * x + (1 - t) * airlight, x.dtype)
