import numpy as np
import pytest

from gnref.testing import Functions, Problem
from gnref.testing.domain import domain
from gnref.testing.mutants import textbook
from gnref.testing.targets import Finding, Refused, Unsupported

RNG = np.random.default_rng(0)
SHAPE = (2, 6, 3)


def problem(norm="group", dtype="float32", **changes):
    x, dy, (weight, bias) = (
        RNG.standard_normal(SHAPE),
        RNG.standard_normal(SHAPE),
        RNG.standard_normal((2, 6)),
    )
    given = {
        "group": {"num_groups": 3},
        "layer": {"normalized_shape": (3,)},
        "rms": {"normalized_shape": (3,)},
    }
    if norm in ("layer", "rms"):
        weight, bias = weight[:3], bias[:3]
    options = given.get(norm, {}) | {"weight": weight, "bias": None if norm == "rms" else bias}
    arrays = {"x": x, "dy": dy} | {k: v for k, v in options.items() if isinstance(v, np.ndarray)}
    return Problem(norm, **(options | {k: v.astype(dtype) for k, v in arrays.items()} | changes))


class Spy:
    """A pair of functions that note how they are called."""

    def __init__(self, norm):
        self.calls = []
        self.own = textbook.functions(norm)

    def forward(self, *args, **words):
        self.calls.append((args, words))
        return self.own[0](*args, **words)

    def backward(self, dy, x, mean, rstd, *args, **words):
        self.calls.append(((dy, x, mean, rstd, *args), words))
        return self.own[1](dy, x, mean, rstd, *args, **words)


@pytest.mark.parametrize(
    ("norm", "between"), [("batch", []), ("group", [3]), ("layer", [(3,)]), ("rms", [(3,)]), ("instance", [])]
)
def test_functions_are_called_like_gnrefs_own(norm, between):
    spy = Spy(norm)
    target, asked = Functions(spy.forward, spy.backward, norm=norm), problem(norm, eps=0.25)
    target.backward(asked.dy, target.forward(asked))
    (forward, words), (backward, words_back) = spy.calls
    assert words == words_back == {"eps": 0.25}
    assert list(forward[1 : 1 + len(between)]) == between
    assert len(forward) == 1 + len(between) + (1 if norm == "rms" else 2)
    assert np.array_equal(backward[0], asked.dy)
    assert np.array_equal(backward[1], asked.x)
    assert backward[4:] is not None
    assert len(backward) == 3 + len(forward)


def test_channel_axis_is_passed_where_the_channels_are_last():
    spy = Spy("group")
    target = Functions(spy.forward, norm="group", channel_axis=True)
    last = problem()
    last = last.but(x=np.moveaxis(last.x, 1, -1), dy=np.moveaxis(last.dy, 1, -1), channel_axis=-1)
    target.forward(last)
    assert spy.calls[0][1] == {"eps": 1e-5, "channel_axis": -1}


def test_backward_without_statistics():
    forward, backward = textbook.functions("group")

    def plain(dy, x, num_groups, weight, bias, eps):
        _, mean, rstd = forward(x, num_groups, weight, bias, eps)
        return backward(dy, x, mean, rstd, num_groups, weight, bias, eps)

    asked = problem()
    one = Functions(lambda *a, **k: forward(*a, **k)[0], plain, norm="group")
    other = Functions(forward, backward, norm="group")
    for a, b in zip(
        one.backward(asked.dy, one.forward(asked)),
        other.backward(asked.dy, other.forward(asked)),
        strict=True,
    ):
        assert np.array_equal(a, b)
    assert one.forward(asked).mean is None
    assert other.forward(asked).mean.shape == (2, 3)


def test_an_absent_parameter_has_no_gradient_whatever_is_returned():
    target = Functions(lambda x, weight, bias, eps: x, lambda *args, eps: (args[1],) * 3, norm="batch")
    asked = problem("batch", weight=None)
    grads = target.backward(asked.dy, target.forward(asked))
    assert grads.dweight is None
    assert grads.dbias is not None


def noted(forward, **changes):
    target = Functions(forward, norm="instance")
    target.forward(problem("instance", **changes))
    return [(finding.property, finding.message) for finding in target.findings]


def test_a_write_to_an_input_is_noted():
    def wrong(x, weight, bias, eps):
        x[...] = 0
        return x.copy()

    assert noted(wrong) == [("inputs are unchanged", "writes to an array that it was given")]


def test_a_write_one_element_past_the_end_is_noted():
    def wrong(x, weight, bias, eps):
        np.lib.stride_tricks.as_strided(x.reshape(-1), (x.size + 1,))[-1] = 0
        return x.copy()

    assert noted(wrong) == [("reads and writes in bounds", "writes outside an array that it was given")]


