"""Fine-tuning a segmenter with few images a step: Wu & He 2018, Tables 4 to 7, on a small scale.

A net learns to tell seven photographs apart, 16 pieces a step. Then it gets a new head and learns to tell,
for every pixel of a mosaic, which of three other photographs it is from, N mosaics a step. "batch" goes on
with BN as usual, "frozen" holds BN's statistics, weight and bias (the paper's BN*), "group" is a net with GN.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from gnref.teaching.lab.data.mosaics import SEEN, TARGET, fog, mosaics, pieces
from gnref.teaching.lab.experiment import Record, Result, Setting
from gnref.teaching.lab.experiments import finetune_figures, finetune_report
from gnref.teaching.lab.experiments.finetune_settings import LIGHTS, NORMS, STARTS, STATISTICS, settings
from gnref.teaching.lab.tables import Table
from gnref.teaching.lab.trainer.network import Network
from gnref.teaching.lab.trainer.norms import make_norm
from gnref.teaching.lab.trainer.segmenter import classifier, features, overlap, segmenter
from gnref.teaching.lab.trainer.stored import remeasure, store, stored
from gnref.teaching.lab.trainer.training import Data, Plan, error, norms, predict, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

__all__ = ["NAME", "TITLE", "draw", "run", "settings", "tables"]  # an experiment's

NAME = "finetune"
TITLE = "Fine-tuning a segmenter"
GROUPS = 4
PIECES = 128  # of each photograph that is pretrained on
MOSAICS = 64  # to train on, and as many to test on
SHOWN = 6  # test mosaics whose predicted masks are kept
PRETRAINING, FINE_TUNING = (16, 0.2), 0.5  # batch and rate; rate. Rates are for N = 32: see `Plan`


def run(setting: Setting) -> Result:
    """Pretrain, unless from scratch, fine-tune and test one network.

    Parameters
    ----------
    setting : dict
        As `settings` makes them.

    Returns
    -------
    result : dict
        "error" and "train_error", % of the pixels; "mean_iou", %; "masks", the first predictions, a digit for
        each pixel. Of a frozen net also "swapped", the error with the other statistics; of a clear one "fog",
        its error in fog without any training there, and of a BN net "fog_new", the same with statistics
        measured in fog.

    Raises
    ------
    ValueError
        A name that is none of those in `finetune_settings`, or an N larger than the data.
    """
    norm, N, seed = (setting[name] for name in ("norm", "N", "seed"))
    for name, known in {"norm": NORMS, "light": LIGHTS, "start": STARTS, "statistics": STATISTICS}.items():
        if setting[name] not in known:
            raise ValueError(f"{name} is {setting[name]!r}; expected one of {', '.join(known)}")
    if setting["statistics"] == "new" and norm != "frozen":
        raise ValueError(f"statistics is 'new'; expected 'old' with norm {norm!r}, which freezes none")
    if setting["start"] == "scratch" and norm == "frozen":
        raise ValueError("start is 'scratch'; expected 'pretrained', since a frozen norm needs statistics")
    data = mosaic_data(seed, setting["light"])
    if not 1 <= N <= len(data.x_train):
        raise ValueError(f"N is {N}; expected 1 to {len(data.x_train)}, the number of training mosaics")
    net = start(setting)
    old = stored(net)
    if norm == "frozen":
        if setting["statistics"] == "new":
            remeasure(net, data.x_train)
        for layer in norms(net):
            layer.freeze()
    scratch = setting["start"] == "scratch"
    plan = Plan(setting["epochs"], N, FINE_TUNING, decay_norms=scratch)  # as in the paper, sec. 4.2
    *_, last = train(net, data, plan, rng=_rng(seed, 11))
    predicted = predict(net, data.x_test)
    found = {
        "error": 100 * float((predicted != data.labels_test).mean()),
        "train_error": last.error,
        "mean_iou": overlap(predicted, data.labels_test, len(TARGET)),
        "masks": ["".join(map(str, mask.ravel())) for mask in predicted[:SHOWN]],
    }
    if norm == "frozen":
        found["swapped"] = swapped(net, data, None if setting["statistics"] == "old" else old)
    return found | (in_fog(net, seed) if setting["light"] == "clear" else {})


def start(setting: Setting) -> Network:
    """Return the segmenter before its training: features, pretrained or not, and a new head."""
    norm, seed = "group" if setting["norm"] == "group" else "batch", setting["seed"]
    if setting["start"] == "scratch":
        body = features(lambda C: make_norm(norm, C, GROUPS, None), rng=_rng(seed, 4))
    else:
        body = deepcopy(pretrained(norm, seed, setting["pretraining"]))
    return segmenter(body, len(TARGET), rng=_rng(seed, 10))


@cache
def pretrained(norm: str, seed: int, epochs: int) -> Network:
    """Return `features` trained to tell the seven other photographs apart; a copy is the caller's to make."""
    rng = _rng(seed, 4)
    body = features(lambda C: make_norm(norm, C, GROUPS, None), rng=rng)
    net = classifier(body, len(SEEN), rng=rng)
    x, labels = pieces(PIECES, "left", _rng(seed, 1))
    batch, rate = PRETRAINING
    for _ in train(net, Data(x, labels, x[:1], labels[:1]), Plan(epochs, batch, rate), rng=_rng(seed, 5)):
        pass
    return body


def mosaic_data(seed: int, light: str = "clear") -> Data:
    """Return the mosaics of a seed: of left halves to train on, of right halves to test on, in one light."""
    x, labels = mosaics(MOSAICS, "left", _rng(seed, 6))
    x_test, labels_test = mosaics(MOSAICS, "right", _rng(seed, 7))
    x, x_test = (fog(a, _rng(seed, k), *LIGHTS[light]) for a, k in ((x, 8), (x_test, 9)))
    return Data(x, labels, x_test, labels_test)


def swapped(net: Network, data: Data, statistics: Any = None) -> float:
    """Return the error with other statistics: those given, or measured on the training data."""
    own = stored(net)
    if statistics is None:
        remeasure(net, data.x_train)
    else:
        store(net, statistics)
    found = error(net, data.x_test, data.labels_test)
    store(net, own)
    return found


def in_fog(net: Network, seed: int) -> Result:
    """Return the errors in fog of a net that has never seen any."""
    data = mosaic_data(seed, "fog")
    found = {"fog": error(net, data.x_test, data.labels_test)}
    return found | ({"fog_new": swapped(net, data)} if stored(net) else {})


def _rng(seed: int, purpose: int) -> np.random.Generator:
    """A generator for each purpose, so that no norm changes what another one draws."""
    return np.random.default_rng([seed, purpose])


def tables(records: Sequence[Record]) -> list[Table]:
    """Return what was measured, by N, statistics, light and start, and the paper's."""
    return finetune_report.tables(records)


def draw(records: Sequence[Record], theme: str = "light") -> Figure:
    """Return the figure: error by N, clear and in fog."""
    return finetune_figures.draw(records, theme)
