"""The digits: what they look like, and that none is learnt from and tested on."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skimage")  # of the photographs, whose light the digits get

from gnref.teaching.lab.data.digits import digit_data, digits


def test_digits_are_grey_images_of_three_channels_and_all_ten_occur():
    x, labels = digits()
    assert (x.shape, x.dtype, labels.shape) == ((1797, 3, 8, 8), np.float32, (1797,))
    assert (x.min(), x.max()) == (-0.5, 0.5)
    assert (x == x[:, :1]).all()
    assert set(labels) == set(range(10))


def test_no_digit_is_in_both_halves():
    x, _ = digits()
    where = {image.tobytes(): i for i, image in enumerate(x)}
    data = digit_data(0)
    first, last = ({where[image.tobytes()] for image in half} for half in (data.x_train, data.x_test))
    assert (len(data.x_train), len(data.x_test)) == (640, 800)
    assert first & last == set()


def test_labels_belong_to_their_digits():
    x, labels = digits()
    of = {image.tobytes(): label for image, label in zip(x, labels, strict=True)}
    data = digit_data(1)
    assert [of[image.tobytes()] for image in data.x_train] == data.labels_train.tolist()
    assert [of[image.tobytes()] for image in data.x_test] == data.labels_test.tolist()


def test_the_light_changes_the_tests_alone():
    plain, lit = digit_data(2), digit_data(2, strength=1.4)
    assert np.array_equal(plain.x_train, lit.x_train)
    assert np.array_equal(plain.labels_test, lit.labels_test)
    assert lit.x_test.mean(axis=(1, 2, 3)).std() > 5 * plain.x_test.mean(axis=(1, 2, 3)).std()


def test_seeds_differ_and_each_is_the_same_again():
    one, again, other = digit_data(0, 0.7), digit_data(0, 0.7), digit_data(1, 0.7)
    assert np.array_equal(one.x_test, again.x_test)
    assert not np.array_equal(one.x_train, other.x_train)


def test_more_digits_than_there_are_get_a_sentence():
    with pytest.raises(ValueError, match=r"train \+ tests is 1800; expected at most the 1797 digits"):
        digit_data(0, train=1000, tests=800)
