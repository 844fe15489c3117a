"""One run of ``gnref bench --torch-model``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gnref.bench import torch_model
from gnref.bench.machine import available_threads, describe, threading_layer
from gnref.bench.record import timing_of
from gnref.bench.report import header, milliseconds, number, wide_console
from gnref.bench.torch_model import Pair

LEGEND = (
    "ms are medians of the rounds; ratio is how many times as long torch.nn's layers take. A step is a "
    "forward and a backward pass, of a ResNet also the loss and the optimizer. overhead is what a call takes "
    "beyond gnref's own function on NumPy arrays, and a backward pass beyond one that only calls it."
)


@dataclass
class Session:
    """What a run has found out until now."""

    machine: dict[str, Any]
    rounds: int
    pairs: list[Pair] = field(default_factory=list)
    interrupted: bool = False

    def to_json(self) -> str:
        """Everything as JSON; times are in seconds."""
        rows = [
            {
                "what": pair.what,
                "torch": timing_of(pair.native),
                "gnref": timing_of(pair.own),
                "kernels": timing_of(pair.kernels),
                "ratio": pair.ratio,
                "overhead": pair.overhead,
            }
            for pair in self.pairs
        ]
        return json.dumps({"machine": self.machine, "rounds": self.rounds, "steps": rows}, indent=1)


def run(threads: int | None, rounds: int, console: Console | None = None) -> Session:
    """Measure and print; what is done is printed after an interruption, too."""
    console = console or wide_console()
    threads = threads or available_threads()
    session, made = Session(describe(threads, "cpu"), rounds), torch_model.plan()
    found = torch_model.measure(threads, rounds, made)
    try:
        for pair in track(found, "steps", total=len(made), console=console, transient=True):
            session.pairs.append(pair)
    except KeyboardInterrupt:
        session.interrupted = True
    session.machine["threading"] = threading_layer()
    console.print(header(session.machine), highlight=False, markup=False)
    console.print(table(session.pairs))
    if session.interrupted:
        console.print("interrupted: the table shows what was done until then")
    return session


def table(pairs: list[Pair]) -> Table:
    """A line for each pair."""
    made = Table(box=SIMPLE_HEAD, caption_justify="left", padding=0, pad_edge=False)
    made.caption = LEGEND
    made.add_column("")
    for heading in ("torch.nn ms", "gnref ms", "±", "ratio", "overhead"):
        made.add_column(heading, justify="right", no_wrap=True)
    for pair in pairs:
        overhead = "" if pair.overhead is None else f"{1e6 * pair.overhead:.0f} us"
        made.add_row(
            pair.what,
            milliseconds(pair.native.median),
            milliseconds(pair.own.median),
            f"{pair.own.spread:.0%}",
            number(pair.ratio),
            overhead,
        )
    return made
