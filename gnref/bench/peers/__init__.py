"""The libraries beside gnref: one file for each, all optional.

A peer gets the arrays in its native form before the clock starts, and gives back new arrays within it. Where
it has several ways to the same result, `gnref.bench.runner` tries them all and times the fastest.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol, cast

import numpy as np

from gnref.bench.case import Case

Array = np.ndarray[Any, Any]


class Way(NamedTuple):
    """One function of a peer, with its arguments in place."""

    run: Callable[[], Any]  # returns when the result is there
    arrays: Callable[[Any], tuple[Array, ...]]  # what run returned, as NumPy's y, or dx, dweight and dbias


class Peer(Protocol):
    """A library that computes the same."""

    def __init__(self, threads: int, device: str = "cpu") -> None:
        """Set the library up for a number of threads, or a device; raise if it does not work here."""

    def ways(self, case: Case) -> dict[str, Way]:
        """Return the ways to compute a row, or raise `Refusal`."""


class Refusal(ValueError):  # noqa: N818  it is no error
    """What a peer does not offer."""


class Entry(NamedTuple):
    """A peer before it is imported."""

    title: str
    module: str
    packages: tuple[str, ...]  # what it needs, the one whose version counts first
    on_device: bool = False  # whether it is asked on a GPU, too


PEERS = {
    "numpy": Entry("NumPy", "gnref.bench.peers.numpy", ("numpy",)),
    "torch": Entry("PyTorch", "gnref.bench.peers.torch", ("torch",), True),
    "compile": Entry("compile", "gnref.bench.peers.compiled", ("torch",), True),
    "jax": Entry("JAX", "gnref.bench.peers.jax", ("jax",)),
    "onnxruntime": Entry("ORT", "gnref.bench.peers.onnxruntime", ("onnxruntime", "onnx")),
    "openvino": Entry("OpenVINO", "gnref.bench.peers.openvino", ("openvino",)),
}


def load(names: Iterable[str], threads: int, device: str = "cpu") -> tuple[dict[str, Peer], dict[str, str]]:
    """Set up the peers that are installed and work, on the processor or on the device "cuda".

    Returns
    -------
    peers : dict of str to Peer
        By the names of `PEERS`.
    absent : dict of str to str
        The other names, and why.
    """
    # OpenVINO else reports to its makers over the network, when it or torch.compile is first used.
    sys.modules.setdefault("openvino_telemetry", cast(Any, None))
    peers, absent = {}, {}
    for name in names:
        entry = PEERS[name]
        if device != "cpu" and not entry.on_device:
            absent[name] = f"is timed on the processor, not on {device!r}"
            continue
        missing = [package for package in entry.packages if find_spec(package) is None]
        if missing:
            absent[name] = f"{', '.join(missing)} is not installed"
            continue
        try:
            peers[name] = cast(type[Peer], import_module(entry.module).Peer)(
                threads, *([device] if entry.on_device else [])
            )
        except Exception as error:  # a library that is broken here is no reason to leave out the others
            absent[name] = one_line(error)
    return peers, absent


def one_line(error: BaseException) -> str:
    """Say what happened in one line of no great length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."
