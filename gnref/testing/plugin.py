"""A pytest plugin: one test for each norm and property of a target.

``pytest -p gnref.testing.plugin --gnref-target=package.module:object`` adds the tests to those that pytest
finds; ``-k``, ``-n`` and the other options work as ever. What is known to fail goes into a file, one line
for each test, with the reason behind a #; when such a test passes, that is a failure, so that the list stays
true::

    # norm: property  # reason
    group: every call returns  # no weight but a bias: issue 12

``--gnref-expected=FILE`` names the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gnref.testing.check import EXAMPLES, NORMS, checker_of
from gnref.testing.checker import Checker, Dtypes, asked
from gnref.testing.grades import grade
from gnref.testing.problems import Problem
from gnref.testing.properties import Property
from gnref.testing.properties.grades import ACCURACY, RANGE
from gnref.testing.report import share
from gnref.testing.runner import Result
from gnref.testing.targets.spec import Spec, parse

CHECKERS: dict[tuple[str, str], tuple[Checker, Any]] = {}
SHORT: dict[tuple[str, str], list[tuple[str, Problem]]] = {}  # what the grades of a checker's target show
SUMMARY = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Describe the options."""
    group = parser.getgroup("gnref", "conformance of normalization layers")
    group.addoption("--gnref-target", action="append", default=[], help="torch, package.module:object, ...")
    group.addoption("--gnref-norm", action="append", choices=NORMS, default=[], help="only this norm")
    group.addoption("--gnref-max-examples", type=int, default=EXAMPLES, help="problems for each property")
    group.addoption("--gnref-seed", type=int, default=0, help="equal seeds draw equal problems")
    group.addoption("--gnref-expected", type=Path, metavar="FILE", help="what is known to fail, and why")
    group.addoption("--gnref-no-isolate", action="store_true", help="run the target in pytest's own process")


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the tests."""
    expected = _expected(config.getoption("--gnref-expected"))
    for text in config.getoption("--gnref-target"):
        try:
            spec = parse(text)
            norms = [n for n in config.getoption("--gnref-norm") or spec.norms if n in (spec.norms or NORMS)]
            made = [(norm, prop) for norm in norms for prop in asked(norm, spec.differentiates(norm))]
        except (ValueError, TypeError, RuntimeError) as error:
            raise pytest.UsageError(str(error)) from error
        if not norms:
            raise pytest.UsageError(f"--gnref-target is {text!r}, which may be any norm; add --gnref-norm")
        items.extend(
            ConformanceItem.from_parent(
                session, name=f"{text}[{norm}: {prop.name}]", spec=spec, norm=norm, prop=prop
            )
            for norm, prop in made
        )
        _mark(items, expected)


def _mark(items: list[pytest.Item], expected: dict[tuple[str, str], str]) -> None:
    """Mark what is known to fail; a line that fits no test is a mistake."""
    fits = {(item.norm, item.prop.name): item for item in items if isinstance(item, ConformanceItem)}
    for key, reason in expected.items():
        if key[0] in {norm for norm, _ in fits} and key not in fits:
            raise pytest.UsageError(f"--gnref-expected has {key[0]}: {key[1]}, which is no property")
        if key in fits:
            fits[key].add_marker(pytest.mark.xfail(reason=reason, strict=True, raises=BrokenError))


def _expected(path: Path | None) -> dict[tuple[str, str], str]:
    """The lines of a file of expected failures: (norm, property) and the reason."""
    if path is None:
        return {}
    if not path.is_file():
        raise pytest.UsageError(f"--gnref-expected is {str(path)!r}; expected a file")
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words, _, reason = line.partition("#")
        if not words.strip():
            continue
        norm, colon, name = words.partition(":")
        if not colon or norm.strip() not in NORMS:
            raise pytest.UsageError(f"{path}, line {number} is {line!r}; expected 'norm: property  # reason'")
        found[norm.strip(), name.strip()] = reason.strip()
    return found


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Note what is to be said of the targets, and end their processes."""
    try:
        session.config.stash[SUMMARY] = [
            f"{text}, {norm} norm: {share(checker.excluded())} of all problems outside its domain"
            for (text, norm), (checker, _) in CHECKERS.items()
            if checker.domain.limited
        ]
    finally:
        SHORT.clear()
        while CHECKERS:
            CHECKERS.popitem()[1][0].close()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say how much of the problems each target leaves out."""
    for line in config.stash.get(SUMMARY, []):
        terminalreporter.write_line(line)


class BrokenError(AssertionError):
    """A property does not hold; the text is all there is to say."""


class ConformanceItem(pytest.Item):
    """One property of one norm of a target."""

    def __init__(self, *, spec: Spec, norm: str, prop: Property, **words: Any) -> None:
        super().__init__(**words)
        self.spec, self.norm, self.prop = spec, norm, prop

    def runtest(self) -> None:
        """Ask the property."""
        checker, pairs = self.checker()
        before = len(checker.others)
        result = checker.ask(self.prop, pairs)
        checker.settle(result, before)
        self.grade(result)
        checker.demand(result)
        if result.status == "failed":
            checker.explain(result)
            raise BrokenError("\n".join(_lines(result)))
        if result.status != "passed":
            pytest.skip(f"{result.status}: {result.reason}")

    def grade(self, result: Result) -> None:
        """Fail a property that has a grade for what the grade shows, as `gnref check` does."""
        if self.prop.name not in (ACCURACY, RANGE) or result.status == "failed":
            return
        checker, pairs = self.checker()
        key = (self.spec.text, self.norm)
        if key not in SHORT:
            SHORT[key] = list(_short(checker, pairs))
        for name, problem in SHORT[key]:
            if name == self.prop.name:
                checker.fall_short(result, problem)

    def checker(self) -> tuple[Checker, Any]:
        """The checker of this norm of this target, which all its tests share."""
        key = (self.spec.text, self.norm)
        if key not in CHECKERS:
            option = self.config.getoption
            isolate = not option("--gnref-no-isolate")
            CHECKERS[key] = checker_of(
                self.spec.text if isolate else None,
                norm=self.norm,
                isolate=isolate,
                max_examples=option("--gnref-max-examples"),
                seed=option("--gnref-seed"),
                name=self.spec.name,
                **self.spec.arguments(self.norm),
            )
        return CHECKERS[key]

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """The text of what is broken, without the kit's own traceback."""
        if isinstance(excinfo.value, BrokenError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where it comes from: the target."""
        return Path(self.spec.text), None, self.name


def _short(checker: Checker, pairs: Dtypes) -> Iterator[tuple[str, Problem]]:
    """What shows that a dtype's grades are not those required, with the name of the property."""
    for dtype, params in pairs.items():
        found = grade(checker.target, checker.norm, dtype, params[0], checker.domain)
        if found is not None:
            yield from found.short_of(checker.require["accuracy"], checker.require["range"]).items()
    checker.target.findings.clear()


def _lines(result: Result) -> Iterator[str]:
    """All there is to say about a failure."""
    yield f"{result.property}: {result.reason}"
    yield from (f"  {line}" for line in (result.diagnosis, *result.museum) if line)
    yield from ("", result.snippet)
