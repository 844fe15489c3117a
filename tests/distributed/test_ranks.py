"""What ranks say to each other: words of any length, silence, and what is no communicator."""

import math
import subprocess
import sys
from threading import Event

import numpy as np
import pytest

import gnref
from gnref import ShapeError
from gnref.distributed import (
    RankError,
    SyncBatchNorm,
    ranks,
    sync_batch_norm,
    sync_batch_norm_backward,
    sync_batch_norm_forward,
)
from gnref.distributed.ranks import SIZE, decode, encode, gather, together
from gnref.teaching.threads import on_ranks


def outcomes(size, work):
    """What each rank returns or raises."""

    def tried(comm):
        try:
            return work(comm)
        except Exception as error:
            return error

    return on_ranks(size, tried)


def raises(error):
    raise error


def test_rows_come_in_the_order_of_ranks():
    found = on_ranks(3, lambda comm: gather(comm, np.array([comm.Get_rank(), 7.5]), 60.0))
    for rows in found:
        assert rows.tolist() == [[0, 7.5], [1, 7.5], [2, 7.5]]


@pytest.mark.parametrize("text", ["", "C = 16", "größer", "ü" * SIZE, "a" + "ü" * SIZE, "two\nlines"])
def test_words_arrive_as_far_as_there_is_room(text):
    told = decode(encode(text))
    assert text.startswith(told)
    assert len(encode(text)) == SIZE
    assert told == text or SIZE - 1 <= len(told.encode()) <= SIZE


def test_an_error_of_any_kind_reaches_all_and_comes_from_its_own_rank():
    lost = MemoryError("all of it\nis gone")
    found = outcomes(
        3, lambda c: together(c, 60, lambda: raises(lost) if c.Get_rank() == 1 else (0, ["is a"]))
    )
    assert found[1] is lost
    for told in (found[0], found[2]):
        assert type(told) is RankError
        assert str(told) == "rank 1 failed: MemoryError: all of it\nis gone"


def test_two_that_refuse_raise_their_own():
    def work(comm):
        sync_batch_norm(np.ones((2, 3)), comm=comm, eps=-1 if comm.Get_rank() else 1e-5)

    told, *own = outcomes(3, work)
    assert str(told) == "rank 1 refused its arguments: ValueError: eps is -1; expected a finite number >= 0"
    assert [type(error) for error in own] == [ValueError, ValueError]


def test_calls_have_numbers_of_their_own():
    def work(comm):
        return [together(comm, 60, lambda: (comm.Get_rank(), ["same"])) for _ in range(3)]

    found = on_ranks(2, work)
    numbers = [[number for _, number in calls] for calls in found]
    assert numbers[0] == numbers[1]
    assert len(set(numbers[0])) == 3
    assert [[made for made, _ in calls] for calls in found] == [[0] * 3, [1] * 3]


@pytest.mark.parametrize("silent", [{2}, {0, 3}])
def test_the_silent_are_named(silent):
    done = Event()

    def work(comm):
        if comm.Get_rank() in silent:
            done.wait(60)
            return None
        try:
            return sync_batch_norm(np.ones((2, 3)), comm=comm, timeout=0.5)
        finally:
            done.set()

    found = outcomes(4, work)
    who = "rank 2" if silent == {2} else "ranks 0, 3"
    for rank in {0, 1, 2, 3} - silent:
        assert str(found[rank]).startswith(f"no answer from {who} within 0.5 s (ended, failed, or doing")


def test_one_that_stops_between_the_words_and_the_numbers(monkeypatch):
    real = gather

    def stops(comm, row, timeout):
        if comm.Get_rank() == 1:
            raise KeyError("stopped")
        return real(comm, row, timeout)

    monkeypatch.setattr("gnref.distributed.passes.gather", stops)
    first, second, third = outcomes(3, lambda comm: sync_batch_norm(np.ones((2, 3)), comm=comm, timeout=0.5))
    assert type(second) is KeyError
    assert "no answer from rank 1 within 0.5 s" in str(first) == str(third)


def go_back_functions(comm):
    x = np.random.default_rng(comm.Get_rank()).standard_normal((4, 3))
    _, saved = sync_batch_norm_forward(x, comm=comm, timeout=1)
    return lambda: sync_batch_norm_backward(x, saved)


def go_back_layer(comm):
    x = np.random.default_rng(comm.Get_rank()).standard_normal((4, 3))
    layer = SyncBatchNorm(3, comm=comm, timeout=1)
    layer.forward(x)
    return lambda: layer.backward(x)


@pytest.mark.parametrize("after_forward", [go_back_functions, go_back_layer])
def test_one_that_does_not_go_back_is_named(after_forward, monkeypatch):
    monkeypatch.setattr("gnref.dispatch.FROM_ENVIRONMENT", "reference")  # nothing to compile within a second
    done = Event()

    def work(comm):
        backward = after_forward(comm)
        if comm.Get_rank() == 1:
            return done.wait(60)
        try:
            return backward()
        finally:
            done.set()

    first, _, third = outcomes(3, work)
    assert "no answer from rank 1 within 1 s" in str(first) == str(third)


