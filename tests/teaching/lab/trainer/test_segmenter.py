"""The segmenter: shapes, gradients of the whole net, and the score."""

import numpy as np
import pytest

import gnref
from gnref.teaching.lab.trainer.loss import cross_entropy
from gnref.teaching.lab.trainer.network import Network
from gnref.teaching.lab.trainer.segmenter import classifier, features, overlap, segmenter
from gnref.teaching.lab.trainer.training import norms, set_mode

KINDS = {"batch": gnref.BatchNorm, "group": lambda C, **options: gnref.GroupNorm(4, C, **options)}


def net_of(kind, head=segmenter):
    """A net in float64 whose blocks all have a part in y."""
    rng = np.random.default_rng(0)
    body = features(lambda C: KINDS[kind](C, dtype="float64"), rng=rng)
    net = head(body, 3, rng=rng)
    for part in net.walk():
        if part in norms(net):
            part.weight, part.bias = rng.normal(1.0, 0.3, (2, *part.weight.shape))
        elif hasattr(part, "weight"):
            part.weight = part.weight.astype(np.float64)
    return net


@pytest.mark.parametrize("kind", KINDS)
def test_one_score_for_each_class_and_pixel(kind):
    x = np.random.default_rng(1).normal(size=(2, 3, 32, 32))
    assert net_of(kind).forward(x).shape == (2, 3, 32, 32)
    assert net_of(kind, classifier).forward(x).shape == (2, 3)


@pytest.mark.parametrize("kind", [*KINDS, "frozen"])
def test_the_gradient_is_the_slope_of_the_loss(kind):
    net = net_of("batch" if kind == "frozen" else kind)
    if kind == "frozen":
        for norm in norms(net):
            norm.freeze()
    rng = np.random.default_rng(2)
    x, labels = rng.normal(size=(2, 3, 32, 32)), rng.integers(3, size=(2, 32, 32))
    direction = rng.normal(size=x.shape)

    def loss(h):
        return cross_entropy(net.forward(x + h * direction), labels)

    _, dscores = loss(0.0)
    slope = (net.backward(dscores) * direction).sum()
    h = 1e-6
    assert slope == pytest.approx((loss(h)[0] - loss(-h)[0]) / (2 * h), rel=1e-4)


def test_both_heads_share_the_features():
    body = features(gnref.BatchNorm, rng=np.random.default_rng(0))
    nets = [head(body, 3, rng=np.random.default_rng(1)) for head in (classifier, segmenter)]
    assert [norms(net) for net in nets] == [norms(body)] * 2
    assert len(norms(body)) == 6
    set_mode(Network(*body.parts), "eval")
    assert {norm.mode for norm in norms(nets[1])} == {"eval"}


def test_overlap_is_a_mean_over_the_classes_that_occur():
    labels = np.array([[0, 0, 0, 1]])
    assert overlap(labels, labels, 3) == 100
    assert overlap(np.zeros_like(labels), labels, 3) == pytest.approx(100 * (3 / 4 + 0) / 2)
    assert overlap(np.array([[0, 0, 1, 1]]), labels, 2) == pytest.approx(100 * (2 / 3 + 1 / 2) / 2)
