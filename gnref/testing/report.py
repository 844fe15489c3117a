"""The verdict on a target: what holds, what does not and why, as text, JSON, Markdown or an exception."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gnref
from gnref.testing.grades import Grade
from gnref.testing.runner import Result

MARKS = {"passed": "ok", "failed": "FAIL", "unsupported": "unsupported", "skipped": "skipped"}


# What compares y, and what compares the gradients; these two do both.
COMPARED = ("y equals exact fractions", "gradients equal exact fractions")
LONG = ("long sets equal math.fsum", "tiles on every axis equal autograd")


class ConformanceError(AssertionError):
    """A target broke a property; the text says which, with the smallest counterexample."""


@dataclass
class Report:
    """What `gnref.testing.check` found.

    Attributes
    ----------
    target, norm : str
        What was checked.
    results : list of Result
        One for each property: ``property``, ``status``, ``examples``, ``worst`` (the worst error in units of
        the tolerance), ``counterexample`` (a `Problem` with its arrays), ``snippet`` (lines of Python that
        reproduce it), ``diagnosis`` and ``museum``.
    grades : dict of str to Grade
        For each dtype of x: ``accuracy`` ("A", "B" or "F") and ``range`` (the largest s such that the target
        is right at scales from 1/s to s).
    batch_invariant : bool or None
        Whether an example's results are the same bits alone and in a batch.
    dtypes : mapping of str to tuple of str
        The dtypes of x that were checked, and for each those of weight and bias.
    not_taken : dict of str to str
        The 16-bit dtypes of x that were not checked since the target does not give them back, and the reason.
    excluded : float
        The share of what is drawn without limits that is outside the declared domain.
    require, settings : dict
        The grades that were conditions, and the options of the run.
    """

    target: str
    norm: str
    results: list[Result] = field(default_factory=list)
    grades: dict[str, Grade] = field(default_factory=dict)
    batch_invariant: bool | None = None
    dtypes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    not_taken: dict[str, str] = field(default_factory=dict)
    excluded: float = 0.0
    require: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> list[str]:
        """The names of the properties that failed."""
        return [result.property for result in self.results if result.status == "failed"]

    @property
    def not_exercised(self) -> list[str]:
        """The names of the properties about which no problem said anything; not those that are refused."""
        return [r.property for r in self.results if r.status not in ("passed", "failed", "refused")]

    @property
    def refused(self) -> dict[str, str]:
        """What the target says that it does not offer, by property, or offers in some cases alone."""
        told = ("passed", "refused")
        return {r.property: r.reason for r in self.results if r.reason and r.status in told}

    @property
    def enough(self) -> bool:
        """Whether y and the gradients were compared with an oracle, and most properties met a problem."""
        status = {result.property: result.status for result in self.results}
        compared = [[status.get(name) for name in (own, *LONG)] for own in COMPARED]
        passed = [s for s in status.values() if s == "passed"]
        idle = [s for s in status.values() if s in ("unsupported", "empty", "skipped", "not run")]
        return all({"passed", "failed"} & set(found) for found in compared) and len(passed) > len(idle)

    @property
    def ok(self) -> bool:
        """Whether no property failed, and enough of them were exercised."""
        return not self.failed and self.enough

    @property
    def smallest(self) -> Result | None:
        """The failure with the smallest counterexample."""
        failures = [r for r in self.results if r.status == "failed" and r.counterexample is not None]
        return min(failures, key=_size, default=None)

    def __str__(self) -> str:
        return self.to_markdown()

    def told(self) -> list[tuple[Result, tuple[str, ...]]]:
        """The failures, smallest counterexample first; each with what of the museum was not told before."""
        failures = sorted((r for r in self.results if r.status == "failed"), key=_size)
        before = [{text for r in failures[:i] for text in r.museum} for i in range(len(failures))]
        return [
            (r, tuple(text for text in r.museum if text not in known))
            for r, known in zip(failures, before, strict=True)
        ]

    def summary(self) -> str:
        """The verdict in one line."""
        count = len([r for r in self.results if r.status == "passed"])
        line = f"{self.target}, {self.norm} norm: {count} properties hold"
        if self.failed:
            line += f", {len(self.failed)} fail"
        if refused := [r for r in self.results if r.status == "refused"]:
            line += f", {len(refused)} refused"
        if self.not_exercised:
            line += f", {len(self.not_exercised)} not exercised"
        if self.not_taken:
            line += f"; {' and '.join(self.not_taken)} not taken"
        if self.excluded:
            line += f"; {share(self.excluded)} of all problems are outside its domain"
        if not self.failed and not self.enough:
            line += "; too little was exercised to say that it is right"
        return line

    def raise_if_failed(self) -> None:
        """Raise `ConformanceError` with the failures and the smallest counterexample, if there is one."""
        if not self.ok:
            raise ConformanceError(self._failures() or self.summary())

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(self.as_dict(), indent=2)

    def as_dict(self) -> dict[str, Any]:
        """The report as dicts, lists, numbers and strings."""
        return {
            "gnref": gnref.__version__,
            "target": self.target,
            "norm": self.norm,
            "ok": self.ok,
            "failed": self.failed,
            "refused": self.refused,
            "not_exercised": self.not_exercised,
            "excluded": self.excluded,
            "dtypes": {name: list(params) for name, params in self.dtypes.items()},
            "not_taken": self.not_taken,
            "require": self.require,
            "settings": self.settings | {"layouts": list(self.settings.get("layouts", ()))},
            "batch_invariant": self.batch_invariant,
            "grades": {name: {"accuracy": g.accuracy, "range": g.range} for name, g in self.grades.items()},
            "results": [_as_dict(result) for result in self.results],
        }

    def to_markdown(self) -> str:
        """The report as Markdown: the verdict, the grades, the table, and every failure."""
        lines = [f"## {self.summary()}", ""]
        if self.grades:
            lines += ["| dtype of x | accuracy | right at scales |", "|---|---|---|"]
            lines += [f"| {name} | {g.accuracy} | {_span(g.range)} |" for name, g in self.grades.items()]
            lines.append("")
        lines += [f"Not checked: {name}: {reason}\n" for name, reason in self.not_taken.items()]
        lines += [f"Refused: {name}: {reason}\n" for name, reason in self.refused.items()]
        if self.batch_invariant is not None:
            how = "the same bits" if self.batch_invariant else "not the same bits"
            lines += [f"An example alone and in a batch gives {how}.", ""]
        lines += ["| property | status | examples | worst error / tolerance |", "|---|---|--:|--:|"]
        lines += [_row(result) for result in self.results]
        failures = self._failures()
        return "\n".join([*lines, "", failures] if failures else lines) + "\n"

    def _failures(self) -> str:
        """Every failure in a few lines; the snippet of the smallest one."""
        lines = []
        smallest = self.smallest
        for result, museum in self.told():
            where = f" ({', '.join(result.fails_in)})" if result.fails_in else ""
            lines.append(f"{self.target}, {self.norm} norm: {result.property}{where}: {result.reason}")
            lines += [f"    {text}" for text in (result.diagnosis, *museum) if text]
        if smallest is not None:
            size = _size(smallest)
            count = f"{size} element{'s' * (size != 1)}"
            lines += ["", f"The smallest counterexample has {count} ({smallest.property}):", ""]
            lines += ["```python", smallest.snippet, "```"]
        return "\n".join(lines)


def share(part: float) -> str:
    """A share in percent, of which 100 means all."""
    return ">99%" if 0.99 < part < 1 else f"{part:.0%}"


def _size(result: Result) -> int:
    return 0 if result.counterexample is None else int(result.counterexample.x.size)


def _span(reach: float) -> str:
    return f"{1 / reach:.0e} to {reach:.0e}" if reach else "none"


def _row(result: Result) -> str:
    """A row of the table."""
    status = MARKS.get(result.status, result.status)
    worst = f"{result.worst:.3g}" if result.status in ("passed", "failed") else ""
    name = result.property.replace("|", "\\|")
    return f"| {name} | {status} | {result.examples} | {worst} |"


def _as_dict(result: Result) -> dict[str, Any]:
    """A result for JSON, whose numbers are finite."""
    finite = result.worst < float("inf")
    shape = None if result.counterexample is None else list(result.counterexample.shape)
    return {
        "property": result.property,
        "status": result.status,
        "examples": result.examples,
        "excluded": result.excluded,
        "worst_error_in_tolerances": result.worst if finite else None,
        "worst_by_dtype": {k: v[1] for k, v in result.worst_by_dtype.items()},
        "reason": result.reason,
        "diagnosis": result.diagnosis,
        "museum": list(result.museum),
        "fails_in": list(result.fails_in),
        "counterexample_shape": shape,
        "snippet": result.snippet,
    }
