import os
import sys

import numba
import numpy as np
import pytest

import gnref
from gnref.bench.process import output_of
from gnref.teaching.lab.trainer import training
from gnref.teaching.lab.trainer.nets import residual_net
from gnref.teaching.lab.trainer.network import Network
from gnref.teaching.lab.trainer.norms import make_norm
from gnref.teaching.lab.trainer.parts import Linear
from gnref.teaching.lab.trainer.training import Data, Plan, error, norms, predict, set_mode, train


def blobs(n=24, classes=3, seed=0):
    """Small images of one colour each, which is the class, in noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    x = rng.normal(0, 0.5, (n, 3, 8, 8)) + 2 * np.eye(3)[labels][:, :, None, None]
    return Data(x.astype("float32"), labels, x[::2].astype("float32"), labels[::2])


def make(norm="batch", virtual=None):
    rng = np.random.default_rng(1)
    return residual_net(lambda C: make_norm(norm, C, 2, virtual), 3, rng=rng, widths=(4, 4, 4))


def history(net=None, plan=None, seed=2, data=None, **options):
    plan, data = plan or Plan(3, 8, 0.2), data or blobs()
    return list(train(net or make(), data, plan, rng=np.random.default_rng(seed), **options))


def weights(net):
    parts = net.walk()
    return np.concatenate([getattr(part, name).ravel() for part in parts for name in sorted(part.grads)])


class Recorder:
    """A layer that keeps what comes, and scores it by one weight."""

    def __init__(self):
        self.grads, self.weight, self.seen = {}, np.zeros(1), []

    def forward(self, x):
        self.seen.append(x)
        return np.stack([x[:, 0], np.zeros(len(x))], axis=1) + 0 * self.weight

    def backward(self, dy):
        self.grads = {"weight": np.ones(1)}
        return dy


def numbers(n):
    x = np.arange(1.0, n + 1).reshape(n, 1)
    return Data(x, np.zeros(n, int), x[:2], np.array([0, 1]))


@pytest.mark.parametrize("norm", ["batch", "group", "renorm"])
def test_it_learns(norm):
    epochs = history(make(norm), Plan(8, 8, 0.4))
    assert epochs[-1].loss < 0.7 * epochs[0].loss
    assert epochs[-1].error < 25 < 50 < epochs[0].error


def test_the_same_seed_gives_the_same_bits():
    runs = []
    for seed in (2, 2, 3):
        net = make()
        runs.append((history(net, seed=seed), weights(net)))
    assert runs[0][0] == runs[1][0] != runs[2][0]
    assert np.array_equal(runs[0][1], runs[1][1])


def test_another_process_gives_the_same_bits():
    code = "import test_training as t; net = t.make(); t.history(net); print(t.weights(net).tobytes().hex())"
    path = os.pathsep.join([os.path.dirname(__file__), *filter(None, sys.path)])
    found = output_of(["-c", code], os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "5"})
    net = make()
    history(net)
    assert bytes.fromhex(found.strip()) == weights(net).tobytes()


def test_group_norm_does_not_see_the_virtual_batch():
    results = {}
    for norm in ("group", "batch"):
        nets = [make(norm, virtual) for virtual in (None, 2, 4)]
        epochs = [history(net) for net in nets]
        results[norm] = [epochs[0] == other for other in epochs[1:]]
        results[norm] += [np.array_equal(weights(nets[0]), weights(net)) for net in nets[1:]]
    assert results == {"group": [True] * 4, "batch": [False] * 4}


def test_every_example_once_per_epoch_in_another_order():
    layer = Recorder()
    list(train(Network(layer), numbers(6), Plan(2, 2, 1.0), rng=np.random.default_rng(0)))
    first, second = (np.concatenate(layer.seen[i : i + 3]).ravel().tolist() for i in (0, 3))
    assert sorted(first) == sorted(second) == [1, 2, 3, 4, 5, 6]
    assert first != second


def test_norms_keep_to_one_thread_and_the_callers_number_comes_back():
    asked, before = [], numba.get_num_threads()

    def change(rng, x):
        asked.append(numba.get_num_threads())
        return x

    for _ in train(
        Network(Recorder()), numbers(4), Plan(1, 2, 1.0), rng=np.random.default_rng(0), change=change
    ):
        asked.append(numba.get_num_threads())
    assert asked == [1, 1, before]


def test_without_a_threading_layer_norms_are_left_alone(monkeypatch):
    monkeypatch.setattr(training, "uses_prange", lambda: False)
    monkeypatch.setattr(training.numba, "get_num_threads", None)  # would look for the layer
    assert predict(Network(), np.array([[0.1, 0.9]])).tolist() == [1]


def test_too_few_for_a_batch_are_left_out():
    layer = Recorder()
    list(train(Network(layer), numbers(7), Plan(1, 3, 1.0), rng=np.random.default_rng(0)))
    assert [len(x) for x in layer.seen] == [3, 3]


def test_the_rate_is_in_proportion_to_the_batch_and_follows_the_schedule():
    asked = []

    def schedule(step, steps):
        asked.append((step, steps))
        return 1 / (1 + step)

    layer = Recorder()
    plan = Plan(2, 4, rate=8.0, schedule=schedule, momentum=0, decay=0)
    list(train(Network(layer), numbers(8), plan, rng=np.random.default_rng(0)))
    assert asked == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert layer.weight.item() == pytest.approx(-(1 + 1 / 2 + 1 / 3 + 1 / 4))  # 8 * 4 / 32 = 1


def test_change_sees_every_training_batch():
    layer = Recorder()
    options = {"rng": np.random.default_rng(0), "change": lambda rng, x: -x}
    list(train(Network(layer), numbers(4), Plan(1, 2, 1.0), **options))
    assert [bool((x < 0).all()) for x in layer.seen] == [True, True]


def test_what_an_epoch_reports():
    data, layer = numbers(4), Recorder()  # scores (x, 0) with x > 0: class 0 always wins
    (epoch,) = train(Network(layer), data, Plan(1, 2, 1.0), rng=np.random.default_rng(0))
    assert epoch.loss == pytest.approx(np.log1p(np.exp(-data.x_train)).mean())
    assert epoch.error == 0


def test_modes_follow_what_is_done_and_frozen_norms_stay():
    net = make()
    norms(net)[0].freeze()
    epochs = train(net, blobs(), Plan(2, 8, 0.2), rng=np.random.default_rng(2))
    next(epochs)
    error(net, *blobs()[2:])
    assert [norm.mode for norm in norms(net)] == ["frozen"] + 6 * ["eval"]
    next(epochs)
    assert [norm.mode for norm in norms(net)] == ["frozen"] + 6 * ["train"]
    counts = [int(norm.num_batches_tracked) for norm in norms(net)]
    assert counts == [0] + 6 * [2 * 3]  # steps, no tests
    set_mode(net, "train")
    assert [norm.mode for norm in norms(net)] == ["frozen"] + 6 * ["train"]


def test_a_test_does_not_depend_on_how_many_are_looked_at_at_once():
    net, data = make(), blobs()
    history(net)
    once, twice = predict(net, data.x_train), predict(net, data.x_train, batch=7)
    assert np.array_equal(once, twice)
    assert error(net, data.x_train, once) == 0


def test_one_class_per_pixel():
    net = Network(Pixels())
    x = np.zeros((2, 2, 3, 3))
    x[:, 1, 0] = 1  # the upper row of each is class 1
    assert predict(net, x).tolist() == 2 * [[[1, 1, 1], [0, 0, 0], [0, 0, 0]]]
    assert error(net, x, np.zeros((2, 3, 3), int)) == pytest.approx(100 / 3)


class Pixels:
    grads = {}  # noqa: RUF012

    def forward(self, x):
        return x


def test_decay_reaches_the_optimizer():
    for decay_norms in (True, False):
        net = make("group")
        history(net, Plan(1, 8, 1.0, momentum=0, decay=2.0, decay_norms=decay_norms))
        shrunk = norms(net)[0].weight.mean()
        assert (shrunk < 0.5) == decay_norms


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(1, 64, 0.1), "batch is 64; expected at most the 24 training examples"),
        (Plan(1, 0, 0.1), "batch is 0; expected a positive integer"),
        (Plan(0, 8, 0.1), "epochs is 0; expected a positive integer"),
    ],
)
def test_bad_plans_are_refused_before_the_first_epoch_is_asked_for(plan, message):
    with pytest.raises(ValueError, match=message):
        train(make(), blobs(), plan, rng=np.random.default_rng(0))


def test_a_label_for_each_example():
    data = blobs()
    with pytest.raises(ValueError, match="labels_test has 11 examples; expected 12, as x_test has"):
        history(data=data._replace(labels_test=data.labels_test[1:]))


def test_a_virtual_batch_that_does_not_fit():
    with pytest.raises(gnref.ShapeError, match=r"virtual_batch_size is 3; expected .* divides N = 8"):
        history(make("batch", 3))


def test_an_unknown_mode():
    with pytest.raises(ValueError, match="mode is 'test'; expected 'train' or 'eval'"):
        set_mode(Network(Linear(1, 1, rng=np.random.default_rng(0))), "test")


def test_after_training_the_first_convolution_has_a_gradient_again():
    net = make()
    for _ in train(net, blobs(), Plan(1, 8, 0.2), rng=np.random.default_rng(2)):
        assert net.parts[0].needs_dx
    x, _ = blobs()[:2]
    net.forward(x[:4])
    assert np.abs(net.backward(np.ones((4, net.parts[-1].weight.shape[0]), np.float32))).max() > 0
