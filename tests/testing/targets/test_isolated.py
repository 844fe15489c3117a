import os

import numpy as np
import pytest
import wrecks

from gnref.testing import Problem
from gnref.testing.targets import Finding, Functions, Refused, Stopped
from gnref.testing.targets.isolated import HANGS, RETURNS, Isolated, importable
from gnref.testing.targets.worker import pack, unpack

pytestmark = pytest.mark.skipif(os.name != "posix", reason="takes POSIX pipes")
SMALL = Problem("layer", np.arange(6.0).reshape(2, 3), np.ones((2, 3)), normalized_shape=(3,))
DEEP = SMALL.but(x=np.arange(6.0).reshape(1, 2, 3), dy=np.ones((1, 2, 3)))


@pytest.fixture
def isolated():
    made = []

    def make(name, **options):
        made.append(Isolated(getattr(wrecks, name), norm="layer", **options))
        return made[-1]

    yield make
    for target in made:
        target.close()


def test_results_are_those_of_this_process(isolated):
    far = Isolated(wrecks.good, wrecks.right_backward, norm="layer")
    near = Functions(wrecks.good, wrecks.right_backward, norm="layer")
    strided = DEEP.but(x=np.asfortranarray(DEEP.x)[:, ::-1])
    for problem in (SMALL, DEEP, strided):
        one, other = far.forward(problem), near.forward(problem)
        assert np.array_equal(one.y, other.y)
        assert np.array_equal(one.rstd, other.rstd)
        assert np.array_equal(far.backward(problem.dy, one).dx, near.backward(problem.dy, other).dx)
    assert far.abilities == near.abilities
    far.close()


@pytest.mark.parametrize(
    ("name", "told"), [("aborts", "SIGABRT"), ("segfaults", "SIGSEGV"), ("exits", "status 3")]
)
def test_a_lost_process_is_a_finding_and_is_started_again(isolated, name, told):
    target = isolated(name)
    for _ in range(2):
        with pytest.raises(Finding, match=f"takes its process down: .*{told}") as found:
            target.forward(DEEP)
        assert found.value.property == RETURNS
        assert target.forward(SMALL).y.shape == (2, 3)


@pytest.mark.parametrize("name", ["sleeps", "spins"])
def test_a_hang_is_a_finding_until_patience_ends(isolated, name):
    target = isolated(name, timeout=0.2)
    for _ in range(HANGS):
        with pytest.raises(Finding, match=r"does not return within 0.2 s"):
            target.forward(DEEP)
    with pytest.raises(Stopped, match="3 calls that hung"):
        target.forward(SMALL)


def test_compiling_is_no_hang(isolated):
    assert isolated("compiles", timeout=0.5).forward(SMALL).y.shape == (2, 3)


def test_what_it_prints_stays_there(isolated, capfd):
    isolated("prints").forward(SMALL)
    assert capfd.readouterr().out == ""


def test_a_write_past_the_end_comes_back_as_a_finding(isolated):
    target = isolated("writes_past_the_end")
    target.forward(SMALL)
    assert [finding.property for finding in target.findings] == ["reads and writes in bounds"]


def test_an_exception_is_a_refusal(isolated):
    with pytest.raises(Refused, match="raises KeyError: 'x'"):
        isolated("raises").forward(SMALL)


def test_a_lambda_runs_in_a_fork():
    target = Isolated(lambda x, *a, **k: x + 1, norm="layer")
    assert not importable(target.recipe)
    assert np.array_equal(target.forward(SMALL).y, SMALL.x + 1)
    target.close()


def test_a_target_that_cannot_be_made_is_one_sentence():
    with pytest.raises(ValueError, match="the target could not be made: ValueError: target is 'nothing'"):
        Isolated("nothing", norm="layer")


def test_a_problem_survives_the_wire():
    strided = DEEP.but(x=np.asfortranarray(DEEP.x)[:, ::-1], weight=np.ones(6)[::2])
    again = unpack(pack(strided))
    assert again.x.strides == strided.x.strides
    assert np.array_equal(again.weight, strided.weight)
    assert again.bias is None
    assert again.normalized_shape == (3,)
