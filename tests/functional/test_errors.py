"""Bad input: every message names the argument, its value and what was expected."""

import numpy as np
import pytest

import gnref

X = np.arange(24.0).reshape(2, 4, 3)
ONES = np.ones(4)
CALLS = {
    "batch": lambda x=X, **words: gnref.batch_norm(x, **words),
    "instance": lambda x=X, **words: gnref.instance_norm(x, **words),
    "group": lambda x=X, num_groups=2, **words: gnref.group_norm(x, num_groups, **words),
    "layer": lambda x=X, normalized_shape=(4, 3), **words: gnref.layer_norm(x, normalized_shape, **words),
    "rms": lambda x=X, normalized_shape=(4, 3), **words: gnref.rms_norm(x, normalized_shape, **words),
    "frozen": lambda x=X, running_mean=ONES, running_var=ONES, **words: gnref.batch_norm_frozen(
        x, running_mean, running_var, **words
    ),
}


@pytest.mark.parametrize("norm", CALLS)
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X.astype(int), "x has dtype int64; expected one of float16, bfloat16, float32, float64"),
        (X > 3, "x has dtype bool; expected one of"),
        (X.astype(complex), "x has dtype complex128; expected one of"),
        (X.astype(object), "x has dtype object; expected one of"),
        (X.astype(str), "x has dtype str.*; expected one of"),
        (X.tolist(), "x is a builtins.list; expected an array of"),
        (None, "x is a builtins.NoneType; expected an array of"),
        (np.float64(1.0), "x is a numpy.float64; expected an array of"),
        (np.ma.masked_array(X), "x is a numpy.ma.*MaskedArray; expected an array of"),
    ],
)
def test_x_is_no_floating_point_array(norm, x, message):
    with pytest.raises(TypeError, match=message):
        CALLS[norm](x)


@pytest.mark.parametrize("norm", CALLS)
@pytest.mark.parametrize(
    ("eps", "error"),
    [
        (-1e-5, ValueError),
        (10**400, ValueError),
        (np.inf, ValueError),
        (np.nan, ValueError),
        ("0", TypeError),
        (None, TypeError),
    ],
)
def test_eps(norm, eps, error):
    with pytest.raises(error, match=rf"eps is {eps!r}; expected a (finite )?number >= 0"):
        CALLS[norm](eps=eps)


SHAPES = {"layer": (4, 3), "rms": (4, 3)}


@pytest.mark.parametrize("name", ["weight", "bias"])
@pytest.mark.parametrize("norm", CALLS)
def test_parameters(norm, name):
    if (norm, name) == ("rms", "bias"):
        return
    fits = SHAPES.get(norm, (4,))
    message = rf"{name} has shape \(3,\); expected {fits}, .* \(x has shape".replace("(4", r"\(4").replace(
        "),", r"\),"
    )
    with pytest.raises(gnref.ShapeError, match=message):
        CALLS[norm](**{name: np.ones(3)})
    with pytest.raises(TypeError, match=f"{name} has dtype int64; expected one of float16"):
        CALLS[norm](**{name: np.ones(fits, int)})
    with pytest.raises(TypeError, match=f"{name} is a builtins.list; expected an array"):
        CALLS[norm](**{name: [1.0] * 4})


def test_running_statistics():
    with pytest.raises(
        gnref.ShapeError, match=r"running_mean has shape \(3,\); expected \(4,\), one number per"
    ):
        CALLS["frozen"](running_mean=np.ones(3))
    with pytest.raises(TypeError, match=r"running_var is None; expected an array of shape \(4,\)"):
        CALLS["frozen"](running_var=None)


@pytest.mark.parametrize("x", [np.ones((1, 4)), np.ones((1, 4, 1, 1))])
def test_batch_norm_refuses_one_element_per_channel(x):
    with pytest.raises(
        gnref.ShapeError, match=r"x has shape .* one element per channel .* expects N\*H\*W > 1"
    ):
        gnref.batch_norm(x)
    with pytest.raises(gnref.ShapeError, match="one element per channel"):
        gnref.batch_norm(np.ones((2, 4)), virtual_batch_size=1)


