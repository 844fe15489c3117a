import numpy as np
import pytest

from gnref.testing import Problem, tolerance
from gnref.testing.tolerances import FORMATS, spacing, terms, unit_roundoff


@pytest.mark.parametrize("name", FORMATS)
def test_unit_roundoff_and_spacing(name):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    info = ml_dtypes.finfo(dtype)
    assert unit_roundoff(dtype) == float(info.eps) / 2
    a = np.array([1.0, 1.5, 3.0, 0.3])
    expected = [float(info.eps), float(info.eps), 2 * float(info.eps), float(info.eps) / 4]
    assert spacing(a, dtype).tolist() == expected
    assert spacing(np.zeros(1), dtype)[0] == float(info.smallest_subnormal)


def problem(dtype="float32", offset=0.0, **words):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 2, 4, 6))
    weight, bias = rng.standard_normal((2, 4)).astype(dtype)
    return Problem("group", (x + offset).astype(dtype), dy.astype(dtype), weight, bias, num_groups=2, **words)


def test_the_bars_of_the_design():
    p = problem()
    t, tol, u = terms(p), tolerance(p), 2.0**-24
    np.testing.assert_allclose(tol.y, 6 * u * (t.weight * (1 + t.xhat) + t.bias))
    np.testing.assert_allclose(tol.dx, 10 * u * t.rstd * (t.g + t.mean_g + t.xhat * t.mean_g_xhat))
    dy = np.abs(p.dy.astype(float))
    np.testing.assert_allclose(tol.dbias, 10 * u * dy.sum(axis=(0, 2)))
    np.testing.assert_allclose(tol.dweight, 10 * u * (dy * (1 + t.xhat)).sum(axis=(0, 2)))


def test_terms_are_those_of_numpy():
    p = problem("float64")
    t, x = terms(p), p.x.reshape(2, 2, 2, 6)
    own = {"axis": (2, 3), "keepdims": True}
    xhat = (x - x.mean(**own)) / np.sqrt(x.var(**own) + p.eps)
    np.testing.assert_allclose(t.signed_xhat, xhat.reshape(p.shape), rtol=1e-12)
    g = p.dy * p.weight[:, None]
    np.testing.assert_allclose(t.signed_g, g)
    mean_g = np.abs(g).reshape(2, 2, 2, 6).mean(**own) + 0 * x
    np.testing.assert_allclose(t.mean_g, mean_g.reshape(p.shape))
    assert set(t.length.ravel()) == {12.0}


def test_the_tolerance_does_not_grow_with_the_offset_but_the_oracles_does():
    near, far = problem("float64"), problem("float64", offset=1e6)
    np.testing.assert_allclose(tolerance(far).y, tolerance(near).y, rtol=1e-6)
    assert (tolerance(far, oracle="loops").y > 1e4 * tolerance(near, oracle="loops").y).all()


def test_16_bits_are_float32_and_one_unit_in_the_last_place():
    p = problem("float16")
    t = terms(p)
    rounding = spacing(t.weight * t.xhat + t.bias, "float16")
    arithmetic = 6 * 2.0**-24 * (t.weight * (1 + t.xhat) + t.bias)
    np.testing.assert_allclose(tolerance(p).y, rounding + arithmetic, rtol=1e-12, atol=2.0**-25)
