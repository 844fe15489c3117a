"""How the GPU check prepares what it looks at: memory full of NaN, awkward views, ways, laws and promises."""

import numpy as np
import pytest
import standin


@pytest.fixture
def problem(cupy, tool):
    from gpu.cases import Case, draw

    case = Case((3, 1, 2, 4, 16), "float32", "ordinary", 1)
    return case, draw(case)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_poison_is_nan(cupy, tool, dtype):
    from gpu.ways import poison

    a = cupy.asarray(np.zeros((2, 3), dtype))
    assert poison(a) is a
    assert np.isnan(a.get()).all()


def test_new_memory_is_poisoned_even_if_it_was_something_else(cupy, tool, monkeypatch):
    """On a device memory begins as what was there before; here it is NaN anyway, unless a test forbids it."""
    from gpu.ways import poisoned

    monkeypatch.setattr(cupy, "empty", lambda *arguments, **options: cupy.zeros(*arguments, **options))
    with poisoned():
        assert np.isnan(cupy.empty((2, 3), np.float64).get()).all()
    assert (cupy.empty((2, 3), np.float64).get() == 0).all()


def test_what_is_not_written_is_found(problem, cupy, monkeypatch):
    """With memory that begins as zeros, only poison tells a result that nobody wrote."""
    from gpu.running import both_passes

    from gnref.kernels.cuda import steps

    monkeypatch.setattr(cupy, "empty", lambda *arguments, **options: cupy.zeros(*arguments, **options))
    monkeypatch.setattr(steps, "fold", lambda w, partial: tuple(cupy.empty((2, 4), np.float32) for _ in "wb"))
    monkeypatch.setattr(steps, "forward", lambda w, y, eps: cupy.zeros((3, 6), np.float64))
    results = both_passes(problem[1], "registers")
    assert np.isnan(results["dweight"]).all()
    assert np.isnan(results["y"]).all()


def test_a_shifted_array_begins_where_no_word_does(problem, cupy):
    from gpu.running import shifted

    p = problem[1]
    for a, b in zip(shifted(p), p[:4], strict=True):
        assert a.data.ptr % 16 == b.itemsize
        assert a.get().tobytes() == b.tobytes()


def test_a_turned_array_lies_the_other_way_round(problem, cupy):
    from gpu.running import turned

    p = problem[1]
    for a, b in zip(turned(p), p[:4], strict=True):
        assert a.strides == tuple(np.asfortranarray(b).strides) != b.strides
        assert a.get().tobytes() == b.tobytes()


def test_views_are_run_as_both(problem, cupy, monkeypatch):
    from collections import Counter

    from gpu import correctness

    case, p = problem
    strides = []
    real = correctness.both_passes

    def spied(p, way, arrays, taken):
        strides.append((arrays[0].strides, arrays[0].data.ptr % 16))
        return real(p, way, arrays, taken)

    monkeypatch.setattr(correctness, "both_passes", spied)
    correctness.runs(case._replace(kind="views"), p, "registers", Counter())
    assert strides == [(p.x.strides, 4), (np.asfortranarray(p.x).strides, 0)]


def test_dweight_of_many_examples_is_compared(cupy, tool, monkeypatch):
    from gpu import correctness
    from gpu.cases import Case

    from gnref.kernels.cuda import contract

    monkeypatch.setattr(correctness, "MANY_ELEMENTS", 100)
    real = contract.backward
    case = Case((5, 1, 2, 4, 16), "float32", "ordinary", 1)
    for factor, failed in ((1.0, set()), (1.001, {"dweight"})):

        def backward(*arguments, factor=factor):
            dx, dweight, dbias = real(*arguments)
            return dx, dweight * np.float32(factor), dbias

        monkeypatch.setattr(contract, "backward", backward)
        tally = correctness.Tally({})
        correctness.one(case, tally, ("registers",))
        assert {failure["result"] for failure in tally.failures} == failed
        assert {row["result"] for row in tally.table()} >= {"y", "dx", "dweight", "dbias"}


