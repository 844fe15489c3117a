"""The training loop, and the error of a network in evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np

from gnref.kernels.cpu.launch import uses_prange
from gnref.layers.layer import Layer
from gnref.teaching.lab.trainer.convolution import Convolution
from gnref.teaching.lab.trainer.loss import cross_entropy
from gnref.teaching.lab.trainer.network import Network
from gnref.teaching.lab.trainer.sgd import SGD, cosine

Array = np.ndarray[Any, Any]
Change = Callable[[np.random.Generator, Array], Array]  # of x, such as a change of lighting


class Data(NamedTuple):
    """What a network is trained on, and what it is tested on."""

    x_train: Array  # (n, C, *S)
    labels_train: Array  # (n,) or, for a class per pixel, (n, *S)
    x_test: Array
    labels_test: Array


@dataclass(frozen=True)
class Plan:
    """How a network is trained.

    Attributes
    ----------
    epochs : int
        Times that each training example is seen.
    batch : int
        N, examples per step; the last ones of an epoch, too few for a batch, are left out.
    rate : float
        Learning rate for N = 32; it is taken in proportion to N (Wu & He 2018, sec. 4.1, after Goyal
        et al. 2017).
    schedule : callable
        `cosine` or `stepped`.
    momentum, decay, decay_norms
        Of `SGD`.
    """

    epochs: int
    batch: int
    rate: float
    schedule: Callable[[int, int], float] = cosine
    momentum: float = 0.9
    decay: float = 1e-4
    decay_norms: bool = True


class Epoch(NamedTuple):
    """What an epoch came to."""

    loss: float  # the mean over its steps
    error: float  # %, on the training examples, counted during training, in the mode "train"


def train(
    network: Network, data: Data, plan: Plan, *, rng: np.random.Generator, change: Change | None = None
) -> Iterator[Epoch]:
    """Train a network in place; yield each epoch as it ends, to test the network when you like (`error`).

    Parameters
    ----------
    network : Network
        Norms are set to the mode "train" if they are not frozen.
    data, plan
        What on, and how.
    rng : Generator
        Draws the order of the examples and what ``change`` does.
    change : callable, optional
        ``change(rng, x)`` of each training batch.

    Returns
    -------
    epochs : iterator of Epoch
        Each is trained when it is asked for.

    Raises
    ------
    ValueError
        The plan's batch is larger than the data; its batch or its epochs are not positive; there is not one
        label for each example.

    Examples
    --------
    >>> from gnref.teaching.lab.trainer.parts import Linear
    >>> x = np.array([[-1.0], [1.0]], np.float32)
    >>> data = Data(x, np.array([0, 1]), x, np.array([0, 1]))
    >>> network = Network(Linear(1, 2, rng=np.random.default_rng(0)))
    >>> for epoch in train(network, data, Plan(3, batch=2, rate=16.0), rng=np.random.default_rng(0)):
    ...     print(f"loss {epoch.loss:.2f}, test error {error(network, *data[2:]):.0f} %")
    loss 0.83, test error 0 %
    loss 0.35, test error 0 %
    loss 0.12, test error 0 %
    """
    _check(data, plan)
    return _epochs(network, data, plan, rng, change)


def _check(data: Data, plan: Plan) -> None:
    """Raise unless there is a batch to train on."""
    n = len(data.x_train)
    for name, value in (("batch", plan.batch), ("epochs", plan.epochs)):
        if value < 1:
            raise ValueError(f"{name} is {value}; expected a positive integer")
    if plan.batch > n:
        raise ValueError(f"batch is {plan.batch}; expected at most the {n} training examples")
    pairs = {"train": (data.x_train, data.labels_train), "test": (data.x_test, data.labels_test)}
    for name, (x, labels) in pairs.items():
        if len(x) != len(labels):
            raise ValueError(f"labels_{name} has {len(labels)} examples; expected {len(x)}, as x_{name} has")


def _epochs(
    network: Network, data: Data, plan: Plan, rng: np.random.Generator, change: Change | None
) -> Iterator[Epoch]:
    """Train, and yield each epoch as it ends."""
    n = len(data.x_train)
    sgd = SGD(network.walk(), momentum=plan.momentum, decay=plan.decay, decay_norms=plan.decay_norms)
    per_epoch = n // plan.batch
    for epoch in range(plan.epochs):
        order = rng.permutation(n)
        losses, wrong, seen = [], 0, 0
        set_mode(network, "train")
        with one_thread(), data_first(network):
            for i in range(per_epoch):
                picked = order[i * plan.batch : (i + 1) * plan.batch]
                x, labels = data.x_train[picked], data.labels_train[picked]
                scores = network.forward(x if change is None else change(rng, x))
                loss, dscores = cross_entropy(scores, labels)
                network.backward(dscores)
                share = plan.schedule(epoch * per_epoch + i, plan.epochs * per_epoch)
                sgd.step(plan.rate * plan.batch / 32 * share)
                losses.append(loss)
                wrong += int((scores.argmax(axis=1) != labels).sum())
                seen += labels.size
        yield Epoch(float(np.mean(losses)), 100 * wrong / seen)


@contextmanager
def data_first(network: Network) -> Iterator[None]:
    """Spare the first convolution its dx: what it sees are the data, whose gradient nobody asks for."""
    first = next(network.walk(), None)
    if not isinstance(first, Convolution):
        yield
        return
    first.needs_dx = False
    try:
        yield
    finally:
        first.needs_dx = True


@contextmanager
def one_thread() -> Iterator[None]:
    """Have the norms keep to one thread: a second one waits for the core where BLAS's idle one still spins.

    With two threads each, and two cores, a step of `residual_net` takes seven times as long.
    """
    if not uses_prange():  # then Numba has no threads, and need not start any
        yield
        return
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def error(network: Network, x: Array, labels: Array) -> float:
    r"""Return the share of wrong answers in evaluation, in %.

    Parameters
    ----------
    network : Network
        Norms are set to the mode "eval" if they are not frozen.
    x, labels : ndarray
        (n, C, \*S), and (n,) or, for a class per pixel, (n, \*S).

    Examples
    --------
    >>> scores = np.array([[0.1, 0.9], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]])
    >>> error(Network(), scores, np.array([1, 0, 0, 0]))  # an empty network passes on what it gets
    25.0
    """
    return 100 * float((predict(network, x) != labels).mean())


def predict(network: Network, x: Array, batch: int = 128) -> Array:
    r"""Return the class with the highest score, in evaluation.

    Parameters
    ----------
    network : Network
        Norms are set to the mode "eval" if they are not frozen.
    x : ndarray
        (n, C, \*S).
    batch : int
        How many are looked at at once, which decides on the memory that it takes.

    Returns
    -------
    labels : ndarray of int
        (n,) or, for a class per pixel, (n, \*S).

    Examples
    --------
    >>> predict(Network(), np.array([[0.1, 0.9], [0.8, 0.2]]))
    array([1, 0])
    """
    set_mode(network, "eval")
    with one_thread():
        labels = [network.forward(x[i : i + batch]).argmax(axis=1) for i in range(0, len(x), batch)]
    return np.concatenate(labels)


def norms(network: Network) -> list[Layer]:
    """Return the norms of a network, in the order of `Network.walk`.

    Examples
    --------
    >>> import gnref
    >>> network = Network(gnref.BatchNorm(2), Network(gnref.GroupNorm(1, 2)))
    >>> [type(norm).__name__ for norm in norms(network)]
    ['BatchNorm', 'GroupNorm']
    """
    return [part for part in network.walk() if isinstance(part, Layer)]


def set_mode(network: Network, mode: str) -> None:
    """Set every norm to a mode, but for the frozen ones, which stay so.

    Parameters
    ----------
    network : Network
        It is changed in place.
    mode : str
        "train" or "eval".

    Raises
    ------
    ValueError
        Another mode.

    Examples
    --------
    >>> import gnref
    >>> network = Network(gnref.BatchNorm(2), gnref.BatchNorm(2).freeze())
    >>> set_mode(network, "eval")
    >>> [norm.mode for norm in norms(network)]
    ['eval', 'frozen']
    """
    if mode not in ("train", "eval"):
        raise ValueError(f"mode is {mode!r}; expected 'train' or 'eval'")
    for norm in norms(network):
        if norm.mode != "frozen":
            norm.train() if mode == "train" else norm.eval()
