"""Error by the number of groups, and by the channels per group: Wu & He 2018, Table 3, on a small scale.

A setting has either "G", the groups that every norm of the net makes, or "K", the channels of each group; the
norms have 16 and 32 channels, so that the two differ. G = 1 is the paper's LayerNorm, K = 1 is InstanceNorm.
Where "first" is 1, the first norm is InstanceNorm, and G or K is of the others. Data, net and learning rate
are those of `gnref.teaching.lab.experiments.batch_size`; the epochs are fewer, since the networks are more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import numpy as np

import gnref
from gnref.layers.layer import Layer
from gnref.teaching import paper
from gnref.teaching.lab import figures
from gnref.teaching.lab.data.patches import mirror, photo_data, relight
from gnref.teaching.lab.experiment import Record, Result, Setting
from gnref.teaching.lab.experiments import batch_size_settings
from gnref.teaching.lab.experiments.batch_size_settings import BATCH, RATE
from gnref.teaching.lab.tables import Table, beside, gather, spread
from gnref.teaching.lab.trainer.nets import Norm, residual_net
from gnref.teaching.lab.trainer.training import Plan, error, train
from gnref.teaching.palette import THEMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
Guess = Mapping[int, float | None]

NAME = "groups"
TITLE = "Error by groups"
WIDTHS = (16, 32, 32)  # channels: of the first norm, and of the two blocks'
SIZES = {"G": (1, 2, 4, 8, 16), "K": (1, 2, 4, 8)}
WAYS = {"G": "number of groups, G", "K": "channels per group, K"}
ENDS = {"G": "layer", "K": "instance"}  # what G = 1 and K = 1 are
LINES = {"G": "-", "K": "--"}
REPORTED = {"G": paper.GROUPS, "K": paper.CHANNELS_PER_GROUP}
CLASSES, EPOCHS = 10, 12
LIGHTING = batch_size_settings.LIGHTING["photos"]  # 0 leaves the photographs as they are
NOTE = (
    "Measured: test error (%), the mean, and the least and the greatest over the seeds; 16 and 32 channels."
)
LAST = 5  # epochs whose median error is reported, as in the paper


def settings(seeds: int, quick: bool = False) -> list[Setting]:
    """Return the settings: all G and all K, InstanceNorm first, and the photographs as they are.

    Parameters
    ----------
    seeds : int
        0, 1, ..., seeds - 1.
    quick : bool
        The two ends and G = 4, for 3 epochs.

    Examples
    --------
    >>> settings(1)[0]
    {'G': 1, 'first': 0, 'lighting': 0.7, 'epochs': 12, 'seed': 0}
    >>> len(settings(3)), len(settings(3, quick=True))
    (39, 9)
    """
    if quick:
        nets = [_setting(way, size, epochs=3) for way, size in (("G", 1), ("G", 4), ("K", 1))]
    else:
        nets = [_setting(way, size) for way in WAYS for size in SIZES[way]]
        nets.append(_setting("G", 1, first=1))
        nets += [_setting(way, size, lighting=0.0) for way, size in (("G", 1), ("G", 16), ("K", 1))]
    return [net | {"seed": seed} for seed in range(seeds) for net in nets]


def _setting(
    way: str, size: int, first: int = 0, lighting: float = LIGHTING, epochs: int = EPOCHS
) -> Setting:
    """All of one but its seed."""
    return {way: size, "first": first, "lighting": lighting, "epochs": epochs}


def run(setting: Setting) -> Result:
    """Train one network, and test it after each of the last epochs.

    Parameters
    ----------
    setting : dict
        As `settings` makes them.

    Returns
    -------
    result : dict
        "error", in %, the median of the last 5 epochs, as in the paper; "train", the training error by epoch.

    Raises
    ------
    ValueError
        A G or a K that does not divide the norms' channels.
    """
    seed, lighting, epochs = (setting[name] for name in ("seed", "lighting", "epochs"))
    norm = norm_of(setting)
    net = residual_net(norm, CLASSES, rng=np.random.default_rng([seed, 4]), widths=WIDTHS)
    if setting["first"]:
        net.parts = (net.parts[0], gnref.InstanceNorm(WIDTHS[0]), *net.parts[2:])
    data = photo_data(seed, strength=lighting)

    def change(rng: np.random.Generator, x: Array) -> Array:
        return relight(rng, mirror(rng, x), lighting)

    plan, rng = Plan(epochs, BATCH, RATE), np.random.default_rng([seed, 5])
    trained, errors = [], []
    for epoch in train(net, data, plan, rng=rng, change=change):
        trained.append(epoch.error)
        if len(trained) > epochs - LAST:
            errors.append(error(net, data.x_test, data.labels_test))
    return {"error": median(errors), "train": trained}


def norm_of(setting: Setting) -> Norm:
    """Return what makes the norms of a setting: ``norm(C)`` is a GroupNorm of C channels.

    Examples
    --------
    >>> [norm_of({"G": 4})(C).num_groups for C in WIDTHS], [norm_of({"K": 4})(C).num_groups for C in WIDTHS]
    ([4, 4, 4], [4, 8, 8])
    """
    way = "G" if "G" in setting else "K"
    size = setting[way]
    if not isinstance(size, int) or size < 1 or any(C % size for C in WIDTHS):
        channels = " and ".join(map(str, sorted(set(WIDTHS))))
        raise ValueError(f"{way} is {size!r}; expected a divisor of the channels, {channels}")

    def norm(C: int) -> Layer:
        return gnref.GroupNorm(size if way == "G" else C // size, C)

    return norm


def errors(
    records: Sequence[Record], way: str, first: int = 0, lighting: float = LIGHTING
) -> dict[int, list[float]]:
    """Return the errors by G or by K, one of each seed.

    Parameters
    ----------
    records : sequence of Record
        Of `sweep`.
    way : str
        "G" or "K".
    first, lighting
        As in the settings.
    """
    return gather(records, way, first=first, lighting=lighting)


def tables(records: Sequence[Record]) -> list[Table]:
    """Return what was measured beside the paper's: by G, by K, and what the first norm and the light do."""
    made = []
    for way, across in WAYS.items():
        measured, reported = {"group": errors(records, way)}, REPORTED[way]
        title = f"Error by {across}; 1 is {paper.name(ENDS[way])}"
        made.append(beside(title, reported.columns, measured, reported, across=way, notes=[NOTE]))
    made.append(_by_net(records))
    return [table for table in made if any(cell != "-" for cell in table.rows[0][1:])]


