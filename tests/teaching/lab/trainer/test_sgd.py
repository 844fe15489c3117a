import numpy as np
import pytest

import gnref
from gnref.teaching.lab.trainer.parts import Linear
from gnref.teaching.lab.trainer.sgd import SGD, cosine, stepped


def line(weight):
    part = Linear(1, 1, rng=np.random.default_rng(0), dtype="float64")
    part.weight[...] = weight
    return part


def test_momentum_adds_up():
    part = line(0)
    part.grads = {"weight": np.ones((1, 1))}
    sgd, at = SGD([part], momentum=0.5, decay=0), []
    for _ in range(3):
        sgd.step(rate=1)
        at.append(part.weight.item())
    assert at == [-1, -2.5, -4.25]  # steps of 1, 1.5, 1.75


def test_the_rate_takes_effect_after_the_momentum():
    part = line(0)
    part.grads = {"weight": np.ones((1, 1))}
    sgd = SGD([part], momentum=0.5, decay=0)
    sgd.step(rate=1)
    sgd.step(rate=0.1)
    assert part.weight.item() == pytest.approx(-1.15)


@pytest.mark.parametrize("decay_norms", [True, False])
def test_weight_decay_of_norms_is_a_choice(decay_norms):
    norm, part = gnref.GroupNorm(1, 2, dtype="float64"), line(3)
    norm.bias[...] = 5
    norm.grads = {"weight": np.zeros(2), "bias": np.zeros(2)}
    part.grads = {"weight": np.zeros((1, 1))}
    SGD([norm, part], decay=0.1, decay_norms=decay_norms).step(rate=1)
    assert part.weight.item() == pytest.approx(2.7)
    assert norm.weight.tolist() == ([0.9, 0.9] if decay_norms else [1, 1])
    assert norm.bias.tolist() == ([4.5, 4.5] if decay_norms else [5, 5])


def test_frozen_norms_and_layers_without_gradients_stay():
    norm = gnref.BatchNorm(2, dtype="float64").freeze()
    x = np.random.default_rng(0).standard_normal((3, 2))
    norm.forward(x), norm.backward(x)
    SGD([norm, line(3)], decay=0.1).step(rate=1)
    assert norm.weight.tolist() == [1, 1]


def test_gradients_are_left_alone():
    part = line(1)
    part.grads = {"weight": np.ones((1, 1))}
    sgd = SGD([part])
    sgd.step(rate=0.1), sgd.step(rate=0.1)
    assert part.grads["weight"].item() == 1


@pytest.mark.parametrize("schedule", [cosine, stepped])
def test_schedules_begin_at_1_and_only_fall(schedule):
    shares = [schedule(step, 37) for step in range(37)]
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)
    assert 0 < shares[-1] < 0.01


def test_the_cosine():
    assert cosine(50, 100) == pytest.approx(0.5)
    assert cosine(25, 100) + cosine(75, 100) == pytest.approx(1)
    assert cosine(100, 100) == pytest.approx(0)


def test_the_paper_s_100_epochs():
    assert [epoch for epoch in range(1, 100) if stepped(epoch, 100) != stepped(epoch - 1, 100)] == [
        30,
        60,
        90,
    ]
    assert [stepped(epoch, 100) for epoch in (29, 59, 89, 99)] == [1, 0.1, 0.01, 0.001]
