"""Which runs the experiment on the batch size is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gnref.teaching.lab.experiment import Setting

SIZES = (32, 16, 8, 4, 2)
FEW = (32, 8, 2)  # of the protocol, whose small batches take long
RENORM = 4  # the N that the paper has Batch Renormalization at
BATCH = 32  # of SGD, with ghost batches
PARTS = ("ghost", "norms", "digits", "unlit", "plain", "protocol")
UNMOVED = ("group", "layer", "instance", "constant")  # by N
THREE = (("batch", 32), ("batch", 2), ("group", 32))
GROUPS, RATE = 4, 0.05
EPOCHS = {"photos": 25, "digits": 15}
LIGHTING = {"photos": 0.7, "digits": 1.4}  # how much `relight` does, where it does anything


def settings(seeds: int, quick: bool = False, parts: Sequence[str] = PARTS) -> list[Setting]:
    """Return the settings of some parts of the experiment.

    Parameters
    ----------
    seeds : int
        0, 1, ..., seeds - 1.
    quick : bool
        BN at N = 32 and 2 and GN, for 3 epochs.
    parts : sequence of str
        "ghost" is BN and GN on the photographs, with ghost batches; "norms" the other norms; "digits" the
        digits, as they are and relit; "unlit" the photographs as they are; "plain" those relit, with
        `plain_net`; "protocol" those with batch = N and the learning rate in steps, as in the paper.

    Examples
    --------
    >>> [(s["net"], s["norm"], s["N"]) for s in settings(1, parts=["plain"])]
    [('plain', 'batch', 32), ('plain', 'batch', 2), ('plain', 'group', 32)]
    """
    if quick:
        return [_setting(norm, N, seed, epochs=3) for norm, N in THREE for seed in range(seeds)]
    makers = dict(zip(PARTS, (_ghost, _norms, _digits, _unlit, _plain, _protocol), strict=True))
    return [setting for part in parts for seed in range(seeds) for setting in makers[part](seed)]


def _ghost(seed: int) -> list[Setting]:
    """BN over N, and GN, which does not depend on it, once."""
    return [*(_setting("batch", N, seed) for N in SIZES), _setting("group", BATCH, seed)]


def _norms(seed: int) -> list[Setting]:
    others = [(norm, BATCH) for norm in UNMOVED if norm != "group"]
    return [_setting(norm, N, seed) for norm, N in (("renorm", RENORM), *others)]


def _digits(seed: int) -> list[Setting]:
    lights = (0.0, LIGHTING["digits"])
    return [_setting(norm, N, seed, data="digits", lighting=light) for light in lights for norm, N in THREE]


def _unlit(seed: int) -> list[Setting]:
    return [_setting(norm, N, seed, lighting=0.0) for norm, N in THREE]


def _plain(seed: int) -> list[Setting]:
    return [_setting(norm, N, seed, net="plain") for norm, N in THREE]


def _protocol(seed: int) -> list[Setting]:
    own: Setting = {"schedule": "stepped", "epochs": 12}
    return [_setting(norm, N, seed, batch=N, **own) for norm in ("batch", "group") for N in FEW]


def _setting(norm: str, N: int, seed: int, data: str = "photos", **own: Any) -> Setting:
    """One run's: what is its own, and for the rest what is usual for its data."""
    return {
        "data": data,
        "lighting": LIGHTING[data],
        "net": "residual",
        "norm": norm,
        "batch": BATCH,
        "N": N,
        "schedule": "cosine",
        "epochs": EPOCHS[data],
        "seed": seed,
    } | own
