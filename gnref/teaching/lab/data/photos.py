"""Ten photographs that scikit-image ships, cut into a left half to train on and a right half to test on."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from gnref.errors import MissingExtraError

Array = np.ndarray[Any, Any]


class Photo(NamedTuple):
    """Where a photograph comes from, and what its page in scikit-image says of its licence."""

    name: str  # of the function in skimage.data
    shows: str
    source: str  # names in that function's docstring, and
    licence: str  # words of it: the tests look for both


PHOTOS = (
    Photo("brick", "a brick wall", "CC0Textures", "Creative Commons CC0 License"),
    Photo("grass", "grass", "linolafett, DeviantArt", "Creative Commons CC0 License"),
    Photo("gravel", "gravel", "CC0Textures", "Creative Commons CC0 License"),
    Photo("camera", "a cameraman", "Lav Varshney", "CC0 by the photographer"),
    Photo("coins", "Greek coins from Pompeii", "Brooklyn Museum", "No known copyright restrictions"),
    Photo("coffee", "a cup of coffee", "Rachel Michetti", "CC0 by the photographer"),
    Photo("chelsea", "Chelsea the cat", "Stefan van der Walt", "CC0 by the photographer"),
    Photo("astronaut", "Eileen Collins", "NASA", "released into the public domain"),
    Photo(
        "immunohistochemistry",
        "stained tissue",
        "Center for Microscopy and Molecular Imaging",
        "No known copyright restrictions",
    ),
    Photo("hubble_deep_field", "galaxies", "NASA", "may be freely used in the public domain"),
)


@cache
def load(name: str) -> Array:
    """Return a photograph; a grey one has three equal channels.

    Parameters
    ----------
    name : str
        Of one of `PHOTOS`.

    Returns
    -------
    photo : ndarray
        (3, H, W), float32, 0 to 1; read-only, since it is kept for the next call.

    Raises
    ------
    ValueError
        No photograph of this name is in `PHOTOS`.
    MissingExtraError
        scikit-image is missing.
    """
    names = [photo.name for photo in PHOTOS]
    if name not in names:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(names)}")
    try:
        from skimage import data
    except ImportError as error:
        raise MissingExtraError("the photographs need scikit-image: pip install 'gnref[lab]'") from error
    pixels = np.asarray(getattr(data, name)())  # (H, W) or (H, W, 3), uint8
    colour = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=2)
    photo: Array = np.ascontiguousarray(colour.transpose(2, 0, 1), dtype=np.float32) / 255
    photo.flags.writeable = False
    return photo


def half(name: str, side: str) -> Array:
    """Return one half of a photograph: no pixel is in both.

    Parameters
    ----------
    name : str
        Of one of `PHOTOS`.
    side : str
        "left" or "right".

    Returns
    -------
    area : ndarray
        (3, H, W // 2), float32, 0 to 1; read-only.

    Raises
    ------
    ValueError
        Another name or side.
    """
    if side not in ("left", "right"):
        raise ValueError(f"side is {side!r}; expected 'left' or 'right'")
    photo = load(name)
    W = photo.shape[2]
    return photo[:, :, : W // 2] if side == "left" else photo[:, :, W - W // 2 :]
