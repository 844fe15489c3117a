"""Arrays that are not NumPy's: its own functions work on them, and nothing goes to NumPy unasked."""

import math

import array_api_compat
import numpy as np
import pytest

from gnref.teaching.exercises.elsewhere import FUNCTIONS, OPERATORS, Far, far, to_host

x = Far(np.arange(1.0, 7.0, dtype=np.float32).reshape(2, 3))


def test_its_functions_are_those_of_its_namespace():
    assert array_api_compat.array_namespace(x) is far
    assert array_api_compat.is_array_api_obj(x)
    assert set(FUNCTIONS) <= set(vars(far))


@pytest.mark.parametrize(
    "use",
    [
        np.asarray,
        np.mean,
        np.sqrt,
        np.sum,
        lambda a: np.reshape(a, -1),
        lambda a: np.einsum("ij->i", a),
        lambda a: a + np.ones((2, 3)),
        lambda a: np.ones((2, 3)) * a,
        lambda a: a * np.float64(2),
        lambda a: np.float64(2) * a,
        lambda a: far.mean(np.ones(3)),
        float,
        math.sqrt,
    ],
)
def test_nothing_goes_to_numpy_or_comes_from_it_unasked(use):
    with pytest.raises(TypeError):
        use(x)


def test_there_are_no_methods():
    assert not any(hasattr(x, name) for name in ("mean", "var", "reshape", "astype", "copy"))


def test_to_host_is_the_way_back():
    assert to_host(x).tolist() == [[1, 2, 3], [4, 5, 6]]
    a = np.ones(2)
    assert to_host(a) is a


def test_functions_and_operators_compute_what_numpys_do():
    a = to_host(x)
    pairs = [
        (far.var(x, axis=-1, correction=1, keepdims=True), a.var(axis=-1, ddof=1, keepdims=True)),
        (far.mean(x, axis=0), a.mean(axis=0)),
        (far.reshape(x, (3, 2)), a.reshape(3, 2)),
        ((x - far.mean(x)) / far.sqrt(x + 1e-5), (a - a.mean()) / np.sqrt(a + np.float32(1e-5))),
        (2 - x, 2 - a),
        (1 / x, 1 / a),
        (-x[0], -a[0]),
        (x**0.5, a**0.5),
        (far.astype(x, far.float64), a.astype(float)),
    ]
    for got, expected in pairs:
        assert isinstance(got, Far)
        assert got.dtype == expected.dtype
        assert (got.shape, got.ndim, got.size) == (expected.shape, expected.ndim, expected.size)
        np.testing.assert_array_equal(to_host(got), expected)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_takes_arrays_and_numbers(name):
    own, numpys = getattr(x, f"__{name}__"), getattr(to_host(x), f"__{name}__")
    np.testing.assert_array_equal(to_host(own(x)), numpys(to_host(x)))
    np.testing.assert_array_equal(to_host(own(2)), numpys(2))
    assert own("2") is NotImplemented
