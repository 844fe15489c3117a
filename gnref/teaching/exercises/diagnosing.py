"""The first quantity that goes wrong in an answer that is no known mistake, with the numbers.

What the reader's variables hold as the function returns is compared with the right quantities of the same
names. Where they have other names, the statistics are read back from y: in each set it is one factor of x
and one shift, which tell rstd and mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gnref.teaching.exercises.asking import ask
from gnref.teaching.exercises.cases import Case
from gnref.teaching.exercises.compare import Wrong, worst_element
from gnref.teaching.exercises.exercise import Exercise
from gnref.teaching.exercises.truth import PER_SET, PER_WEIGHT, RUNNING, Truth
from gnref.testing.members import set_ids
from gnref.testing.problems import Array, Problem
from gnref.testing.tolerances import terms

# In the order in which they are computed; std is left out, as some have eps in it and some do not.
FORWARD = ("mean", "xc", "var", "rstd", "xhat", "y")
# The gradients by mean, var and rstd are left out: each book has others of these names.
BACKWARD = ("dxhat", "mean_dxhat", "mean_dxhat_xhat", "dx", *PER_WEIGHT)
ORDER = (*FORWARD, *BACKWARD, *RUNNING)
ALIASES = {
    "mu": "mean",
    "means": "mean",
    "variance": "var",
    "x_hat": "xhat",
    "inv_std": "rstd",
    "centered": "xc",
    "dx_hat": "dxhat",
    "dgamma": "dweight",
    "dbeta": "dbias",
}
# Who holds one of these has the quantity as well, whatever the name of it stands for.
LATER = {
    "mean": ("xc", "xhat"),
    "xc": ("xhat",),
    "var": ("std", "rstd", "unbiased_var", "xhat"),
    "rstd": ("std", "xhat"),
    "xhat": ("y",),
}
FITS = 1e-7  # relative: what a fit may leave, where y is a factor and a shift of x


def first_wrong(exercise: Exercise, answer: Any, case: Case) -> str:
    """Say which of a function's variables is the first that is not right; "" where none tells.

    A name may stand for something else in the reader's function. So a quantity is blamed only where no other
    variable holds it, or what is computed from it, and where the variable is not itself a result.
    """
    if not exercise.is_function or exercise.oracle is not None or exercise.arguments is not None:
        return ""
    outcome = ask(exercise, answer, case, variables=True)
    results = outcome.value if isinstance(outcome.value, tuple | list) else [outcome.value]
    held = {name: _floats(value) for name, value in outcome.variables.items() if name not in exercise.takes}
    kept = {name: a for name, a in held.items() if a is not None and not any(_is(a, r) for r in results)}
    truth = Truth(case.problem)
    for quantity in ORDER:
        named = [name for name in kept if ALIASES.get(name, name) == quantity]
        if not named or quantity in (*exercise.takes, *exercise.answers):
            continue
        if any(_holds(truth, a, one) for a in kept.values() for one in (quantity, *LATER.get(quantity, ()))):
            continue
        if blame := _blame(truth, quantity, named[0], kept[named[0]]):
            return blame
    return ""


def _floats(value: Any) -> Any:
    """A variable as an array of floating-point numbers; None if it is something else."""
    if not isinstance(value, np.ndarray | float) or np.asarray(value).dtype.kind != "f":
        return None
    return np.asarray(value, float)


def _is(a: Any, result: Any) -> bool:
    """Whether a variable is what the function returns, in whatever shape."""
    return isinstance(result, np.ndarray | float) and np.array_equal(a.ravel(), np.ravel(result))


def _holds(truth: Truth, got: Any, quantity: str) -> bool:
    """Whether an array is a quantity, in its own shape or in one that broadcasts to x's."""
    right, limit = np.asarray(truth[quantity]), np.asarray(truth.limit(quantity))
    if quantity == "var":  # or var + eps, as `var = x.var(...) + eps` has it
        return any(_equals(truth, a, right, limit) for a in (got, got - truth.problem.eps))
    if quantity == "xhat" and got.size == right.size:  # or `xhat = xhat * weight`
        scaled = got.reshape(right.shape) / truth.parameter("weight", 1.0)
        return any(_equals(truth, a, right, limit, False) for a in (got, scaled))
    return _equals(truth, got, right, limit, quantity in PER_SET)


def _equals(truth: Truth, got: Any, right: Any, limit: Any, per_set: bool = True) -> bool:
    """Whether an array has the right numbers, one for each set, or for each element of x."""
    if got.size == right.size and worst_element("", got.ravel(), right.ravel(), limit.ravel(), 0.0) is None:
        return True
    shape = truth.problem.shape
    if not per_set or got.ndim > len(shape):
        return False
    try:
        wide = np.broadcast_to(got.reshape(got.shape + (1,) * (len(shape) - got.ndim)), shape)
    except ValueError:
        return False
    return worst_element("", wide, truth.spread(right), truth.spread(limit), 0.0) is None


