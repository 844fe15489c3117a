"""A training step of the laboratory's residual net beside PyTorch's on the CPU: python tools/lab_speed.py.

The same net, the same first weights, the same batch (N = 32, 3 x 16 x 16, float32), the same SGD: forward,
loss, backward and the step. A fresh process for each number of threads, in which both are timed in turn.
Nothing else should run meanwhile. Without PyTorch, gnref's times alone.
"""

from __future__ import annotations

import argparse
import json
import os
from importlib.util import find_spec
from typing import Any

import numpy as np

import gnref
from gnref.bench.process import output_of
from gnref.bench.timing import Run, interleave
from gnref.teaching.lab.trainer.loss import cross_entropy
from gnref.teaching.lab.trainer.nets import residual_net
from gnref.teaching.lab.trainer.network import Network
from gnref.teaching.lab.trainer.sgd import SGD
from gnref.teaching.lab.trainer.training import one_thread

NORMS = {"batch": gnref.BatchNorm, "group": lambda C: gnref.GroupNorm(4, C)}
N, SIZE, CLASSES = 32, 16, 10
RATE, MOMENTUM, DECAY = 0.05, 0.9, 1e-4
LIBRARIES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


def batch(rng: np.random.Generator) -> tuple[Any, Any]:
    """x (N, 3, H, W) and labels (N,)."""
    return rng.standard_normal((N, 3, SIZE, SIZE), np.float32), rng.integers(CLASSES, size=N)


def network(norm: str, rng: np.random.Generator) -> Network:
    """The net as `train` has it, which does not ask for the gradient of the data."""
    made = residual_net(NORMS[norm], CLASSES, rng=rng)
    made.parts[0].needs_dx = False
    return made


def our_step(net: Network, x: Any, labels: Any) -> Run:
    """A function that makes a step and returns the loss."""
    sgd = SGD(net.walk(), momentum=MOMENTUM, decay=DECAY)

    def step() -> float:
        with one_thread():  # as `train` has it
            loss, dscores = cross_entropy(net.forward(x), labels)
            net.backward(dscores)
            sgd.step(RATE)
            return loss

    return step


def twin(net: Network) -> Any:
    """The same net of PyTorch's layers, with the same weights."""
    from torch import from_numpy, nn, no_grad, relu

    class Block(nn.Module):
        def __init__(self, block: Any) -> None:
            super().__init__()
            self.branch, self.shortcut = twin(block.branch), twin(block.shortcut)

        def forward(self, x: Any) -> Any:
            return relu(self.branch(x) + self.shortcut(x))

    def layer(part: Any) -> Any:
        kind, w = type(part).__name__, getattr(part, "weight", None)
        if kind == "Convolution":
            k, stride = part.kernel, part.stride
            return nn.Conv2d(w.shape[1], w.shape[0], k, stride, padding=k // 2, bias=False)
        if kind == "GlobalMean":
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        makers = {
            "Residual": lambda: Block(part),
            "BatchNorm": lambda: nn.BatchNorm2d(len(w)),
            "GroupNorm": lambda: nn.GroupNorm(part.num_groups, len(w)),
            "ReLU": nn.ReLU,
            "Linear": lambda: nn.Linear(w.shape[1], w.shape[0]),
        }
        return makers[kind]()

    made = [layer(part) for part in net.parts]
    with no_grad():
        for part, module in zip(net.parts, made, strict=True):
            for name in (name for name in ("weight", "bias") if getattr(part, name, None) is not None):
                getattr(module, name).copy_(from_numpy(getattr(part, name)))
    return nn.Sequential(*made)


def their_step(module: Any, x: Any, labels: Any) -> Run:
    """The same step by PyTorch."""
    from torch import from_numpy, nn, optim

    sgd = optim.SGD(module.parameters(), RATE, MOMENTUM, weight_decay=DECAY)
    x, labels = from_numpy(x), from_numpy(labels)

    def step() -> float:
        sgd.zero_grad()
        loss = nn.functional.cross_entropy(module(x), labels)
        loss.backward()
        sgd.step()
        return loss.item()

    return step


def measure(threads: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of a step in every round, by participant."""
    runs: dict[str, Run] = {}
    for norm in NORMS:
        rng = np.random.default_rng(0)
        x, labels = batch(rng)
        net = network(norm, rng)
        if find_spec("torch"):
            import torch

            torch.set_num_threads(threads)
            runs[f"torch {norm}"] = their_step(twin(net), x, labels)
        runs[f"gnref {norm}"] = our_step(net, x, labels)
    return {name: list(timing.seconds) for name, timing in interleave(runs, rounds).items()}


def rows(threads: int, seconds: dict[str, list[float]]) -> list[str]:
    """The table's lines for a number of threads."""
    lines = []
    for norm in NORMS:
        ours, theirs = np.array(seconds[f"gnref {norm}"]), np.array(seconds.get(f"torch {norm}", [np.nan]))
        cells = [f"{1e3 * at(a):.2f}" for at in (np.median, np.min) for a in (ours, theirs)]
        ratios = [f"{at(ours) / at(theirs):.2f}" for at in (np.median, np.min)]
        lines.append("| " + " | ".join([str(threads), norm, *cells, *ratios]) + " |")
    return lines


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # the fresh process
    chosen = parser.parse_args()
    if chosen.inside:
        return print(json.dumps(measure(chosen.threads[0], chosen.rounds)))
    print("| threads | norm | gnref, ms | PyTorch, ms | least | least | ratio | of the least |")
    print("|--:|---|--:|--:|--:|--:|--:|--:|")
    for threads in chosen.threads:
        words = [__file__, "--inside", "--threads", str(threads), "--rounds", str(chosen.rounds)]
        found = json.loads(output_of(words, os.environ | dict.fromkeys(LIBRARIES, str(threads))))
        print(*rows(threads, found), sep="\n", flush=True)


if __name__ == "__main__":
    main()
