"""The museum on a terminal, by rich."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gnref.testing.museum.entries import ENTRIES, GROUPS, STATUSES, Entry, entry_of
from gnref.testing.museum.showing import Shown, show
from gnref.testing.problems import Problem
from gnref.testing.properties import PROPERTIES

NOTE = (
    "F: fixed or confirmed; D: reported; C: seen in the code. A mechanism is this museum's model of a "
    "report, in a few lines of NumPy, and no project's code. 'gnref museum NUMBER' shows one failing, or "
    "says why it cannot."
)
LONGEST = 24  # lines of a snippet, and
WIDEST = 400  # the longest line, that are worth printing
STYLES = {"-": "bold red", "+": "bold green"}


def listing() -> Table:
    """All entries and their mechanisms."""
    made = Table(box=SIMPLE_HEAD, caption=NOTE, caption_justify="left", padding=(0, 1), collapse_padding=True)
    made.add_column("", justify="right", no_wrap=True)
    made.add_column("what goes wrong", max_width=54, overflow="fold")
    made.add_column("where", max_width=38, overflow="fold")
    made.add_column("mechanism", max_width=36, overflow="fold")
    for letter, title in GROUPS.items():
        made.add_section()
        made.add_row("", Text(title, style="bold"))
        for entry in (e for e in ENTRIES.values() if e.group == letter):
            made.add_row(str(entry.number), Text(entry.what), sources(entry), mechanisms(entry))
    return made


def sources(entry: Entry) -> Text:
    """Where an entry was read, each with its letter."""
    return Text("\n".join(f"{where} ({status})" for where, status in entry.sources))


def mechanisms(entry: Entry) -> Text:
    """The names of an entry's mechanisms."""
    return Text("\n".join(entry.mechanisms) or "-", style="cyan" if entry.mechanisms else "")


def exhibit(number: int, *, seed: int = 0) -> Group:
    """An entry, with its specimens failing."""
    entry = entry_of(number)
    parts: list[RenderableType] = [Text(f"{entry.number}  {entry.what}", style="bold")]
    parts += [Text(f"    {where}: {STATUSES[status]}", style="dim") for where, status in entry.sources]
    if entry.why_not:
        parts += [Text(), Text(f"Not on show. {entry.why_not}")]
    for shown in show(number, seed=seed):
        parts += [Text(), *specimen(shown)]
    return Group(*parts)


def show_exhibit(console: Console, number: int, *, seed: int = 0) -> None:
    """Print an entry; its programs, which are to be copied, with no line cut or broken."""
    for part in exhibit(number, seed=seed).renderables:
        console.print(part, soft_wrap=isinstance(part, Program), markup=False, highlight=False)


class Program(Text):
    """Lines of code."""


def specimen(shown: Shown) -> Iterator[RenderableType]:
    """One specimen: the slip, the lines, the property, the counterexample."""
    mechanism, result = shown.mechanism, shown.result
    yield Text.assemble((mechanism.name, "bold cyan"), f": {mechanism.slip}")
    yield Padding(Text(mechanism.explanation), (0, 0, 1, 4))
    for line in shown.diff:
        yield Padding(Text(line, style=STYLES.get(line[0], "")), (0, 0, 0, 4))
    yield Text()
    yield Text.assemble("It fails: ", (result.property, "bold"), f" ({mechanism.norm} norm)")
    yield Padding(Text(PROPERTIES[result.property].law, style="dim"), (0, 0, 0, 4))
    if result.counterexample is None:
        yield Text(f"No counterexample was found: {result.status}. Another seed may find one.")
        return
    yield Text()
    reason = result.reason if not result.reason.startswith("does not hold") else "it does not hold"
    yield Text.assemble("The smallest counterexample found: ", (reason, "bold"))
    yield Padding(numbers(shown.problem or result.counterexample, shown.diagnosis), (0, 0, 0, 2))
    yield from code(result.snippet, result.counterexample)


def numbers(problem: Problem, diagnosis: str) -> Table:
    """What the problem is, and what came out."""
    made = Table(box=None, show_header=False, padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column()
    made.add_row("x", f"{problem.dtype}, shape {problem.shape}, {brief(problem.x)}")
    given = {
        "G": problem.num_groups,
        "normalized_shape": problem.normalized_shape,
        "channel_axis": problem.channel_axis if problem.channel_axis != 1 else None,
        "eps": f"{problem.eps:.3g}",
        "layouts": "; ".join(places) if (places := layouts(problem)) else None,
    }
    made.add_row("with", ", ".join(f"{name} = {value}" for name, value in given.items() if value is not None))
    for i, line in enumerate(diagnosis.split("; ") if diagnosis else []):
        made.add_row("found" if i == 0 else "", line)
    return made


def layouts(problem: Problem) -> list[str]:
    """Where the arrays lie, if anywhere special."""
    places = {"x": problem.layout, "dy": problem.dy_layout, "parameters": problem.param_layout}
    return [f"{name}: {place}" for name, place in places.items() if place != "plain"]


def brief(a: Any) -> str:
    """The numbers of an array, where they are few."""
    if a.size > 8:
        return f"{a.size:,} numbers"
    return "numbers " + ", ".join(f"{float(value):.9g}" for value in a.ravel())


def code(snippet: str, problem: Problem) -> Iterator[RenderableType]:
    """The snippet, where it is short."""
    lines = snippet.splitlines()
    if len(lines) > LONGEST or max(map(len, lines)) > WIDEST:
        yield Padding(
            Text(f"As code it is long, with {problem.x.size:,} numbers: museum.show() has it."), (1, 0, 0, 0)
        )
        return
    yield Text("\nTo run it again:\n")
    yield Program(snippet, no_wrap=True, overflow="ignore")