def _blame(truth: Truth, quantity: str, name: str, got: Any) -> str:
    """What is wrong with one variable; "" if nothing that can be said."""
    right, limit = np.asarray(truth[quantity]), np.asarray(truth.limit(quantity))
    if quantity in PER_SET and got.size == truth.problem.x.size != right.size:
        right, limit = truth.spread(right), truth.spread(limit)
    if got.size != right.size:
        return _count(truth, quantity, name, got, right)
    if [s for s in got.shape if s != 1] == [s for s in right.shape if s != 1]:
        got = got.reshape(right.shape)
    elif not _rearranged(got, right, limit):
        got, right, limit = got.ravel(), right.ravel(), limit.ravel()
    off = worst_element(name, got, right, limit, 0.0)
    if off is None or _rearranged(got, right, limit):
        return ""
    return f"The first quantity that is not right is `{name}`: {got_and_right(off)}."


def _count(truth: Truth, quantity: str, name: str, got: Any, right: Any) -> str:
    """What to say of a variable that has another number of entries."""
    expected = f"expected {right.size}, in the shape {right.shape}"
    if quantity in PER_SET:
        expected = f"there are {right.size} sets of {truth.problem.set_size}"
    holds = "one number" if got.size == 1 else f"{got.size} numbers, in the shape {got.shape}"
    return f"The first quantity that is not right is `{name}`: it holds {holds}; {expected}."


def _rearranged(got: Any, right: Any, limit: Any) -> bool:
    """Whether the same numbers stand there in another order, as in a transposed array."""
    most = float(np.max(limit, initial=0.0)) * 2
    return bool(np.all(np.abs(np.sort(got.ravel()) - np.sort(right.ravel())) <= most))


def read_back(case: Case, results: Mapping[str, Any]) -> str:
    """Say which statistic is wrong in y, or in xhat; "" where they do not tell."""
    problem, truth = case.problem, Truth(case.problem)
    z = results.get("y", results.get("xhat"))
    if (
        z is None
        or problem.norm in ("rms", "batch_frozen")
        or problem.set_size < 3
        or not np.isfinite(z).all()
    ):
        return ""
    affine = "y" in results and problem.weight is not None
    if affine and problem.norm != "batch":
        z = (z - truth.parameter("bias", 0.0)) / truth.parameter("weight", 1.0)
    fit = _fit(problem, z)
    if fit is None:  # of weight and bias, which vary within a set, it may be the fault
        return "" if affine and problem.norm != "batch" else _no_fit(case)
    return _affine(truth, *fit) if affine and problem.norm == "batch" else _statistics(truth, *fit)


def _fit(problem: Problem, z: Array) -> tuple[Array, Array] | None:
    """The factor and the shift that make z of x in each set; None where one has several."""
    ids = set_ids(problem)
    count = int(ids.max()) + 1
    factor, shift = np.empty(count), np.empty(count)
    for number in range(count):
        x, part = problem.x[ids == number], z[ids == number]
        xc, zc = x - x.mean(), part - part.mean()
        factor[number] = (xc * zc).sum() / (xc * xc).sum()
        shift[number] = part.mean() - factor[number] * x.mean()
        if factor[number] == 0 or np.abs(zc - factor[number] * xc).max() > FITS * np.abs(part).max():
            return None
    return factor, shift


def _statistics(truth: Truth, factor: Array, shift: Array) -> str:
    """The mean and the rstd that a result amounts to, against the right ones."""
    spread = terms(truth.problem).rstd.min()
    for name, got, size in (("mean", -shift / factor, 1 / spread), ("rstd", factor, np.max(truth["rstd"]))):
        right = truth[name]
        off = worst_element(name, got.reshape(right.shape), right, np.full(right.shape, 1e-6 * size), 0.0)
        if off is not None:
            return f"Your result amounts to a `{name}` that is not right: {got_and_right(off)}."
    return ""


def _affine(truth: Truth, factor: Array, shift: Array) -> str:
    """The factor and the shift of y in each channel, where weight and rstd cannot be told apart."""
    problem = truth.problem
    weight, bias = problem.weight, np.zeros_like(factor) if problem.bias is None else problem.bias
    right = weight * truth["rstd"]
    expected = {
        "factor": (factor, right, "weight * rstd"),
        "shift": (shift, bias - right * truth["mean"], "bias - weight * rstd * mean"),
    }
    for name, (got, wanted, formula) in expected.items():
        if off := worst_element(name, got, wanted, 1e-6 * np.max(np.abs(wanted)), 0.0):
            return (
                f"In each channel your y is one factor and one shift of x, and the {name} is not right: "
                f"{got_and_right(off)}, which is `{formula}`."
            )
    return ""


def _no_fit(case: Case) -> str:
    """What to say where a set has more than one factor and one shift."""
    return (
        f"Within one set of {case.problem.set_size} elements, your result is not one shift and one factor of "
        "x: some of them use other statistics."
    )


def got_and_right(off: Wrong) -> str:
    """A wrong element, in as many digits as tell it from the right one."""
    index = ", ".join(map(str, off.index))
    name = f"{off.name}[{index}]" if off.index else off.name
    pairs = [(f"{off.got + 0.0:.{digits}g}", f"{off.right + 0.0:.{digits}g}") for digits in (6, 9, 13, 17)]
    got, right = next((pair for pair in pairs if pair[0] != pair[1]), pairs[-1])
    return f"`{name}` is {got}, right is {right}"
