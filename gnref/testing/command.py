"""``gnref check``: gnref's own backends in full, or any targets side by side."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import gnref
from gnref.errors import BackendError
from gnref.testing.check import NORMS, check_target, require_differentiable, requirements
from gnref.testing.checker import DTYPES, asked
from gnref.testing.problems import NORMS as OWN_NORMS
from gnref.testing.report import Report
from gnref.testing.reports import show as show_reports
from gnref.testing.reports import to_json as reports_to_json
from gnref.testing.reports import to_markdown
from gnref.testing.runner import Result, check_property, plan
from gnref.testing.tables import show, to_json
from gnref.testing.targets import Gnref
from gnref.testing.targets.spec import Spec, parse


def run(arguments: Namespace) -> int:
    """Check what the arguments name; return 0, 1 if something failed, or 130 if interrupted."""
    for name in ("json", "markdown"):
        _check_file(name, getattr(arguments, name))
    if arguments.self_test and arguments.targets:
        raise ValueError(f"--self-test has the targets {arguments.targets}; expected none")
    of_targets = {"markdown": str(arguments.markdown or ""), "require": ", ".join(arguments.require or [])}
    for name, value in of_targets.items():
        if value and not arguments.targets:
            raise ValueError(f"--{name} is {value!r}; expected a target with it")
    if arguments.self_test:
        return _self_test(arguments)
    return _check_targets(arguments) if arguments.targets else _check_own(arguments)


def _check_file(name: str, path: Path | None) -> None:
    """Raise before the long work if its results cannot be written."""
    if path is not None and not path.absolute().parent.is_dir():
        raise ValueError(f"--{name} is {str(path)!r}; expected a file in a folder that exists")


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Any]:
    """A progress bar, and the function that moves it on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("checking", total=total)
        yield lambda text: progress.update(task, advance=1, description=text)


def _check_own(arguments: Namespace) -> int:
    """Every property of every norm on gnref's own backends."""
    console, results, interrupted = Console(), [], False
    backends = arguments.backend or [name for name, state in gnref.backends().items() if state == "ready"]
    for name in backends:
        if gnref.backends()[name] != "ready":
            raise BackendError(f"--backend is {name!r}, which is not ready: {gnref.backends()[name]}")
    pairs = plan(arguments.norm or OWN_NORMS)
    with _progress(console, len(pairs) * len(backends)) as advance:
        try:
            for target in map(Gnref, backends):
                for prop, norm in pairs:
                    words = {"max_examples": arguments.max_examples or 30, "seed": arguments.seed}
                    results.append(check_property(prop, target, norm, **words))
                    advance(f"{target.name} {norm}")
        except KeyboardInterrupt:
            interrupted = True
    show(console, results)
    if arguments.json is not None:
        settings = {"max_examples": arguments.max_examples or 30, "seed": arguments.seed}
        arguments.json.write_text(to_json(results, settings) + "\n", encoding="utf-8")
    if interrupted:
        console.print("interrupted: the tables show what was done until then")
        return 130
    if any(r.status == "empty" for r in results):
        console.print("a property met no example that says something about it: try more --max-examples")
    return 1 if any(r.status in ("failed", "empty") for r in results) else 0


def _check_targets(arguments: Namespace) -> int:
    """What the kit asks of any target, of each of several."""
    console, interrupted = Console(), False
    pairs = [(spec, norm) for spec in map(parse, arguments.targets) for norm in _norms(spec, arguments.norm)]
    # Loads every target: what cannot be loaded or required of it is told before the long work.
    given = [_given(spec, norm, arguments) for spec, norm in pairs]
    total = sum(len(asked(norm, spec.differentiates(norm))) for spec, norm in pairs)
    reports: list[Report] = []
    with _progress(console, total) as advance:
        try:
            for (spec, norm), words in zip(pairs, given, strict=True):
                reports.append(_report(spec, norm, words, arguments, advance))
        except KeyboardInterrupt:
            interrupted = True
    show_reports(console, reports)
    for path, text in ((arguments.json, reports_to_json), (arguments.markdown, to_markdown)):
        if path is not None:
            path.write_text(text(reports) + "\n", encoding="utf-8")
    if interrupted:
        console.print("interrupted: the tables show what was done until then")
        return 130
    return 0 if all(report.ok for report in reports) else 1


def _norms(spec: Spec, wanted: list[str] | None) -> list[str]:
    """The norms to check a target on."""
    if not spec.norms and not wanted:
        raise ValueError(
            f"target is {spec.name!r}, which may be any norm; expected --norm, too: {', '.join(NORMS)}"
        )
    offered = [norm for norm in wanted or spec.norms if norm in (spec.norms or NORMS)]
    if not offered:
        raise ValueError(f"--norm is {', '.join(wanted or ())}; {spec.name} has {', '.join(spec.norms)}")
    return offered


def _given(spec: Spec, norm: str, arguments: Namespace) -> dict[str, Any]:
    """The words of `check` for one norm of one target, with what the command line requires."""
    given = spec.arguments(norm)
    own, told = requirements(given.get("require")), _required(arguments.require or [])
    given["require"] = requirements(own | told)
    require_differentiable(spec.name, spec.differentiates(norm), given["require"])
    return given


def _report(spec: Spec, norm: str, given: dict[str, Any], arguments: Namespace, advance: Any) -> Report:
    """Check one norm of one target."""

    def on_result(result: Result) -> None:
        advance(f"{result.target} {result.norm}")

    report = check_target(
        spec.text if arguments.isolate else None,
        norm=norm,
        isolate=arguments.isolate,
        max_examples=arguments.max_examples,
        seed=arguments.seed,
        name=spec.name,
        on_result=on_result,
        **({"dtypes": DTYPES} | given),
    )
    report.settings["version"] = spec.version
    return report


def _required(texts: list[str]) -> dict[str, Any]:
    """The grades of --require KEY=VALUE."""
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--require is {text!r}; expected KEY=VALUE, such as accuracy=A or range=1e18")
        try:
            found[key] = float(value)
        except ValueError:
            found[key] = value
    return found


def _self_test(arguments: Namespace) -> int:
    """How many planted mistakes the kit finds, and how many the usual tests do."""
    from gnref.testing.mutants import MUTANTS
    from gnref.testing.selftest import self_test

    console = Console()
    with _progress(console, len(MUTANTS)) as advance:
        found = self_test(
            seed=arguments.seed,
            max_examples=arguments.max_examples,
            on_mutant=lambda edit: advance(edit.name),
        )
    console.print(found.table())
    return 1 if found.survivors else 0
