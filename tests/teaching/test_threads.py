import numpy as np
import pytest

from gnref.teaching.threads import ThreadComm, on_ranks


def test_an_exchange_is_done_when_all_have_sent():
    boxes = {}
    first, second = ThreadComm(0, 2, boxes, []), ThreadComm(1, 2, boxes, [])
    got = np.zeros((2, 2, 1))
    request = first.Ialltoallv(np.array([[1.0], [2.0]]), got[0])
    assert not request.Test()
    assert got[0].tolist() == [[1], [0]]  # its own row
    other = second.Ialltoallv(np.array([[3.0], [4.0]]), got[1])
    assert request.Test()
    assert other.Test()
    assert got.tolist() == [[[1], [3]], [[2], [4]]]
    assert boxes == {}  # nobody will look for it
    assert (first.Get_size(), second.Get_rank(), first.Is_inter()) == (2, 1, False)


def test_what_is_sent_may_change_at_once():
    boxes = {}
    send, got = np.ones((1, 1)), np.zeros((1, 1))
    request = ThreadComm(0, 1, boxes, []).Ialltoallv(send, got)
    send[...] = 5
    assert request.Test()
    assert got.item() == 1


def test_an_error_on_a_rank_is_raised():
    with pytest.raises(ZeroDivisionError):
        on_ranks(2, lambda comm: 1 / comm.Get_rank())


def test_an_error_on_a_rank_ends_those_that_wait_for_it():
    from gnref.distributed import sync_batch_norm

    def work(comm):
        if comm.Get_rank() == 1:
            raise KeyError("a typo")
        return sync_batch_norm(np.ones((2, 3)), comm=comm)  # would wait for ten minutes

    with pytest.raises(KeyError, match="a typo"):
        on_ranks(2, work)
