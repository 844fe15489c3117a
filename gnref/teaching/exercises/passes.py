"""What the kit searches counterexamples for: the properties of whole passes, and that an answer is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gnref.teaching.exercises.asking import ask, call, quiet, short
from gnref.teaching.exercises.cases import case_of
from gnref.teaching.exercises.compare import right_on
from gnref.teaching.exercises.exercise import Exercise
from gnref.teaching.exercises.truth import Truth
from gnref.testing.check import NORMS
from gnref.testing.diagnosis import diagnose
from gnref.testing.domain import Domain
from gnref.testing.oracles import load
from gnref.testing.problems import Array, Problem
from gnref.testing.properties import PROPERTIES, Property
from gnref.testing.runner import Result, check_property
from gnref.testing.targets import Functions, Target

FORWARD = ("f(x)[i] = f(x[i:i+1])", "a changed set leaves the others", "y equals exact fractions")
BACKWARD = ("gradients equal exact fractions", "gradients equal differences")
EXAMPLES = 4
OWN = "the answer is right"
HINTS = {
    "f(x)[i] = f(x[i:i+1])": (
        "Normalize one example alone, and its result is another than in the batch: in this norm no example "
        "may know of its neighbours."
    ),
    "a changed set leaves the others": (
        "Change the numbers of one set, and results of other sets change too: some elements take statistics "
        "that are not those of their set."
    ),
}
EASY: dict[str, Any] = {
    "max_elements": 60,
    "dtypes": ("float64",),
    "layouts": ("plain",),
    "param_layouts": ("plain",),
    "kinds": ("normal", "integers"),
    "hard": False,
    "channel_axes": False,
    "affine": True,
    "virtual": (False,),
    "batch_sizes": (1, 2, 3),
    "grade": "B",
}


def asked(exercise: Exercise) -> tuple[str, ...]:
    """The properties that an exercise is asked; none, unless it is a whole pass."""
    if (
        exercise.oracle is not None
        or exercise.arguments is not None
        or exercise.norm not in (*NORMS, "batch_frozen")
    ):
        return ()
    own = {"x", "weight", "eps"} | ({"bias"} if exercise.norm != "rms" else set())
    own |= {"group": {"num_groups"}, "layer": {"normalized_shape"}, "rms": {"normalized_shape"}}.get(
        exercise.norm, set()
    )
    if exercise.norm == "batch_frozen":
        own |= {"running_mean", "running_var"}
    forward = exercise.answers[:1] == ("y",) and set(exercise.takes) == own
    backward = exercise.answers == ("dx", "dweight", "dbias") and "dy" in exercise.takes
    names = FORWARD if forward else BACKWARD if backward else ()
    return tuple(name for name in names if exercise.norm in PROPERTIES[name].norms)


def target_of(exercise: Exercise, answer: Callable[..., Any]) -> Functions:
    """The reader's function as the kit takes it."""

    def problem_of(x: Array, *positional: Any, eps: float) -> Problem:
        example = Problem(exercise.norm, x, x, num_groups=1, normalized_shape=x.shape[-1:])
        names = list(example.positional)[1:]
        options = {"num_groups": None, "normalized_shape": None} | dict(zip(names, positional, strict=True))
        return Problem(exercise.norm, x, x, eps=eps, **options)

    def forward(*given: Any, eps: float) -> Any:
        problem = problem_of(*given, eps=eps)
        if exercise.answers[0] != "y":  # the backward pass is what is asked
            return load("fsum").y(problem)
        found = call(answer, _arguments(exercise, problem))
        return found[0] if len(exercise.answers) > 1 else found

    def backward(dy: Array, *given: Any, eps: float) -> Any:
        problem = problem_of(*given, eps=eps).but(dy=dy)
        return call(answer, _arguments(exercise, problem))

    whole = exercise.answers == ("dx", "dweight", "dbias")
    return Functions(forward, backward if whole else None, norm=exercise.norm, name=exercise.name)


def _arguments(exercise: Exercise, problem: Problem) -> list[Any]:
    """What the reader's function takes."""
    truth = Truth(problem, exercise.keepdims)
    return [truth[name] for name in exercise.takes]


def own_law(exercise: Exercise, answer: Any) -> Property:
    """That an answer is right, as a property of the kit; to be asked where whole passes have others."""

    def holds(target: Target, problem: Problem) -> float:
        """The answer is right in the smallest shapes, too."""
        case = case_of(exercise, problem)
        return 0.0 if right_on(exercise, case, ask(exercise, answer, case)) else float("inf")

    return Property(OWN, holds, (exercise.norm,), oracle="exact")


def failed(exercise: Exercise, answer: Any, own: bool = False) -> tuple[Result, str] | None:
    """The first property that an answer breaks, and what is wrong there; None if it has them all.

    With ``own``, it is asked last whether it is right: the kit counts what raises to no property of values.
    """
    laws = [PROPERTIES[name] for name in asked(exercise)]
    free = exercise.oracle or exercise.arguments or exercise.problems
    if own and exercise.takes and (laws or not free):
        laws.append(own_law(exercise, answer))
    for law in laws:
        target = Functions(answer, norm=exercise.norm) if law.name == OWN else target_of(exercise, answer)
        options = EASY | {"eps": tuple(exercise.options.get("eps", (1e-3, 0.1, 0.5)))}
        with quiet():
            result = check_property(
                law,
                target,
                exercise.norm,
                max_examples=EXAMPLES,
                domain=Domain(ranks=exercise.ranks, where=lambda problem: problem.set_size > 1),
                **options,
            )
        if result.status == "failed" and result.counterexample is not None:
            if law.name == OWN:
                return result, ""
            with quiet():
                return result, diagnose(target, result.counterexample)
    return None


def said_of(exercise: Exercise, result: Result, diagnosis: str) -> str:
    """What to say of a property that does not hold."""
    problem = result.counterexample
    assert problem is not None
    where = case_of(exercise, problem).where
    if result.property in HINTS:
        return f"{HINTS[result.property]} (Seen where {where}.)"
    law = PROPERTIES[result.property].law.rstrip(".")
    why = diagnosis or short(result.reason)
    return f"It breaks a property of the norm: {law[0].lower()}{law[1:]}. Where {where}: {why}."
