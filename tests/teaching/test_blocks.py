"""The block as text says what it must, fits the screen, and does without colour and Unicode."""

import io
import re

import pytest
from rich.console import Console

from gnref.errors import ShapeError
from gnref.teaching.blocks import label, print_blocks
from gnref.teaching.palette import contrast
from gnref.teaching.sets import FOUR


def printed(shape, G=None, norms=FOUR, width=80):
    console = Console(file=io.StringIO(), width=width)
    print_blocks(console, shape, G, norms)
    return console.file.getvalue()


def test_group_norm_in_full():
    assert printed((2, 4, 1, 2), 2, ["group"]) == (
        "N × C × H × W = 2 × 4 × 1 × 2, 16 cells. Same label, same mean.\n"
        "One grid per example n: columns are the C channels, rows the H·W pixels.\n"
        "\n"
        " GroupNorm, G = 2  statistics per N G: 4 means of 4 elements\n"
        " 5-slot view (O, P, A, B, S) = (2, 1, 2, 2, 2)\n"
        "      n = 0               n = 1      \n"
        "│ A   A │ B   B │   │ C   C │ D   D │\n"
        "│ A   A │ B   B │   │ C   C │ D   D │\n"
    )


@pytest.mark.parametrize(
    ("norm", "row"),
    [
        ("batch", "│ A │ B │ C │ D │   │ A │ B │ C │ D │"),
        ("layer", "│ A   A   A   A │   │ B   B   B   B │"),
        ("instance", "│ A │ B │ C │ D │   │ E │ F │ G │ H │"),
        ("group", "│ A   A │ B   B │   │ C   C │ D   D │"),
    ],
)
def test_bars_stand_between_sets(norm, row):
    assert printed((2, 4, 3, 1), 2, [norm]).splitlines()[-3:] == [row] * 3


def test_all_four_norms_unless_told():
    text = printed((4, 6, 3, 3))
    assert [name in text for name in ("BatchNorm", "LayerNorm", "InstanceNorm", "GroupNorm, G = 2")] == [
        True
    ] * 4
    assert "Left out" not in text


@pytest.mark.parametrize("width", [30, 60, 80, 200])
@pytest.mark.parametrize(
    "shape", [(9, 3, 4, 4), (30, 8, 4, 5), (2, 33, 9, 9), (8, 64, 32, 32), (500, 2, 3, 3)]
)
def test_no_grid_is_wider_than_the_screen(shape, width):
    rows = [line for line in printed(shape, width=width).splitlines() if "│" in line]
    assert len({len(row) for row in rows}) == 1  # a wrapped row would be two lengths
    assert len(rows[0]) <= width


def test_a_large_block_says_what_is_left_out():
    assert "\nLeft out (…): n = 1 to 6, c = 6 to 62, pixel = 3 to 1022.\n" in printed((8, 64, 32, 32), 32)
    narrow = " ".join(printed((30, 3, 1, 1), width=22).split())  # there, only n = 0 is shown
    assert narrow.endswith("n = 0 │0 │1 │2 │ Left out (…): n = 1 to 29.")


def test_the_ellipsis_joins_cells_of_one_set_and_parts_others():
    assert "\n│A A A A A A A … A│\n" in printed((1, 99, 1, 1), 1, ["group"], width=20)
    assert "\n│A│B│C│D│E│F│G│…│x│\n" in printed((1, 50, 1, 1), 1, ["batch"], width=20)


def test_cells_can_be_read_on_their_colours():
    console = Console(file=io.StringIO(), width=80, color_system="truecolor", force_terminal=True)
    print_blocks(console, (2, 4, 2, 2))
    colours = re.findall(r"38;2;([\d;]+);48;2;([\d;]+)m", console.file.getvalue())
    pairs = {tuple("#" + bytes(map(int, rgb.split(";"))).hex() for rgb in pair) for pair in colours}
    assert len(pairs) == 4 * 3 - 1  # the sets of a layer norm of two examples need one tint
    assert min(contrast(*pair) for pair in pairs) > 4.5


def test_without_unicode():
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_blocks(Console(file=raw, width=60), (30, 64, 9, 9))
    raw.flush()
    text = raw.buffer.getvalue().decode("ascii")
    assert "N x C x H x W" in text
    assert "|~|" in text


def test_labels_are_letters_while_they_last():
    assert "".join(label(i, 52) for i in range(52)) == "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    assert label(7, 53) == "7"


def test_groups_that_do_not_divide_the_channels_raise():
    with pytest.raises(ShapeError, match="does not divide C = 6"):
        printed((2, 6, 2, 2), 4)
