"""Longer clips, or more of them: Wu & He 2018, Table 8, on a small scale.

What a network keeps for its backward pass grows with N * T, the frames in memory. So each setting has T, the
frames of a clip, and N, the clips that BN takes its statistics over. 16 clips make a step of SGD at every N,
as though 16 / N machines had N clips each. (On ImageNet, too, the paper averages the gradient over eight
GPUs, while BN's statistics are those of one.) So nothing but the statistics differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gnref.teaching import paper
from gnref.teaching.lab import figures
from gnref.teaching.lab.data.clips import FRAMES, WAYS, clip_data
from gnref.teaching.lab.experiment import Record, Result, Setting
from gnref.teaching.lab.tables import Table, gather, spread
from gnref.teaching.lab.trainer.norms import make_norm
from gnref.teaching.lab.trainer.training import Plan, error, train
from gnref.teaching.lab.trainer.video_net import video_net
from gnref.teaching.sets import FOUR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "video"
TITLE = "Longer clips or more clips"
SHORT, LONG = 4, FRAMES  # T
MEMORY = (64, 32, 16, 8)  # N * T
BATCH, RATE, EPOCHS, GROUPS = 16, 0.1, 4, 4
LINES = {SHORT: "--", LONG: "-"}
# The paper's (T, N) beside ours: clips twice as long in both, and the same N.
TWINS = {(32, 8): (SHORT, 8), (32, 4): (SHORT, 4), (64, 4): (LONG, 4)}


def settings(seeds: int, quick: bool = False) -> list[Setting]:
    """Return a setting for each run: BN wherever N * T is in `MEMORY`, GN, and both with equal contrast.

    Parameters
    ----------
    seeds : int
        0, 1, ..., seeds - 1.
    quick : bool
        32 frames in memory and photographs as they are, for 1 epoch.

    Examples
    --------
    >>> settings(1)[0]
    {'contrast': 'as it is', 'norm': 'batch', 'T': 4, 'N': 16, 'epochs': 4, 'seed': 0}
    >>> len(settings(3)), len(settings(3, quick=True))
    (39, 12)
    """
    batch = [("as it is", "batch", T, frames // T) for T in LINES for frames in MEMORY]
    group = [("as it is", "group", T, BATCH) for T in LINES]
    equal = [("equal", "batch", SHORT, 16), ("equal", "batch", SHORT, 2), ("equal", "group", SHORT, BATCH)]
    runs = [run for run in batch if run[2] * run[3] == 32] + group if quick else batch + group + equal
    names = ("contrast", "norm", "T", "N", "epochs", "seed")
    epochs = 1 if quick else EPOCHS
    return [dict(zip(names, (*run, epochs, seed), strict=True)) for run in runs for seed in range(seeds)]


def run(setting: Setting) -> Result:
    """Train one network on clips, and test it in the end.

    Parameters
    ----------
    setting : dict
        As `settings` makes them.

    Returns
    -------
    result : dict
        "error", in %; "train" and "loss", those of the training by epoch.

    Raises
    ------
    ValueError
        An unknown norm or contrast, a T that is too long, an N that does not divide 16.
    """
    norm, T, N, seed = (setting[name] for name in ("norm", "T", "N", "seed"))
    if norm not in FOUR:
        raise ValueError(f"norm is {norm!r}; expected one of {', '.join(FOUR)}")
    if setting["contrast"] not in ("as it is", "equal"):
        raise ValueError(f"contrast is {setting['contrast']!r}; expected 'as it is' or 'equal'")
    if N < 1 or BATCH % N:
        raise ValueError(f"N is {N}; expected a divisor of the batch, {BATCH}")
    data = clip_data(seed, T, equal=setting["contrast"] == "equal")
    net = video_net(lambda C: make_norm(norm, C, GROUPS, N), len(WAYS), rng=np.random.default_rng([seed, 4]))
    plan = Plan(setting["epochs"], BATCH, RATE)
    epochs = list(train(net, data, plan, rng=np.random.default_rng([seed, 5])))
    return {
        "error": error(net, data.x_test, data.labels_test),
        "train": [epoch.error for epoch in epochs],
        "loss": [epoch.loss for epoch in epochs],
    }


def errors(
    records: Sequence[Record], norm: str, T: int, contrast: str = "as it is"
) -> dict[int, list[float]]:
    """Return the errors of the seeds by N; GN does not look at N, so its one run stands at every N.

    Parameters
    ----------
    records : sequence of Record
        Of `sweep`.
    norm, T, contrast
        As in the settings.
    """
    found = gather(records, "N", norm=norm, T=T, contrast=contrast)
    every = [frames // T for frames in MEMORY]
    return dict.fromkeys(every, found[BATCH]) if norm == "group" and BATCH in found else found


def tables(records: Sequence[Record]) -> list[Table]:
    """Return what was measured: by memory, beside the paper's Table 8, and with equal contrast."""
    made = [_by_memory(records), _beside_paper(records), _by_contrast(records)]
    return [table for table in made if table.rows]


