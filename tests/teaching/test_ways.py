"""The map of the ways: what `plan` says at every point, legible for every eye, true of the layers on it."""

import re
import subprocess
import sys
from itertools import chain, combinations, product
from pathlib import Path

import numpy as np
import pytest

from gnref.errors import MissingExtraError
from gnref.kernels.cuda.plan import plan
from gnref.teaching.palette import HUES, THEMES, hue
from gnref.teaching.ways import (
    DEVICES,
    GREYS,
    LAYERS,
    SETS,
    SIZES,
    WAYS,
    accesses,
    draw_ways,
    picture,
    way_at,
    way_map,
)

sys.path.insert(0, str(Path(__file__).parent))
from test_palette import VISION, oklab

pytest.importorskip("matplotlib")
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

PANELS = list(product(DEVICES, (False, True)))


def axes(figure):
    """The axes of each panel, by device and direction; the last ones have the legend."""
    return dict(zip(PANELS, figure.axes[:-1], strict=True))


@pytest.mark.parametrize("panel", PANELS)
@pytest.mark.parametrize("theme", THEMES)
def test_a_point_has_the_colour_of_what_plan_says_there(theme, panel):
    device, backward = panel
    (image,) = axes(draw_ways(theme))[panel].images
    shown, (left, right, low, high) = image.get_array(), image.get_extent()
    rng = np.random.default_rng(0)
    for x, y in zip(rng.uniform(left, right, 40), rng.uniform(low, high, 40), strict=True):
        column = int((x - left) / (right - left) * shown.shape[1])
        row = int((y - low) / (high - low) * shown.shape[0])
        S = round(SIZES[column] * 2**0.0625 / 128) * 4
        slots = round(SETS[row] * 2**0.125), 1, 1, 8, S
        found = plan(slots, 4, DEVICES[device], backward=backward)
        assert to_hex(image.cmap(image.norm(shown[row, column]))).upper() == GREYS[theme][found.way]


@pytest.mark.parametrize("panel", PANELS)
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_a_layer_stands_where_its_own_way_is(layer, panel):
    device, backward = panel
    row = int(np.searchsorted(SETS, layer.sets, "right")) - 1
    column = int(np.searchsorted(SIZES, layer.size, "right")) - 1
    assert way_map(DEVICES[device], backward)[row][column] == layer.plan(DEVICES[device], backward).way


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_a_layers_name_tells_its_shape(layer):
    assert {int(number) for number in re.findall(r"\d+", layer.name)} <= {*layer.shape, 8 * layer.itemsize}


@pytest.mark.parametrize("theme", THEMES)
def test_a_layer_has_its_norms_colour_and_its_place(theme):
    for ax in axes(draw_ways(theme)).values():
        dots = [(line.get_color(), *line.get_xydata()[0]) for line in ax.lines]
        assert dots == [(hue(k.norm, theme), np.log2(k.size), np.log2(k.sets)) for k in LAYERS]


def test_all_ways_but_columns_are_on_the_map():
    there = {way for device, back in PANELS for row in way_map(DEVICES[device], back) for way in row}
    assert there == set(WAYS)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", THEMES)
def test_ways_differ_for_every_eye(theme, vision):
    seen = [oklab(colour, vision) for colour in GREYS[theme].values()]
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 0.12


@pytest.mark.parametrize("theme", THEMES)
def test_a_way_does_not_read_as_a_norm(theme):
    def chroma(colour):
        return np.hypot(*oklab(colour, "full")[1:])

    assert max(map(chroma, GREYS[theme].values())) < 0.03 < min(map(chroma, HUES[theme].values())) / 2


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("devices", [DEVICES, {"H100": DEVICES["H100"]}], ids=len)
def test_texts_stay_on_the_page_and_apart(theme, devices):
    figure = draw_ways(theme, devices)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    parts = [[*ax.texts, ax.title, ax.xaxis.label, ax.yaxis.label] for ax in figure.axes]
    parts += [ax.get_xticklabels() + ax.get_yticklabels() for ax in figure.axes[:-1]]
    texts = [text for text in chain(*parts) if text.get_text() and text.get_visible()]
    boxes = [text.get_window_extent(renderer) for text in texts]
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


@pytest.mark.parametrize("panel", PANELS)
def test_its_words_tell_where_a_way_begins(panel):
    device, backward = panel
    words = picture().alt.split(f"{device}, many sets: ")[1].split(". ")[0].split("; ")[backward]
    first, *later = words.removeprefix("backward " if backward else "forward ").split(", ")
    assert way_at(SIZES[0], 1e5, DEVICES[device], backward) == first
    assert len(later) >= 2
    before = first
    for way, size in (part.split(" from ") for part in later):
        at = float(size.split()[0]) * 2 ** {"KB": 10, "MB": 20}[size.split()[1]]
        assert way_at(at * 1.05, 1e5, DEVICES[device], backward) == way
        assert way_at(at * 0.95, 1e5, DEVICES[device], backward) == before
        before = way


def test_what_is_not_kept_is_read_twice():
    assert [accesses(way) for way in (*WAYS, "columns")] == [2, 2, 2, 3, 3]
    assert [accesses(way, backward=True) for way in (*WAYS, "columns")] == [3, 3, 3, 5, 5]


def test_an_unknown_theme_raises():
    with pytest.raises(ValueError, match="theme is 'blue'"):
        draw_ways("blue")


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'gnref\[plots\]'"):
        draw_ways()


def test_it_needs_no_cupy():
    code = "import sys; sys.modules['cupy'] = None; from gnref.teaching.ways import picture; print(picture())"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told.startswith("H100")
