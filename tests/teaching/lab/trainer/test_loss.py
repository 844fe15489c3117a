import numpy as np
import pytest

from gnref.teaching.lab.trainer.loss import cross_entropy


def test_equal_scores_cost_the_logarithm_of_the_number_of_classes():
    loss, dscores = cross_entropy(np.full((2, 4), 7.0), np.array([0, 3]))
    assert loss == pytest.approx(np.log(4))
    np.testing.assert_allclose(dscores, [[-0.375, 0.125, 0.125, 0.125], [0.125, 0.125, 0.125, -0.375]])


def test_the_gradient_of_each_label_sums_to_0():
    rng = np.random.default_rng(0)
    _, dscores = cross_entropy(rng.standard_normal((3, 5, 2, 2)), rng.integers(5, size=(3, 2, 2)))
    np.testing.assert_allclose(dscores.sum(axis=1), 0, atol=1e-16)


def test_pixels_are_examples():
    rng = np.random.default_rng(0)
    scores, labels = rng.standard_normal((3, 5, 2, 4)), rng.integers(5, size=(3, 2, 4))
    loss, dscores = cross_entropy(scores, labels)
    rows = np.moveaxis(scores, 1, -1).reshape(-1, 5)
    row_loss, drows = cross_entropy(rows, labels.ravel())
    assert loss == pytest.approx(row_loss, rel=1e-12)
    np.testing.assert_allclose(np.moveaxis(dscores, 1, -1).reshape(-1, 5), drows, rtol=1e-12)


def test_large_scores_stay_finite():
    loss, dscores = cross_entropy(np.array([[1e4, -1e4]], np.float32), np.array([1]))
    assert loss == pytest.approx(2e4)
    assert dscores.tolist() == [[1, -1]]


def test_scores_are_left_alone_and_their_dtype_is_kept():
    scores = np.ones((2, 3), np.float32)
    _, dscores = cross_entropy(scores, np.array([0, 2]))
    assert dscores.dtype == np.float32
    assert np.array_equal(scores, np.ones((2, 3)))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2], r"labels have shape \(3,\); expected \(2,\), for scores of shape \(2, 3\)"),
        ([0, 3], "labels run from 0 to 3; expected 0 to 2"),
        ([-1, 0], "labels run from -1 to 0; expected 0 to 2"),
    ],
)
def test_bad_labels(labels, message):
    with pytest.raises(ValueError, match=message):
        cross_entropy(np.zeros((2, 3)), np.array(labels))


def test_no_labels_at_all():
    with pytest.raises(ValueError, match=r"scores have shape \(0, 3\); expected at least one"):
        cross_entropy(np.zeros((0, 3)), np.array([], int))
