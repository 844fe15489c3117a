import numpy as np
import pytest

from gnref.teaching.lab.data.patches import SIZE, mirror, patches, photo_data, relight


def rng(seed=0):
    return np.random.default_rng(seed)


def images(N=200):
    return rng(9).uniform(-0.5, 0.5, (N, 3, 4, 4)).astype("float32")


@pytest.mark.parametrize("strength", [0.1, 0.7])
def test_relighting_is_one_gain_and_one_offset_for_each_example(strength):
    x = images()
    y = relight(rng(), x, strength)
    lines = [np.polyfit(before.ravel(), after.ravel(), 1) for before, after in zip(x, y, strict=True)]
    gain, offset = np.array(lines).T
    again = x * gain.reshape(-1, 1, 1, 1) + offset.reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(again, y, atol=1e-5)
    for drawn, width in ((np.log(gain), strength), (offset, strength / 2)):
        assert -width < drawn.min() < -0.9 * width
        assert 0.9 * width < drawn.max() < width
        assert drawn.std() == pytest.approx(width / np.sqrt(3), rel=0.15)  # uniform


def test_no_strength_changes_nothing():
    assert np.array_equal(relight(rng(), images(), 0.0), images())


def test_about_half_of_the_images_are_mirrored():
    x = images()
    y = mirror(rng(), x)
    turned = [np.array_equal(after, before[..., ::-1]) for before, after in zip(x, y, strict=True)]
    same = [np.array_equal(after, before) for before, after in zip(x, y, strict=True)]
    assert sum(turned) + sum(same) == len(x)
    assert 70 < sum(turned) < 130


@pytest.mark.parametrize("change", [mirror, lambda rng, x: relight(rng, x, 0.7)])
def test_changes_keep_the_dtype_and_leave_x_alone(change):
    x = images()
    assert change(rng(), x).dtype == np.float32
    assert np.array_equal(x, images())


@pytest.fixture
def photos():
    pytest.importorskip("skimage", reason="the photographs need scikit-image")
    from gnref.teaching.lab.data import photos

    return photos


@pytest.mark.parametrize("side", ["left", "right"])
def test_patches_are_cut_from_their_half(photos, side):
    x, labels = patches(3, side, rng())
    assert x.shape == (30, 3, SIZE, SIZE)
    assert x.dtype == np.float32
    assert labels.tolist() == [label for label in range(10) for _ in range(3)]
    for patch, label in zip(x, labels, strict=True):
        area = photos.half(photos.PHOTOS[label].name, side) - np.float32(0.5)
        corners = np.argwhere((area[:, : 1 - SIZE, : 1 - SIZE] == patch[:, :1, :1]).all(axis=0))
        assert any(np.array_equal(area[:, i : i + SIZE, j : j + SIZE], patch) for i, j in corners)


def test_every_place_is_drawn(monkeypatch):
    area = np.arange(60, dtype="float32").reshape(3, 4, 5)
    monkeypatch.setattr("gnref.teaching.lab.data.patches.half", lambda name, side: area)
    x, _ = patches(20, "left", rng(), size=3)
    assert set(x[:, 0, 0, 0] + 0.5) == {area[0, i, j] for i in (0, 1) for j in (0, 1, 2)}
    with pytest.raises(ValueError, match="size is 5; expected at most 4, as half of brick has"):
        patches(1, "left", rng(), size=5)


def test_the_data_of_a_seed(photos):
    data, again, other = (photo_data(seed, 2, 3) for seed in (0, 0, 1))
    assert [len(a) for a in data] == [20, 20, 30, 30]
    assert all(map(np.array_equal, data, again))
    assert not np.array_equal(data.x_train, other.x_train)
    assert not np.array_equal(data.x_test, other.x_test)
    assert abs(data.x_train).max() <= 0.5 < abs(data.x_test).max()  # only the test is relit here


def test_training_is_on_the_left_and_testing_on_the_right_under_another_light(photos):
    data = photo_data(7, 2, 3, strength=0.7)
    assert np.array_equal(data.x_train, patches(2, "left", rng([7, 1]))[0])
    unlit = patches(3, "right", rng([7, 2]))[0]
    assert np.array_equal(data.x_test, relight(rng([7, 3]), unlit, 0.7))
    assert np.array_equal(photo_data(7, 2, 3, strength=0.0).x_test, unlit)
