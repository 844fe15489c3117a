"""Ask a property of a specimen, as `gnref.testing.check.check` would."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gnref.testing.check import checker_of
from gnref.testing.checker import Checker
from gnref.testing.museum.mechanism import Mechanism
from gnref.testing.properties import PROPERTIES
from gnref.testing.runner import Result, Trial, run_trial
from gnref.testing.snippet import snippet

EXAMPLES = 60
KEYS = ("dtypes", "layouts", "require", "max_examples")  # of `Mechanism.asking`, for the checker


def ask(
    mechanism: Mechanism,
    *,
    fixed: bool = False,
    norm: str | None = None,
    max_examples: int | None = None,
    seed: int = 0,
) -> Result:
    """Search for a problem that breaks the property of a specimen, and shrink it.

    Parameters
    ----------
    mechanism : Mechanism
        Which specimen.
    fixed : bool
        Whether to ask its twin instead, which has the property.
    norm : str, optional
        Instead of the norm that it is shown on.
    max_examples, seed : int, optional
        How many problems to draw, and which.
    """
    made, pairs = checker(mechanism, fixed=fixed, norm=norm, max_examples=max_examples, seed=seed)
    prop = PROPERTIES[mechanism.asking.get("through", mechanism.property)]
    trial = Trial(prop, made.target, made.empty(prop), made.domain)
    options = made.options(prop, pairs) | dict(mechanism.asking.get("options", {}))
    result = run_trial(trial, made.max_examples, made.seed, options)
    return result if prop.name == mechanism.property else through(result, trial, mechanism.property)


def through(result: Result, trial: Trial, wanted: str) -> Result:
    """The smallest finding about one property that was made on the way to another."""
    others = [aside for aside in trial.others if aside.finding.property == wanted]
    if not others:
        return result
    aside = min(others, key=lambda aside: aside.problem.x.size)
    told = replace(
        result,
        property=wanted,
        status="failed",
        reason=str(aside.finding),
        counterexample=aside.problem,
    )
    told.snippet = snippet(trial.prop, trial.target, aside.problem)
    return told


def checker(
    mechanism: Mechanism,
    *,
    fixed: bool = False,
    norm: str | None = None,
    max_examples: int | None = None,
    seed: int = 0,
) -> tuple[Checker, Any]:
    """The checker of a specimen or its twin, and the dtypes that it asks."""
    options = {"max_examples": EXAMPLES} | {
        key: mechanism.asking[key] for key in KEYS if key in mechanism.asking
    }
    if max_examples is not None:
        options["max_examples"] = max_examples
    forward, backward = mechanism.twin(norm) if fixed else mechanism.build(norm)
    return checker_of(
        None,
        forward,
        backward,
        norm=norm or mechanism.norm,
        seed=seed,
        name=mechanism.name + " (fixed)" * fixed,
        **options,
    )
