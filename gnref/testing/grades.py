"""Grades: how a target's error depends on the offset of x, and the scales of x at which it is right."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gnref.testing import data
from gnref.testing.domain import Domain
from gnref.testing.memory import channels_last
from gnref.testing.problems import CHANNEL_NORMS, Problem
from gnref.testing.properties.grades import ACCURACY, OFFSETS, RANGE, SCALES, errors
from gnref.testing.properties.property import identical, results
from gnref.testing.strategies import np_dtype
from gnref.testing.targets import Finding, Refused, Stopped, Target, Unsupported
from gnref.testing.tolerances import largest_result, relative_errors

SEEDS = 3
LONG = 512  # with the other axes, some thousand elements a set
SPATIAL: tuple[tuple[int, ...], ...] = ((), (12,), (4, 3), (3, 2, 2), (2, 1, 3, 2))  # for ranks 2 to 6


@dataclass
class Grade:
    """What a target's numbers are worth in one dtype.

    Attributes
    ----------
    accuracy : str
        "A": the error does not depend on the offset of x; "B": it grows like offset/spread, as that of a
        sound two-pass kernel does; "F": faster, like its square where the variance cancels, or large at
        every offset.
    range : float
        The largest s such that it is right at every scale of x from 1/s to s; 0 if at none.
    errors : dict of float to float
        The worst error at each offset, in units of the tolerance of grade A.
    unsteady, unsound, lost : Problem or None
        What shows that it is no A, that it is an F, and where its range ends.
    """

    accuracy: str
    range: float
    errors: dict[float, float] = field(default_factory=dict)
    unsteady: Problem | None = None
    unsound: Problem | None = None
    lost: Problem | None = None

    def short_of(self, accuracy: str, reach: float) -> dict[str, Problem]:
        """What shows that a required accuracy or range is not reached, by the name of the property."""
        shown = {
            ACCURACY: self.unsteady if accuracy == "A" else self.unsound,
            RANGE: self.lost if self.range < reach else None,
        }
        return {name: problem for name, problem in shown.items() if problem is not None}


def standard(
    norm: str, dtype: str, param_dtype: str, domain: Domain, seed: int = 0, length: int = 0
) -> Problem:
    """A small problem inside the domain, if there can be one: integers, with all parameters.

    Parameters
    ----------
    norm : str
        Of `gnref.testing.problems.NORMS`.
    dtype, param_dtype : str
        Of x and dy, and of weight and bias.
    domain : Domain
        What the target takes.
    seed : int
        Of the numbers.
    length : int
        If given, that of the first spatial axis, or of the normalized one.
    """
    rank = 4 if domain.ranks is None or 4 in domain.ranks else min(max(domain.ranks[0], 2), 6)
    q, limit = domain.channel_multiple, domain.max_set or 10**9
    if norm in CHANNEL_NORMS:
        K = 2 * q
        C = 3 * K
        spatial = SPATIAL[rank - 2] if not length else (length, *SPATIAL[rank - 2][1:])[: rank - 2]
        if (C if norm == "batch" else K) * 12 > limit and norm != "instance":
            spatial = (1,) * len(spatial)
        shape, params = (2 if rank > 2 else 8, C, *spatial), (C,)
        options: dict[str, Any] = {"num_groups": 3} if norm == "group" else {}
    else:
        params = (min(max(q, limit // q * q), -(-(length or 12) // q) * q),)
        shape = (*(1,) * (rank - 2), 4, *params)[-max(rank, 1) :]
        options = {"normalized_shape": params}
    made = Problem(
        norm,
        x=data.values("integers", shape, seed).astype(np_dtype(dtype)),
        dy=data.values("integers", shape, seed + 4).astype(np_dtype(dtype)),
        weight=data.nonzero(params, seed).astype(np_dtype(param_dtype)),
        bias=None if norm == "rms" else data.values("normal", params, seed + 1).astype(np_dtype(param_dtype)),
        eps=domain.eps[0] if domain.eps else 1e-5,
        seed=seed,
        grade="B",
        **options,
    )
    short = made.but(eps=held(made.eps))
    return short if domain.why_not(made) and not domain.why_not(short) else made


def grade(target: Target, norm: str, dtype: str, param_dtype: str, domain: Domain) -> Grade | None:
    """Grade a target in one dtype; None where its domain has no problem to grade it by."""
    plain = [standard(norm, dtype, param_dtype, domain, seed) for seed in range(SEEDS)]
    if any(domain.why_not(problem) for problem in plain):
        return None
    longer = standard(norm, dtype, param_dtype, domain, length=LONG)
    long = plain[0] if domain.why_not(longer) else longer
    strided = norm in CHANNEL_NORMS and "strides" in target.abilities
    made = Grade("B", 0.0)
    for offset in OFFSETS[dtype]:
        moved = [at(problem, offset, 1.0, domain) for problem in plain]
        moved += [in_channels_last(problem) for problem in moved[:strided]]
        found = [measured(target, problem) for problem in moved]
        made.errors[offset] = max(strict for strict, _ in found)
        for problem, (strict, sound) in zip(moved, found, strict=True):
            if strict > 4 * max(1.0, made.errors[0.0]):
                made.unsteady = made.unsteady or problem.but(grade="A")
            if sound > 1 and (relative_errors(problem)[0] < 0.1).all():
                made.unsound = made.unsound or problem
    made.accuracy = "F" if made.unsound else "B" if made.unsteady else "A"
    made.range, made.lost = reach(target, long, domain)
    return made


def reach(target: Target, problem: Problem, domain: Domain) -> tuple[float, Problem | None]:
    """The largest s of `SCALES` such that a target is right from 1/s to s, and where it no longer is."""
    largest = 0.0
    for scale in sorted(s for s in SCALES if s >= 1):
        for s in {scale, 1 / scale}:
            moved = at(problem, 0.0, s, domain)
            if not np.isfinite(moved.x.astype(np.float64)).all():
                return largest, None
            if moved.dtype == "float16" and largest_result(moved) > 60_000:
                continue
            if measured(target, moved)[1] > 1:
                return largest, moved
        largest = scale
    return largest, None


def at(problem: Problem, offset: float, scale: float, domain: Domain) -> Problem:
    """The same structure with normal numbers at an offset and a scale; eps with them, if it can be set."""
    x = (data.values("normal", problem.shape, problem.seed) + offset) * scale
    eps = problem.eps if domain.eps else problem.eps * scale**2
    if problem.eps == held(problem.eps):
        eps = held(eps)
    with np.errstate(over="ignore"):
        return problem.but(x=x.astype(problem.x.dtype), eps=eps)


def held(eps: float) -> float:
    """The nearest eps of 32 bits, in which some keep it (ONNX has no other attributes)."""
    return float(np.float32(eps))


def in_channels_last(problem: Problem) -> Problem:
    """The same problem in memory whose fastest axis is C: kernels have sums of their own for that."""
    return problem.but(x=channels_last(problem.x), dy=channels_last(problem.dy), layout="channels_last")


def measured(target: Target, problem: Problem) -> tuple[float, float]:
    """The worst error in tolerances of grade A and B: infinite without a result, 0 where none is owed."""
    try:
        found = errors(target, problem)
    except Unsupported:
        return 0.0, 0.0
    except (Finding, Refused, Stopped):
        return float("inf"), float("inf")
    if found is None:
        return 0.0, 0.0
    return found.in_tolerances(problem.but(grade="A")), found.in_tolerances(problem)


def batch_invariant(target: Target, norm: str, dtype: str, param_dtype: str, domain: Domain) -> bool | None:
    """Whether an example's y and dx are the same bits alone and in a batch; None for batch norm.

    Kernels that choose the order of their sums by the size of the batch are right to rounding, and yet a
    sequence's output then changes with its neighbours (vLLM #48271).
    """
    if norm == "batch":
        return None
    for seed in range(SEEDS):
        problem = at(standard(norm, dtype, param_dtype, domain, seed, length=64 * seed), 1.0, 1.0, domain)
        if domain.why_not(problem):
            continue
        x = data.values("normal", (257, *problem.shape[1:]), seed).astype(problem.x.dtype)
        dy = data.values("normal", x.shape, seed + 1).astype(problem.x.dtype)
        try:
            many = results(target, problem.but(x=x, dy=dy))
            names = [name for name in ("y", "dx") if name in many]
            if any(many[name].shape != x.shape for name in names):
                return None
            for i in (0, 1, 256):
                one = results(target, problem.but(x=x[i : i + 1], dy=dy[i : i + 1]))
                if identical(*((many[name][i : i + 1], one[name]) for name in names)):
                    return False
        except (Finding, Refused, Stopped, Unsupported):
            return None
    return True
