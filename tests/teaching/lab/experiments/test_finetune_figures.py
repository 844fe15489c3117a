"""Masks as pictures: unpacked as they were packed, and dots where a pixel is wrong."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from gnref.teaching.lab.experiments.finetune_figures import draw_masks, unpacked
from gnref.teaching.palette import hue


def test_a_mask_is_unpacked_row_by_row():
    assert unpacked("0122").tolist() == [[0, 1], [2, 2]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_dots_are_where_a_pixel_is_wrong(theme):
    right, found = np.array([[0, 1], [2, 2]]), np.array([[0, 0], [2, 2]])
    picture = np.zeros((3, 2, 2))
    figure = draw_masks(theme, {"clear": [picture]}, [right], {"GN": ("group", [found])}, ("a", "b", "c"))
    _, truth, predicted = figure.axes
    assert [ax.get_ylabel() for ax in figure.axes] == ["clear", "right", "GN"]
    assert len(truth.lines[0].get_xdata()) == 0
    (dots,) = predicted.lines
    assert (dots.get_xdata().tolist(), dots.get_ydata().tolist()) == ([1], [0])
    assert dots.get_color() == hue("group", theme)
