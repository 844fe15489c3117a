"""A counterexample as lines of Python that reproduce it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnref.testing.problems import Array, Problem

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
)


def snippet(prop: Any, target: Any, problem: Problem) -> str:
    """Return a program that states the problem and asks the property again.

    Parameters
    ----------
    prop : Property
        The property that was broken.
    target : Target
        What broke it: one of gnref's own backends can be written down, another is named.
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
    backend = getattr(target, "backend", None)
    return "\n".join(
        [
            "import numpy as np",
            *(["from ml_dtypes import bfloat16"] if needs_bfloat16 else []),
            "from gnref.testing import PROPERTIES, LAYOUTS, Gnref, Problem",
            "",
            "problem = Problem(",
            f"    {problem.norm!r},",
            *lines,
            ")",
            f"target = Gnref({backend!r})" if backend else f"target = ...  # {target.name}",
            f"print(PROPERTIES[{prop.name!r}].check(target, problem))  # above 1 the property is broken",
        ]
    )


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
