"""What every library decides about a norm beside its axes, as data.

gnref: eps inside the square root; the variance that normalizes is biased (1/m); the running variance is
unbiased (n/(n-1)); momentum, 0.1, weights the NEW value, as in PyTorch:

    running = (1 - momentum) * running + momentum * new
"""

from __future__ import annotations

from typing import NamedTuple


class Convention(NamedTuple):
    """One library's choices. None: it has none, or its text does not say.

    In all of them eps stands inside the square root and the variance that normalizes is biased.
    """

    eps: float | None  # of batch norm
    eps_group: float | None  # of group norm
    eps_rms: float | None  # of RMS norm
    running_var: str | None  # "unbiased" n/(n-1) or "biased" 1/n
    momentum: float | None  # of batch norm's running statistics
    momentum_weights: str | None  # which value it multiplies: the "new" or the "old"
    note: str


CONVENTIONS = {
    "gnref": Convention(1e-5, 1e-5, 1e-5, "unbiased", 0.1, "new", "PyTorch's, but for RMS norm's eps"),
    "papers": Convention(
        None, 1e-5, None, "unbiased", None, None, "Ioffe & Szegedy 2015, Algorithm 2; Wu & He 2018, Fig. 3"
    ),
    "PyTorch": Convention(1e-5, 1e-5, None, "unbiased", 0.1, "new", "RMS norm's eps is that of the dtype"),
    "Keras": Convention(1e-3, 1e-3, None, "biased", 0.99, "old", "Keras 3; channels last by default"),
    "Flax": Convention(1e-5, 1e-6, 1e-6, "biased", 0.99, "old", "the variance is E[x^2] - E[x]^2 by default"),
    "ONNX": Convention(1e-5, 1e-5, 1e-5, "biased", 0.9, "old", "BatchNormalization 15"),
    "TensorFlow": Convention(
        1e-3, None, None, "unbiased", 1.0, "new", "fused_batch_norm, whose factor is exponential_avg_factor"
    ),
}


def as_markdown() -> str:
    """Return the table as the README shows it."""

    def text(value: object) -> str:
        return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

    rows = [("", *(field.replace("_", " ") for field in Convention._fields))]
    rows += [(name, *map(text, convention)) for name, convention in CONVENTIONS.items()]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


class Statistics(NamedTuple):
    """Which statistics a layer normalizes with, and whether its running ones move."""

    source: str  # "own": those of x; "running"; "error": the combination has no meaning
    updates: bool


OWN, OWN_AND_UPDATE = Statistics("own", False), Statistics("own", True)
RUNNING, ERROR = Statistics("running", False), Statistics("error", False)

# (mode, track_running_stats) of the layers that can keep running statistics. train and eval are
# PyTorch's. Frozen batch norm (the BN* of Wu & He 2018) is nothing without running statistics; frozen
# instance norm without them normalizes with its own, as group norm does, and holds its weight.
BOTH_NORMS = {
    ("train", True): OWN_AND_UPDATE,
    ("train", False): OWN,
    ("eval", True): RUNNING,
    ("eval", False): OWN,
    ("frozen", True): RUNNING,
}
MODES: dict[str, dict[tuple[str, bool], Statistics]] = {
    "batch": BOTH_NORMS | {("frozen", False): ERROR},
    "instance": BOTH_NORMS | {("frozen", False): OWN},
}
