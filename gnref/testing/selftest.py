"""How good the kit is: the share of planted mistakes that it finds, and that common weak tests find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from gnref.testing.check import EXAMPLES, checker_of
from gnref.testing.checker import asked
from gnref.testing.mutants import KINDS, MUTANTS, Edit, build, textbook
from gnref.testing.problems import Array, Problem
from gnref.testing.runner import Trial, run_trial
from gnref.testing.targets.functions import Function

QUICK = (  # what finds most mutants, or those that little else finds, comes first
    "gradients equal exact fractions",
    "y equals exact fractions",
    "f(view) = f(copy)",
    "f(any layout) = f(plain layout)",
    "dtype and shape preserved",
    "forward passes do not mix",
    "NaN stays in its set",
    "a wrong num_groups is refused",
)
SLOW = (
    "sets of whole tiles equal math.fsum",
    "many channels equal math.fsum",
    "sets beyond 65,535 equal math.fsum",
    "many sets are like few",
    "long sets equal math.fsum",
    "tiles on every axis equal autograd",
)
TOLERANCE = 5e-4  # absolute and relative, as published test suites have it


class First(Trial):
    """A trial that is content with its first counterexample, whatever its size."""

    def fail(self, problem: Problem, reason: str) -> None:
        """Keep the counterexample, and look at no other."""
        super().fail(problem, reason)
        self.deadline = 0.0


def killed(edit: Edit, norm: str, seed: int = 0, max_examples: int = EXAMPLES) -> str | None:
    """Check a mutant until the first property fails.

    Parameters
    ----------
    edit : Edit
        Of `gnref.testing.mutants.MUTANTS`.
    norm : str
        One of those that it makes wrong.
    seed, max_examples : int
        As `gnref.testing.check` takes them.

    Returns
    -------
    name : str or None
        The property that failed; None where all hold, and the mutant survives.

    Examples
    --------
    >>> killed(MUTANTS["dx is 0"], "instance")
    'gradients equal exact fractions'
    """
    forward, backward = build(edit, norm)
    options: dict[str, Any] = {"layouts": edit.layouts, "require": edit.require}
    return first_failure(forward, backward, norm, seed, max_examples, large=edit.large, **options)


def first_failure(
    forward: Function,
    backward: Function,
    norm: str,
    seed: int = 0,
    max_examples: int = EXAMPLES,
    *,
    large: bool = False,
    **options: Any,
) -> str | None:
    """Do what `gnref.testing.check` does, up to the first failure; large problems come first or last."""
    checker, pairs = checker_of(
        None, forward, backward, norm=norm, max_examples=max_examples, seed=seed, **options
    )
    names = (*SLOW, *QUICK) if large else QUICK
    order = [*names, *(prop.name for prop in asked(norm) if prop.name not in SLOW), *SLOW]
    for prop in sorted(asked(norm), key=lambda prop: order.index(prop.name)):
        if checker.on_request(prop):
            continue
        trial = First(prop, checker.target, checker.empty(prop), checker.domain, checker.others)
        result = run_trial(trial, checker.max_examples, checker.seed, checker.options(prop, pairs))
        if result.status == "failed":
            return prop.name
        if checker.others:  # what was found on the way belongs to another property
            return checker.others[0].finding.property
    return None


@dataclass(frozen=True)
class Weak:
    """A test as many have it: right results and a tolerance, but data that hide mistakes.

    Attributes
    ----------
    shapes : tuple
        N, G, K and H = W of what it tries.
    ones : tuple of str
        What is not random: dy is 1; weight is 1 and bias is 0.
    """

    shapes: tuple[tuple[int, int, int, int], ...] = ((2, 2, 3, 4), (3, 3, 2, 5), (2, 1, 6, 3))
    ones: tuple[str, ...] = ()


WEAK = {
    "dy = 1": Weak(ones=("dy",)),
    "weight = 1": Weak(ones=("weight",)),
    "G = C/G": Weak(shapes=((2, 2, 2, 4),)),
    "normal data": Weak(),
}


@dataclass
class Score:
    """How many mutants were found, of how many."""

    killed: int = 0
    total: int = 0

    def count(self, found: bool) -> None:
        """Count one mutant."""
        self.killed, self.total = self.killed + found, self.total + 1

    def __str__(self) -> str:
        return f"{self.killed} / {self.total}"


@dataclass
class SelfTest:
    """What came of a self-test.

    Attributes
    ----------
    kit : dict of str to Score
        The kit's own score, for each kind of mutant.
    weak : dict of str to dict of str to Score
        The scores of the weak patterns, for each kind.
    survivors : list of str
        The mutants that the kit did not find.
    killers : dict of str to str
        For each of the others the property that found it first.
    """

    kit: dict[str, Score] = field(default_factory=lambda: {kind: Score() for kind in KINDS})
    weak: dict[str, dict[str, Score]] = field(
        default_factory=lambda: {name: {kind: Score() for kind in KINDS} for name in WEAK}
    )
    survivors: list[str] = field(default_factory=list)
    killers: dict[str, str] = field(default_factory=dict)

    @property
    def killed(self) -> int:
        """The number of mutants that the kit found."""
        return total(self.kit).killed

    @property
    def total(self) -> int:
        """The number of mutants."""
        return total(self.kit).total

    @property
    def ok(self) -> bool:
        """Whether every mutant was found."""
        return not self.survivors

    def table(self) -> Table:
        """Kinds down; the kit and the weak patterns across."""
        made = Table(title="planted mistakes found", box=SIMPLE_HEAD)
        for heading in ("kind", "this kit", *WEAK):
            made.add_column(heading, justify="left" if heading == "kind" else "right")
        scores = [self.kit, *self.weak.values()]
        for kind in KINDS:
            made.add_row(kind, *(str(score[kind]) for score in scores))
        made.add_section()
        made.add_row("all", *(str(total(score)) for score in scores))
        return made


def total(scores: dict[str, Score]) -> Score:
    """Add up the scores of all kinds."""
    return Score(sum(s.killed for s in scores.values()), sum(s.total for s in scores.values()))


def self_test(
    *,
    seed: int = 0,
    max_examples: int | None = None,
    on_mutant: Callable[[Edit], None] = lambda edit: None,
) -> SelfTest:
    """Check every planted mistake with the kit, and with the weak patterns of common tests.

    Parameters
    ----------
    seed : int
        Equal seeds draw equal problems.
    max_examples : int, optional
        As `gnref.testing.check` takes it.
    on_mutant : callable, optional
        Called with each mutant that is done.
    """
    found = SelfTest()
    for edit in MUTANTS.values():
        killer = killed(edit, edit.norms[0], seed, max_examples or EXAMPLES)
        found.kit[edit.kind].count(killer is not None)
        if killer is None:
            found.survivors.append(edit.name)
        else:
            found.killers[edit.name] = killer
        for name, pattern in WEAK.items():
            found.weak[name][edit.kind].count(weakly_killed(edit, edit.norms[0], pattern))
        on_mutant(edit)
    return found


def weakly_killed(edit: Edit, norm: str, pattern: Weak, seed: int = 0) -> bool:
    """Whether a weak test finds a mutant; float32, standard normal x, the textbook as oracle."""
    functions, right = build(edit, norm), textbook.functions(norm)
    rng = np.random.default_rng(seed)
    for sizes in pattern.shapes:
        arguments, dy = _weak_problem(norm, sizes, pattern, rng)
        expected = _run(right, arguments, dy)
        try:
            with np.errstate(all="ignore"):
                got = _run(functions, arguments, dy)
        except Exception:
            return True
        if not all(_near(a, b) for a, b in zip(got, expected, strict=True)):
            return True
    return False


def _weak_problem(
    norm: str, sizes: tuple[int, int, int, int], pattern: Weak, rng: np.random.Generator
) -> tuple[list[Any], Array]:
    """The arguments of a forward pass, and dy."""
    N, G, K, side = sizes
    shape = (N, G * K, side, side)
    params = shape[1:] if norm in ("layer", "rms") else shape[1:2]
    x, dy = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    weight, bias = (rng.standard_normal(params).astype(np.float32) for _ in range(2))
    if "dy" in pattern.ones:
        dy = np.ones_like(dy)
    if "weight" in pattern.ones:
        weight, bias = np.ones_like(weight), np.zeros_like(bias)
    between: dict[str, Any] = {"group": G, "layer": params, "rms": params}
    middle = [between[norm]] if norm in between else []
    return [x, *middle, weight] + [bias] * (norm != "rms"), dy


def _run(functions: tuple[Function, Function], arguments: list[Any], dy: Array) -> list[Any]:
    """y, dx, dweight and dbias, with the default eps, of copies: a wrong kernel may write to them."""
    forward, backward = functions
    given = [a.copy() if isinstance(a, np.ndarray) else a for a in (dy, arguments[0], *arguments)]
    y, mean, rstd = forward(*given[2:], eps=1e-5)
    dx, dweight, dbias = backward(*given[:2], mean, rstd, *given[3:], eps=1e-5)
    return [np.array(y), dx, dweight, dbias]


def _near(got: Array | None, expected: Array | None) -> bool:
    """Whether a result is close to the expected one, and of its shape."""
    if got is None or expected is None:
        return got is expected
    return got.shape == expected.shape and np.allclose(got, expected, TOLERANCE, TOLERANCE)
