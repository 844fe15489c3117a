"""What a run's problems had in them: a property that never met a hard problem has shown nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from gnref.testing.members import param_ids, set_ids, set_means, set_sizes
from gnref.testing.problems import Problem
from gnref.testing.tolerances import terms


def groups_tell(problem: Problem) -> bool | None:
    """G not in {1, C, C/G}, so that swapping G and K, or taking another norm, shows; group norm only."""
    if problem.norm != "group" or problem.num_groups is None:
        return None
    G, C = problem.num_groups, problem.shape[problem.channel_axis]
    return G not in (1, C, C // G)


def weight_varies(problem: Problem) -> bool | None:
    """Some set has more than one weight, and they differ; where sets hold several weights at all."""
    if problem.norm not in ("group", "layer", "rms"):
        return None
    if problem.weight is None:
        return False
    sets, weight = set_ids(problem).ravel(), problem.weight.ravel()[param_ids(problem).ravel()]
    first = weight[np.unique(sets, return_index=True)[1]]
    return bool((weight != first[sets]).any())


def odd_length(problem: Problem) -> bool | None:
    """m is not a power of two: padding and masks of a kernel are in use."""
    m = int(set_sizes(problem).max())
    return m & (m - 1) != 0


def dx_tells(problem: Problem) -> bool | None:
    """dx is far from 0: more than a tenth of its terms somewhere (with dy = 1 and weight = 1 it is 0)."""
    t = terms(problem)
    own = problem.norm != "batch_frozen"
    via_mean = set_means(problem, t.signed_g) if own and problem.norm != "rms" else 0.0
    via_var = t.signed_xhat * set_means(problem, t.signed_g * t.signed_xhat) if own else 0.0
    size = t.g + t.mean_g + t.xhat * t.mean_g_xhat
    return bool((np.abs(t.signed_g - via_mean - via_var) > 0.1 * size).any())


FEATURES: dict[str, Callable[[Problem], bool | None]] = {
    "G not in {1, C, C/G}": groups_tell,
    "weight varies inside a set": weight_varies,
    "m not a power of two": odd_length,
    "dx far from 0": dx_tells,
}


@dataclass
class Coverage:
    """How many problems were asked each question, and how many said yes."""

    asked: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FEATURES, 0))
    found: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FEATURES, 0))

    def note(self, problem: Problem) -> None:
        """Ask a problem every question."""
        for name, feature in FEATURES.items():
            answer = feature(problem)
            if answer is not None:
                self.asked[name] += 1
                self.found[name] += answer

    def add(self, other: Coverage) -> None:
        """Add another run's counts."""
        for name in FEATURES:
            self.asked[name] += other.asked[name]
            self.found[name] += other.found[name]

    def shares(self) -> dict[str, float | None]:
        """The share of yes for each question; None where it was never asked."""
        return {name: self.found[name] / n if n else None for name, n in self.asked.items()}
