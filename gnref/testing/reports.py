"""Several reports side by side: tables for the terminal, JSON and Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gnref.testing.properties import PROPERTIES
from gnref.testing.report import Report, share
from gnref.testing.runner import Result

WORDS = {
    "failed": "[bold red]FAIL[/]",
    "unsupported": "[yellow]outside[/]",
    "not asked": "[dim]-[/]",
    "refused": "[yellow]refused[/]",
    "not run": "[yellow]not run[/]",
    "skipped": "[yellow]skip[/]",
    "empty": "[yellow]none[/]",
}
LEGEND = (
    "Numbers are the worst error in units of the tolerance, of grade B; = is no difference at all. FAIL 16 "
    "is seen with 16-bit x alone. - was not asked: the target lacks what it takes (a backward pass, "
    "statistics, strides, a channel axis), or it is asked on request. outside: no problem of it lies in the "
    "declared domain. refused: the target says that it does not offer it, as it may. "
    "none: no problem says anything about it. skip: an oracle is not installed. not run: "
    "the run ended before."
)


def cell(result: Result | None) -> str:
    """What the table says of one property on one target."""
    if result is None:
        return "[dim]-[/]"
    if result.status == "failed" and result.narrow:
        return "[bold red]FAIL[/] [red]16[/]"
    if result.status in WORDS:
        return WORDS[result.status]
    return "[green]=[/]" if result.worst == 0 else f"{result.worst:.2f}"


def table(reports: Sequence[Report], norm: str) -> Table:
    """Properties down, targets across."""
    own = [report for report in reports if report.norm == norm]
    made = Table(title=f"{norm} norm", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    made.add_column("property", no_wrap=True)
    for report in own:
        made.add_column(escape(report.target), justify="right")
    for name in PROPERTIES:
        row = [next((r for r in report.results if r.property == name), None) for report in own]
        if any(row):
            made.add_row(escape(name), *map(cell, row))
    made.add_section()
    for dtype in dict.fromkeys(dtype for report in own for dtype in report.grades):
        made.add_row(f"accuracy, {dtype}", *(_grade(report, dtype) for report in own))
    for dtype in dict.fromkeys(dtype for report in own for dtype in report.grades):
        made.add_row(f"scales up to, {dtype}", *(_reach(report, dtype) for report in own))
    if norm != "batch":
        made.add_row("same bits in any batch", *(_bits(report) for report in own))
    if any(report.excluded for report in own):
        made.add_row("outside its domain", *(share(report.excluded) for report in own))
    return made


def _grade(report: Report, dtype: str) -> str:
    """A, B or F."""
    letter = report.grades[dtype].accuracy if dtype in report.grades else "-"
    return {"A": "[green]A[/]", "F": "[bold red]F[/]"}.get(letter, letter)


def _reach(report: Report, dtype: str) -> str:
    if dtype not in report.grades:
        return "-"
    return f"{report.grades[dtype].range:.0e}" if report.grades[dtype].range else "none"


def _bits(report: Report) -> str:
    return {True: "[green]yes[/]", False: "no", None: "-"}[report.batch_invariant]


def show(console: Console, reports: Sequence[Report]) -> None:
    """Print the tables, then each failure with its diagnosis, then the verdicts."""
    for norm in dict.fromkeys(report.norm for report in reports):
        console.print(table(reports, norm))
    console.print(LEGEND, highlight=False)
    for report in reports:
        _show_failures(console, report)
    console.print()
    for report in reports:
        console.print(("[green]ok[/]   " if report.ok else "[bold red]FAIL[/] ") + escape(report.summary()))


def _show_failures(console: Console, report: Report) -> None:
    """What is refused, and the failures of one report; the program that shows the smallest."""
    for name, reason in report.refused.items():
        where = escape(f"{report.target}, {report.norm} norm: {name}")
        console.print(f"\n[yellow]{where}[/]: refused: {escape(reason)}", highlight=False)
    for result, museum in report.told():
        where = escape(f"{report.target}, {report.norm} norm: {result.property}")
        where += f" ({', '.join(result.fails_in)})" if result.fails_in else ""
        console.print(f"\n[bold red]{where}[/]: {escape(result.reason)}", highlight=False)
        for line in (result.diagnosis, *museum):
            if line:
                console.print(f"  {escape(line)}", highlight=False)
    if report.smallest is not None and report.smallest.counterexample is not None:
        size = report.smallest.counterexample.x.size
        name = escape(f"{report.target}, {report.norm} norm, {report.smallest.property}")
        console.print(f"\n[bold]{name}[/]: the smallest counterexample has {size} element{'s' * (size != 1)}")
        console.print(report.smallest.snippet, highlight=False, markup=False, soft_wrap=True)


def to_json(reports: Sequence[Report]) -> str:
    """All reports as JSON."""
    return json.dumps({"reports": [report.as_dict() for report in reports]}, indent=2)


def to_markdown(reports: Sequence[Report]) -> str:
    """All reports as Markdown."""
    return "\n".join(report.to_markdown() for report in reports)
