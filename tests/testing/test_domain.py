import numpy as np
import pytest

from gnref.testing import Problem
from gnref.testing.domain import Domain, domain

X = np.zeros((2, 6, 4), np.float32)
PROBLEM = Problem("group", X, X, weight=np.ones(6), bias=np.ones(6), num_groups=3)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (None, ""),
        ({"ranks": 3}, ""),
        ({"ranks": (2, 4)}, "ranks"),
        ({"dtypes": "float32"}, ""),
        ({"dtypes": ["float64"]}, "dtypes"),
        ({"channel_multiple": 3}, ""),
        ({"channel_multiple": 4}, "channel_multiple"),
        ({"max_set": 8}, ""),
        ({"max_set": 7}, "max_set"),
        ({"affine_required": True}, ""),
        ({"eps": 1e-5}, ""),
        ({"eps": (1e-3, 1e-6)}, "eps"),
        ({"contiguous": True}, ""),
        ({"where": lambda problem: problem.num_groups == 2}, "supports"),
        (lambda problem: problem.set_size == 8, ""),
        (lambda problem: False, "supports"),
    ],
)
def test_limits(limits, reason):
    assert domain(limits).why_not(PROBLEM) == reason


def test_limits_of_other_problems():
    assert domain({"affine_required": True}).why_not(PROBLEM.but(bias=None)) == "affine_required"
    rms = Problem("rms", X, X, weight=np.ones(4), normalized_shape=(4,))
    assert domain({"affine_required": True}).why_not(rms) == ""
    assert domain({"channel_multiple": 3}).why_not(rms) == "channel_multiple"
    assert domain({"contiguous": True}).why_not(PROBLEM.but(x=X[:, ::-1])) == "contiguous"


def test_bad_limits():
    with pytest.raises(ValueError, match="positive integer"):
        domain({"channel_multiple": 0})
    assert not Domain().limited
    assert domain({"ranks": 4}).limited
