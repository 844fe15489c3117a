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
from gnref.testing.tolerances import terms

# In the order in which they are computed; std is left out, as some have eps in it and some do not.
FORWARD = ("mean", "xc", "var", "rstd", "xhat", "y")
BACKWARD = ("dxhat", "mean_dxhat", "mean_dxhat_xhat", "drstd", "dvar", "dmean", "dx", *PER_WEIGHT)
ORDER = (*FORWARD, *BACKWARD, *RUNNING)
ALIASES = {
    "mu": "mean",
    "means": "mean",
    "variance": "var",
    "x_hat": "xhat",
    "inv_std": "rstd",
    "centered": "xc",
    "dx_hat": "dxhat",
    "dmu": "dmean",
    "via_mean": "mean_dxhat",
    "via_var": "mean_dxhat_xhat",
    "dgamma": "dweight",
    "dbeta": "dbias",
}
FITS = 1e-7  # relative: what a fit may leave, where y is a factor and a shift of x


def first_wrong(exercise: Exercise, answer: Any, case: Case) -> str:
    """Say which of a function's variables is the first that is not right; "" where none tells."""
    if not exercise.is_function or exercise.oracle is not None or exercise.arguments is not None:
        return ""
    held = ask(exercise, answer, case, variables=True).variables
    named = {ALIASES.get(name, name): (name, value) for name, value in held.items()}
    for quantity in ORDER:
        if quantity in exercise.takes or quantity not in named:
            continue
        if told := _told(case, quantity, *named[quantity]):
            return told
    return ""


def _told(case: Case, quantity: str, name: str, value: Any) -> str:
    """What is wrong with one variable; "" if nothing, or nothing that can be said."""
    if not isinstance(value, np.ndarray | float) or np.asarray(value).dtype.kind != "f":
        return ""
    got, truth = np.asarray(value, float), Truth(case.problem)
    right, limit = np.asarray(truth[quantity]), np.asarray(truth.limit(quantity))
    if quantity in PER_SET and got.size == case.problem.x.size != right.size:
        right, limit = truth.spread(right), truth.spread(limit)
    if got.size != right.size:
        return _count(case, quantity, name, got, right)
    if [s for s in got.shape if s != 1] == [s for s in right.shape if s != 1]:
        got = got.reshape(right.shape)
    elif not _rearranged(got, right, limit):
        got, right, limit = got.ravel(), right.ravel(), limit.ravel()
    else:
        return ""
    off = worst_element(name, got, right, limit, 0.0)
    if off is None or _rearranged(got, right, limit):
        return ""
    return f"The first quantity that is not right is `{name}`: {numbers(off)}."


def _count(case: Case, quantity: str, name: str, got: Any, right: Any) -> str:
    """What to say of a variable that has another number of entries."""
    what = {True: f"there are {right.size} sets of {case.problem.set_size}"}.get(
        quantity in PER_SET, f"expected {right.size}, in the shape {right.shape}"
    )
    holds = "one number" if got.size == 1 else f"{got.size} numbers, in the shape {got.shape}"
    return f"The first quantity that is not right is `{name}`: it holds {holds}; {what}."


def _rearranged(got: Any, right: Any, limit: Any) -> bool:
    """Whether the same numbers stand there in another order, as in a transposed array."""
    most = float(np.max(limit, initial=0.0)) * 2
    return bool(np.all(np.abs(np.sort(got.ravel()) - np.sort(right.ravel())) <= most))


def read_back(case: Case, results: Mapping[str, Any]) -> str:
    """Say which statistic is wrong in y, or in xhat; "" where they do not tell."""
    problem, truth = case.problem, Truth(case.problem)
    if "y" in results:
        xhat = (results["y"] - truth.parameter("bias", 0.0)) / truth.parameter("weight", 1.0)
    elif "xhat" in results:
        xhat = results["xhat"]
    else:
        return ""
    if problem.norm in ("rms", "batch_frozen") or problem.set_size < 3 or not np.isfinite(xhat).all():
        return ""
    count = int(set_ids(problem).max()) + 1
    factor, mean = np.empty(count), np.empty(count)
    for number in range(count):
        inside = set_ids(problem) == number
        x, z = problem.x[inside], xhat[inside]
        spread = ((x - x.mean()) ** 2).sum()
        factor[number] = ((x - x.mean()) * (z - z.mean())).sum() / spread
        left = z - z.mean() - factor[number] * (x - x.mean())
        if factor[number] == 0 or np.abs(left).max() > FITS * np.abs(z).max():
            return (
                ""
                if "y" in results and problem.weight is not None and problem.norm != "batch"
                else _no_fit(case)
            )
        mean[number] = x.mean() - z.mean() / factor[number]
    return _compare_fit(case, truth, factor, mean)


def _compare_fit(case: Case, truth: Truth, factor: Any, mean: Any) -> str:
    """The mean and the rstd that a result amounts to, against the right ones."""
    shape = np.shape(truth["mean"])
    spread = terms(case.problem).rstd.min()
    for name, got in (("mean", mean), ("rstd", factor)):
        size = 1 / spread if name == "mean" else np.max(truth["rstd"])
        off = worst_element(name, got.reshape(shape), truth[name], np.full(shape, 1e-6 * size), 0.0)
        if off is not None:
            return f"Your result amounts to a `{name}` that is not right: {numbers(off)}."
    return ""


def _no_fit(case: Case) -> str:
    """What to say where a set has more than one factor and one shift."""
    return (
        f"Within one set of {case.problem.set_size} elements, your result is not one shift and one factor of "
        "x: some of them use other statistics."
    )


def numbers(off: Wrong) -> str:
    """A wrong element, in numbers."""
    index = ", ".join(map(str, off.index))
    name = f"{off.name}[{index}]" if off.index else off.name
    return f"`{name}` is {off.got:.6g}, right is {off.right:.6g}"
