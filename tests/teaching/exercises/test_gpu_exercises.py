"""The exercises of tutorial 12 as students answer them: in other styles, and wrong in ways nobody planted."""

import math

import numpy as np
import pytest
from array_api_compat import array_namespace

from gnref.teaching.exercises import EXERCISES, check
from gnref.teaching.exercises.elsewhere import Far, to_host
from gnref.teaching.exercises.tutorial_12 import ADD, SUMS, given_workers, long_rows, one_order

tutorial = {}
exec(ADD, tutorial)
add = tutorial["add"]


def by_deviations(x, num_groups, eps):
    xp = array_namespace(x)
    rows = xp.reshape(x, (x.shape[0], num_groups, -1))
    d = rows - xp.mean(rows, axis=-1, keepdims=True)
    return xp.reshape(d / (xp.mean(d * d, axis=-1, keepdims=True) + eps) ** 0.5, x.shape)


def backwards(x, workers, item):
    sums = {}
    for worker in reversed(range(workers)):
        for first in range(worker * item, x.size, workers * item):
            sums[first] = np.cumsum(x[first : first + item])[-1]
    return np.cumsum([sums[first] for first in sorted(sums)])[-1]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("norm_anywhere", by_deviations),
        ("least_time", lambda shape, size, back, speed: (2 + back) * math.prod(shape) * size / speed / 1e9),
        ("fixed_sum", backwards),
    ],
)
def test_other_styles_are_right(name, answer):
    assert check(name, answer).status == "right", str(check(name, answer))


def test_a_result_in_another_shape_is_told_by_its_shape():
    def answer(x, num_groups, eps):
        return array_namespace(x).reshape(x, (x.shape[0], num_groups, -1))

    assert "has the shape (2, 3, 40); expected the shape (2, 6, 4, 5)" in check("norm_anywhere", answer).text


def test_a_result_on_the_host_is_not_right_however_it_came_there():
    def answer(x, num_groups, eps):
        return to_host(by_deviations(x, num_groups, eps))

    verdict = check("norm_anywhere", answer)
    assert (verdict.status, verdict.hint) == ("wrong", "by way of the host")


def test_the_hint_on_floats_is_not_given_for_ints():
    def answer(x, num_groups, eps):
        return Far(np.zeros(x.shape, np.float32))

    assert check("norm_anywhere", answer).hint is None


@pytest.mark.parametrize("factor", [1e9, 1e3, 1e-3])
def test_a_wrong_power_of_ten_is_told(factor):
    solution = check_solution("least_time")
    assert "the power of ten is not" in check("least_time", lambda *given: factor * solution(*given)).text


def test_a_wrong_factor_is_not_called_a_power_of_ten():
    solution = check_solution("least_time")
    assert "power of ten" not in check("least_time", lambda *given: 2 * solution(*given)).text


@pytest.mark.parametrize("answer", [lambda x, w, i: x.sum(), lambda x, w, i: math.fsum(x)])
def test_another_order_is_told_as_rounding(answer):
    assert "right but for its rounding" in check("fixed_sum", answer).text


def test_the_sum_hangs_on_the_items_alone():
    solution = check_solution("fixed_sum")
    for problem in long_rows():
        x, _, item = given_workers(problem)
        assert {float(solution(x, workers, item)) for workers in (1, 2, 7, 100)} == {one_order(problem)}
    assert any(workers > length / item for length, workers, item in SUMS)
    assert any(length % item for length, _, item in SUMS)


def check_solution(name):
    """The solution of an exercise as a function."""
    from gnref.teaching.exercises.exercise import build

    return build(EXERCISES[name], EXERCISES[name].solution)
