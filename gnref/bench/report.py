"""The results as tables, no wider than 110 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gnref.bench.costs import Cost
from gnref.bench.peers import PEERS
from gnref.bench.results import MARK, Result
from gnref.bench.summary import Figure, summary

WIDTH = 110
SHORT = {"float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64"}
DIRECTION = {"forward": "fwd", "backward": "bwd"}
STATUS = {"none": "[dim]-[/]", "wrong": "[red]wrong[/]", "failed": "[red]failed[/]"}
FAILINGS = {"none": "", "wrong": " is wrong", "failed": " failed"}
LEGEND = (
    "ms is gnref's time, the median of the rounds, and ± half of what their middle half spans. Under a "
    "library's name stands how many times as long as gnref it takes; best is the least of these, and < marks "
    f"those below {MARK}. limit, for arrays of 25 MB or more, is the time of the fastest copy of x "
    "(backward: one and a half times that) over gnref's with out=. last: channels last."
)


DEVICE_LEGEND = (
    "ms is the time of gnref's kernels by the device's clock, with nothing in its cache: the median of the "
    "rounds, and ± half of what their middle half spans. host is the time until a call returns, in us; GB/s "
    "counts x and y (backward: x, dy and dx) once. Under a library's name stands how many times as long as "
    f"gnref it takes, and < marks those below {MARK}. limit, for arrays of 25 MB or more, is the time of the "
    "fastest copy of x there (backward: one and a half times that) over gnref's with out=."
)


def wide_console() -> Console:
    """The terminal; where there is none, as for a file, all columns."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def header(machine: Mapping[str, Any]) -> str:
    """Who ran where."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    launcher = f", {machine['threading']}" if machine["threading"] else ""
    load = "" if machine["load"] is None else f", load {machine['load']:.1f} at the start"
    device = ""
    if "device" in machine:
        device = (
            f"{machine['device']}, compute capability {machine['capability']}, "
            f"{machine['multiprocessors']} multiprocessors, {machine['memory'] / 1e9:.0f} GB; "
            f"driver for CUDA {machine['driver']}, runtime {machine['runtime']}\n"
        )
    return device + (
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads{load}; "
        f"{machine['system']}\n"
        f"gnref {machine['gnref']}, {machine['backend']} backend{launcher}; "
        f"Python {machine['python']}, {versions}"
    )


def table(results: Sequence[Result], width: int = WIDTH) -> Table:
    """The rows; where there is no room for all peers, only the fastest one."""
    names = [name for name in PEERS if any(name in result.peers for result in results)]
    wide = width >= WIDTH
    device = any(result.hosts for result in results)
    made = Table(box=SIMPLE_HEAD, caption_justify="left", padding=0, pad_edge=False)
    made.caption = DEVICE_LEGEND if device else LEGEND
    for heading in ("norm", "", "x", "dtype"):
        made.add_column(heading, no_wrap=True)
    for heading in (
        "gnref ms",
        "±",
        *(("host", "GB/s") if device else ()),
        *((PEERS[n].title for n in names) if wide else ("fastest",)),
        "best",
        "limit",
    ):
        made.add_column(heading, justify="right", no_wrap=True)
    before = None
    for result in results:
        if before not in (None, result.row.norm):
            made.add_section()
        before = result.row.norm
        middle = [peer_cell(result, name) for name in names] if wide else [_fastest(result)]
        middle = [*(_of_device(result) if device else ()), *middle]
        made.add_row(*_left(result), *middle, best_cell(result), _percent(result.share))
    return made


def _left(result: Result) -> tuple[str, ...]:
    """What the row is, and gnref's time."""
    row, own = result.row, result.own
    dtype = f"{SHORT[row.dtype]} {row.layout}".rstrip()
    return row.norm, DIRECTION[row.direction], row.size, dtype, milliseconds(own.median), _percent(own.spread)


def _of_device(result: Result) -> tuple[str, str]:
    """Microseconds until a call returns, and bytes a second."""
    return f"{1e6 * result.hosts['gnref']:.0f}", f"{result.rate / 1e9:.0f}"


