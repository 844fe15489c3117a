import numpy as np

from gnref.testing import Problem
from gnref.testing.members import param_ids, set_ids
from gnref.testing.oracles.sets import by_set, weight_index

X = np.zeros((4, 6, 3))
PROBLEMS = [
    Problem("batch", X, X),
    Problem("batch", X, X, virtual_batch_size=2),
    Problem("instance", X, X, channel_axis=-1),
    Problem("group", X, X, num_groups=3),
    Problem("layer", X, X, normalized_shape=(6, 3)),
    Problem("rms", X, X, normalized_shape=(4, 6, 3)),
]


def test_sets_are_those_of_the_oracles():
    for problem in PROBLEMS:
        ids, sets = set_ids(problem), by_set(problem).values()
        assert sorted(len(S) for S in sets) == sorted(np.bincount(ids.ravel()))
        assert all(len({int(ids[i]) for i in S}) == 1 for S in sets)


def test_parameters_are_those_of_the_oracles():
    for problem in PROBLEMS:
        shape = problem.normalized_shape or (problem.shape[problem.channel_axis],)
        for i, number in np.ndenumerate(param_ids(problem)):
            assert np.ravel_multi_index(weight_index(problem, i), shape) == number
