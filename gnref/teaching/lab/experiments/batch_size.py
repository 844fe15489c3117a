"""Error by batch size: Wu & He 2018, Fig. 1, Tables 1 and 2, on a small scale.

A batch has two jobs, and each setting has a number for each: "batch" images make a step of SGD, and BN takes
its statistics over "N" of them. With batch = 32 at every N ("ghost batches") only the statistics differ; with
batch = N, and the learning rate in proportion, it is what happens on one GPU that has room for N images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from gnref.teaching import paper
from gnref.teaching.lab import figures
from gnref.teaching.lab.data.digits import digit_data
from gnref.teaching.lab.data.patches import mirror, photo_data, relight
from gnref.teaching.lab.experiment import Record, Result, Setting
from gnref.teaching.lab.experiments.batch_size_settings import (
    BATCH,
    FEW,
    GROUPS,
    LIGHTING,
    RATE,
    SIZES,
    THREE,
    UNMOVED,
    settings,
)
from gnref.teaching.lab.tables import Table, beside, gather, spread
from gnref.teaching.lab.trainer.nets import plain_net, residual_net
from gnref.teaching.lab.trainer.network import Network
from gnref.teaching.lab.trainer.norms import NORMS, make_norm
from gnref.teaching.lab.trainer.sgd import cosine, stepped
from gnref.teaching.lab.trainer.training import Plan, error, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

__all__ = ["NAME", "TITLE", "draw", "run", "settings", "tables"]  # an experiment's

NAME = "batch-size"
TITLE = "Error by batch size"
LAST = 5  # epochs, whose median is the error
NETS = {"residual": residual_net, "plain": plain_net}
SCHEDULES = {"cosine": cosine, "stepped": stepped}


def run(setting: Setting) -> Result:
    """Train and test one network.

    Parameters
    ----------
    setting : dict
        As `settings` makes them.

    Returns
    -------
    result : dict
        "error", in %, the median of the last 5 epochs, as in the paper; "train", the error in training by
        epoch; "test", that in the test after the epochs in "tested"; "weights", a checksum of all weights in
        the end.

    Raises
    ------
    ValueError
        An unknown norm, data, net or schedule, a batch larger than the data, an N that does not divide it.
    """
    for name, known in (("norm", NORMS), ("data", LIGHTING), ("net", NETS), ("schedule", SCHEDULES)):
        if setting[name] not in known:
            raise ValueError(f"{name} is {setting[name]!r}; expected one of {', '.join(known)}")
    norm, N, batch, seed = (setting[name] for name in ("norm", "N", "batch", "seed"))
    if N < 1 or batch % N:
        raise ValueError(f"N is {N}; expected a divisor of the batch, {batch}")
    make_net = NETS[setting["net"]]
    net = make_net(lambda C: make_norm(norm, C, GROUPS, N if batch > N else None), 10, rng=_rng(seed, 4))
    light, photos = setting["lighting"], setting["data"] == "photos"
    data = photo_data(seed, strength=light) if photos else digit_data(seed, light)

    def change(rng: np.random.Generator, x: Array) -> Array:
        return relight(rng, mirror(rng, x) if photos else x, light)  # a mirrored digit is none

    plan = Plan(setting["epochs"], batch, RATE, SCHEDULES[setting["schedule"]])
    trained, tested = [], {}
    for number, epoch in enumerate(train(net, data, plan, rng=_rng(seed, 5), change=change), start=1):
        trained.append(epoch.error)
        if number % 2 or number > plan.epochs - LAST:  # a test costs more than half an epoch
            tested[number] = error(net, data.x_test, data.labels_test)
    return {
        "error": median(list(tested.values())[-LAST:]),
        "train": trained,
        "tested": list(tested),
        "test": list(tested.values()),
        "weights": checksum(net),
    }


def checksum(net: Network) -> int:
    """Return the CRC-32 of all weights: the same only where they are the same bit for bit."""
    total = 0
    for part in net.walk():
        for name in sorted(part.grads):
            total = crc32(np.ascontiguousarray(getattr(part, name)).tobytes(), total)
    return total


def _rng(seed: int, purpose: int) -> np.random.Generator:
    """A generator for each purpose, so that no norm changes what another one draws."""
    return np.random.default_rng([seed, purpose])


def errors(
    records: Sequence[Record], norm: str, data: str = "photos", **where: Any
) -> dict[int, list[float]]:
    """Return the errors with ghost batches by N; of a norm that does not look at N, the same at every N.

    Parameters
    ----------
    records : sequence of Record
        Of `sweep`.
    norm, data
        As in the settings.
    where
        More of a setting: "lighting", if it is not the data's usual one, or "net".
    """
    usual: dict[str, Any] = {
        "lighting": LIGHTING[data],
        "net": "residual",
        "batch": BATCH,
        "schedule": "cosine",
    }
    found = gather(records, "N", norm=norm, data=data, **(usual | where))
    return dict.fromkeys(SIZES, found[BATCH]) if norm in UNMOVED and BATCH in found else found


def tables(records: Sequence[Record]) -> list[Table]:
    """Return what was measured beside the paper's: by N, norm, light and network, and with batch = N."""
    made = [_by_size(records), _by_norm(records)]
    if any(record.setting["lighting"] != LIGHTING["photos"] for record in records):
        made.append(_by_light(records))
    if any(record.setting["net"] != "residual" for record in records):
        made.append(_by_net(records))
    made.append(_by_protocol(records))
    return [table for table in made if table.rows]