def test_a_read_past_the_end_is_a_nan():
    def wrong(x, weight, bias, eps):
        return np.lib.stride_tricks.as_strided(x.reshape(-1), (x.size + 1,))[1:].reshape(x.shape).copy()

    assert np.isnan(Functions(wrong, norm="instance").forward(problem("instance")).y[-1, -1, -1])


def test_exceptions_are_refusals_and_keep_their_text():
    def raises(x, weight, bias, eps):
        raise ZeroDivisionError("no")

    with pytest.raises(Refused, match="raises ZeroDivisionError: no"):
        Functions(raises, norm="batch").forward(problem("batch"))


ONE = np.ones(2)


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (None, "None"),
        (0.5, "float"),
        ((1, 2), r"a tuple of 2 \(int\)"),
        ((ONE, ONE), r"a tuple of 2 \(ndarray\)"),
        ((ONE,) * 4, r"a tuple of 4 \(ndarray\)"),
        (np.ones((3, 2)).tolist(), r"a list of 3 \(list\)"),
        ([ONE, None, [1.0]], r"a list of 3 \(ndarray, None, list\)"),
        ((None, ONE, ONE), "None for y"),
    ],
)
def test_what_is_no_result_is_a_finding(returned, told):
    with pytest.raises(Finding, match=f"forward returned {told}") as found:
        Functions(lambda *a, **k: returned, norm="batch").forward(problem("batch"))
    assert found.value.property == "dtype and shape preserved"


@pytest.mark.parametrize("kind", [tuple, list])
def test_statistics_come_in_a_tuple_or_a_list(kind):
    returned = kind([ONE, None, 2 * ONE])
    forward = Functions(lambda *a, **k: returned, norm="batch").forward(problem("batch"))
    assert (forward.y[0], forward.mean, forward.rstd[0]) == (1, None, 2)


@pytest.mark.parametrize("returned", [np.ones((3, 2)).tolist(), (ONE, ONE, [1.0]), (ONE, ONE)])
def test_what_are_no_gradients_is_a_finding(returned):
    target, asked = Functions(lambda x, *a, **k: x, lambda *a, **k: returned, norm="batch"), problem("batch")
    with pytest.raises(Finding, match=r"backward returned a (list|tuple) of . \(.*expected \(dx") as found:
        target.backward(asked.dy, target.forward(asked))
    assert found.value.property == "dtype and shape preserved"


@pytest.mark.parametrize("arrays", ["torch", "jax"])
def test_what_is_no_result_is_a_finding_where_it_is_differentiated(arrays):
    pytest.importorskip(arrays)
    target, asked = Functions(lambda *a, **k: [[1.0]], norm="batch", arrays=arrays), problem("batch")
    with pytest.raises(Finding, match=r"forward returned a list of 1 \(list\)"):
        target.forward(asked, recorded=True)


def test_outside_the_domain_nothing_is_called():
    target = Functions(textbook.functions("group")[0], norm="group", domain=domain({"ranks": (4,)}))
    with pytest.raises(Unsupported, match="ranks"):
        target.forward(problem())
    with pytest.raises(Unsupported, match="no batch norm"):
        target.forward(problem("batch"))


def test_what_is_not_callable():
    with pytest.raises(TypeError, match="forward is 3; expected a function"):
        Functions(3, norm="batch")


@pytest.mark.parametrize("arrays", ["torch", "jax"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_other_libraries_take_their_own_arrays_and_differentiate(arrays, dtype):
    library = pytest.importorskip(arrays)
    ml_dtypes = pytest.importorskip("ml_dtypes")
    seen = []

    def scale(x, weight, bias, eps):
        seen.append(type(x))
        return x * weight[:, None] + bias[:, None]

    asked = problem("batch", getattr(ml_dtypes, dtype, dtype))
    target = Functions(scale, norm="batch", arrays=arrays)
    y = target.forward(asked).y
    dx, dweight, dbias = target.backward(asked.dy, target.forward(asked))
    assert issubclass(seen[0], library.Tensor if arrays == "torch" else library.Array)
    assert y.dtype == asked.x.dtype == dx.dtype
    expected = asked.dy.astype("f8") * asked.weight[:, None].astype("f8")
    assert np.allclose(dx.astype("f8"), expected, rtol=0.01)
    assert np.allclose(dbias.astype("f8"), asked.dy.astype("f8").sum((0, 2)), rtol=0.05, atol=0.05)
    assert dweight.shape == (6,)
