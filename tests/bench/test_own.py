import numpy as np
import pytest

from gnref.bench.case import draw, formula
from gnref.bench.grid import DIRECTIONS, Row
from gnref.bench.own import Own, use_threads
from gnref.bench.peers.numpy import Peer

ROWS = [
    Row("batch", "forward", (3, 5, 2, 4), channel_axis=-1),
    Row("instance", "forward", (3, 4, 5, 2)),
    Row("group", "forward", (3, 4, 5, 2), num_groups=2),
    Row("layer", "forward", (3, 4, 5), normalized_shape=(4, 5)),
]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.norm)
def test_gnref_is_called_as_the_row_says(row, direction):
    case = draw(row._replace(direction=direction))
    own = Own(case)
    (way,) = Peer(1).ways(case).values()
    found, expected = own.arrays(own.run()), way.arrays(way.run())
    assert len(found) == len(expected) == (1 if direction == "forward" else 3)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    assert formula(row).param_shape  # every row has one


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_out_is_one_array_and_the_other_call_makes_new_ones(direction):
    own = Own(draw(ROWS[2]._replace(direction=direction)))
    first, second = own.arrays(own.run_out())[0], own.arrays(own.run_out())[0]
    assert first is second
    assert np.array_equal(first, own.arrays(own.run())[0])
    assert not np.shares_memory(own.arrays(own.run())[0], own.arrays(own.run())[0])


def test_threads_are_those_of_numba():
    numba = pytest.importorskip("numba")
    before = numba.get_num_threads()
    try:
        use_threads(1)
        assert numba.get_num_threads() == 1
        use_threads(10**6)
        assert numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS
    finally:
        numba.set_num_threads(before)
