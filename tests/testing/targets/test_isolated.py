import os

import numpy as np
import pytest
import wrecks

from gnref.testing import ConformanceError, Problem, check
from gnref.testing.domain import domain
from gnref.testing.targets import Finding, Functions, Refused, Stopped
from gnref.testing.targets.isolated import HANGS, RETURNS, Isolated, Worker, importable
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


class Answers:
    """A connection whose answer comes after so many waits, none of which takes time."""

    def __init__(self, waits):
        self.waits = waits

    def send(self, request):
        pass

    def poll(self, seconds):
        self.waits -= 1
        return self.waits < 0

    def recv(self):
        return "answer"


def asked(waits, processor_times, timeout=10.0, longer=6):
    """What a worker makes of it whose processor shows these times, one at each look."""
    worker = object.__new__(Worker)
    worker.connection, worker.processor_time = Answers(waits), iter(processor_times).__next__
    return worker.asked((), timeout, longer)


def test_what_computes_may_take_longer_and_what_sleeps_may_not():
    busy, asleep = [0.0, 9.0, 18.0, 27.0, 36.0, 45.0, 54.0], [7.0] * 7
    assert asked(0, asleep) == "answer"
    assert asked(5, busy) == "answer"
    for waits, times in ((6, busy), (1, asleep), (2, [0.0, 9.0, 9.0])):
        with pytest.raises(TimeoutError):
            asked(waits, times)
    assert asked(5, [None] * 7) == "answer", "where no system tells"
    with pytest.raises(TimeoutError):
        asked(1, busy, longer=1)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="takes /proc")
def test_the_processor_time_is_that_of_the_other_process(isolated):
    target = isolated("compiles")
    before = target.process.processor_time()
    target.forward(SMALL)
    assert target.process.processor_time() - before > 0.1, "it computes for 0.2 s of its own time"


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
    with pytest.raises(ValueError, match=r"^target is 'nothing'; expected torch"):
        Isolated("nothing", norm="layer")


def test_an_accident_there_is_told_with_its_kind(monkeypatch):
    def make(recipe):
        raise KeyError("x")

    monkeypatch.setattr("gnref.testing.targets.worker.make", make)
    with pytest.raises(ValueError, match=r"^the target could not be made: KeyError: 'x'$"):
        Isolated(lambda *a, **k: None, norm="layer")


def test_abilities_are_those_of_this_process_in_a_domain_too(isolated):
    limits = domain({"contiguous": True, "affine_required": True})
    near = Functions(wrecks.good, norm="layer", domain=limits)
    assert isolated("good", domain=limits).abilities == near.abilities
    assert "strides" not in near.abilities


def checked(forward, timeout=10.0):
    """The first result and the others of an isolated check in a fork, which takes least time to start."""
    report = check(
        lambda *args, **words: forward(*args, **words),
        norm="layer",
        dtypes=("float32",),
        max_examples=2,
        isolate=True,
        timeout=timeout,
    )
    assert not report.ok
    assert report.failed == [RETURNS]
    with pytest.raises(ConformanceError, match=RETURNS):
        report.raise_if_failed()
    first = next(result for result in report.results if result.property == RETURNS)
    assert first.status == "failed"
    return first, [result for result in report.results if result is not first]


def test_a_check_goes_on_after_an_abort():
    first, others = checked(wrecks.aborts_in_four_dimensions)
    assert first.reason == "takes its process down: SIGABRT"
    assert first.counterexample.rank == 4
    assert first.snippet
    assert "passed" in {result.status for result in others}
    assert all(result.reason for result in others if result.status != "passed")


def test_a_check_ends_after_some_hangs_and_tells_what_was_not_asked():
    first, others = checked(wrecks.sleeps, timeout=0.2)
    assert first.reason == "does not return within 0.2 s"
    assert first.counterexample.rank > 2
    reasons = {result.reason for result in others if result.status != "not asked"}
    assert reasons == {f"given up after {HANGS} calls that hung and 0 that ended it"}


def test_a_problem_survives_the_wire():
    strided = DEEP.but(x=np.asfortranarray(DEEP.x)[:, ::-1], weight=np.ones(6)[::2])
    again = unpack(pack(strided))
    assert again.x.strides == strided.x.strides
    assert np.array_equal(again.weight, strided.weight)
    assert again.bias is None
    assert again.normalized_shape == (3,)
