from itertools import combinations

import pytest

from gnref.bench.plot import BAR, MARKS, OUT, draw
from gnref.bench.results import Result
from gnref.teaching.palette import contrast

pytest.importorskip("matplotlib")
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex


def lengths(ax, colour):
    return sorted(bar.get_width() for bar in ax.patches if to_hex(bar.get_facecolor()).upper() == colour)


def test_bars_and_marks_are_shares_of_the_limit(machine, results):
    forward, backward = draw(machine, results).axes
    assert lengths(forward, BAR) == pytest.approx([0.4, 0.8])
    assert lengths(forward, OUT) == pytest.approx([0.8])
    assert lengths(backward, BAR) == pytest.approx([0.6])
    assert lengths(backward, OUT) == pytest.approx([0.8])
    marks = sorted(float(mark.get_offsets()[0][0]) for mark in backward.collections)
    assert marks == pytest.approx([0.006, 1.2]), "NumPy's and PyTorch's; nothing for who was not timed"
    assert backward.get_xlim()[1] > 1.2


def test_lines_are_named(machine, results):
    forward, _ = draw(machine, results).axes
    words = {text.get_text() for text in forward.texts}
    assert {"BatchNorm", "GroupNorm", "8×256×56×56", "2×64×16×16", "forward", "a copy of x", "80%"} <= words
    assert "InstanceNorm" not in words


def test_a_line_is_at_one_height_in_both_panels(machine, results):
    forward, backward = draw(machine, results).axes
    (there,) = {bar.get_y() for bar in backward.patches}
    assert there in {bar.get_y() for bar in forward.patches}


def test_one_direction_has_one_panel(machine, results):
    assert len(draw(machine, results[1:2]).axes) == 1


def test_rows_without_a_copy_are_left_out(machine, results):
    bare = Result(results[0].row, results[0].own)
    assert len(draw(machine, [bare, results[1]]).axes) == 1


def test_texts_stay_on_the_page_and_apart(machine, results):
    figure = draw(machine, results)
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [text for ax in figure.axes for text in [*ax.texts, *ax.get_xticklabels()]] + figure.texts
    boxes = [text.get_window_extent(renderer) for text in texts if text.get_text()]
    boxes.append(figure.legends[0].get_window_extent(renderer))
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_marks_differ_without_their_colours():
    assert len({marker for _, marker, _ in MARKS.values()}) == len(MARKS)
    assert contrast(BAR, OUT) > 2, "also in shades of grey"
