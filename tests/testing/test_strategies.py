import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings

from gnref.testing.problems import NORMS, Problem
from gnref.testing.strategies import DTYPES, problems

QUICK = settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("norm", NORMS)
def test_problems_fit_their_norm(norm):
    @QUICK
    @given(problem=problems(norm, max_elements=100))
    def fits(problem):
        assert problem.x.size <= 100
        assert problem.x.dtype == problem.dy.dtype
        assert problem.x.dtype.name in DTYPES
        assert 1 <= problem.x.ndim <= 6
        for a in (problem.x, problem.dy, problem.weight, problem.bias, problem.running_var):
            assert a is None or np.isfinite(a.astype(float)).all()

    fits()


WANTED = {
    "a large offset": lambda p: (
        p.kind == "normal" and abs(p.x.astype(float).mean()) > 1e5 * p.x.astype(float).std() > 0
    ),
    "a tiny scale": lambda p: 0 < np.abs(p.x.astype(float)).max() < 1e-16,
    "a huge scale": lambda p: np.abs(p.x.astype(float)).max() > 1e17,
    "a constant": lambda p: p.kind == "constant" and p.x.size > 3,
    "video": lambda p: p.x.ndim == 5,
    "N, C alone": lambda p: p.x.ndim == 2,
    "channels last": lambda p: p.x.ndim > 2 and p.channel_axis % p.x.ndim == p.x.ndim - 1,
    "G = 2 of C = 6": lambda p: p.num_groups == 2 and 6 in p.shape,
    "one example": lambda p: p.shape[0] == 1,
    "one pixel": lambda p: p.x.ndim == 4 and p.shape[2:] == (1, 1),
    "read-only": lambda p: not p.x.flags.writeable,
    "strided": lambda p: p.layout == "every_second" and p.x.size > 4,
    "no weight but a bias": lambda p: p.weight is None and p.bias is not None,
    "16 bits with float32 weights": lambda p: (
        p.x.dtype.name == "bfloat16" and p.weight is not None and p.weight.dtype == np.float32
    ),
    "a stride of 0": lambda p: p.x.size > 4 and 0 in p.x.strides,
    "a strided weight": lambda p: p.weight is not None and p.weight.size > 1 and p.weight.strides[0] > 8,
    "eps of 0": lambda p: p.eps == 0,
}


@pytest.mark.parametrize("what", WANTED)
def test_hard_problems_are_among_them(what):
    easy = settings(max_examples=5000, database=None, suppress_health_check=list(HealthCheck))
    assert isinstance(find(problems("group"), WANTED[what], settings=easy), Problem)


def test_a_problem_knows_its_norm():
    with pytest.raises(ValueError, match="norm is 'weight'; expected one of batch, instance"):
        Problem("weight", np.zeros(2), np.zeros(2))


def test_long_sets_are_long():
    long = settings(max_examples=2000, database=None, suppress_health_check=list(HealthCheck))
    found = find(problems("group", lengths=(300, 70_001)), lambda p: p.x.size > 70_000, settings=long)
    assert found.x.ndim == 3
