"""Answers as students write them: in other styles, with mistakes nobody planted, and broken ones."""

import sys

import numpy as np
import pytest

from gnref.teaching.exercises import EXERCISES, check
from gnref.teaching.exercises.exercise import build

SOLVED = {name: build(EXERCISES[name], EXERCISES[name].solution) for name in EXERCISES}
group_mean, group_norm = SOLVED["group_mean"], SOLVED["group_norm"]


class BadWordsError(Exception):
    def __str__(self):
        raise ValueError


class HalfAnError(BaseException):
    pass


class NoArray:
    def __array__(self, *arguments, **options):
        raise RuntimeError("no array of this")


class NoWords(str):
    def __repr__(self):
        raise RuntimeError


def raising(error):
    """A function that raises."""

    def answer(x, num_groups):
        raise error

    return answer


def changing(call, do):
    """The right function, which does something else in one of its calls."""
    count = 0

    def answer(x, num_groups):
        nonlocal count
        count += 1
        return do(group_mean(x, num_groups)) if count == call else group_mean(x, num_groups)

    return answer


def leaving_later(calls):
    """Group norm that ends the program after some calls."""
    count = 0

    def answer(*arguments):
        nonlocal count
        count += 1
        return group_norm(*arguments) if count <= calls else sys.exit(1)

    return answer


@pytest.mark.parametrize("error", [BadWordsError(), HalfAnError("half"), GeneratorExit()], ids=repr)
def test_whatever_is_raised_is_told(error):
    verdict = check("group_mean", raising(error))
    assert verdict.status == "wrong"
    assert f"raises {type(error).__name__}" in verdict.text


def test_an_interrupt_ends_the_check():
    with pytest.raises(KeyboardInterrupt):
        check("group_mean", raising(KeyboardInterrupt()))


@pytest.mark.parametrize(
    "value", [NoArray(), NoWords("a"), 10**5000, "a" * 10**5], ids=["array", "repr", "digits", "long"]
)
def test_whatever_is_returned_is_told_in_a_sentence(value):
    verdict = check("group_mean", lambda x, num_groups: value)
    assert verdict.status == "not understood"
    assert verdict.text.startswith("mean is ")
    assert len(verdict.text) < 300


def test_what_a_reader_wrote_is_cut_and_can_be_printed():
    text = check("group_mean", raising(ValueError("\ud800\x1b[31m" + "z" * 10**5))).text
    assert len(text) < 400
    assert text.isprintable()
    text.encode()


@pytest.mark.parametrize("call", [7, 8, 10])
def test_a_function_that_is_wrong_once_is_told_so(call):
    assert check("group_mean", changing(call, np.negative)).text.startswith("Asked the same again, ")


def test_random_results_are_told_before_any_property():
    noise = np.random.default_rng(0).normal
    verdict = check("group_norm", lambda *arguments: group_norm(*arguments) + noise())
    assert verdict.text.startswith("Asked the same again, ")


@pytest.mark.parametrize("calls", [6, 8])
def test_an_exit_in_a_property_of_the_kit_is_no_right_answer(calls):
    assert check("group_norm", leaving_later(calls)).status == "wrong"


def test_an_exception_on_small_problems_alone_is_told_with_its_line():
    def picky(x, num_groups, weight, bias, eps):
        if x.size < 100:
            raise ValueError("too small")
        return group_norm(x, num_groups, weight, bias, eps)

    verdict = check("group_norm", picky)
    assert verdict.text.startswith("It is right on some problems, and wrong on another one. Where x has ")
    assert 'raise ValueError("too small")`, raises ValueError: too small.' in verdict.text


def printing(x, num_groups):
    print(group_mean(x, num_groups))


def pausing(x, num_groups):
    mean = x.mean()
    return None if x.shape[0] % 2 else mean


@pytest.mark.parametrize("answer", [printing, pausing])
def test_a_forgotten_return_is_not_an_untouched_stub(answer):
    verdict = check("group_mean", answer)
    assert (verdict.status, verdict.text) == (
        "not understood",
        "Your function returns None: is its `return` missing?",
    )


def test_none_for_one_of_several_results_is_told_by_its_name():
    backward = SOLVED["group_backward"]
    verdict = check("group_backward", lambda *arguments: (*backward(*arguments)[:2], None))
    assert (verdict.status, verdict.text) == (
        "not understood",
        "dbias is None; expected numbers in the shape (21,).",
    )


def test_two_ellipses_are_an_error_and_no_stub():
    verdict = check("group_mean", lambda x, num_groups: x[..., 0, ...])
    assert verdict.status == "wrong"
    assert "raises IndexError" in verdict.text


def test_prints_to_stderr_stay_out_of_the_notebook(capsys):
    def answer(x, num_groups):
        sys.stderr.write("there")
        return group_mean(x, num_groups)

    assert check("group_mean", answer).status == "right"
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["number_of_means", "slots_channels_last", "batch_statistics", "update"])
def test_an_array_will_do_for_a_tuple_of_equal_shapes(name):
    assert check(name, lambda *arguments: np.array(SOLVED[name](*arguments))).status == "right"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mates", "(shape, num_groups, cell)"), ("merge", "(a, b)"), ("number_of_means", "(N, C, H, W, G)")],
)
def test_the_arguments_are_named_where_they_are_too_few(name, expected):
    assert check(name, lambda one: one).text == f"Your function takes (one); expected {expected}."