def peer_cell(result: Result, name: str) -> str:
    """How many times as long a peer takes, or why that is not known."""
    ratio = result.ratio(name)
    if ratio is None:
        return STATUS[result.peers[name].status] if name in result.peers else ""
    return f"[bold]{number(ratio)}[/]" if name == result.fastest else number(ratio)


def best_cell(result: Result) -> str:
    """The ratio of the fastest peer, marked if gnref is slower."""
    if result.best_ratio is None:
        return ""
    return f"[bold red]<{number(result.best_ratio)}[/]" if result.marked else number(result.best_ratio)


def _fastest(result: Result) -> str:
    return "" if result.fastest is None else PEERS[result.fastest].title


def milliseconds(seconds: float) -> str:
    """A time in three digits.

    Examples
    --------
    >>> milliseconds(0.1234), milliseconds(0.0123456), milliseconds(12e-6)
    ('123', '12.3', '0.012')
    """
    return _digits(seconds * 1e3, 3)


def number(ratio: float) -> str:
    """A ratio in three digits, two of them behind the point.

    Examples
    --------
    >>> number(0.954), number(12.34), number(321.4)
    ('0.95', '12.3', '321')
    """
    return _digits(ratio, 2)


def _digits(value: float, most: int) -> str:
    """Three digits, at most so many of them behind the point."""
    for decimals, least in ((0, 99.95), (1, 9.995), (2, 0.9995)):
        if value >= least:
            return f"{value:.{decimals}f}"
    return f"{value:.{most}f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def summary_table(results: Sequence[Result]) -> Table:
    """Geometric means and the worst."""
    made = Table(title="all rows together", box=SIMPLE_HEAD, padding=0, pad_edge=False, title_justify="left")
    made.add_column("")
    for heading in ("rows", "PyTorch", "best", "worst", f"below {MARK}", "limit", "worst"):
        made.add_column(heading, justify="right", no_wrap=True)
    for name, found in summary(results).items():
        fastest, share = found["fastest"], found["share"]
        rows = [r for r in results if name in ("both", r.row.direction)]
        ratios = (_mean(found["torch"]), _mean(fastest), number(fastest.worst) if fastest else "-")
        shares = (_percent(share.mean), _percent(share.worst)) if share else ("-", "-")
        made.add_row(name, str(len(rows)), *ratios, str(found["marked"]), *shares)
    return made


def _mean(found: Figure | None) -> str:
    return "-" if found is None else number(found.mean)


def costs_table(costs: Sequence[Cost]) -> Table:
    """What a call costs besides."""
    made = Table(title="what a call costs besides", box=SIMPLE_HEAD, padding=0, pad_edge=False)
    made.title_justify = "left"
    made.add_column("what")
    made.add_column("gnref", justify="right", no_wrap=True)
    made.add_column("beside it", justify="right", no_wrap=True)
    for cost in costs:
        made.add_row(escape(cost.what), cost.own, cost.other)
    return made


def show(
    console: Console,
    machine: Mapping[str, Any],
    results: Sequence[Result],
    absent: Mapping[str, str],
    costs: Sequence[Cost] = (),
) -> None:
    """Print everything: where, the rows, all together, the worst, and who is not there."""
    console.print(header(machine), highlight=False, markup=False)
    if results:
        console.print(table(results, console.width))
        console.print(summary_table(results))
        for line in remarks(results):
            console.print(line, highlight=False, markup=False)
    for name, reason in absent.items():
        console.print(f"not there: {PEERS[name].title}: {reason}", highlight=False, markup=False)
    if costs:
        console.print(costs_table(costs))


def remarks(results: Sequence[Result]) -> list[str]:
    """The worst rows, and why a peer was not timed on some, once for each reason."""
    both = summary(results)["both"]
    lines = [
        f"{what}: {found.where}"
        for what, found in (("least ratio", both["fastest"]), ("least share of the limit", both["share"]))
        if found is not None
    ]
    reasons = [
        f"{PEERS[name].title}{FAILINGS[outcome.status]}: {outcome.reason}"
        for result in results
        for name, outcome in result.peers.items()
        if outcome.timing is None
    ]
    return lines + list(dict.fromkeys(reasons))
