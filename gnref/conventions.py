"""What every library decides about a norm beside its axes, as data.

gnref: eps inside the square root; the variance that normalizes is biased (1/m); the running variance is
unbiased (n/(n-1)); momentum, 0.1, weights the NEW value, as in PyTorch:

    running = (1 - momentum) * running + momentum * new
"""

from __future__ import annotations

from typing import NamedTuple


class Convention(NamedTuple):
    """One library's choices; None where it has none or its text does not say."""

    eps: float | None  # of batch norm; inside the square root in all of them
    eps_group: float | None  # of group norm
    running_var: str | None  # "unbiased" n/(n-1) or "biased" 1/n
    momentum: float | None  # of batch norm's running statistics
    momentum_weights: str | None  # which value it multiplies: the "new" or the "old"
    note: str


CONVENTIONS = {
    "gnref": Convention(1e-5, 1e-5, "unbiased", 0.1, "new", "as PyTorch"),
    "paper": Convention(
        None, 1e-5, "unbiased", None, None, "Ioffe & Szegedy 2015, Algorithm 2; Wu & He 2018, Fig. 3"
    ),
    "PyTorch": Convention(1e-5, 1e-5, "unbiased", 0.1, "new", "momentum=None: cumulative average"),
    "Keras": Convention(1e-3, 1e-3, "biased", 0.99, "old", "Keras 3; channels last by default"),
    "Flax": Convention(
        1e-5, 1e-6, "biased", 0.99, "old", "variance by E[x^2] - E[x]^2 unless told otherwise"
    ),
    "ONNX": Convention(1e-5, 1e-5, "biased", 0.9, "old", "BatchNormalization since opset 15"),
    "TensorFlow": Convention(
        1e-3, None, "unbiased", 1.0, "new", "tf.nn.fused_batch_norm; the factor is exponential_avg_factor"
    ),
}


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
