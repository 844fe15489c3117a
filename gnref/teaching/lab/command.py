"""``gnref lab``: run an experiment, or what is left of it, and show what it found beside the paper."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from time import perf_counter

from rich.console import Console

from gnref.teaching.lab.experiment import Experiment, Record, Setting, key, load
from gnref.teaching.lab.results import Results, to_json, write_whole
from gnref.teaching.lab.sweep import sweep, versions

WIDTH = 110  # of what is printed where there is no terminal
QUICK = "--quick makes few and short runs: they show that all works, and little else"


def run(arguments: Namespace) -> int:
    """Make the runs that are missing, print the tables, draw; return 0, or 130 if interrupted."""
    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    experiment = load(arguments.experiment)
    asked = experiment.settings(arguments.seeds, arguments.quick)
    settings = list({key(setting): setting for setting in asked}.values())  # parts of it may share runs
    results = Results(arguments.folder, experiment.NAME)
    if arguments.json is not None and arguments.json.resolve() == results.path:
        raise ValueError(f"--json is {str(arguments.json)!r}, where all runs are kept; expected another file")
    before, start = len(finished(results, settings)), perf_counter()
    try:
        records = sweep(experiment.NAME, settings, arguments.processes, arguments.folder)
    except KeyboardInterrupt:
        _show_tables(console, experiment, finished(results, settings), arguments.quick)
        _say(console, interruption(results, settings))
        return 130
    _show_tables(console, experiment, records, arguments.quick)
    _say(console, story(len(records), before, perf_counter() - start, results))
    if arguments.json is not None:
        write_whole(arguments.json, to_json(experiment.NAME, records))
    if arguments.save is not None:
        from gnref.teaching.plots import save

        save(experiment.draw(records), arguments.save, overwrite=arguments.overwrite)
    return 0


def finished(results: Results, settings: Sequence[Setting]) -> list[Record]:
    """Return the runs of these settings that are on disk now."""
    results.reload()
    found = (results.find(setting, versions()) for setting in settings)
    return [record for record in found if record is not None]


def story(runs: int, before: int, seconds: float, results: Results) -> str:
    """Return the line that says how many runs there are, and where."""
    new = "" if before == 0 else f", {runs - before} of them new"
    return f"{runs} run{'' if runs == 1 else 's'}{new}, in {seconds:.0f} s; kept in {results.path}"


def interruption(results: Results, settings: Sequence[Setting]) -> str:
    """Return the line that says what an interruption left."""
    kept = len(finished(results, settings))
    if not kept:
        return "interrupted before a run was finished"
    return (
        f"interrupted: {kept} of {len(settings)} runs are kept in {results.path}; "
        "the same command goes on from there"
    )


def _show_tables(console: Console, experiment: Experiment, records: Sequence[Record], quick: bool) -> None:
    """Print what was found, if something was."""
    if not records:
        return
    for table in experiment.tables(records):
        body = table.rich()
        body.title = body.caption = None  # which would be broken at the width of the table
        _say(console, table.title, style="bold")
        console.print(body)
        for note in table.notes:
            console.print(note, markup=False, highlight=False, style="dim")
        console.print()
    if quick:
        _say(console, QUICK)


def _say(console: Console, line: str, style: str | None = None) -> None:
    """Print a line as it is: a path has no markup, and is not broken."""
    console.print(line, markup=False, highlight=False, soft_wrap=True, style=style)
