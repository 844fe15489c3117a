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
        return mean, np.average(M2 / np.maximum(counts, 1)[:, None], axis=0, weights=counts)

    verdict = check("merge_shards", answer)
    assert (verdict.status, verdict.hint) == ("wrong", "nothing between")


def test_a_shard_may_be_empty():
    def answer(counts, means, M2):
        mean = np.average(means, axis=0, weights=counts)
        with np.errstate(invalid="ignore"):
            return mean, np.average(M2 / counts[:, None] + (means - mean) ** 2, axis=0, weights=counts)

    verdict = check("merge_shards", answer)
    assert verdict.status == "wrong"
    assert "nan" in str(verdict)


def test_a_difference_of_squares_is_wrong_far_from_0():
    def answer(counts, means, M2):
        n = counts.sum()
        mean = (counts[:, None] * means).sum(0) / n
        squares = M2.sum(0) + (counts[:, None] * means**2).sum(0)
        return mean, squares / n - mean**2

    verdict = check("merge_shards", answer)
    assert verdict.status == "wrong"
    assert "var[" in str(verdict)


def test_sums_over_the_number_of_ranks():
    def answer(dy, x, mean, rstd, weight, counts, sums):
        n, xhat = len(counts), (x - mean) * rstd
        return weight * rstd * (dy - sums.sum(0)[0] / n - xhat * sums.sum(0)[1] / n)

    assert "divided by the number of ranks" in str(check("shard_dx", answer))


@pytest.mark.parametrize("name", ["Layer", "layer norm", 1])
def test_a_set_of_other_names_is_told_the_four(name):
    said = str(check("crossing", {name}))
    assert all(f'"{norm}"' in said for norm in ("batch", "instance", "group", "layer"))
