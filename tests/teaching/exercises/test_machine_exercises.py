"""The exercises of tutorial 13 as students answer them: in other styles, and wrong in ways nobody planted."""

from functools import reduce

import numpy as np
import pytest

from gnref.teaching.exercises import check


def pair_by_pair(counts, means, M2):
    def merge(a, b):
        n = a[0] + b[0]
        delta = b[1] - a[1]
        return n, a[1] + delta * b[0] / n, a[2] + b[2] + delta**2 * a[0] * b[0] / n

    n, mean, total = reduce(merge, zip(counts, means, M2, strict=True))
    return mean, total / n


def by_dxhat(dy, x, mean, rstd, weight, counts, sums):
    dxhat, xhat = dy * weight, (x - mean) * rstd
    both = (weight * sums).sum(0) / counts.sum()
    return rstd * (dxhat - both[0] - xhat * both[1])


@pytest.mark.parametrize(
    ("name", "answer"), [("merge_shards", pair_by_pair), ("shard_dx", by_dxhat), ("crossing", {"layer"})]
)
def test_other_styles_are_right(name, answer):
    assert check(name, answer).status == "right", str(check(name, answer))


def test_a_weighted_average_of_variances_lacks_what_is_between():
    def answer(counts, means, M2):
        mean = np.average(means, axis=0, weights=counts)
        return mean, np.average(M2 / counts[:, None], axis=0, weights=counts)

    verdict = check("merge_shards", answer)
    assert (verdict.status, verdict.hint) == ("wrong", "nothing between")
