"""Two laws with grades: how the error grows with the offset of x, and at which scales of x it is small."""

from __future__ import annotations

from typing import Any, NamedTuple

from gnref.testing import oracles
from gnref.testing.problems import Problem
from gnref.testing.properties.property import difference, holds, results, worst
from gnref.testing.targets.target import Target
from gnref.testing.tolerances import tolerance

SMALL = 60  # elements
ACCURACY, RANGE = "error grows like the offset at most", "scales of x"
OFFSETS = {
    "float64": (0.0, 1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9),
    "float32": (0.0, 1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6),
    "float16": (0.0, 1.0, 1e1, 1e2, 1e3),
    "bfloat16": (0.0, 1.0, 1e1, 1e2, 1e3),
}
SCALES = (1.0, 1e1, 1e-1, 1e2, 1e-2, 1e4, 1e-4, 1e6, 1e-6, 1e9, 1e-9, 1e12, 1e-12, 1e15, 1e-15, 1e18, 1e-18)


class Errors(NamedTuple):
    """How far y and the gradients are from those of an oracle."""

    oracle: str
    by_name: dict[str, Any]

    def in_tolerances(self, problem: Problem) -> float:
        """The worst of them, in units of the tolerance of the problem's grade."""
        limits = tolerance(problem, oracle=self.oracle)
        return worst(*((error, getattr(limits, name)) for name, error in self.by_name.items()))


def errors(target: Target, problem: Problem) -> Errors | None:
    """Run both passes; None where no oracle takes the problem. Fractions are for small ones in float64."""
    names = ("exact", "fsum") if problem.dtype == "float64" and problem.x.size <= SMALL else ("fsum",)
    name = next((name for name in names if oracles.supports(name, problem)), None)
    if name is None:
        return None
    oracle, found = oracles.load(name), results(target, problem)
    expected = {"y": oracle.y(problem)}
    if "backward" in target.abilities:
        expected |= dict(zip(("dx", "dweight", "dbias"), oracle.gradients(problem), strict=True))
    return Errors(name, {key: difference(found.get(key), a) for key, a in expected.items()})


def right(target: Target, problem: Problem) -> float | None:
    """The worst error of y and the gradients, in tolerances."""
    found = errors(target, problem)
    return None if found is None else found.in_tolerances(problem)


@holds(
    ACCURACY,
    but=["batch_frozen"],
    oracle="exact",
    museum=(1, 2, 3, 4, 5, 7, 8, 9, 10, 16, 18, 70),
    max_elements=SMALL,
    kinds=("normal", "integers", "one_hot"),
    scales=(1.0,),
    eps=(1e-5, 1e-3),
    layouts=("plain", "channels_last"),  # for which kernels have another path, with sums of its own
    param_layouts=("plain",),
)
def accuracy(target: Target, problem: Problem) -> float | None:
    """x = offset + spread: grade B allows an error in step with offset/spread, grade A none that grows."""
    return right(target, problem)


@holds(
    RANGE,
    but=["batch_frozen"],
    oracle="exact",
    museum=(6, 11, 14),
    max_elements=SMALL,
    kinds=("normal", "integers"),
    offsets=(0.0, 1.0),
    scales=tuple(scale for scale in SCALES if 1e-4 <= scale <= 1e4),
    eps=(1e-5, 1e-3, 0.5),
)
def scales(target: Target, problem: Problem) -> float | None:
    """x in other units, eps with it: right from 1e-4 to 1e4, or as far as is required."""
    return right(target, problem)
