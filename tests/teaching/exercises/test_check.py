"""What `check` says of answers of every kind: never a traceback, always a sentence."""

import warnings

import numpy as np
import pytest

from gnref.teaching.exercises import EXERCISES, check
from gnref.teaching.exercises.exercise import build

NAME = "group_mean"
WRITES = "It writes to `x`: what it is given belongs to the caller. Work on a copy."


def runs(x, num_groups):
    """The right rows."""
    return x.reshape(x.shape[0], num_groups, -1)


def raising(x, num_groups):
    rows = runs(x, num_groups)
    return rows.reshape(2, 2)


def writing(x, num_groups):
    mean = runs(x, num_groups).mean(-1)
    x -= 1
    return mean


def printing(x, num_groups):
    print("here")
    warnings.warn("there", stacklevel=1)
    return runs(x, num_groups).mean(-1)


def unwritten(x, num_groups):
    mean = ...
    return x - mean


def raising_not_implemented(x, num_groups):
    raise NotImplementedError


def leaving(x, num_groups):
    raise SystemExit("I am out")


@pytest.mark.parametrize(
    "answer",
    [..., None, lambda x, num_groups: None, unwritten, raising_not_implemented],
    ids=["dots", "None", "stub", "half", "not implemented"],
)
def test_what_is_not_written_yet(answer):
    verdict = check(NAME, answer)
    assert (verdict.status, verdict.hint, verdict.picture) == ("not written yet", None, "")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (3, 'expected your function itself, not called: `check("group_mean", group_mean)`'),
        (np.zeros((2, 3)), "an array of float64 with the shape (2, 3); expected your function itself"),
        (lambda x: x, "Your function takes (x); expected (x, num_groups)"),
        (lambda x, num_groups: "three", "mean is 'three'; expected numbers in the shape"),
        (lambda x, num_groups: {"mean": 1}, "mean is of type dict; expected numbers in the shape"),
        (lambda x, num_groups: [[1, 2], [3]], "mean is a list of 2; expected numbers"),
        (lambda x, num_groups: runs(x, num_groups).mean(-1) + 1j, "an array of complex128"),
        (lambda x, num_groups: np.zeros((0, 3)), "mean is empty, with the shape (0, 3)"),
        (lambda x, num_groups: x.mean(), "mean is one number; expected the shape ("),
        (lambda x, num_groups: runs(x, num_groups).mean(-1).T, ", G = "),
    ],
    ids=["number", "array", "signature", "text", "dict", "ragged", "complex", "empty", "0-d", "shape"],
)
def test_what_is_not_understood(answer, sentence):
    verdict = check(NAME, answer)
    assert (verdict.status, verdict.hint) == ("not understood", None)
    assert sentence in str(verdict)
    assert "Traceback" not in str(verdict)


def test_an_exception_is_told_with_the_line_that_raises_it():
    verdict = check(NAME, raising)
    assert verdict.status == "wrong"
    assert "`return rows.reshape(2, 2)`, raises ValueError: cannot reshape" in verdict.text
    assert "Traceback" not in verdict.html


def test_the_line_is_found_in_a_function_of_a_notebook_cell():
    exercise = EXERCISES[NAME]
    text = exercise.solution.replace("return rows", "return nothing")
    verdict = check(NAME, build(exercise, text, "cell"))
    assert "line 4, `return nothing.mean(axis=(2, 3, 4))`, raises NameError" in verdict.text


def test_an_exit_is_an_exception_like_any_other():
    assert "raises SystemExit: I am out" in check(NAME, leaving).text


def test_writing_to_an_argument_is_told():
    verdict = check(NAME, writing)
    assert (verdict.status, verdict.text) == ("wrong", WRITES)


def test_prints_and_warnings_stay_out_of_the_notebook(capsys):
    assert check(NAME, printing).status == "right"
    assert capsys.readouterr() == ("", "")


def test_lists_will_do_for_arrays():
    assert check(NAME, lambda x, num_groups: runs(x, num_groups).mean(-1).tolist()).status == "right"


def test_float32_is_told_with_numbers():
    verdict = check(NAME, lambda x, num_groups: runs(x, num_groups).astype(np.float32).mean(-1))
    assert verdict.status == "wrong"
    assert "right is" in verdict.text


@pytest.mark.parametrize(
    ("name", "near"),
    [("groupmean", "`group_mean`"), ("group_nrom", "`group_norm`"), (7, "one of "), ("", "one of ")],
)
def test_an_unknown_name_gets_the_near_ones(name, near):
    verdict = check(name, runs)
    assert (verdict.status, verdict.text.count(".")) == ("not understood", 1)
    assert near in verdict.text


def test_the_answer_is_never_changed_nor_are_the_problems():
    before = str(check(NAME, raising))
    check(NAME, writing)
    assert str(check(NAME, raising)) == before
