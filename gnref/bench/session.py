"""One run of ``gnref bench``, from what is asked for to what is printed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from gnref.bench import device
from gnref.bench.costs import PARTS, Cost, measure
from gnref.bench.grid import Row, grid, quick, select
from gnref.bench.machine import available_threads, describe, threading_layer
from gnref.bench.peers import PEERS, Peer, load
from gnref.bench.record import to_json
from gnref.bench.report import show, wide_console
from gnref.bench.results import Result
from gnref.bench.runner import bench

ROUNDS, QUICK_ROUNDS = 15, 7
TAKES_LONG = {"compile": "--quick leaves it out, as it compiles for seconds a row; ask by --peer compile"}


@dataclass(frozen=True)
class Options:
    """What is asked for; None is what a run does by itself."""

    quick: bool = False
    norm: list[str] | None = None
    rows: str = ""
    peer: list[str] | None = None
    threads: int | None = None
    rounds: int | None = None
    costs: bool = False
    backend: str = "cpu"


@dataclass
class Session:
    """What a run has found out until now."""

    options: Options
    rows: list[Row]
    machine: dict[str, Any]
    results: list[Result] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    costs: list[Cost] = field(default_factory=list)
    interrupted: bool = False

    def to_json(self) -> str:
        """Everything as JSON."""
        settings = {**asdict(self.options), "rounds": self.rounds}
        return to_json(self.machine, settings, self.results, self.absent, self.costs)

    @property
    def rounds(self) -> int:
        """How often each participant is timed."""
        return self.options.rounds or (QUICK_ROUNDS if self.options.quick else ROUNDS)


def run(options: Options, console: Console | None = None) -> Session:
    """Measure and print; an interruption, or a failure of gnref, comes after what is done is printed.

    Raises
    ------
    ValueError
        No row has the words that are asked for, or what a GPU is not asked is asked for.
    BackendError
        The backend is "cuda", and there is no device.
    """
    if options.backend == "cuda":
        if options.costs:
            raise ValueError("--costs is given with --backend cuda; expected it with the cpu backend only")
        if options.threads is not None:
            raise ValueError(
                f"--threads is {options.threads} with --backend cuda; expected it with the cpu backend only"
            )
        device.require()
    console = wide_console() if console is None else console
    threads = options.threads or available_threads()
    rows = select(quick() if options.quick else grid(), options.norm or (), options.rows)
    session = Session(options, rows, describe(threads, options.backend))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    failure = None
    try:
        # Refreshed by hand: a thread that draws would take time from those who are timed.
        with Progress(*columns, console=console, auto_refresh=False) as progress:
            _measure(session, threads, progress)
    except KeyboardInterrupt:
        session.interrupted = True
    except Exception as error:  # of gnref itself
        failure = error
    if session.results and session.machine["backend"] == "cpu":
        session.machine["threading"] = threading_layer()
    show(console, session.machine, session.results, session.absent, session.costs)
    if failure is not None:
        raise failure
    if session.interrupted:
        console.print("interrupted: the tables show what was done until then")
    return session


def _measure(session: Session, threads: int, progress: Progress) -> None:
    """Fill the session."""
    options = session.options
    task = progress.add_task("setting up", total=len(session.rows) + (PARTS if options.costs else 0))
    on_device = options.backend == "cuda"
    usual = [name for name, entry in PEERS.items() if entry.on_device or not on_device]
    names = options.peer or [name for name in usual if not (options.quick and name in TAKES_LONG)]
    peers, session.absent = load(names, threads, *(["cuda"] if on_device else []))
    if options.quick and not options.peer:
        session.absent |= TAKES_LONG
    _measure_rows(session, peers, threads, progress, task)
    if options.costs:
        progress.update(task, description="costs of a call", refresh=True)
        for costs in measure(threads):
            session.costs.extend(costs)
            progress.update(task, advance=1, refresh=True)


def _measure_rows(
    session: Session, peers: dict[str, Peer], threads: int, progress: Progress, task: TaskID
) -> None:
    """Fill the session's results."""
    progress.update(task, description=session.rows[0].name, refresh=True)
    if session.options.backend == "cuda":
        measured = device.bench(session.rows, peers, session.rounds)
    else:
        measured = bench(session.rows, peers, threads, session.rounds)
    for result in measured:
        session.results.append(result)
        following = session.rows[len(session.results) : len(session.results) + 1]
        shown = following[0].name if following else "rows"
        progress.update(task, advance=1, description=shown, refresh=True)
