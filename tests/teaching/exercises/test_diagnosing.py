"""A wrong answer that is no known mistake: the first quantity that goes wrong, with its numbers."""

import re

import numpy as np
import pytest

from gnref.teaching.exercises import EXERCISES, check
from gnref.teaching.exercises.checking import check_answer
from gnref.teaching.exercises.exercise import Exercise, Mistake, Symptom, build

SOLUTION = EXERCISES["group_norm"].solution
NUMBERS = re.compile(r"`\w+(\[[\d, ]+\])?` is (-?\d\S*), right is (-?\d\S*)")


def edited(*pairs):
    """The verdict on the solution of group_norm with some lines changed."""
    text = SOLUTION
    for old, new in pairs:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return check("group_norm", build(EXERCISES["group_norm"], text, "reader's"))


@pytest.mark.parametrize(
    ("first", "old", "new"),
    [
        ("mean", "rows.mean(axis=(2, 3, 4), keepdims=True)", "rows.max(axis=(2, 3, 4), keepdims=True)"),
        (
            "var",
            "rows.var(axis=(2, 3, 4), keepdims=True)",
            "(rows * rows).mean(axis=(2, 3, 4), keepdims=True)",
        ),
        ("xhat", "/ np.sqrt(var + eps)", "/ np.sqrt(var + 2 * eps)"),
        ("y", "+ bias[:, None, None]", "- bias[:, None, None]"),
    ],
)
def test_the_first_wrong_quantity_is_named_with_numbers(first, old, new):
    verdict = edited((old, new))
    assert (verdict.status, verdict.hint) == ("wrong", None)
    named = re.search(r"`(\w+)(\[[\d, ]+\])?` is ", verdict.text)
    assert named is not None, verdict.text
    assert named[1] == first
    assert NUMBERS.search(verdict.text)


def test_the_numbers_are_those_of_the_answer():
    verdict = edited(("+ bias[:, None, None]", "+ bias[:, None, None] + 1"))
    _, got, right = NUMBERS.search(verdict.text).groups()
    assert float(got) - float(right.rstrip(".")) == pytest.approx(1, abs=1e-4)


def test_statistics_of_other_sets_are_counted():
    verdict = edited(("rows.mean(axis=(2, 3, 4), keepdims=True)", "rows.mean(axis=(2, 3), keepdims=True)"))
    assert re.search(
        r"`mean`: it holds \d+ numbers, in the shape .*; there are \d+ sets of \d+", verdict.text
    )


def nameless(x, num_groups, weight, bias, eps, factor=1.0, shift=0.0):
    r = x.reshape(x.shape[0], num_groups, -1)
    r = (r - r.mean(-1, keepdims=True) - shift) / np.sqrt(factor * r.var(-1, keepdims=True) + eps)
    return r.reshape(x.shape) * weight[:, None, None] + bias[:, None, None]


@pytest.mark.parametrize(("quantity", "wrong"), [("mean", {"shift": 0.1}), ("rstd", {"factor": 1.1})])
def test_statistics_are_read_back_from_y_where_no_variable_has_their_name(quantity, wrong):
    verdict = check("group_norm", lambda *arguments: nameless(*arguments, **wrong))
    assert f"Your result amounts to a `{quantity}` that is not right: `{quantity}[" in verdict.text
    assert check("group_norm", lambda *arguments: nameless(*arguments)).status == "right"


def test_a_pooled_batch_breaks_a_property_of_the_kit():
    def pooled(x, num_groups, weight, bias, eps):
        r = x.swapaxes(0, 1)
        r = r.reshape(num_groups, -1)
        r = ((r - r.mean(-1, keepdims=True)) / np.sqrt(r.var(-1, keepdims=True) + eps)).reshape(
            x.swapaxes(0, 1).shape
        )
        return r.swapaxes(0, 1) * weight[:, None, None] + bias[:, None, None]

    assert "Normalize one example alone" in check("group_norm", pooled).text


def test_a_whole_pass_must_be_right_beyond_the_problems_that_are_compared():
    right = build(EXERCISES["group_norm"], SOLUTION)

    def large_alone(x, num_groups, weight, bias, eps):  # x of the comparison has more elements than this
        return right(x, num_groups, weight, bias, eps) if x.size > 100 else x

    verdict = check("group_norm", large_alone)
    assert verdict.status == "wrong"
    assert "x has the shape" in verdict.text


def test_other_answers_must_be_right_beyond_them_too():
    right = build(EXERCISES["group_mean"], EXERCISES["group_mean"].solution)
    verdict = check("group_mean", lambda x, num_groups: right(x, num_groups) * (len(x) > 1))
    assert verdict.status == "wrong"
    assert verdict.text.startswith("It is right on some problems, and wrong on another one. In your result")
    assert "x has the shape (1, " in verdict.text


def test_a_list_that_holds_several_results_says_which_are_right():
    exercise = Exercise(
        "both",
        0,
        "",
        "def both(x):\n    return x.mean((2, 3)), x.var((2, 3))\n",
        norm="instance",
        takes=("x",),
        answers=("mean", "var"),
    )
    verdict = check_answer(exercise, lambda x: (x.mean((2, 3)), x.std((2, 3))))
    assert "`var[" in verdict.text
    assert "(mean is right; here x has the shape " in verdict.text


def test_a_symptom_is_told_where_no_mistake_matches():
    negative = Symptom(
        "negative", lambda got, right, problem: bool((got < 0).any()), "No variance is negative."
    )
    exercise = Exercise(
        "spread",
        0,
        "",
        "def spread(x):\n    return x.var()\n",
        (Mistake("over m - 1", "x.var()", "x.var(ddof=1)", "Divide by m."),),
        norm="layer",
        ranks=(1,),
        takes=("x",),
        answers=("var",),
        symptoms=(negative,),
    )
    assert check_answer(exercise, lambda x: -x.var()).text.startswith("No variance is negative.")
    assert check_answer(exercise, lambda x: x.var() * 2).text.startswith("In your result, `var` is")
    assert check_answer(exercise, lambda x: x.var(ddof=1)).hint == "over m - 1"


def test_a_mistake_that_differs_on_one_problem_alone_is_not_named():
    text = "def first(x):\n    return x.mean((2, 3))\n"
    rare = Mistake(
        "rare", "    return", "    if x.shape == SHAPE:\n        return -x.mean((2, 3))\n    return", "Rare."
    )
    exercise = Exercise("first", 0, "", text, norm="instance", takes=("x",), answers=("mean",))
    from gnref.teaching.exercises.cases import cases

    shape = cases(exercise)[0].problem.shape
    exercise = Exercise(
        "first",
        0,
        "",
        text,
        (rare,),
        norm="instance",
        takes=("x",),
        answers=("mean",),
        context=f"SHAPE = {shape}",
    )
    verdict = check_answer(exercise, build(exercise, exercise.edited(rare)))
    assert (verdict.status, verdict.hint) == ("wrong", None)


def test_the_right_number_of_a_variable_is_not_given_away():
    exercise = Exercise("count", 0, "", "count = 42\n", oracle=lambda problem: 42)
    assert check_answer(exercise, 41).text == "`count` is 41, which is not right."
    assert check_answer(exercise, 42).status == "right"
    assert check_answer(exercise, "42").status == "not understood"
