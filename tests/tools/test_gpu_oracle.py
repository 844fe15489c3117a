"""The problems of the GPU check, and their exact results."""

from pathlib import Path

import numpy as np
import pytest

from gnref.kernels import reference

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tools" / "gpu"
BENCH = ROOT / "gnref" / "bench"


@pytest.mark.parametrize("slots", [(3, 2, 2, 4, 5), (4, 1, 1, 9, 1), (2, 7, 3, 1, 1)], ids=str)
@pytest.mark.parametrize("kind", ["ordinary", "offset", "tiny", "huge", "bare", "no mean"])
def test_the_oracle_agrees_with_the_reference(gpu, slots, kind):
    """Which shares no code with it: in float64 of float32 numbers, far closer than any bar."""
    case = gpu.cases.Case(slots, "float32", kind, 3)
    p = gpu.cases.draw(case)
    x, dy, weight, bias = (None if a is None else a.astype(np.float64) for a in p[:4])
    y, mean, var, rstd = reference.forward(x, weight, bias, p.eps, p.center)
    dx, dweight, dbias = reference.backward(dy, x, mean, rstd, weight, p.center)
    results = {"y": y, "mean": mean, "var": var, "rstd": rstd, "dx": dx, "dweight": dweight, "dbias": dbias}
    exact = gpu.oracle.own_statistics(p)
    assert set(exact) == {name for name, a in results.items() if a is not None}
    for name, (e, bar) in exact.items():
        good, worst = gpu.oracle.compare(results[name], e, bar)
        assert good, name
        assert worst < 1e-3, name


def test_the_oracle_agrees_with_the_reference_given_statistics(gpu):
    case = gpu.cases.Case((3, 2, 2, 4, 5), "float32", "ordinary", 3)
    p, (mean, rstd) = gpu.cases.draw(case), gpu.cases.given(case)
    x, dy, weight, bias = (a.astype(np.float64) for a in p[:4])
    dx, dweight, dbias = reference.backward_given(dy, x, mean, rstd, weight)
    sums = reference.backward_sums(dy, x, mean, rstd, weight)
    _, own_mean, squares = reference.moments(x)
    results = {
        "apply": reference.apply(x, mean, rstd, weight, bias),
        **{"backward_given dx": dx, "backward_given dweight": dweight, "backward_given dbias": dbias},
        **{"backward_sums dxhat": sums[0], "backward_sums dxhat*xhat": sums[1]},
        "backward_from_sums": reference.backward_from_sums(dy, x, mean, rstd, weight, 120, *sums),
        **{"moments mean": own_mean, "moments M2": squares},
    }
    exact = gpu.oracle.given_statistics(p, mean, rstd, 120)
    assert set(exact) == set(results)
    for name, (e, bar) in exact.items():
        assert gpu.oracle.compare(results[name], e, bar)[0], name
        assert gpu.oracle.compare(results[name], e, bar)[1] < 1e-3, name


def test_float64_is_checked_in_something_wider(gpu):
    if not gpu.oracle.has_wide_longdouble():
        pytest.skip("longdouble is a double here")
    case = gpu.cases.Case((2, 1, 3, 4, 16), "float64", "offset", 3)
    exact, _ = gpu.oracle.own_statistics(gpu.cases.draw(case))["y"]
    assert exact.dtype == np.longdouble
    p = gpu.cases.draw(case)
    far = np.longdouble(10**9)
    near = gpu.oracle.own_statistics(p._replace(x=(p.x.astype(np.longdouble) - far).astype(np.float64)))["y"][
        0
    ]
    assert abs(exact - near).max() < 1e-16


def test_a_constant_set_gives_the_bias_exactly(gpu):
    p = gpu.cases.draw(gpu.cases.Case((2, 1, 3, 4, 7), "float16", "constant", 3))
    y, bar = gpu.oracle.own_statistics(p)["y"]
    assert np.array_equal(y, np.broadcast_to(p.bias[None, None, :, :, None].astype(np.float64), y.shape))
    assert not np.any(bar)


@pytest.mark.parametrize(
    ("got", "exact", "good", "worst"),
    [
        ([1.0, 2.05], [1.0, 2.0], True, 0.5),
        ([1.0, 2.2], [1.0, 2.0], False, 2.0),
        ([1.0, np.nan], [1.0, 2.0], False, np.inf),
        ([1.0, np.nan], [1.0, np.nan], True, 0.0),
        ([1.0, 2.0], [1.0, np.nan], False, None),
        ([1.0, np.inf], [1.0, 2.0], False, np.inf),
        ([1.0], [1.0, 2.0], False, np.inf),
    ],
)
def test_nan_is_no_small_error(gpu, got, exact, good, worst):
    found = gpu.oracle.compare(np.array(got), np.array(exact), 0.1)
    assert found[0] is good
    if worst is not None:
        assert found[1] == pytest.approx(worst)


def test_numbers_are_new_for_every_seed_and_the_same_for_one(gpu):
    one, same, other = (
        gpu.cases.draw(gpu.cases.Case((2, 1, 1, 3, 4), "float32", "ordinary", s)) for s in (1, 1, 2)
    )
    assert np.array_equal(one.x, same.x)
    assert not np.array_equal(one.x, other.x)
    for a in one[:4]:
        assert len(np.unique(a)) == a.size


def test_every_way_that_the_device_may_choose_has_a_problem(cupy, tool):
    from gpu import ways
    from gpu.cases import everything, natural

    from gnref.kernels.cuda import plan
    from gnref.kernels.cuda.device import limits

    device, itemsize = limits(0), 4
    edges = ways.edges(itemsize)
    taken = set()
    for case in everything(1, False, ("float32",), {"float32": edges}, device.multiprocessors):
        for backward in (False, True):
            if case.slots[0] >= 41:
                found = plan.plan(case.slots, itemsize, device, backward=backward)
            else:
                found = ways.chosen("cluster", case.slots, itemsize, device, backward)
            taken.add(ways.label(found, backward))
            found = ways.chosen("registers", case.slots, itemsize, device, backward)
            taken.add(ways.label(found, backward))
    assert set(ways.reached(itemsize)) <= taken
    assert {"cluster of 8 forward", "registers backward trailing"} <= set(ways.reached(itemsize))
    assert natural("float32", edges, device.multiprocessors, 1)[0].slots[0] == 67
