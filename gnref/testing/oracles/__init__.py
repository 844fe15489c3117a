"""Oracles: the expected values of a `gnref.testing.problems.Problem`, each by another road.

An oracle imports nothing of gnref but the problem: one that shared code with what it checks would share its
bugs. Importing this module imports no oracle and no framework. Which papers and equations each oracle follows
stands in its own docstring.

==================== ============ ===========================================================
name                 gives        how
==================== ============ ===========================================================
exact                y, gradients fractions, exact but for rstd, which is good to 2^-200
fsum                 y, gradients float64, sums without rounding errors, for long sets
loops                y            float64, the papers' sums element by element
complex_step         gradients    complex steps through the loops
central_differences  central      central differences of the loops, with a bound on their error
autograd             y, gradients HIPS autograd, reshape and broadcast, channels first; second derivatives too
torch                y, gradients torch.nn.functional and its autograd
jax                  y, gradients jax.numpy, channels last, and its vjp
==================== ============ ===========================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import NamedTuple

from gnref.testing.problems import Problem

__all__ = ["ORACLES", "Oracle", "available", "load", "supports", "why_not"]


class Oracle(NamedTuple):
    """Where an oracle is, what it needs and gives, and how large a problem it takes.

    Attributes
    ----------
    module : str
        The module that holds it.
    needs : str or None
        The package that must be installed.
    gives : mapping of str to str
        What it gives, "y", "gradients", "statistics", "central", "second" or "forward_mode", and the
        module's function for that.
    max_size : int
        The largest number of elements of x that takes it well under a second.
    """

    module: str
    needs: str | None
    gives: Mapping[str, str]
    max_size: int


_BOTH = {"y": "y", "gradients": "gradients"}
_FURTHER = {"second": "second", "forward_mode": "forward_mode"}

ORACLES: dict[str, Oracle] = {
    "exact": Oracle(f"{__name__}.exact", None, _BOTH | {"statistics": "statistics"}, 300),
    "fsum": Oracle(f"{__name__}.fsum", None, _BOTH, 1_000_000),
    "loops": Oracle(f"{__name__}.loops", None, {"y": "y"}, 10_000),
    "complex_step": Oracle(f"{__name__}.differences", None, {"gradients": "complex_step"}, 60),
    "central_differences": Oracle(f"{__name__}.differences", None, {"central": "central_within"}, 10_000),
    "autograd": Oracle(f"{__name__}.hips", "autograd", _BOTH | _FURTHER, 1_000_000),
    "torch": Oracle(f"{__name__}.torch", "torch", _BOTH, 1_000_000),
    "jax": Oracle(f"{__name__}.jax", "jax", _BOTH, 1_000_000),
}


def available() -> dict[str, str]:
    """Return for every oracle "ready", or what to install."""
    return {name: _missing(oracle) or "ready" for name, oracle in ORACLES.items()}


def load(name: str) -> SimpleNamespace:
    """Import an oracle and return its functions.

    Parameters
    ----------
    name : str
        A key of `ORACLES`.

    Returns
    -------
    functions : SimpleNamespace
        Those that the oracle gives, of ``y(problem)``; ``gradients(problem)``, which returns dx, dweight and
        dbias, None for an absent parameter; ``central(problem, direction)``, which returns the derivative of
        sum(dy * y) along (x_dot, weight_dot, bias_dot) and a bound on its error; ``second(problem, ddx,
        ddweight, ddbias)``, which returns the gradients of <ddx, dx> + <ddweight, dweight> + <ddbias, dbias>
        by dy, x and weight; ``forward_mode(problem, x_dot, weight_dot, bias_dot)``, how y changes along a
        direction. They raise ValueError for a
        problem that the oracle does not take; ``why_not(problem)`` returns the reason, or "".

    Raises
    ------
    ValueError
        There is no such oracle.
    ModuleNotFoundError
        Its package is not installed.
    """
    oracle = _oracle(name)
    if missing := _missing(oracle):
        raise ModuleNotFoundError(f"the oracle {name} is not ready: {missing}", name=oracle.needs)
    module = import_module(oracle.module)
    functions = {what: getattr(module, function) for what, function in oracle.gives.items()}
    return SimpleNamespace(**functions, why_not=module.why_not)


def supports(name: str, problem: Problem) -> bool:
    """Return whether an oracle that is ready takes the problem; `why_not` says why it does not."""
    return not why_not(name, problem)


def why_not(name: str, problem: Problem) -> str:
    """Say why an oracle that is ready does not take the problem; "" if it does."""
    largest = _oracle(name).max_size
    if problem.x.size > largest:
        return f"x has {problem.x.size} elements; {name} takes up to {largest} in reasonable time"
    return str(load(name).why_not(problem))


def _oracle(name: str) -> Oracle:
    """The oracle of a name, which must be one of them."""
    if name not in ORACLES:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(ORACLES)}")
    return ORACLES[name]


def _missing(oracle: Oracle) -> str:
    """What to install before the oracle can be imported; "" if nothing."""
    if oracle.needs is None or find_spec(oracle.needs) is not None:
        return ""
    return f"{oracle.needs} is not installed; try: pip install {oracle.needs}"
