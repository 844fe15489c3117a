"""What an experiment is: a module that lists its settings, makes one run, and shows what many runs found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gnref.teaching.lab.tables import Table

Setting = dict[str, Any]  # JSON values: all that one run depends on, its "seed" (0, 1, ...) too
Result = dict[str, Any]  # JSON values: what the run found

# The module of each, imported on use.
EXPERIMENTS = {
    "batch-size": "gnref.teaching.lab.experiments.batch_size",
    "groups": "gnref.teaching.lab.experiments.groups",
    "finetune": "gnref.teaching.lab.experiments.finetune",
    "video": "gnref.teaching.lab.experiments.video",
}


@dataclass(frozen=True)
class Record:
    """One run: what was asked for, what was found, how long it took and what it ran on.

    Attributes
    ----------
    setting : dict
        Of JSON values.
    result : dict
        Of JSON values, as `json` reads them: lists, not tuples.
    seconds : float
        Of the run alone, in a process with one thread.
    versions : dict of str
        Of gnref, Python, NumPy and what else has a part in the numbers.
    finished : str
        When, in UTC: "2026-01-31T12:00:00+00:00".
    """

    setting: Setting
    result: Result
    seconds: float
    versions: dict[str, str]
    finished: str


class Experiment(Protocol):
    """The names that the module of an experiment has."""

    NAME: str  # as `gnref lab` calls it
    TITLE: str

    def settings(self, seeds: int, quick: bool = False) -> list[Setting]:
        """One for each run; with ``quick`` few and short ones, which show that all works."""

    def run(self, setting: Setting) -> Result:
        """Train and test once. The setting alone decides the result; a bad one raises a ValueError."""

    def tables(self, records: Sequence[Record]) -> list[Table]:
        """What was measured, over the seeds, beside the paper's figures. Runs may be missing."""

    def draw(self, records: Sequence[Record], theme: str = "light") -> Figure:
        """The figure that tells the finding."""


def load(name: str) -> Experiment:
    """Return the module of an experiment.

    Parameters
    ----------
    name : str
        A key of `EXPERIMENTS`.

    Raises
    ------
    ValueError
        Another name.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"experiment is {name!r}; expected one of {', '.join(EXPERIMENTS)}")
    return cast(Experiment, import_module(EXPERIMENTS[name]))


def key(setting: Setting) -> str:
    """Return a setting as one line of JSON, the same for every order of its names.

    Raises
    ------
    TypeError
        A value that JSON does not have, such as a NumPy number.

    Examples
    --------
    >>> key({"seed": 0, "norm": "batch", "widths": (16, 32)})
    '{"norm": "batch", "seed": 0, "widths": [16, 32]}'
    """
    try:
        return json.dumps(setting, sort_keys=True)
    except TypeError as error:
        raise TypeError(f"setting is {setting!r}; expected JSON values alone ({error})") from None