def _by_size(records: Sequence[Record]) -> Table:
    shown = _present({norm: errors(records, norm) for norm in ("batch", "renorm", "group")})
    notes = [
        "Photographs, relit: test error (%), the mean, and the least and the greatest over the seeds.",
        "SGD's batch is 32, statistics are over N. GN does not look at N: one run is all N.",
    ]
    return beside("Error by N", SIZES, shown, paper.BATCH_SIZE, across="N", notes=notes)


def _by_norm(records: Sequence[Record]) -> Table:
    rows = []
    for norm in ("batch", "layer", "instance", "group", "constant"):
        measured = errors(records, norm).get(BATCH, [])
        reported = paper.NORMS.cell(norm, "error") if norm in paper.NORMS.rows else "-"
        rows += [(paper.name(norm), spread(measured), reported)] if measured else []
    notes = [f"The paper: {paper.NORMS.measure}; {paper.NORMS.source}."]
    return Table("Error by norm, N = 32", ("", "measured", "the paper"), tuple(rows), tuple(notes))


def _by_light(records: Sequence[Record]) -> Table:
    lights = [(data, light) for data in ("photos", "digits") for light in (LIGHTING[data], 0.0)]
    names = {(data, light): f"{data}, {'relit' if light else 'as they are'}" for data, light in lights}
    found = {names[data, light]: _three(records, data, lighting=light) for data, light in lights}
    return _of_three("Error by light", found)


def _by_net(records: Sequence[Record]) -> Table:
    nets = {"residual": "two residual blocks", "plain": "three convolutions in a row"}
    found = {words: _three(records, "photos", net=net) for net, words in nets.items()}
    return _of_three("Error by network", found)


def _three(records: Sequence[Record], data: str, **where: Any) -> list[list[float]]:
    """The errors of BN at N = 32, BN at N = 2, and GN."""
    return [errors(records, norm, data, **where).get(N, []) for norm, N in THREE]


def _of_three(title: str, found: Mapping[str, list[list[float]]]) -> Table:
    rows = [(words, *map(spread, values)) for words, values in found.items() if any(values)]
    return Table(title, ("", "BN, N = 32", "BN, N = 2", "GN"), tuple(rows))


def _by_protocol(records: Sequence[Record]) -> Table:
    shown = _present({norm: by_protocol(records, norm) for norm in ("batch", "group")})
    notes = ["Photographs, relit. The learning rate is in proportion to N, and falls in three steps."]
    return beside("SGD's batch = N", FEW, shown, paper.BATCH_SIZE, across="N", notes=notes)


def by_protocol(records: Sequence[Record], norm: str) -> dict[int, list[float]]:
    """Return the errors by N where SGD's batch is N, too."""
    return gather(records, "N", norm=norm, schedule="stepped")


def _present(rows: Mapping[str, Mapping[Any, Any]]) -> dict[str, Mapping[Any, Any]]:
    """The rows that have values."""
    return {row: values for row, values in rows.items() if values}


def draw(records: Sequence[Record], theme: str = "light") -> Figure:
    """Return the figure: BN and GN by N, measured here, and in the paper."""
    figure, (left, right) = figures.panels(theme, "measured here", "the paper, ImageNet")
    for norm in ("batch", "group"):
        figures.curve(left, theme, norm, SIZES, errors(records, norm))
        figures.paper_curve(right, theme, norm, paper.BATCH_SIZE)
    for ax, measure in ((left, "test error, %"), (right, "validation error, %")):
        figures.powers(ax, SIZES)
        figures.label(ax, theme, x="N, images that share statistics", y=measure)
        figures.name_ends(ax)
    return figure
