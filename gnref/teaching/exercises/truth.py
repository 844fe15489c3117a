"""What is right, by name: every quantity of a problem, from the kit's exact oracle, with its tolerance.

============================================ ================================================================
name                                         what it is
============================================ ================================================================
x, dy, weight, bias, eps, num_groups,        the problem's own; m is the number of elements in a set
normalized_shape, m
running_mean, running_var, momentum          of before the step
mean, var, rstd, std, unbiased_var           one for each set; std is sqrt(var + eps)
xc, xhat, y                                  of x's shape; xc is x - mean
dxhat, dx                                    of x's shape
drstd, dvar, dmean                           gradients by each set's rstd, var and mean: rstd as a function of
                                             var alone, xhat of x, mean and rstd
mean_dxhat, mean_dxhat_xhat                  the two means in the one line for dx
dweight, dbias                               of weight's shape
new_running_mean, new_running_var            after the step: the new value has the weight momentum, var is
                                             unbiased
============================================ ================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from gnref.testing import oracles
from gnref.testing.members import param_ids, set_ids
from gnref.testing.problems import CHANNEL_NORMS, Array, Problem
from gnref.testing.strategies import statistics
from gnref.testing.tolerances import relative_errors, terms, tolerance, unit_roundoff

MOMENTA = (0.1, 0.3, 0.01)
GIVEN = ("x", "dy", "weight", "bias", "eps", "num_groups", "normalized_shape")
PER_SET = (
    "mean",
    "var",
    "rstd",
    "std",
    "unbiased_var",
    "drstd",
    "dvar",
    "dmean",
    "mean_dxhat",
    "mean_dxhat_xhat",
)
PER_ELEMENT = ("xc", "xhat", "y", "dxhat", "dx")
PER_WEIGHT = ("dweight", "dbias")
RUNNING = ("new_running_mean", "new_running_var")
NAMES = (
    *GIVEN,
    "m",
    "running_mean",
    "running_var",
    "momentum",
    *PER_SET,
    *PER_ELEMENT,
    *PER_WEIGHT,
    *RUNNING,
)


class Truth:
    """The quantities of one problem.

    Parameters
    ----------
    problem : Problem
        In float64.
    keepdims : bool
        Whether statistics keep the axes that they are over, with size 1. Of group norm they are
        (N, G, 1, 1, 1), to broadcast against x as (N, G, K, H, W).

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1.0, 3.0], [2.0, 6.0]])
    >>> Truth(Problem("layer", x, x, normalized_shape=(2,), eps=0.0))["mean"]
    array([2., 4.])
    """

    def __init__(self, problem: Problem, keepdims: bool = False) -> None:
        self.problem, self.keepdims = problem, keepdims
        self.exact = oracles.load("exact")
        self.known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """The right value of a quantity: an array of float64, or what the problem has."""
        if name not in self.known:
            self.known[name] = self._find(name)
        return self.known[name]

    def _find(self, name: str) -> Any:
        problem = self.problem
        if name in GIVEN:
            return getattr(problem, name)
        if name == "m":
            return problem.set_size
        if name == "momentum":
            return MOMENTA[problem.seed % len(MOMENTA)]
        if name in ("running_mean", "running_var"):
            own = getattr(problem, name)
            return self._running()[name] if own is None else own
        if name in RUNNING:
            return self._after_the_step(name)
        if name in PER_SET:
            return self._per_set(FORMULAS[name](self))
        if name in PER_ELEMENT + PER_WEIGHT:
            return FORMULAS[name](self)
        raise KeyError(f"there is no quantity {name!r}; expected one of {', '.join(NAMES)}")

    def limit(self, name: str) -> Any:
        """How far each element of a quantity may be off: of grade B, as the kit has it."""
        problem, t = self.problem, terms(self.problem)
        if name in ("y", "dx", "dweight", "dbias"):
            return getattr(tolerance(problem), name)
        u = unit_roundoff("float64")
        r, relative = relative_errors(problem)
        if name in ("xhat", "xc"):
            error = r + 8 * u + t.xhat * (relative + 8 * u)
            return error if name == "xhat" else error / t.rstd
        if name == "dxhat":
            return 8 * u * t.g
        if name in RUNNING or name in ("mean", "var", "rstd", "std", "unbiased_var"):
            return self._statistic_limit(name, r, relative)
        spread = np.bincount(set_ids(problem).ravel(), weights=(t.g * (1 + t.xhat)).ravel())
        loose = self._largest(r + relative) * 4 + (64 + 4 * problem.set_size) * u
        rstd = np.ravel(Truth(problem)["rstd"])
        power = {"drstd": -1, "dvar": 2, "dmean": 1}.get(name, 0)
        share = problem.set_size if name.startswith("mean_") else 1
        return self._per_set((loose * spread * rstd**power / share).reshape(self._set_shape))

    def _statistic_limit(self, name: str, r: Array, relative: Array) -> Any:
        """The tolerances of mean and var, and of what is made of them."""
        bare = Truth(self.problem)
        of_mean = self._largest(r / terms(self.problem).rstd).reshape(self._set_shape)
        off = 2 * self._largest(relative).reshape(self._set_shape)
        of_var = off * (bare["var"] + self.problem.eps)
        u = unit_roundoff("float64")
        limits = {
            "mean": of_mean + 4 * u * np.abs(bare["mean"]),
            "var": of_var,
            "unbiased_var": 2 * of_var,
            "rstd": off * bare["rstd"],
            "std": off * bare["std"],
        }
        if name in limits:
            return self._per_set(limits[name])
        which = "mean" if name == "new_running_mean" else "unbiased_var"
        return self._over_examples(limits[which]) + 8 * u * np.abs(self[name.removeprefix("new_")])

    def _largest(self, errors: Array) -> Array:
        """The largest of each set, flat."""
        ids = set_ids(self.problem).ravel()
        largest = np.zeros(int(ids.max()) + 1)
        np.maximum.at(largest, ids, np.ravel(errors))
        return largest

    @property
    def _exact_sets(self) -> dict[Any, tuple[Fraction, Fraction, Fraction]]:
        """mean, var and rstd of every set, in fractions."""
        if "sets" not in self.known:
            self.known["sets"] = self.exact.statistics(self.problem)
        found: dict[Any, tuple[Fraction, Fraction, Fraction]] = self.known["sets"]
        return found

    @property
    def _set_shape(self) -> tuple[int, ...]:
        """The shape of a statistic: (C,), (N, C), (N, G), or the leading dimensions."""
        keys = list(self._exact_sets)
        return tuple(max(key[i] for key in keys) + 1 for i in range(len(keys[0])))

    def statistic(self, which: int) -> Array:
        """The mean, the var or the rstd (0, 1, 2), without the axes that it is over."""
        out = np.empty(self._set_shape)
        for key, found in self._exact_sets.items():
            out[key] = float(found[which])
        return out

    def gradient(self, which: int) -> Array:
        """dx, dweight or dbias (0, 1, 2)."""
        if "gradients" not in self.known:
            self.known["gradients"] = self.exact.gradients(self.problem)
        return _floats(self.known["gradients"][which])

    def spread(self, stat: Array) -> Array:
        """A statistic at every element of x."""
        out: Array = np.ravel(stat)[set_ids(self.problem)]
        return out

    def sums(self, t: Array) -> Array:
        """The sum over each set, rounded once."""
        ids, flat = set_ids(self.problem).ravel(), [Fraction(float(a)) for a in np.ravel(t)]
        totals = [Fraction(0)] * (int(ids.max()) + 1)
        for number, value in zip(ids.tolist(), flat, strict=True):
            totals[number] += value
        return np.array([float(total) for total in totals]).reshape(self._set_shape)

    def _per_set(self, stat: Array) -> Any:
        """A statistic, with the axes that it is over if they are to be kept."""
        if not self.keepdims:
            return stat
        problem, rank = self.problem, self.problem.rank
        if problem.norm not in CHANNEL_NORMS:
            shape: tuple[int, ...] = (*stat.shape, *(1,) * (rank - stat.ndim))
        elif problem.norm == "group":
            shape = (*stat.shape, *(1,) * (rank - 1))
        else:
            shape = (1,) * (2 - stat.ndim) + stat.shape + (1,) * (rank - 2)
        return stat.reshape(shape)

    def _running(self) -> dict[str, Array]:
        """Running statistics of before the step, near those of the data."""
        if "running" not in self.known:
            self.known["running"] = statistics(
                (self.problem.shape[1],), self.problem.seed, 0.0, 1.0, "float64"
            )
        found: dict[str, Array] = self.known["running"]
        return found

    def _after_the_step(self, name: str) -> Array:
        """(1 - momentum) of the old value, and momentum of the new one."""
        old, momentum = self[name.removeprefix("new_")], self["momentum"]
        bare = Truth(self.problem)
        new = bare["mean"] if name == "new_running_mean" else bare["unbiased_var"]
        out: Array = (1 - momentum) * old + momentum * self._over_examples(new)
        return out

    def _over_examples(self, stat: Array) -> Array:
        """Instance norm keeps the mean over the examples."""
        return stat.mean(0) if stat.ndim == 2 else stat

    def parameter(self, which: str, absent: float) -> Array:
        """weight or bias at every element of x."""
        found = getattr(self.problem, which)
        return (
            np.full(self.problem.shape, absent) if found is None else found.ravel()[param_ids(self.problem)]
        )


def _floats(a: Array) -> Array:
    """Fractions as float64."""
    return np.array([float(value) for value in a.ravel()]).reshape(a.shape)


def _dvar(t: Truth) -> Array:
    bare = Truth(t.problem)
    out: Array = -0.5 * bare["rstd"] ** 3 * bare["drstd"]
    return out


FORMULAS: dict[str, Callable[[Truth], Any]] = {
    "mean": lambda t: t.statistic(0),
    "var": lambda t: t.statistic(1),
    "rstd": lambda t: t.statistic(2),
    "std": lambda t: 1 / t.statistic(2),
    "unbiased_var": lambda t: t.statistic(1) * t.problem.set_size / (t.problem.set_size - 1),
    "xc": lambda t: t.problem.x - t.spread(t.statistic(0)),
    "xhat": lambda t: _floats(t.exact.y(t.problem.but(weight=None, bias=None))),
    "y": lambda t: _floats(t.exact.y(t.problem)),
    "dxhat": lambda t: t.problem.dy * t.parameter("weight", 1.0),
    "dx": lambda t: t.gradient(0),
    "dweight": lambda t: t.gradient(1),
    "dbias": lambda t: t.gradient(2),
    "drstd": lambda t: t.sums(t["dxhat"] * t["xc"]),
    "dvar": _dvar,
    "dmean": lambda t: -t.statistic(2) * t.sums(t["dxhat"]),
    "mean_dxhat": lambda t: t.sums(t["dxhat"]) / t.problem.set_size,
    "mean_dxhat_xhat": lambda t: t.sums(t["dxhat"] * t["xhat"]) / t.problem.set_size,
}
