"""Mosaics: what a pixel's label says is where the pixel is from; halves and fog are as they should be."""

import numpy as np
import pytest

pytest.importorskip("skimage")

from gnref.teaching.lab.data.mosaics import SEEN, SIZE, TARGET, cut, fog, mask, mosaics, pieces, region
from gnref.teaching.lab.data.photos import PHOTOS, half


def rng(seed=0):
    return np.random.default_rng(seed)


def test_pretraining_never_sees_what_is_fine_tuned_on():
    assert len(SEEN) == 7
    assert sorted(SEEN + TARGET) == sorted(photo.name for photo in PHOTOS)


def occurs(piece, area):
    """Whether a piece, at twice its size, is somewhere in an area (3, H, W)."""
    size = piece.shape[-1]
    blocks = (
        sum(area[:, i : area.shape[1] - 1 + i, j : area.shape[2] - 1 + j] for i in (0, 1) for j in (0, 1)) / 4
    )
    places = blocks[0, : 1 - 2 * size, : 1 - 2 * size]  # the means of all 2 x 2 pixels
    found = np.argwhere(abs(places - piece[0, 0, 0]) < 1e-5)
    return any(
        np.allclose(blocks[:, i : i + 2 * size : 2, j : j + 2 * size : 2], piece, rtol=0, atol=1e-5)
        for i, j in found
    )


@pytest.mark.parametrize(("side", "other"), [("left", "right"), ("right", "left")])
def test_a_piece_is_of_its_half_at_half_the_size(side, other):
    piece = cut("coffee", side, 16, rng(3))
    assert occurs(piece, half("coffee", side))
    assert not occurs(piece, half("coffee", other))


@pytest.mark.parametrize(("side", "value"), [("left", -0.5), ("right", 0.5)])
def test_everything_is_of_the_side_that_was_asked_for(side, value, monkeypatch):
    fake = {"left": np.zeros((3, 90, 90)), "right": np.ones((3, 90, 90))}
    monkeypatch.setattr("gnref.teaching.lab.data.mosaics.half", lambda name, side: fake[side])
    for x, _ in (pieces(2, side, rng()), mosaics(2, side, rng())):
        assert (x == value).all()


def test_pieces_are_labelled_by_photograph():
    x, labels = pieces(2, "left", rng())
    assert (x.shape, x.dtype) == ((14, 3, 16, 16), np.float32)
    assert labels.tolist() == [k for k in range(7) for _ in range(2)]
    alone, _ = pieces(14, "left", rng(), names=("hubble_deep_field",))
    assert abs(x[-2:].mean() - alone.mean()) < 0.1  # the only dark one
    assert -0.5 <= x.min() < x.max() <= 0.5


def test_a_pixel_is_of_the_photograph_that_its_label_says():
    x, labels = mosaics(20, "left", rng(1))
    assert set(np.unique(labels)) == {0, 1, 2}
    grey = (x[:, 0] == x[:, 1]) & (x[:, 1] == x[:, 2])
    assert grey[labels != TARGET.index("coffee")].all()  # brick and coins are grey
    assert grey[labels == TARGET.index("coffee")].mean() < 0.2


def test_masks_have_several_regions_of_every_shape():
    areas = np.array([region(rng(seed)).mean() for seed in range(200)])
    assert 0 < areas.min() < 0.1
    assert areas.max() > 0.5
    masks = [mask(3, rng(seed)) for seed in range(50)]
    assert {len(np.unique(m)) for m in masks} == {1, 2, 3}
    assert masks[0].shape == (SIZE, SIZE)


def test_equal_generators_give_equal_mosaics():
    for one, other in zip(mosaics(2, "right", rng(2)), mosaics(2, "right", rng(2)), strict=True):
        assert np.array_equal(one, other)


def test_fog_takes_contrast_and_adds_its_light():
    x, _ = mosaics(40, "left", rng())
    seen = fog(x, rng(1), 0.05, 0.2, 0.02)
    t = seen.std((1, 2, 3)) / x.std((1, 2, 3))
    assert 0.05 <= t.min() < 0.08 < 0.15 < t.max() <= 0.2
    shares = t.reshape(-1, 1, 1, 1)
    assert np.allclose(seen, shares * x + (1 - shares) * 0.02, rtol=0, atol=1e-5)
    assert seen.dtype == np.float32


def test_clear_light_changes_nothing():
    x, _ = mosaics(2, "left", rng())
    assert np.array_equal(fog(x, rng(), 1.0, 1.0, 0.0), x)
