import inspect

import numpy as np
import pytest

data = pytest.importorskip("skimage.data", reason="the photographs need scikit-image")

from gnref.teaching.lab.data.photos import PHOTOS, half, load  # noqa: E402

NAMES = [photo.name for photo in PHOTOS]


@pytest.mark.parametrize("photo", PHOTOS, ids=NAMES)
def test_source_and_licence_are_what_scikit_image_says(photo):
    told = " ".join(inspect.getdoc(getattr(data, photo.name)).split())
    assert photo.licence in told
    assert all(name.lower() in told.lower() for name in photo.source.split(", "))


def test_every_licence_is_free():
    free = ("CC0", "No known copyright restrictions", "public domain")
    assert all(any(words in photo.licence for words in free) for photo in PHOTOS)


def test_ten_different_photographs():
    assert len(set(NAMES)) == len({load(name).tobytes() for name in NAMES}) == 10


@pytest.mark.parametrize("name", NAMES)
def test_a_photograph_is_its_file(name):
    photo, pixels = load(name), getattr(data, name)()
    assert photo.dtype == np.float32
    assert photo.shape == (3, *pixels.shape[:2])
    for channel in range(3):
        expected = pixels if pixels.ndim == 2 else pixels[..., channel]
        assert np.array_equal(np.rint(255 * photo[channel]), expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_halves_share_no_pixel(name):
    W = load(name).shape[2]
    left, right = half(name, "left"), half(name, "right")
    assert left.shape == right.shape == (*load(name).shape[:2], W // 2)
    assert np.array_equal(left, load(name)[:, :, : W // 2])
    assert np.array_equal(right, load(name)[:, :, -(W // 2) :])


def test_what_is_kept_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        half("brick", "left")[...] = 0


def test_bad_arguments():
    with pytest.raises(ValueError, match="side is 'top'; expected 'left' or 'right'"):
        half("brick", "top")
    with pytest.raises(ValueError, match="name is 'moon'; expected one of brick, grass"):
        load("moon")
