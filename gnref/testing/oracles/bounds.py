"""How far a central difference of the loops may be from the derivative: derived, not estimated.

Along a direction f(t) = sum(dy * y) at (x + t x_dot, weight + t weight_dot, bias + t bias_dot).

Truncation. f is analytic in |t| <= r (see `radius`) and |f| <= M there, so its k-th Taylor coefficient is at
most M / r^k: Cauchy's inequality. The extrapolation (4 D(h/2) - D(h)) / 3 cancels the term in h^2 and leaves
at most a third of every later one, (M/r) q^4 / (3 (1 - q^2)) in all, where q = h/r.

Rounding, to first order in the unit roundoff u. If |x| <= X in a set, x + t x_dot is off by at most 2 u X,
and subtracting the first value and the mean adds 10 u X: xhat moves by 12 u rstd X (2 + |xhat|), as no row of
its Jacobian is longer. All later roundings, those of weight and bias with them, are relative to a term of the
sum: 11 u M. Both together, E, are the error of one f; the four in (4 D(h/2) - D(h)) / 3 make 3 E / h.
"""

from __future__ import annotations

import math
from typing import Any

from gnref.testing.oracles import loops
from gnref.testing.oracles.sets import Index, by_set, weight_index
from gnref.testing.problems import Problem

Array = Any
Direction = tuple[Array | None, Array | None, Array | None]

Q = 2.0**-9  # h/r, where truncation and rounding are about equal
U = 2.0**-53  # the unit roundoff of float64
GROWTH = 1.52  # of rstd within the radius: 1 / sqrt(1 - 9/16), and a little more


def central_error(problem: Problem, direction: Direction) -> float:
    """Return a bound on the error of `gnref.testing.oracles.differences.central`; for float64 arrays.

    It is smallest where the parts of the direction are in proportion: x_dot of the size of x's spread,
    weight_dot of weight's, bias_dot of bias's.
    """
    r = radius(problem, direction)
    M, moved = _largest(problem, direction, r)
    truncation = M / r * Q**4 / (3 * (1 - Q**2))
    rounding = 3 * U * (11 * M + 12 * moved) / (Q * r)
    return truncation + rounding


def radius(problem: Problem, direction: Direction) -> float:
    """Return how far t may go: a quarter of (spread of x) / (spread of x_dot), in every set.

    var(x + t x_dot) + eps = a + 2 b t + c t^2 with b^2 <= a c. Where |t| sqrt(c/a) <= 1/4, complex t too, it
    stays within 9/16 a of a: it is never 0. If only weight and bias move, f is linear and any radius will do.
    """
    x_dot = direction[0]
    if x_dot is None or problem.norm == "batch_frozen":
        return 1.0
    steepest = 0.0
    for key, S in by_set(problem).items():
        _, rstd = loops.standardized(problem, key, [problem.x.item(i) for i in S])
        moves = _distances(problem, [float(x_dot[i]) for i in S])
        steepest = max(steepest, rstd * math.sqrt(loops.total(a * a for a in moves) / len(S)))
    return 1 / (4 * steepest) if steepest > 0 else 1.0


def _largest(problem: Problem, direction: Direction, r: float) -> tuple[float, float]:
    """Bounds in |t| <= r: M on sum |dy y|, and sum |dy weight| rstd X (2 + |xhat|)."""
    x_dot, weight_dot, bias_dot = direction
    values_of_f, values_of_xhat = [], []
    for key, S in by_set(problem).items():
        values = [problem.x.item(i) for i in S]
        moves = [0.0 if x_dot is None else float(x_dot[i]) for i in S]
        d, rstd = loops.standardized(problem, key, values)
        rstd *= GROWTH
        X = max(abs(v) + r * abs(a) for v, a in zip(values, moves, strict=True))
        for i, d_i, a in zip(S, d, _distances(problem, moves), strict=True):
            k = weight_index(problem, i)
            weight = _reach(problem.weight, weight_dot, k, r, absent=1.0)
            bias = _reach(problem.bias, bias_dot, k, r, absent=0.0)
            dy, xhat = abs(problem.dy.item(i)), rstd * (abs(d_i) + r * abs(a))
            values_of_f.append(dy * (weight * xhat + bias))
            values_of_xhat.append(dy * weight * rstd * X * (2 + xhat))
    return math.fsum(values_of_f), math.fsum(values_of_xhat)


def _reach(a: Array | None, a_dot: Array | None, k: Index, r: float, absent: float) -> float:
    """The largest |a[k] + t a_dot[k]| in |t| <= r."""
    if a is None:
        return absent
    return abs(float(a[k])) + (0.0 if a_dot is None else r * abs(float(a_dot[k])))


def _distances(problem: Problem, moves: list[float]) -> list[float]:
    """How the distances from the mean move when the values of a set do."""
    return moves if problem.norm in ("rms", "batch_frozen") else loops.centered(moves)
