"""The two ends of the scale: one small call, and the time per element up to a gigabyte."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

import gnref
from gnref.bench.case import draw
from gnref.bench.grid import Row
from gnref.bench.machine import cache_size
from gnref.bench.own import Own
from gnref.bench.results import Timing
from gnref.bench.timing import Run, interleave, once

SMALL = Row("group", "forward", (2, 64, 16, 16), num_groups=8)
EXAMPLE = (256, 56, 56)  # C H W, 3 MB
GIGABYTE = 10**9
CALLS = 3


def small_call(threads: int, rounds: int = 15) -> dict[str, Timing]:
    """Time the whole public call on a small array, and `torch.nn.functional.group_norm` in turn with it."""
    case = draw(SMALL)
    runs: dict[str, Run] = {"gnref": Own(case).run}
    if find_spec("torch") is not None:
        import torch
        from torch.nn.functional import group_norm

        torch.set_num_threads(threads)
        x, weight, bias = (torch.from_numpy(a.copy()) for a in (case.x, case.weight, case.bias))
        runs["torch"] = lambda: group_norm(x, SMALL.num_groups or 1, weight, bias)
    return interleave(runs, rounds)


def sizes(cache: int, most: int = GIGABYTE) -> list[int]:
    """Bytes from beyond the cache to the largest array, each the double of the one before.

    Examples
    --------
    >>> sizes(cache=300, most=4000)
    [500, 1000, 2000, 4000]
    """
    found = [most]
    while found[0] / 2 > cache:
        found.insert(0, found[0] // 2)
    return found


def time_per_element(most: int = GIGABYTE) -> dict[int, tuple[float, float]]:
    """Time group norm on arrays that no cache holds.

    Returns
    -------
    seconds : dict of int to (float, float)
        For each size of x in bytes, those of one element, forward and backward.
    """
    return {
        nbytes: (_per_element(nbytes, False), _per_element(nbytes, True))
        for nbytes in sizes(cache_size(), most)
    }


def _per_element(nbytes: int, backward: bool) -> float:
    """The least of a few calls."""
    example = np.random.default_rng(0).standard_normal(EXAMPLE, np.float32)
    x = np.empty((max(1, nbytes // example.nbytes), *EXAMPLE), np.float32)
    x[...] = example
    weight = np.ones(EXAMPLE[0], np.float32)
    if backward:
        _, saved = gnref.group_norm_forward(x, 32, weight, weight)
    return (
        min(
            once(lambda: gnref.backward(x, saved) if backward else gnref.group_norm(x, 32, weight, weight))
            for _ in range(CALLS)
        )
        / x.size
    )
