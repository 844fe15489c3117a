import numpy as np
import pytest

import gnref
from gnref.bench.case import copied, draw, dtype_of, formula
from gnref.bench.grid import Row

ROWS = [
    Row("batch", "backward", (3, 4, 5, 2)),
    Row("batch", "backward", (3, 5, 2, 4), channel_axis=-1),
    Row("instance", "backward", (3, 4, 5, 2, 2)),
    Row("group", "backward", (3, 4, 5, 2), num_groups=2),
    Row("group", "backward", (3, 5, 2, 4), channel_axis=-1, num_groups=2),
    Row("layer", "backward", (3, 4, 5), normalized_shape=(4, 5)),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_formula_has_the_axes_of_the_norm(row):
    """By counting: where x is 1, 2, 4, ..., a sum says which elements were added."""
    case, f = draw(row._replace(dtype="float64")), formula(row)
    options = {"normalized_shape": row.normalized_shape} if row.norm == "layer" else {}
    options |= {"channel_axis": row.channel_axis} if row.norm != "layer" else {}
    options |= {"num_groups": row.num_groups} if row.norm == "group" else {}
    forward = getattr(gnref, f"{row.norm}_norm_forward")
    _, saved = forward(case.x, **options, weight=case.weight, bias=case.bias, backend="reference")
    mean = case.x.reshape(f.shape).mean(f.axes)
    np.testing.assert_allclose(mean, saved.mean, rtol=1e-12)
    dbias = gnref.backward(case.dy, saved)[2]
    np.testing.assert_allclose(case.dy.sum(f.param_axes).reshape(case.bias.shape), dbias, rtol=1e-10)
    assert np.broadcast_shapes(f.param_shape, row.shape) == row.shape


def test_equal_rows_draw_equal_numbers():
    a, b = draw(ROWS[0]), draw(ROWS[0])
    assert all(np.array_equal(p, q) for p, q in zip(a[1:], b[1:], strict=True))
    assert draw(ROWS[0]._replace(direction="forward")).dy.size == 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_weights_are_float32_unless_x_is_wider(dtype):
    case = draw(ROWS[0]._replace(dtype=dtype))
    assert case.x.dtype == case.dy.dtype == dtype_of(dtype)
    assert case.weight.dtype == case.bias.dtype == ("float64" if dtype == "float64" else "float32")
    assert abs(case.x.astype(float).mean() - 1) < 0.7, "x is not centred at 0"


def test_copies_are_elsewhere():
    case = draw(ROWS[0])
    for a, b in zip(case[1:], copied(case)[1:], strict=True):
        assert np.array_equal(a, b)
        assert not np.shares_memory(a, b)
