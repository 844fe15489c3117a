"""Problems of exercises: drawn, of several shapes, with sizes that tell axes apart."""

import numpy as np
import pytest

from gnref.teaching.exercises.cases import MANY, MOST, draw
from gnref.teaching.exercises.exercise import Exercise

NORMS = ("batch", "instance", "group", "layer", "rms", "batch_frozen")


def drawn(norm, **more):
    return draw(Exercise(f"cases of {norm}", 0, "", "", norm=norm, **more))


@pytest.mark.parametrize("norm", NORMS)
def test_there_are_several_and_every_axis_has_a_size_of_its_own(norm):
    problems = drawn(norm)
    shapes = {(problem.shape, problem.num_groups, problem.normalized_shape) for problem in problems}
    assert len(problems) == len(shapes) == MANY
    for problem in problems:
        N, *rest = problem.shape
        G = problem.num_groups
        sizes = [N, *rest] if G is None else [N, G, rest[0] // G, *rest]
        assert len(set(sizes)) == len(sizes), problem
        assert min(sizes) > 1
        assert problem.x.size <= MOST


@pytest.mark.parametrize("norm", NORMS)
def test_nothing_is_constant_that_could_hide_a_mistake(norm):
    for problem in drawn(norm):
        for name, array in {"x": problem.x, "dy": problem.dy, **problem.parameters}.items():
            assert len(np.unique(array)) > 0.9 * array.size, name
        assert problem.eps >= 1e-3


def test_ranks_and_offsets_are_as_asked():
    problems = drawn("layer", ranks=(1,), options={"offsets": (1e6,), "eps": (0.25,)})
    assert {problem.rank for problem in problems} == {1}
    assert all(abs(problem.x.mean() - 1e6) < 100 for problem in problems)
    assert {problem.eps for problem in problems} == {0.25}


def test_equal_draws_are_equal():
    one, other = drawn("group"), drawn("group")
    assert [problem.shape for problem in one] == [problem.shape for problem in other]
    assert all(np.array_equal(a.x, b.x) for a, b in zip(one, other, strict=True))
