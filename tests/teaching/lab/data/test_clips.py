"""Clips: the camera goes the way that the label says, one pixel at a time or not at all."""

from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("skimage")

from gnref.teaching.lab.data.clips import FRAMES, MOVES, SIZE, WAYS, clip_data, clips, detail, equalized, pan
from gnref.teaching.lab.data.photos import PHOTOS, half

STEPS = list(WAYS.values())


def some(T=FRAMES, side="left", seed=0):
    return clips(9, side, np.random.default_rng(seed), T)


def seen_again(before, after, step):
    """Whether the later frame shows what the earlier one shows, a step further on."""
    down, right = step
    inner = (slice(1, SIZE - 1),) * 2
    moved = (slice(1 + down, SIZE - 1 + down), slice(1 + right, SIZE - 1 + right))
    return np.array_equal(after[inner], before[moved])


def test_every_frame_is_the_one_before_a_step_on_or_not():
    x, labels = some()
    for clip, label in zip(x[:, 0], labels, strict=True):
        for before, after in pairwise(clip):
            assert seen_again(before, after, STEPS[label]) or np.array_equal(before, after)


def test_the_camera_moves_three_times_out_of_four():
    x, labels = clips(90, "left", np.random.default_rng(0))
    moving = x[labels != 0, 0]
    moved = (moving[:, 1:] != moving[:, :-1]).any(axis=(2, 3))
    assert abs(moved.mean() - MOVES) < 0.03
    assert not (x[labels == 0, 0, 1:] != x[labels == 0, 0, :1]).any()


def test_there_are_nine_ways_each_equally_often():
    x, labels = some()
    assert len(set(WAYS.values())) == 9
    assert np.bincount(labels).tolist() == [len(PHOTOS)] * 9
    assert x.shape == (90, 1, FRAMES, SIZE, SIZE)
    assert x.dtype == np.float32


@pytest.mark.parametrize("T", [1, 4])
def test_short_clips_are_the_first_frames_of_the_long_ones(T):
    short, labels = some(T)
    long, same = some()
    assert np.array_equal(short, long[:, :, :T])
    assert np.array_equal(labels, same)


@pytest.mark.parametrize("T", [0, FRAMES + 1])
def test_clips_that_are_too_short_or_too_long_get_a_sentence(T):
    with pytest.raises(ValueError, match=f"T is {T}; expected 1 to 8 frames"):
        some(T)


def test_detail_is_a_pixel_less_the_mean_around_it():
    grey = half("coffee", "right").mean(axis=0)
    found = detail("coffee", "right")
    assert found.shape == (grey.shape[0] - 2, grey.shape[1] - 2)
    assert np.isclose(found[4, 9], 20 * (grey[5, 10] - grey[4:7, 9:12].mean()), atol=1e-5)


def test_a_camera_may_start_anywhere_from_edge_to_edge():
    area = np.arange(25.0 * 25).reshape(25, 25)
    rng = np.random.default_rng(0)
    x = np.stack([pan(area, np.array([1, -1]), rng, SIZE) for _ in range(500)])
    for along in (x // 25, x % 25):
        assert (along.min(), along.max()) == (0, 24)


def test_training_and_test_clips_are_from_different_halves(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "gnref.teaching.lab.data.clips.detail", lambda name, side: (asked.append(side), detail(name, side))[1]
    )
    data = clip_data(0, per_photo=1, tests_per_photo=2)
    assert asked == ["left"] * 10 + ["right"] * 10
    assert (len(data.x_train), len(data.x_test)) == (10, 20)


def test_a_seed_gives_the_same_data_again_and_another_one_others():
    first, again, other = (clip_data(seed, 2, 1, 1) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.x_train, other.x_train)
    assert not np.array_equal(first.x_test, other.x_test)


def test_equal_contrast_is_that_of_each_clip_and_reaches_training_and_test():
    plain, even = clip_data(0, 4, 9, 9), clip_data(0, 4, 9, 9, equal=True)
    for before, after in ((plain.x_train, even.x_train), (plain.x_test, even.x_test)):
        assert np.allclose(after, equalized(before))
        spread = after.std(axis=(1, 2, 3, 4))
        assert np.median(spread) > 0.85
        assert spread.max() < 1


def test_a_flat_clip_stays_flat_without_a_warning():
    assert not equalized(np.zeros((1, 1, 2, 3, 3), np.float32)).any()