def _by_net(records: Sequence[Record]) -> Table:
    """LN, groups and IN, in three kinds of training."""
    alike, channels = errors(records, "G"), errors(records, "K").get(1, [])
    first, unlit = errors(records, "G", first=1), errors(records, "G", lighting=0.0)
    kinds = {
        "all norms alike": (alike.get(1, []), alike.get(16, []), channels),
        "the first is IN": (first.get(1, []), alike.get(16, []), channels),  # as with G = 16 and K = 1 anyway
        "alike, no relighting": (
            unlit.get(1, []),
            unlit.get(16, []),
            errors(records, "K", 0, 0.0).get(1, []),
        ),
    }
    rows: list[tuple[str, ...]] = [(words, *map(spread, found)) for words, found in kinds.items()]
    reported = [paper.NORMS.cell(norm, "error") for norm in ("layer", "group", "instance")]
    rows.append(("the paper, all alike", *reported))
    header = ("", "LN (G = 1)", "G = 16", "IN (K = 1)")
    notes = (NOTE, f"The paper: {paper.NORMS.measure}, G = 32; Table 1.")
    return Table("Error by the first norm, and by light", header, tuple(rows), notes)


def draw(
    records: Sequence[Record], theme: str = "light", guesses: Mapping[str, Guess] | None = None
) -> Figure:
    """Return the figure: error by G and by K, measured here and in the paper.

    Parameters
    ----------
    records : sequence of Record
        Some may be missing.
    theme : str
        "light" or "dark".
    guesses : mapping, optional
        For "G" and "K", what a reader expects at each size; None is no guess.
    """
    figure, (left, right) = figures.panels(theme, "measured here", "the paper, ImageNet", size=(9, 4.2))
    for way, guess in (guesses or {}).items():
        _draw_guess(left, theme, way, guess)
    for way, line in LINES.items():
        measured, reported, end = errors(records, way), REPORTED[way], ENDS[way]
        figures.curve(left, theme, "group", SIZES[way], measured, label=WAYS[way], line=line)
        figures.paper_curve(right, theme, "group", reported, label=WAYS[way], line=line)
        for ax, values in ((left, measured.get(1, [])), (right, [reported["group", 1]])):
            figures.curve(
                ax, theme, end, (1,), {1: values}, label=f"{way} = 1: {paper.name(end)}", line="none"
            )
    figures.powers(left, SIZES["G"])
    figures.powers(right, (1, 2, 4, 8, 16, 32, 64))
    for ax, measure in ((left, "test error, %"), (right, "validation error, %")):
        figures.label(ax, theme, x="G, or K", y=measure)
    handles, words = left.get_legend_handles_labels()
    below = figure.legend(handles, words, loc="outside lower center", ncols=4, frameon=False)
    for text in below.get_texts():
        text.set_color(THEMES[theme].ink)
    return figure


def _draw_guess(ax: Axes, theme: str, way: str, guess: Guess) -> None:
    """A reader's guess, in the colour of quiet text."""
    known = dict(sorted(_known(way, guess).items()))
    style: dict[str, Any] = {"marker": "*", "ms": 10, "lw": 1, "color": THEMES[theme].muted}
    ax.plot(list(known), list(known.values()), LINES[way], label=f"your guess, by {way}", **style)


def _known(way: str, guess: Guess) -> dict[int, float]:
    """The sizes at which there is a guess."""
    for size, value in guess.items():
        if value is not None and not isinstance(value, int | float):
            raise ValueError(f"the guess for {way} = {size} is {value!r}; expected a number, in %, or None")
    return {size: value for size, value in guess.items() if value is not None}


def judge(records: Sequence[Record], guesses: Mapping[str, Guess]) -> Table:
    """Return a reader's guesses beside what was measured.

    Parameters
    ----------
    records : sequence of Record
        Of `sweep`.
    guesses : mapping
        As for `draw`.

    Raises
    ------
    ValueError
        A guess is no number.

    Examples
    --------
    >>> setting = {"G": 2, "first": 0, "lighting": 0.7}
    >>> records = [Record(setting, {"error": e}, 1.0, {}, "") for e in (50.0, 54.0)]
    >>> for row in judge(records, {"G": {2: 49, 4: None}}).rows:
    ...     print(row)
    ('G = 2', '49.0', '52.0 (50.0 to 54.0)', '-3.0')
    """
    rows = []
    for way, guess in guesses.items():
        measured = errors(records, way)
        for size, value in _known(way, guess).items():
            if size in measured:
                apart = f"{value - fmean(measured[size]):+.1f}"
                rows.append((f"{way} = {size}", f"{value:.1f}", spread(measured[size]), apart))
    notes = () if rows else ("None yet: put numbers in the place of None, and run the cells again.",)
    return Table("Your guesses", ("", "guessed", "measured", "guess - mean"), tuple(rows), notes)
