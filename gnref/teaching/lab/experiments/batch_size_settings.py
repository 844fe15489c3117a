"""Which runs the experiment on the batch size is made of."""

from __future__ import annotations

from collections.abc import Sequence

from gnref.teaching.lab.experiment import Setting, key

SIZES = (32, 16, 8, 4, 2)
FEW = (32, 8, 2)  # of the protocol, whose small batches take long
RENORM = 4  # the N that the paper has Batch Renormalization at
BATCH = 32  # of SGD, with ghost batches
PARTS = ("ghost", "digits", "unlit", "protocol")
UNMOVED = ("group", "layer", "instance", "constant")  # by N
QUICK = (("batch", 32), ("batch", 2), ("group", 32))
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
        "ghost" is the photographs with ghost batches; "digits" the digits, as they are and relit; "unlit" the
        photographs as they are; "protocol" those with batch = N.

    Examples
    --------
    >>> settings(1, parts=["protocol"])[2]
    {'data': 'photos', 'lighting': 0.7, 'norm': 'batch', 'batch': 2, 'N': 2, 'epochs': 25, 'seed': 0}
    """
    if quick:
        return [_setting(norm, N, seed, epochs=3) for norm, N in QUICK for seed in range(seeds)]
    makers = {"ghost": _ghost, "digits": _digits, "unlit": _unlit, "protocol": _protocol}
    found = [setting for part in parts for seed in range(seeds) for setting in makers[part](seed)]
    return list({key(setting): setting for setting in found}.values())  # parts share some at N = 32


def _ghost(seed: int) -> list[Setting]:
    """BN over N, and what does not depend on N once."""
    moved = [*(("batch", N) for N in SIZES), ("renorm", RENORM)]
    return [_setting(norm, N, seed) for norm, N in (*moved, *((norm, BATCH) for norm in UNMOVED))]


def _digits(seed: int) -> list[Setting]:
    lights = (0.0, LIGHTING["digits"])
    return [_setting(norm, N, seed, "digits", light) for light in lights for norm, N in QUICK]


def _unlit(seed: int) -> list[Setting]:
    return [_setting(norm, N, seed, lighting=0.0) for norm, N in QUICK]


def _protocol(seed: int) -> list[Setting]:
    return [_setting(norm, N, seed, batch=N) for norm in ("batch", "group") for N in FEW]


def _setting(
    norm: str,
    N: int,
    seed: int,
    data: str = "photos",
    lighting: float | None = None,
    batch: int = BATCH,
    epochs: int | None = None,
) -> Setting:
    """One run's, with what is usual for its data."""
    return {
        "data": data,
        "lighting": LIGHTING[data] if lighting is None else lighting,
        "norm": norm,
        "batch": batch,
        "N": N,
        "epochs": epochs or EPOCHS[data],
        "seed": seed,
    }
