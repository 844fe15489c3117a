"""Which runs the experiment on fine-tuning is made of."""

from __future__ import annotations

from collections.abc import Sequence

from gnref.teaching.lab.experiment import Setting

SIZES = (1, 2, 4)  # N
SCRATCH_SIZES = (1, 16)  # the last one for the paper's synchronized BN
LIGHTS = {  # the least and the greatest share of the light that comes through, and the light that is added
    "clear": (1.0, 1.0, 0.0),
    "fog": (0.05, 0.2, 0.02),
    "bright fog": (0.05, 0.2, 0.1),
}
NORMS = ("batch", "frozen", "group")
STARTS = ("pretrained", "scratch")
STATISTICS = ("old", "new")  # of a frozen net: the pretraining's, or measured on what it is fine-tuned on
PARTS = ("main", "swap", "bright", "scratch")
EPOCHS = {"pretrained": 8, "scratch": 12}
PRETRAINING_EPOCHS = 6


def settings(seeds: int, quick: bool = False, parts: Sequence[str] = PARTS) -> list[Setting]:
    """Return the settings of some parts of the experiment.

    Parameters
    ----------
    seeds : int
        0, 1, ..., seeds - 1.
    quick : bool
        The three norms at N = 2, clear and in fog, for 2 epochs after 2 of pretraining.
    parts : sequence of str
        "main" is all norms, N = 1, 2, 4, clear and in fog; "swap" the frozen net with new statistics;
        "bright" BN* and GN in bright fog; "scratch" BN and GN without pretraining.

    Examples
    --------
    >>> settings(1, parts=["swap"])[0]["statistics"]
    'new'
    """
    if quick:
        made = [
            _setting(norm, 2, light, epochs=2, pretraining=2) for norm in NORMS for light in ("clear", "fog")
        ]
    else:
        makers = {"main": _main, "swap": _swap, "bright": _bright, "scratch": _scratch}
        made = [setting for part in PARTS if part in parts for setting in makers[part]()]
    # A process pretrains once for a seed and a norm, so runs that share it stand together.
    made.sort(key=lambda setting: (setting["start"], setting["norm"] == "group"))
    return [{**setting, "seed": seed} for seed in range(seeds) for setting in made]


def _main() -> list[Setting]:
    return [_setting(norm, N, light) for norm in NORMS for light in ("clear", "fog") for N in SIZES]


def _swap() -> list[Setting]:
    return [_setting("frozen", 2, light, statistics="new") for light in ("clear", "fog")]


def _bright() -> list[Setting]:
    return [_setting(norm, 2, "bright fog") for norm in ("frozen", "group")]


def _scratch() -> list[Setting]:
    return [_setting(norm, N, "clear", "scratch") for norm in ("batch", "group") for N in SCRATCH_SIZES]


def _setting(
    norm: str,
    N: int,
    light: str,
    start: str = "pretrained",
    statistics: str = "old",
    epochs: int | None = None,
    pretraining: int = PRETRAINING_EPOCHS,
) -> Setting:
    """One run's, but for the seed."""
    return {
        "start": start,
        "norm": norm,
        "N": N,
        "light": light,
        "statistics": statistics,
        "epochs": epochs or EPOCHS[start],
        "pretraining": pretraining if start == "pretrained" else 0,  # epochs
    }
