"""The results of a run as a table, as JSON, and as lines of Python for what failed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import gnref
from gnref.testing.coverage import FEATURES, Coverage
from gnref.testing.properties import PROPERTIES
from gnref.testing.runner import MANY, SLACK, Result

LEGEND = (
    "Numbers are the worst error in units of the tolerance: above 1 fails, and ~ marks those below "
    f"{SLACK}, whose tolerance is slack (also of {MANY} examples or more of one dtype). = is bit-identical. "
    "- is a property that is not this norm's. n is the number of examples."
)
HEADINGS = {"instance": "inst.", "batch_frozen": "frozen"}


def cell(result: Result | None) -> str:
    """What the table says of one property on one norm."""
    if result is None:
        return "[dim]-[/]"
    if result.status == "failed":
        return "[bold red]FAIL[/]"
    if result.status != "passed":
        return "[yellow]skip[/]" if result.status == "skipped" else "[yellow]none[/]"
    if result.worst == 0:
        return "[green]=[/]"
    return f"{result.worst:.2f}" + ("[yellow]~[/]" if result.slack else "")


def table(results: Sequence[Result], target: str) -> Table:
    """One target's results: properties down, norms across."""
    own = [r for r in results if r.target == target]
    norms = list(dict.fromkeys(r.norm for r in own))
    by_place = {(r.property, r.norm): r for r in own}
    made = Table(title=target, box=SIMPLE_HEAD, caption=LEGEND, caption_justify="left", padding=0)
    made.add_column("property", no_wrap=True)
    for norm in norms:
        made.add_column(HEADINGS.get(norm, norm), justify="right", no_wrap=True)
    made.add_column("n", justify="right", no_wrap=True)
    for name in (name for name in PROPERTIES if any(r.property == name for r in own)):
        row = [by_place.get((name, norm)) for norm in norms]
        count = sum(r.examples for r in row if r is not None)
        made.add_row(escape(name), *(cell(r) for r in row), str(count))
    return made


def coverage_table(results: Sequence[Result]) -> Table:
    """What the problems had in them, norm by norm."""
    made = Table(title="share of the examples with", box=SIMPLE_HEAD)
    made.add_column("")
    for feature in FEATURES:
        made.add_column(feature, justify="right")
    for norm in dict.fromkeys(r.norm for r in results):
        shares = total_coverage([r for r in results if r.norm == norm]).shares().values()
        made.add_row(
            HEADINGS.get(norm, norm), *("-" if share is None else f"{share:.0%}" for share in shares)
        )
    return made


def total_coverage(results: Sequence[Result]) -> Coverage:
    """Add up the coverage of several results."""
    total = Coverage()
    for result in results:
        total.add(result.coverage)
    return total


def show(console: Console, results: Sequence[Result]) -> None:
    """Print everything: the tables, then each failure with the lines that reproduce it."""
    for target in dict.fromkeys(r.target for r in results):
        console.print(table(results, target))
    console.print(coverage_table(results))
    for reason in dict.fromkeys(r.reason for r in results if r.status == "skipped"):
        properties = dict.fromkeys(r.property for r in results if r.reason == reason)
        console.print(f"[yellow]skipped[/]: {', '.join(properties)}: {reason}", highlight=False)
    for result in results:
        if result.status == "failed":
            where = escape(f"{result.target}, {result.norm}: {result.property}")
            console.print(f"\n[bold red]{where}[/]: {escape(result.reason)}", highlight=False)
            console.print(result.snippet, highlight=False, markup=False, soft_wrap=True)
    console.print(verdict(results))


def verdict(results: Sequence[Result]) -> str:
    """One line: how many properties passed, failed and were skipped."""
    count = {
        status: sum(r.status == status for r in results)
        for status in ("passed", "failed", "skipped", "empty")
    }
    examples = sum(r.examples for r in results)
    line = f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped"
    return (
        line + (f", {count['empty']} without examples" if count["empty"] else "") + f" ({examples} examples)"
    )


def to_json(results: Sequence[Result], settings: dict[str, Any]) -> str:
    """The results as JSON."""
    rows = [
        {
            "target": r.target,
            "norm": r.norm,
            "property": r.property,
            "status": r.status,
            "examples": r.examples,
            "worst_error_in_tolerances": None if r.exact or r.worst == float("inf") else r.worst,
            "worst_by_dtype": r.worst_by_dtype,
            "exact": r.exact,
            "slack": r.slack,
            "reason": r.reason,
            "snippet": r.snippet,
        }
        for r in results
    ]
    norms = dict.fromkeys(r.norm for r in results)
    shares = {norm: total_coverage([r for r in results if r.norm == norm]).shares() for norm in norms}
    return json.dumps(
        {"gnref": gnref.__version__, "settings": settings, "results": rows, "coverage": shares}, indent=2
    )
