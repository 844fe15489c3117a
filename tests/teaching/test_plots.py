"""The figures: what they show, and where they may be written."""

import subprocess
import sys
from itertools import combinations

import pytest

from gnref.errors import MissingExtraError, ShapeError
from gnref.teaching.oblique import block_of, faces
from gnref.teaching.palette import hue
from gnref.teaching.plots import draw_blocks, save

pytest.importorskip("matplotlib")
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_titles_and_axes_of_all_four():
    words = texts(draw_blocks((4, 6, 3, 3), 2))
    assert {"BatchNorm", "LayerNorm", "InstanceNorm", "GroupNorm, G = 2"} <= set(words)
    assert {"statistics per N G", "8 means of 27 elements", "C = 6", "N = 4", "H·W = 9"} <= set(words)


@pytest.mark.parametrize(("norm", "count"), [("batch", 9), ("layer", 54), ("instance", 9), ("group", 27)])
def test_the_first_set_is_in_full_colour(norm, count):
    (cells,) = draw_blocks((4, 6, 3, 3), 2, norms=[norm]).axes[0].collections
    colours = [to_hex(colour).upper() for colour in cells.get_facecolors()]
    assert len(colours) == 9 * 6 + 6 * 4 + 4 * 9  # front, top and right side, and nothing hidden
    assert colours.count(hue(norm)) == count  # on the front; the other sides are shaded


def test_the_nearest_face_is_drawn_last():
    order = [face.cell for face in faces(block_of((3, 2, 2, 2)))]
    assert [cell[0] for cell in order] == sorted((cell[0] for cell in order), reverse=True)


def test_a_large_block_says_what_is_not_drawn():
    figure = draw_blocks((8, 64, 32, 32), 32)
    assert "Not drawn: n = 5 to 6, c = 11 to 62, pixel = 8 to 1022." in texts(figure)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (64, 4), (2, 3, 5), (2, 4, 3, 2, 2), (32, 512, 56, 56)])
@pytest.mark.parametrize("norms", [["instance"], ["batch", "layer", "group", "rms"]])
def test_texts_stay_on_the_page_and_apart(shape, norms):
    figure = draw_blocks(shape, norms=norms)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


@pytest.mark.parametrize("suffix", [".png", ".svg", ".SVG"])
def test_equal_figures_give_equal_files(tmp_path, suffix):
    for name in ("a", "b"):
        save(draw_blocks((2, 4, 2, 2), 2), tmp_path / f"{name}{suffix}")
    written = (tmp_path / f"a{suffix}").read_bytes()
    assert written == (tmp_path / f"b{suffix}").read_bytes()
    assert written.startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")


def test_text_stays_text_in_an_svg(tmp_path):
    save(draw_blocks((2, 4, 2, 2), 2), tmp_path / "a.svg")
    assert ">GroupNorm, G = 2</text>" in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_another_suffix_raises(tmp_path):
    with pytest.raises(ValueError, match=r"expected one that ends in \.png or \.svg"):
        save(draw_blocks((1, 2, 1, 1)), tmp_path / "a.pdf")


def test_a_file_that_exists_is_kept_unless_told(tmp_path):
    path = tmp_path / "a.svg"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        save(draw_blocks((1, 2, 1, 1)), path)
    assert path.read_text() == "mine"
    save(draw_blocks((1, 2, 1, 1)), path, overwrite=True)
    assert path.read_text(encoding="utf-8").startswith("<?xml")


def test_bad_arguments_raise():
    with pytest.raises(ShapeError, match="does not divide C = 6"):
        draw_blocks((2, 6, 2, 2), 4)
    with pytest.raises(ValueError, match="theme is 'blue'"):
        draw_blocks((2, 6, 2, 2), theme="blue")


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'gnref\[plots\]'"):
        draw_blocks((2, 6, 2, 2))


def test_pyplot_is_left_alone():
    code = """if True:
        import sys
        from gnref.teaching.plots import draw_blocks
        assert "matplotlib" not in sys.modules
        draw_blocks((1, 2, 1, 1))
        assert "matplotlib.pyplot" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)
