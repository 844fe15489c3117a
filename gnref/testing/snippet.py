"""A counterexample as lines of Python that reproduce it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from gnref.testing.domain import Domain
from gnref.testing.problems import Array, Problem
from gnref.testing.targets.libraries import JaxDevice, portable

ARRAYS = ("x", "dy", "weight", "bias", "running_mean", "running_var")
WORDS = (
    "eps",
    "channel_axis",
    "num_groups",
    "normalized_shape",
    "virtual_batch_size",
    "kind",
    "seed",
    "layout",
    "dy_layout",
    "param_layout",
    "grade",
)


def snippet(prop: Any, target: Any, problem: Problem) -> str:
    """Return a program that states the problem and asks the property again.

    Parameters
    ----------
    prop : Property
        The property that was broken.
    target : Target
        What broke it; functions that cannot be imported by name are left for the reader to fill in, and
        a function that declares its domain is left out.
    problem : Problem
        The problem.
    """
    fields = {name: getattr(problem, name) for name in (*ARRAYS, *WORDS)}
    default = Problem(problem.norm, problem.x, problem.dy)
    lines = [
        f"    {name}={_literal(problem, name, value)},"
        for name, value in fields.items()
        if isinstance(value, np.ndarray) or value != getattr(default, name)
    ]
    needs_bfloat16 = any("bfloat16" in line for line in lines)
    made = _target(target)
    kinds = [kind for kind in ("Functions", "Gnref") if any(f"{kind}(" in line for line in made)]
    return "\n".join(
        [
            "import numpy as np",
            *(["from ml_dtypes import bfloat16"] if needs_bfloat16 else []),
            f"from gnref.testing import {', '.join(sorted(['PROPERTIES', 'LAYOUTS', 'Problem', *kinds]))}",
            *(["from gnref.testing.domain import domain"] if any("domain(" in line for line in made) else []),
            *made,
            "",
            "problem = Problem(",
            f"    {problem.norm!r},",
            *lines,
            ")",
            f"print(PROPERTIES[{prop.name!r}].check(target, problem))  # above 1 the property is broken",
        ]
    )


def _target(target: Any) -> list[str]:
    """The lines that make the target, as far as they can be written down."""
    if hasattr(target, "backend"):
        return ["", f"target = Gnref({target.backend!r})"]
    recipe = getattr(target, "recipe", None)
    if recipe is None:
        return ["", f"target = ...  # {target.name}"]
    options = {name: repr(value) for name, value in recipe.options.items() if value}
    limits = getattr(target, "domain", Domain())
    if isinstance(recipe.forward, str):
        return _of_text(recipe, options, limits)
    lines, device = [], portable(recipe.options.get("device"))
    if isinstance(device, JaxDevice):
        lines.append("from gnref.testing.targets.libraries import JaxDevice")
    if device is not None:  # PyTorch's by its name
        options["device"] = repr(device if isinstance(device, JaxDevice | int) else str(device))
    if declared := _declared(limits):
        options["domain"] = f"domain({declared!r})"
    names = []
    for function, absent in ((recipe.forward, "..."), (recipe.backward, "None")):
        name, module = getattr(function, "__qualname__", ""), getattr(function, "__module__", None)
        if function is None:
            names.append(absent)
        elif module and name.isidentifier() and module != "__main__":
            lines.append(f"from {module} import {name}")
            names.append(name)
        else:
            names.append("...")
    return [*lines, "", f"target = Functions({', '.join(names)}{_words(options)})  # {target.name}"]


def _of_text(recipe: Any, options: dict[str, str], limits: Domain) -> list[str]:
    """The lines that make a target from its text, which names the device and the limits, too."""
    if recipe.options.get("device") is not None:
        options["device"] = "given['device']"
    if limits.limited:
        options["domain"] = "domain(given.get('supports'))"
    return [
        "from gnref.testing.targets.spec import parse",
        "",
        f"given = parse({recipe.forward!r}).arguments({recipe.options['norm']!r})",
        f"target = Functions(given['forward'], given.get('backward'){_words(options)})",
    ]


def _words(options: dict[str, str]) -> str:
    """Further arguments of a call."""
    return "".join(f", {name}={text}" for name, text in options.items())


def _declared(limits: Domain) -> dict[str, Any]:
    """The limits of a domain that can be written down: a function cannot."""
    values = {field.name: getattr(limits, field.name) for field in fields(limits) if field.name != "where"}
    return {name: value for name, value in values.items() if value != getattr(Domain(), name)}


def _literal(problem: Problem, name: str, value: Any) -> str:
    """Write a value down; of an array every bit, and its layout."""
    if not isinstance(value, np.ndarray):
        return repr(value)
    layout = {"x": problem.layout, "dy": problem.dy_layout}.get(name, problem.param_layout)
    text = array_literal(value)
    return text if layout == "plain" else f"LAYOUTS[{layout!r}]({text})"


def array_literal(a: Array) -> str:
    """Write an array down: numbers that read back exactly, and the dtype."""
    dtype = "bfloat16" if a.dtype.name == "bfloat16" else f"np.{a.dtype.name}"
    return f"np.array({_numbers(a.astype(np.float64).tolist())}, dtype={dtype})"


def _numbers(values: Any) -> str:
    """Nested lists of floats, with NaN and infinity as NumPy spells them."""
    if isinstance(values, list):
        return "[" + ", ".join(_numbers(v) for v in values) + "]"
    if np.isfinite(values):
        return repr(values)
    return "np.nan" if np.isnan(values) else ("-" if values < 0 else "") + "np.inf"
