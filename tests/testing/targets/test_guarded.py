import numpy as np
import pytest

from gnref.testing import LAYOUTS
from gnref.testing.targets.guarded import GUARD, guarded

X = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_numbers_and_strides_are_kept(layout):
    a = LAYOUTS[layout](X)
    place = guarded(a)
    view = place.view(place.buffer)
    assert np.array_equal(view, a)
    assert [s for s, n in zip(view.strides, a.shape, strict=True) if n > 1] == [
        s for s, n in zip(a.strides, a.shape, strict=True) if n > 1
    ]


def test_around_it_is_nan():
    place = guarded(LAYOUTS["every_second"](X))
    assert np.isnan(place.buffer).sum() == len(place.buffer) - X.size
    assert np.isnan(place.buffer[:GUARD]).all()
    assert np.isnan(place.buffer[-GUARD:]).all()
    assert (guarded(X, fill=1.0).buffer[:GUARD] == 1).all()


@pytest.mark.parametrize(("where", "expected"), [(GUARD - 1, "around"), (GUARD, "inside"), (None, "")])
def test_a_change_is_told_apart(where, expected):
    place = guarded(X)
    buffer = place.buffer.copy()
    if where is not None:
        buffer[where] = 77
    assert place.changed(buffer) == expected


def test_between_strided_elements_is_around():
    place = guarded(X[..., ::2])
    buffer = place.buffer.copy()
    buffer[place.start + 1] = 0
    assert place.changed(buffer) == "around"


def test_an_empty_array():
    place = guarded(np.zeros((0, 3)))
    assert place.view(place.buffer).shape == (0, 3)
