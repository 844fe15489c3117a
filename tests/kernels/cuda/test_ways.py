"""A set has the same bits whichever way it is done, and whatever is done beside it."""

import numpy as np
import pytest
from test_kernels import arrays, both_passes

VIEWS = [
    (3, 1, 2, 4, 16),
    (2, 1, 2, 3, 300),
    (3, 5, 2, 1, 36),
    (2, 1, 1, 9, 130),
    (1, 1, 2, 40, 2),
    (4, 1, 1, 700, 1),
]
FEWER_LANES = [(2, 1, 2, 17, 256), (2, 1, 1, 33, 68)]  # than an item has strips; 16 and 8


@pytest.fixture
def only(monkeypatch, cupy):
    """A function that makes every later plan one way."""
    from gnref.kernels.cuda import plan, steps

    def only(way):
        def forced(slots, itemsize, limits, *, backward=False):
            cut = plan.cut_of(slots, itemsize)
            if way == "chunks" or (backward and cut.trailing and way != "registers"):
                return plan.chunks(slots, cut)
            found = getattr(plan, way)(slots, cut, limits, backward)
            assert found is not None, (slots, way)
            return found

        monkeypatch.setattr(steps, "plan", forced)

    return only


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("slots", VIEWS, ids=str)
def test_every_way_gives_the_same_bits(order, cupy, only, dtype, slots):
    from gnref.kernels.cuda import contract as cuda

    results = {}
    for way in ("registers", "cluster", "shared", "chunks"):
        only(way)
        results[way] = both_passes(cupy, cuda, *arrays(slots, dtype))
    trailing = slots[1] == slots[4] == 1  # its dweight is added over sets, not in items
    for way, got in results.items():
        for name, a in got.items():
            if not (trailing and name in ("dweight", "dbias")):
                assert np.array_equal(a, results["registers"][name]), (way, name)


@pytest.mark.parametrize("slots", FEWER_LANES, ids=str)
def test_a_set_of_fewer_lanes_has_the_same_bits_by_every_way(order, cupy, only, slots):
    from gnref.kernels.cuda import contract as cuda

    given = arrays(slots, np.float32)
    only("chunks")
    expected = both_passes(cupy, cuda, *given)
    for way in ("cluster", "shared"):
        only(way)
        got = both_passes(cupy, cuda, *given)
        for name, a in got.items():
            assert np.array_equal(a, expected[name]), (way, name)


@pytest.mark.parametrize("way", ["cluster", "shared", "chunks"])
@pytest.mark.parametrize("slots", [(4, 1, 2, 3, 300), (4, 1, 2, 4, 16), (4, 1, 1, 700, 1)], ids=str)
def test_every_way_takes_care(order, cupy, only, slots, way):
    from gnref.kernels.cuda import contract as cuda

    x, dy, weight, bias = arrays(slots, np.float32)
    x[0] *= np.float32(1e30)
    x[1, 0, 0, 0, 0] = np.nan
    only("registers")
    expected = both_passes(cupy, cuda, x, dy, weight, bias)
    only(way)
    got = both_passes(cupy, cuda, x, dy, weight, bias)
    assert np.isfinite(got["y"][0]).all()
    trailing = slots[4] == 1  # as above
    for name in ("y", "mean", "var", "rstd", "dx") + (() if trailing else ("dweight", "dbias")):
        assert np.array_equal(got[name], expected[name], equal_nan=True), name


@pytest.mark.parametrize("slots", [*VIEWS, (3, 300, 2, 3, 1)], ids=str)
def test_a_set_alone_has_the_bits_it_has_among_others(cupy, slots):
    from gnref.kernels.cuda import contract as cuda

    x, dy, weight, bias = arrays(slots, np.float32)
    whole = both_passes(cupy, cuda, x, dy, weight, bias)
    for i in range(slots[0]):
        one = both_passes(cupy, cuda, x[i : i + 1], dy[i : i + 1], weight, bias)
        for name in ("y", "mean", "var", "rstd", "dx"):
            assert np.array_equal(one[name], whole[name][i : i + 1]), name


def test_many_sets_go_one_way_and_few_another(cupy):
    import standin

    from gnref.kernels.cuda import contract as cuda

    def names(sets):
        standin.launches.clear()
        both_passes(cupy, cuda, *arrays((sets, 1, 1, 8, 800), np.float32))
        return {launch[0].partition("<")[0] for launch in standin.launches}

    standin.device["MultiProcessorCount"] = 64
    moments, sums = {"item_moments", "set_statistics", "apply"}, {"item_sums", "set_sums", "gradients"}
    assert names(2) == moments | sums | {"fold_parameters"}
    assert names(32) == {"forward", "backward_cluster", "fold_parameters"}
