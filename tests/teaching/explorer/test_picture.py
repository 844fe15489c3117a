"""The picture for places without widgets."""

import io
from base64 import b64decode

import pytest

pytest.importorskip("matplotlib")
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.image import imread

from gnref.teaching.explorer.picture import WIDTH, draw_state, png
from gnref.teaching.explorer.state import CHOICES, state_of
from gnref.teaching.palette import THEMES, hue

LARGE = {"n": 6, "c": 12, "h": 4, "w": 4}
SMALL = {"n": 1, "c": 1, "h": 1, "w": 1}


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]  # arrows have an empty one


def solid(figure):
    """How many sides are drawn that are not glass."""
    (cells,) = (one for one in figure.axes[0].collections if isinstance(one, PolyCollection))
    return sum(alpha == 1 for *_, alpha in cells.get_facecolors())


def inside(figure):
    """Whether every text lies on the page."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]
    (left, bottom), (right, top) = figure.bbox.get_points()
    return all(b.x0 >= left and b.x1 <= right and b.y0 >= bottom and b.y1 <= top for b in boxes)


@pytest.mark.parametrize("sizes", [{}, LARGE, SMALL], ids=["usual", "large", "small"])
@pytest.mark.parametrize("view", CHOICES["view"])
@pytest.mark.parametrize("fields", [{}, {"show": "dx"}, {"norm": "ln-pytorch", "show": "weight"}], ids=str)
def test_everything_is_on_the_page(fields, view, sizes):
    figure = draw_state(state_of(view=view, **fields, **sizes))
    assert inside(figure)
    assert solid(figure) > 0


def test_slices_show_every_number_of_the_set_in_full_colour():
    figure = draw_state(state_of("bn", n=3, c=4, h=1, w=2, view="slices"))
    assert solid(figure) == 3 * 1 * 2
    assert {"n = 0", "n = 1", "n = 2", "C = 4", "H·W = 2"} <= set(texts(figure))
    assert len(texts(figure)) == 24 + 5 + 2


def test_titles():
    *_, title, line = texts(draw_state(state_of()))
    assert (title, line) == ("GroupNorm, G = 3", "N × C × H × W = 2 × 6 × 2 × 2; 6 means of 8 elements")


@pytest.mark.parametrize("task", ["mark", "count"])
def test_an_exercise_is_not_answered(task):
    figure = draw_state(state_of(task=task, view="slices"))
    assert solid(figure) == 0
    assert not any("6 means" in text for text in texts(figure))
    assert len(figure.axes[0].patches) == (task == "mark")  # the outline of the cell in question


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_png_in_the_colours_of_the_theme(theme):
    image = imread(io.BytesIO(b64decode(png(state_of("bn", theme=theme)))))
    pixels = (255 * image[::3, ::3, :3]).round().astype(int).reshape(-1, 3)
    colours = {"#{:02X}{:02X}{:02X}".format(*pixel) for pixel in pixels}
    assert {THEMES[theme].background, hue("batch", theme)} <= colours
    assert image.shape[1] == 1.5 * WIDTH


def test_equal_states_give_equal_files():
    assert png(state_of()) == png.__wrapped__(state_of())