def test_the_sums_over_all_examples_are_those_of_the_oracle(gpu):
    for kind in ("ordinary", "no mean", "constant"):
        p = gpu.cases.draw(gpu.cases.Case((5, 2, 2, 4, 6), "float32", kind, 1))
        whole = gpu.oracle.own_statistics(p)
        for name, (exact, bar) in gpu.oracle.parameter_gradients(p).items():
            np.testing.assert_allclose(exact, whole[name][0], rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(bar, whole[name][1], rtol=1e-12)


def test_a_tally_goes_on_where_another_ended(gpu, cupy, tool):
    import json

    from gpu import correctness, record
    from gpu.cases import Case

    case, found = Case((3, 1, 2, 4, 16), "float32", "ordinary", 1), {}
    tally = correctness.Tally({})
    tally.note(case, "chunks", "y", True, 0.5)
    tally.note(case, "chunks", "y", False, float("inf"))
    tally.taken["chunks forward"] += 3
    tally.fill(found)
    again, other = correctness.Tally(json.loads(record.text(found))), {}
    again.note(case, "chunks", "y", False, 2.0)
    again.fill(other)
    row = {"result": "y", "way": "chunks", "dtype": "float32", "kind": "ordinary", "count": 3, "failed": 2}
    assert other["table"] == [row | {"worst": float("inf")}]
    assert (other["failed"], other["comparisons"], len(other["failures"])) == (2, 3, 2)
    assert other["taken"] == {"chunks forward": 3}


def law(name, case, p):
    from gpu import determinism

    return determinism.LAWS[name](case, p, determinism.both_passes(p, "chosen"))


def test_every_law_holds(problem):
    assert {
        name: law(name, *problem) for name in ("two runs", "another stream", "alone and among others")
    } == {
        "two runs": [],
        "another stream": [],
        "alone and among others": [],
    }
    assert law("every way", *problem) == []


@pytest.mark.parametrize("kind", ["ordinary", "offset", "huge", "tiny"])
@pytest.mark.parametrize("slots", [(3, 1, 2, 4, 16), (3, 5, 2, 1, 36), (2, 1, 1, 700, 1)], ids=str)
def test_every_way_has_the_same_bits_of_every_kind(cupy, tool, slots, kind):
    from gpu.cases import Case, draw

    case = Case(slots, "float32", kind, 1)
    assert law("every way", case, draw(case)) == []


@pytest.mark.parametrize("kind", ["ordinary", "huge"])
def test_a_way_with_other_bits_is_found(cupy, tool, monkeypatch, kind):
    from gpu.cases import Case, draw

    from gnref.kernels.cuda import steps

    real = steps.gradients

    def gradients(w, dy, slopes, dx, partial):
        results = real(w, dy, slopes, dx, partial)
        dx[0, 0, 0, 0, 0] *= 1 + 2.0**-20
        return results

    monkeypatch.setattr(steps, "gradients", gradients)
    case = Case((3, 1, 2, 4, 16), "float32", kind, 1)
    assert law("every way", case, draw(case)) == ["dx, chunks"]


def test_a_result_that_depends_on_the_stream_is_found(problem, cupy, monkeypatch):
    from gnref.kernels.cuda import contract

    real = contract.forward

    def forward(x, *arguments):
        results = real(x, *arguments)
        if cupy.cuda.get_current_stream().ptr:
            results[2][0, 0] *= 2
        return results

    monkeypatch.setattr(contract, "forward", forward)
    assert law("another stream", *problem) == ["var"]


def test_laws_that_say_nothing_of_a_problem_are_not_counted(cupy, tool, monkeypatch):
    from gpu import determinism
    from gpu.cases import Case
    from gpu.session import Context

    monkeypatch.setattr(determinism, "tensors_are_there", lambda: False)
    cases = [
        Case((1, 1, 2, 4, 16), "float32", "ordinary", 1),  # alone
        Case((2, 7, 4, 1, 1), "float32", "ordinary", 1),  # one way only
        Case((3, 1, 2, 4, 16), "float32", "nan", 1),
    ]
    found = {}
    determinism.check(Context(1, say=lambda text: None, options={"cases": cases}), found)
    counts = {name: told["cases"] for name, told in found["laws"].items()}
    assert counts == {"two runs": 3, "every way": 1, "another stream": 3, "alone and among others": 2}
    assert found["passed"] is True


def test_a_problem_that_fails_is_told_and_the_next_is_compared(cupy, tool, monkeypatch):
    from gpu import determinism
    from gpu.cases import Case
    from gpu.session import Context

    real = determinism.both_passes

    def passes(p, way):
        if p.x.shape[0] == 3:
            raise ValueError("no")
        return real(p, way)

    monkeypatch.setattr(determinism, "tensors_are_there", lambda: False)
    monkeypatch.setattr(determinism, "both_passes", passes)
    cases = [Case((n, 1, 2, 4, 16), "float32", "ordinary", 1) for n in (3, 2)]
    found = {}
    determinism.check(Context(1, say=lambda text: None, options={"cases": cases}), found)
    assert found["failures"] == [{"case": "3x1x2x4x16 float32 ordinary", "said": "ValueError: no"}]
    assert found["laws"]["two runs"]["cases"] == 1
    assert found["passed"] is False


def test_a_lost_device_is_no_difference(problem, monkeypatch):
    from gpu import determinism

    def lose(case, p, first):
        raise RuntimeError("CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure")

    found = {"laws": {"law": {"cases": 0, "differing": []}}}
    with pytest.raises(RuntimeError, match="LAUNCH_FAILED"):
        determinism.one(problem[0], {"law": lose}, found)


@pytest.fixture
def promises(cupy, tool, monkeypatch):
    from gpu import promises
    from gpu.session import Context

    monkeypatch.setattr(promises, "SHAPE", (2, 4, 2, 4))
    promises.context = Context(1, say=lambda text: None, options={"flush": 1 << 12, "many": 100})
    return promises


def test_promises_are_kept(promises):
    assert promises.many_numbers(promises.context) == (True, "")
    assert promises.no_hidden_wait(promises.context) == (True, "")
    assert promises.streams(promises.context) == (True, "")


def test_the_last_of_many_numbers_is_looked_at(promises, monkeypatch):
    from gnref.kernels.cuda import contract

    real = contract.forward

    def forward(x, *arguments):
        results = real(x, *arguments)
        results[0][-1, 0, -1, -1, -1] = 0
        return results

    monkeypatch.setattr(contract, "forward", forward)
    passed, said = promises.many_numbers(promises.context)
    assert passed is False
    assert said.startswith("y is off by ")


def test_more_than_31_bits_need_memory(promises, cupy):
    context = promises.context
    context.options = {}
    cupy.cuda.runtime.memGetInfo = lambda: (20 << 30, 80 << 30)
    assert promises.many_numbers(context) == (None, "needs 21 GB, and 21 GB are free")


def test_a_hidden_wait_is_found(promises, monkeypatch):
    from gnref.kernels.cuda import contract

    real = contract.backward

    def backward(dy, *arguments):
        results = real(dy, *arguments)
        results[0].get()
        return results

    monkeypatch.setattr(contract, "backward", backward)
    passed, said = promises.no_hidden_wait(promises.context)
    assert passed is False
    assert said == "waited for the device: group_norm, batch_norm, channels last, layer_norm"


def test_a_launch_on_another_stream_is_found(promises, cupy, monkeypatch):
    """What it would do: read what was in x before, since it does not wait for who writes it."""
    from gnref.kernels.cuda import contract

    real, before = contract.forward, {}

    def forward(x, *arguments):
        if cupy.cuda.get_current_stream().ptr == 0:
            before[x.shape] = x * 2
            return real(x, *arguments)
        return real(before[x.shape], *arguments)

    monkeypatch.setattr(contract, "forward", forward)
    passed, said = promises.streams(promises.context)
    assert passed is False
    assert said == "went to another stream: group_norm, batch_norm, channels last, layer_norm"
    assert standin.streams[-1] != 0


def test_x_is_not_there_before_the_stream_has_come_to_it(promises, cupy, monkeypatch):
    """Long work comes first on a stream that waits for no other, then the copy, then the call."""
    log = []
    monkeypatch.setattr(promises.Queue, "fill", lambda queue: log.append(cupy.cuda.get_current_stream().ptr))
    calls = {"one": lambda x, weight: (log.append(x.get()[0, 0, 0, 0]), (x * 1,))[1]}
    real = cupy.ndarray.__setitem__

    def written(x, index, value):
        log.append(x.get()[0, 0, 0, 0])
        real(x, index, value)

    monkeypatch.setattr(cupy.ndarray, "__setitem__", written)
    monkeypatch.setattr(promises, "calls", lambda: calls)
    assert promises.streams(promises.context) == (True, "")
    expected, stream, before, given = log
    assert stream != 0
    assert given == expected != before