def test_a_free_problem_is_told_by_its_arguments():
    text = check("welford_update", lambda count, mean, M2, x: (count + 1, x, 1.0)).text
    assert "count = 0, mean = 0, M2 = 0, x = 3.53335" in text
    assert "a = (1, 2.88984, 0), b = (2, " in check("merge", lambda a, b: (a[0] + b[0], 0.0, 0.0)).text


def test_close_numbers_have_the_digits_that_tell_them_apart():
    verdict = check("group_mean", lambda x, num_groups: group_mean(x.astype(np.float32), num_groups))
    got, right = (part.split()[0] for part in verdict.text.partition("]` is ")[2].split(", right is "))
    assert got != right.rstrip(".")
    assert "is there a step in float32" in verdict.text


def test_no_message_is_longer_than_a_few_sentences():
    text = check("group_norm", lambda x, G, weight, bias, eps: x - x.mean()).text
    assert text.count(". ") <= 4


# Names that stand for something else than in the solution are not blamed for a mistake elsewhere.


def var_with_eps(x, num_groups, weight, bias, eps):
    rows = x.reshape(len(x), num_groups, -1)
    mean = rows.mean(-1, keepdims=True)
    var = rows.var(-1, keepdims=True) + eps
    y = ((rows - mean) / np.sqrt(var)).reshape(x.shape)
    return y * weight[:, None, None] - bias[:, None, None]


def std_as_rstd(x, num_groups, weight, bias, eps):
    rows = x.reshape(len(x), num_groups, -1)
    rstd = np.sqrt(rows.var(-1, keepdims=True) + eps)
    xhat = ((rows - rows.mean(-1, keepdims=True)) / rstd).reshape(x.shape)
    xhat = xhat * weight[:, None, None]
    return xhat - bias[:, None, None]


def means_of_channels(x, num_groups, weight, bias, eps):
    N, C = x.shape[:2]
    mean = np.repeat(x.reshape(N, num_groups, -1).mean(-1), C // num_groups, axis=1)[:, :, None, None]
    var = np.repeat(x.reshape(N, num_groups, -1).var(-1), C // num_groups, axis=1)[:, :, None, None]
    return (x - mean) / np.sqrt(var + eps) * weight[:, None, None] - bias[:, None, None]


@pytest.mark.parametrize("answer", [var_with_eps, std_as_rstd, means_of_channels])
def test_a_right_quantity_of_another_name_is_not_blamed(answer):
    verdict = check("group_norm", answer)
    assert verdict.text.startswith("In your result, `y["), verdict.text


def test_the_unbiased_variance_of_the_solution_itself_is_not_blamed():
    text = EXERCISES["update"].solution.replace("(1 - momentum) * running_mean + momentum * mean", "mean * 2")
    verdict = check("update", build(EXERCISES["update"], text, "reader's"))
    assert verdict.text.startswith("In your result, `new_running_mean["), verdict.text
    assert "(new_running_var is right; here x has " in verdict.text


def test_other_gradients_by_mean_and_var_are_not_blamed():
    text = EXERCISES["group_backward"].solution.replace("via_mean", "dmean").replace("via_var", "dvar")
    text = text.replace("dy.sum(", "1 + dy.sum(")
    verdict = check("group_backward", build(EXERCISES["group_backward"], text, "reader's"))
    assert verdict.text.startswith("In your result, `dbias["), verdict.text


def test_a_wrong_bias_of_batch_norm_is_not_called_a_wrong_mean():
    text = EXERCISES["batch_norm"].solution.replace("+ bias", "- bias").replace("xhat", "scaled")
    verdict = check("batch_norm", build(EXERCISES["batch_norm"], text, "reader's"))
    assert "and the shift is not right" in verdict.text, verdict.text
    assert "`mean`" not in verdict.text


# Hints are true of every answer that gets them.


def test_an_unshaped_bias_is_not_called_an_unshaped_weight():
    def answer(x, num_groups, weight, bias, eps):
        return group_norm(x, num_groups, weight, 0 * bias, eps) + bias

    verdict = check("group_norm", answer)
    assert verdict.hint in (None, "weight along the pixels")
    assert "multiply" not in verdict.text


@pytest.mark.parametrize("name", ["group_norm", "layer_norm"])
def test_a_variance_without_its_axes_is_not_called_a_mean(name):
    text = EXERCISES[name].solution
    start = text.index("var = ")
    text = text[:start] + text[start:].replace(", keepdims=True", "", 1)
    verdict = check(name, build(EXERCISES[name], text, "reader's"))
    assert verdict.hint == "missing keepdims"
    assert verdict.text.startswith("A mean or a variance of yours")


def test_strided_groups_are_known_where_y_stays_in_order():
    def strided(x, num_groups, weight, bias, eps):
        y = np.empty_like(x)
        for g in range(num_groups):
            part = x[:, g::num_groups]
            axes = {"axis": (1, 2, 3), "keepdims": True}
            y[:, g::num_groups] = (part - part.mean(**axes)) / np.sqrt(part.var(**axes) + eps)
        return y * weight[:, None, None] + bias[:, None, None]

    assert check("group_norm", strided).hint == "strided groups"


def test_a_tolerance_without_its_factor_is_not_called_one_without_its_1():
    def answer(y, right):
        return bool((np.abs(y - right) <= 2.0**-24 * (1 + np.abs(right))).all())

    assert check("close_enough", answer).hint != "no 1"