@pytest.mark.parametrize("norm", CALLS)
def test_mixed_libraries(norm):
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(
        TypeError, match="weight is a array_api_strict array and x is a numpy array; expected one"
    ):
        CALLS[norm](weight=strict.ones(SHAPES.get(norm, (4,))))


def test_two_devices():
    strict = pytest.importorskip("array_api_strict")
    weight = strict.ones(4, device=strict.Device("device1"))
    with pytest.raises(
        TypeError, match=r"weight is on device .*device1.* and x is on .*; expected one device"
    ):
        gnref.batch_norm(strict.asarray(X), weight)


@pytest.mark.parametrize("norm", CALLS)
@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.empty((2, 4, 4)), ValueError, r"out has shape \(2, 4, 4\) .*; expected those of x, \(2, 4, 3\)"),
        (np.empty((2, 4, 3), "f4"), ValueError, "out has .* dtype float32; expected those of x, .* float64"),
        (
            np.empty((2, 4, 3), order="F"),
            ValueError,
            r"out has strides \(8, 16, 64\); expected the layout of x",
        ),
        (np.empty((2, 4, 6))[..., ::2], ValueError, "out has strides .*; expected the layout of x"),
        (X[:], ValueError, "out may share memory with x; expected an array that overlaps no input"),
        ([1.0], TypeError, "out is a builtins.list; expected an array"),
        (np.broadcast_to(np.ones(3), (2, 4, 3)), ValueError, "out is read-only; expected an array"),
    ],
)
def test_out(norm, out, error, message):
    before = np.array(out)
    with pytest.raises(error, match=message):
        CALLS[norm](out=out)
    assert np.array_equal(before, np.array(out), equal_nan=True), "nothing is written"


def saved():
    return gnref.group_norm_forward(X.copy(), 2, ONES.copy(), ONES.copy())[1]


@pytest.mark.parametrize(
    ("dy", "words", "error", "message"),
    [
        (np.ones((2, 4)), {}, gnref.ShapeError, r"dy has shape \(2, 4\); expected that of x, \(2, 4, 3\)"),
        (np.ones((2, 4, 3), "f4"), {}, TypeError, "dy has dtype float32; expected that of x, float64"),
        (1.0, {}, TypeError, "dy is a builtins.float; expected an array"),
        (X, {"needs": ["x", "eps"]}, ValueError, "needs has 'eps'; expected names among x, weight, bias"),
        (X, {"needs": None}, TypeError, "needs is None; expected names among"),
        (X, {"needs": "weights"}, ValueError, "needs has 'weights'; expected names among"),
        (X, {"out": np.empty(3)}, ValueError, r"out has shape \(3,\)"),
        (X, {"out": X}, ValueError, "out may share memory with dy; expected an array that overlaps no input"),
        (
            X,
            {"out": np.empty_like(X), "needs": ["bias"]},
            ValueError,
            r"out is given and needs is \('bias',\)",
        ),
    ],
)
def test_backward(dy, words, error, message):
    with pytest.raises(error, match=message):
        gnref.backward(dy, saved(), **words)


def test_out_may_not_be_the_saved_x():
    s = saved()
    with pytest.raises(ValueError, match="out may share memory with x"):
        gnref.backward(X, s, out=s.x)


@pytest.mark.parametrize("name", ["mean", "rstd"])
def test_out_may_not_be_a_saved_statistic(name):
    x = np.ones((1, 6))
    _, saved = gnref.batch_norm_frozen_forward(x, np.zeros(6), np.ones(6))
    with pytest.raises(ValueError, match=rf"out may share memory with saved\.{name}"):
        gnref.backward(x, saved, out=getattr(saved, name).reshape(1, 6))


def test_needs_may_be_one_name():
    assert gnref.backward(X, saved(), needs="x")[1] is None
    dx, dweight, _ = gnref.backward(X, saved(), needs=iter(["x"]))
    assert dx is not None
    assert dweight is None
    assert saved().norm == "group"
    assert repr(saved()) == f"<Saved of group norm: x (2, 4, 3) float64, backend {saved().backend}>"


@pytest.mark.parametrize("wrong", [None, (X, X), X])
def test_saved_must_be_saved(wrong):
    with pytest.raises(TypeError, match=f"saved is a {type(wrong).__name__}; expected the Saved of a"):
        gnref.backward(X, wrong)