@pytest.mark.parametrize("after_forward", [go_back_functions, go_back_layer])
def test_one_that_stops_between_the_words_and_the_numbers_of_backward(after_forward, monkeypatch):
    monkeypatch.setattr("gnref.dispatch.FROM_ENVIRONMENT", "reference")
    passes = iter(["forward", "backward"])

    def stops(comm, row, timeout):
        if comm.Get_rank() == 1 and next(passes) == "backward":
            raise KeyError("stopped")
        return gather(comm, row, timeout)

    monkeypatch.setattr("gnref.distributed.passes.gather", stops)
    first, second, third = outcomes(3, lambda comm: after_forward(comm)())
    assert type(second) is KeyError
    assert "no answer from rank 1 within 1 s" in str(first) == str(third)


def test_a_communicator_is_not_used_again_after_silence():
    ((first, second),) = on_ranks(1, lambda comm: [str(error) for error in twice(Half(comm))])
    assert "no answer from some rank within 0.1 s" in first
    assert "an earlier exchange on this communicator was given up" in second
    assert "comm.Abort(1)" in second


class Half:
    """A communicator of two whose exchanges are never done, though all rows are there."""

    def __init__(self, comm):
        self.comm = comm

    def Get_size(self):  # noqa: N802 - mpi4py's name
        return 2

    def __getattr__(self, name):
        return getattr(self.comm, name)

    def Ialltoallv(self, send, received):  # noqa: N802
        received[...] = send
        return self

    def Test(self):  # noqa: N802
        return False


def twice(comm):
    found = []
    for _ in range(2):
        with pytest.raises(RankError) as raised:
            sync_batch_norm(np.ones((2, 3)), comm=comm, timeout=0.1)
        found.append(raised.value)
    return found


class Broken(Half):
    def Ialltoallv(self, send, received):  # noqa: N802
        raise self.error


def test_an_error_of_the_communicator_is_told():
    (error,) = outcomes(1, lambda comm: use(Broken(comm), OSError("no network")))
    assert type(error) is RankError
    assert str(error).startswith("the communicator failed: OSError: no network. Nothing more can be done")
    assert type(error.__cause__) is OSError


def use(comm, error):
    comm.error = error
    return sync_batch_norm(np.ones((2, 3)), comm=comm)


def test_control_c_stays_what_it_is_and_the_communicator_is_lost():
    def work(comm):
        broken = Broken(comm)
        with pytest.raises(KeyboardInterrupt):
            use(broken, KeyboardInterrupt())
        with pytest.raises(RankError, match="given up"):
            use(broken, None)

    on_ranks(1, work)


@pytest.mark.parametrize("comm", [None, "world", 0, np.ones(2)])
def test_what_is_no_communicator(comm):
    expected = f"comm is a {type(comm).__name__}; expected a communicator of mpi4py"
    with pytest.raises(TypeError, match=expected):
        sync_batch_norm(np.ones((2, 3)), comm=comm)
    with pytest.raises(TypeError, match=expected):
        SyncBatchNorm(3, comm=comm)


@pytest.mark.parametrize(
    ("attribute", "value", "told"),
    [("__len__", 0, "the null communicator"), ("Is_inter", True, "an intercommunicator")],
)
def test_communicators_that_do_not_fit(attribute, value, told):
    def work(comm):
        odd = type("Odd", (Half,), {attribute: lambda self: value})(comm)
        with pytest.raises(ValueError, match=f"comm is {told}; expected"):
            sync_batch_norm(np.ones((2, 3)), comm=odd)

    on_ranks(1, work)


@pytest.mark.parametrize(
    ("timeout", "error"),
    [(0, ValueError), (-1.0, ValueError), (math.nan, ValueError), ("1", TypeError), (True, TypeError)],
)
def test_bad_timeouts(timeout, error):
    (found,) = outcomes(1, lambda comm: sync_batch_norm(np.ones((2, 3)), comm=comm, timeout=timeout))
    assert type(found) is error
    assert str(found) == f"timeout is {timeout!r}; expected a number of seconds > 0"
    (found,) = outcomes(1, lambda comm: SyncBatchNorm(3, comm=comm, timeout=timeout))
    assert type(found) is error


def test_infinity_waits_for_as_long_as_it_takes():
    assert (
        on_ranks(2, lambda comm: sync_batch_norm(np.eye(2), comm=comm, timeout=math.inf).shape)
        == [(2, 2)] * 2
    )