def _by_memory(records: Sequence[Record]) -> Table:
    rows = []
    for norm in ("batch", "group"):
        for T in LINES:
            found = errors(records, norm, T)
            cells = [spread(found.get(frames // T, ())) for frames in MEMORY]
            rows += [(f"{paper.name(norm)}, T = {T}", *cells)] if found else []
    notes = (
        "Test error (%), the mean, and the least and the greatest over the seeds; chance is 88.9.",
        "SGD's batch is 16 clips, BN's statistics are over N. GN does not look at N: one run is all N.",
    )
    return Table("Error by N * T, frames in memory", ("N * T", *map(str, MEMORY)), tuple(rows), notes)


def _beside_paper(records: Sequence[Record]) -> Table:
    rows = []
    for norm in ("batch", "group"):
        cells = [spread(errors(records, norm, T).get(N, ())) for T, N in TWINS.values()]
        reported = [f"{value:.1f}" for value in paper_errors(norm).values()]
        if any(cell != "-" for cell in cells):
            rows += [(f"{paper.name(norm)}, measured", *cells), (f"{paper.name(norm)}, the paper", *reported)]
    pairs = zip(TWINS.values(), TWINS, strict=True)
    header = ("T / N", *(f"{T} / {N} (paper {theirs[0]} / {theirs[1]})" for (T, N), theirs in pairs))
    note = f"The paper: {paper.VIDEO.measure}, top 1, taken from 100; {paper.VIDEO.source}."
    return Table("Clip length and batch size, error (%)", header, tuple(rows), (note,))


def _by_contrast(records: Sequence[Record]) -> Table:
    rows = []
    for contrast in ("as it is", "equal"):
        batch, group = (errors(records, norm, SHORT, contrast) for norm in ("batch", "group"))
        found = (batch.get(16, ()), batch.get(2, ()), group.get(16, ()))
        rows += [(contrast, *map(spread, found))] if any(found) else []
    shown = tuple(rows) if any(row[0] == "equal" for row in rows) else ()
    return Table("Error by contrast, T = 4", ("contrast", "BN, N = 16", "BN, N = 2", "GN"), shown)


def paper_errors(norm: str) -> dict[tuple[int, int], float]:
    """Return the paper's top-1 errors by (T, N), in %: 100 less the accuracy that it reports.

    Examples
    --------
    >>> {at: round(value, 1) for at, value in paper_errors("group").items()}
    {(32, 8): 27.0, (32, 4): 27.2, (64, 4): 25.5}
    """
    row: Mapping[Any, float] = paper.VIDEO.row(norm)
    return {at: 100 - row[at] for at in TWINS}


def draw(records: Sequence[Record], theme: str = "light") -> Figure:
    """Return the figure: error by frames in memory, for short and long clips, here and in the paper."""
    figure, (left, right) = figures.panels(theme, "measured here", "the paper, Kinetics", ratios=(1.5, 1))
    for norm in ("batch", "group"):
        for T, line in LINES.items():
            found = {N * T: values for N, values in errors(records, norm, T).items()}
            figures.curve(left, theme, norm, MEMORY, found, label=f"{paper.name(norm)}, T = {T}", line=line)
        for T, line in {32: "--", 64: "-"}.items():
            reported = {N * T: [value] for (t, N), value in paper_errors(norm).items() if t == T}
            name = f"{paper.name(norm)}, T = {T}"
            figures.curve(right, theme, norm, (256, 128), reported, label=name, line=line)
    for ax, memory, measure in (
        (left, MEMORY, "test error, %"),
        (right, (256, 128), "validation error, % (100 - top 1)"),
    ):
        figures.powers(ax, memory)
        figures.label(ax, theme, x="N · T, frames in memory", y=measure)
    figures.name_ends(left)
    figures.name_ends(right)
    return figure
