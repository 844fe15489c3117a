"""Each planted bug is caught, and nothing is where there is none: so the other tests can be believed."""

import numpy as np
import planted
import pytest
import standin

from gnref.kernels import reference

EPS = 1e-5
TOLERANCE = {"float32": 1e-5, "float64": 1e-11}


def problem(bug):
    """x, dy, weight and bias of a bug's problem."""
    rng = np.random.default_rng(0)
    # In steps of 1/256, so that an offset rounds nothing. No mean is near 0, for errors are relative to it.
    x = (1 + np.round(rng.standard_normal(bug.slots) * 256) / 256) * bug.scale + bug.offset
    dy = 1 + rng.random(bug.slots)
    weight, bias = rng.standard_normal((2, *bug.slots[2:4])) + 2
    return [a.astype(bug.dtype) for a in (x, dy, weight, bias)]


def expected(bug, arrays):
    """mean and rstd, and what is to come out, in float64 and without the offset."""
    x, dy, weight, bias = (a.astype(np.float64) for a in arrays)
    x -= bug.offset
    y, mean, var, rstd = reference.forward(x, weight, bias, EPS, True)
    if bug.run == "forward":
        return mean + bug.offset, rstd, (y, mean + bug.offset, var, rstd)
    return mean + bug.offset, rstd, reference.backward(dy, x, mean, rstd, weight, True)


def errors(cupy, bug, order):
    """How far each result is off, in parts of its largest number."""
    from gnref.kernels.cuda import contract as cuda

    standin.order = order  # before arrays are made
    arrays = problem(bug)
    mean, rstd, wanted = expected(bug, arrays)
    x, dy, weight, bias, mean, rstd = map(cupy.asarray, (*arrays, mean, rstd))
    if bug.run == "forward":
        found = cuda.forward(x, weight, bias, EPS, True)
    else:
        found = cuda.backward(dy, x, mean, rstd, weight, True)
    both = zip(found, wanted, strict=True)
    return [np.max(np.abs(a.get().astype(np.float64) - b)) / np.max(np.abs(b)) for a, b in both]


def is_right(cupy, bug, order):
    try:
        found = errors(cupy, bug, order)
    except standin.Fault:
        return False
    return all(error < TOLERANCE[bug.dtype] for error in found)  # NaN is not


@pytest.mark.parametrize("bug", planted.BUGS, ids=[bug.name.replace(" ", "-") for bug in planted.BUGS])
def test_planted_bug_is_caught(cupy, monkeypatch, bug):
    from gnref.kernels.cuda import launch, plan, steps

    def use(source):
        monkeypatch.setattr(launch, "source", lambda: source)
        launch.kernel.cache_clear()

    if bug.way:
        monkeypatch.setattr(steps, "plan", planted.forced(plan, bug.way))
    standin.stale = bug.stale
    right = launch.source()
    wrong = planted.edit(right, bug.file, bug.old, bug.new, bug.count)

    use(right)
    for order in standin.ORDERS:
        found = errors(cupy, bug, order)
        assert all(error < TOLERANCE[bug.dtype] for error in found), (order, found)
    use(wrong)
    assert not all(is_right(cupy, bug, order) for order in standin.ORDERS)


def test_old_text_that_is_gone_is_told():
    with pytest.raises(ValueError, match="0 times 'nothing'; expected 1"):
        planted.edit('#line 1 "a.cu"\nsomething\n', "a", "nothing", "")