def test_one_who_waits_gives_way_at_first_and_then_sleeps(monkeypatch):
    pauses = []
    clock = iter(np.arange(0, 10, 1e-4))
    monkeypatch.setattr(ranks.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(ranks.time, "sleep", pauses.append)
    monkeypatch.setattr(ranks, "give_way", lambda: pauses.append(-1))
    assert not ranks.wait(Half(None), 0.5)
    assert pauses[:10] == [-1] * 9 + [1e-3 / 8]
    assert max(pauses) == ranks.LONGEST_PAUSE
    assert pauses[:-20] == sorted(pauses[:-20])  # the last ones end when time is up


def test_a_rank_alone_exchanges_nothing():
    class Deaf(Half):
        def Get_size(self):  # noqa: N802 - mpi4py's name
            return 1

    x, weight, bias = np.random.default_rng(0).standard_normal((3, 4, 3))
    comm = Deaf(None)
    comm.Is_inter = lambda: False
    comm.Ialltoallv = None
    _, saved = sync_batch_norm_forward(x, weight[0], bias[0], comm=comm)
    _, whole = gnref.batch_norm_forward(x, weight[0], bias[0])
    for found, right in zip(sync_batch_norm_backward(x, saved), gnref.backward(x, whole), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-12, atol=1e-14)


def test_gnref_itself_needs_neither_mpi4py_nor_this_package():
    lines = "import sys, gnref; print([m for m in ('gnref.distributed', 'mpi4py') if m in sys.modules])"
    lines += "; import gnref.distributed; print('mpi4py' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True).stdout
    assert told.split("\n")[:2] == ["[]", "False"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"x": np.ones((2, 8))}, "rank 1 has C = 8 and rank 0 has C = 3"),
        ({"x": np.ones((2, 3), "float32")}, "rank 1 has x in float32 and rank 0 has x in float64"),
        ({"eps": 1e-3}, "rank 1 has eps = 0.001 and rank 0 has eps = 1e-05"),
        ({"eps": 1.1e-5}, "rank 1 has eps = 1.1e-05 and rank 0 has eps = 1e-05"),
        ({"weight": np.ones(3)}, "rank 1 has a weight of float64 and rank 0 has no weight"),
    ],
)
def test_a_disagreement_is_one_sentence_on_every_rank(options, told):
    def work(comm):
        own = options if comm.Get_rank() == 1 else {}
        return sync_batch_norm(**({"x": np.ones((2, 3)), "comm": comm} | own))

    found = outcomes(3, work)
    assert {type(error) for error in found} == {RankError}
    assert {str(error) for error in found} == {f"{told}; expected the same on every rank"}


def test_zeros_of_both_signs_are_one_eps():
    x = np.random.default_rng(0).standard_normal((4, 3))
    first, second = outcomes(2, lambda comm: sync_batch_norm(x, comm=comm, eps=(0.0, -0.0)[comm.Get_rank()]))
    assert np.array_equal(first, second)


def test_one_element_in_the_whole_batch_is_refused_on_every_rank():
    found = outcomes(3, lambda comm: sync_batch_norm(np.ones((int(comm.Get_rank() == 1), 3)), comm=comm))
    assert {type(error) for error in found} == {ShapeError}
    assert len({str(error) for error in found}) == 1


class OutOfStep:
    """A communicator that brings what belongs to another exchange."""

    def __init__(self, brings):
        self.brings = brings

    def Get_size(self):  # noqa: N802 - mpi4py's name
        return 2

    def Is_inter(self):  # noqa: N802
        return False

    def Ialltoallv(self, send, received):  # noqa: N802
        received[...] = self.brings
        return self

    def Test(self):  # noqa: N802
        return True


@pytest.mark.parametrize("brings", [0.0, 7.0e199])
def test_what_belongs_to_another_exchange_is_no_number(brings):
    comm = OutOfStep(brings)
    with pytest.raises(RankError, match="ranks are out of step"):
        gather(comm, np.ones(3), 60.0)
    with pytest.raises(RankError, match="an earlier exchange on this communicator was given up"):
        gather(comm, np.ones(3), 60.0)


def test_after_an_interrupt_a_rank_does_not_go_on_as_if_it_had_answered():
    def work(comm):
        with pytest.raises(KeyboardInterrupt):
            together(comm, 60.0, lambda: raises(KeyboardInterrupt()))
        return sync_batch_norm(np.ones((2, 3)), comm=comm)

    with pytest.raises(RankError, match="was given up"):
        on_ranks(2, work)


def test_words_that_cannot_be_encoded_arrive_all_the_same():
    assert "name" in decode(encode("a name \udc80"))


def test_a_timeout_beyond_all_floats_is_for_ever():
    assert ranks.check_timeout(10**400) == math.inf
    for odd in (-1, -(10**400)):
        with pytest.raises(ValueError, match="timeout is"):
            ranks.check_timeout(odd)


def test_one_rank_may_wait_for_longer_than_all_floats():
    x = np.eye(2)

    def work(comm):
        _, saved = sync_batch_norm_forward(x, comm=comm, timeout=(10**400, 60)[comm.Get_rank()])
        return saved.timeout, sync_batch_norm_backward(x, saved)[0].shape

    assert on_ranks(2, work) == [(math.inf, (2, 2)), (60.0, (2, 2))]
