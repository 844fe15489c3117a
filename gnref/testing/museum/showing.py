"""A specimen failing: the result of the property, and the line that makes the difference."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import NamedTuple

from gnref.testing.diagnosis import derived, diagnose
from gnref.testing.museum.asking import ask
from gnref.testing.museum.entries import Entry, entry_of
from gnref.testing.museum.mechanism import Change, Mechanism
from gnref.testing.problems import Problem
from gnref.testing.properties import PROPERTIES
from gnref.testing.runner import Result

LARGE = 5000  # elements, of which the right results take long to find


class Shown(NamedTuple):
    """What `show` found.

    Attributes
    ----------
    entry : Entry
        The entry, and
    mechanism : Mechanism
        one of its mechanisms.
    result : Result
        What the property that the specimen fails says; ``snippet`` runs as it is.
    problem : Problem or None
        The counterexample; or the first that the property makes of it on which a result is wrong.
    diagnosis : str
        Which results are wrong there; "" if none is by itself.
    """

    entry: Entry
    mechanism: Mechanism
    result: Result
    problem: Problem | None
    diagnosis: str

    @property
    def diff(self) -> list[str]:
        """The lines that differ, and those between: broken ones after "- ", right ones after "+ "."""
        return [line for change in self.mechanism.changes for line in compared(change)]


def compared(change: Change) -> list[str]:
    r"""The broken lines of a change and the right ones; what both have comes after two blanks.

    Examples
    --------
    >>> compared(Change(fixed="a = 1\nb = 2", broken="a = 1\nb = 3"))
    ['  a = 1', '- b = 3', '+ b = 2']
    """
    fixed, broken = change.fixed.splitlines(), change.broken.splitlines()
    lines = []
    for kind, i, j, k, n in SequenceMatcher(None, broken, fixed, autojunk=False).get_opcodes():
        if kind == "equal":
            lines += [f"  {line}" for line in broken[i:j]]
        else:
            lines += [f"- {line}" for line in broken[i:j]] + [f"+ {line}" for line in fixed[k:n]]
    return lines


def show(number: int, *, seed: int = 0) -> tuple[Shown, ...]:
    r"""Let every specimen of an entry fail its property.

    Parameters
    ----------
    number : int
        Of the entry.
    seed : int
        Of the search for a counterexample.

    Examples
    --------
    >>> (shown,) = show(66)
    >>> shown.result.status
    'failed'
    >>> print("\n".join(shown.diff))
    - rstd = 1 / (var + eps) ** 2
    + rstd = 1 / np.sqrt(var + eps)
    """
    from gnref.testing.museum import MECHANISMS

    entry = entry_of(number)
    return tuple(failing(entry, MECHANISMS[name], seed) for name in entry.mechanisms)


def failing(entry: Entry, mechanism: Mechanism, seed: int = 0) -> Shown:
    """One specimen, failing."""
    result = ask(mechanism, seed=seed)
    problem, told = result.counterexample, ""
    if problem is not None:
        result.snippet = runnable(result.snippet, mechanism)
        for made in asked(mechanism, result):
            if told := diagnose(mechanism.target(), made):
                problem = made
                break
    return Shown(entry, mechanism, result, problem, told)


def asked(mechanism: Mechanism, result: Result) -> list[Problem]:
    """A counterexample, and the problems that the property makes of it; of them the small ones."""
    problem = result.counterexample
    assert problem is not None
    prop = PROPERTIES[mechanism.asking.get("through", mechanism.property)]
    return [p for p in (problem, *derived(prop, mechanism.target(), problem)) if p.x.size <= LARGE]


def runnable(snippet: str, mechanism: Mechanism) -> str:
    """A snippet whose target is the specimen."""
    lines = []
    for line in snippet.splitlines():
        if line.startswith("from gnref.testing import"):
            lines += [line.replace("Functions, ", ""), "from gnref.testing.museum import MECHANISMS"]
        elif line.startswith("target = "):
            lines.append(f'target = MECHANISMS["{mechanism.name}"].target()')
        elif not line.startswith("from specimen import"):
            lines.append(line)
    return "\n".join(lines)
