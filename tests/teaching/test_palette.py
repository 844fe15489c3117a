"""The colours can be told apart by everybody, and read on their backgrounds."""

from itertools import combinations

import numpy as np
import pytest

from gnref.teaching.palette import HUES, NAMES, THEMES, check_theme, contrast, fill, hue, ink_on

# What people see who have no red, green or blue cones (Machado, Oliveira & Fernandes 2009, severity 1),
# on linear RGB.
VISION = {
    "full": np.eye(3),
    "no red": [
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]
    ],
    "no green": [
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]
    ],
    "no blue": [
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]
    ],
}  # fmt: skip
# Linear RGB to cone responses, and their cube roots to OKLab (Ottosson 2020), where distance is difference.
CONES = np.array([[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]])
LAB = np.array([[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]])


def oklab(colour, vision):
    srgb = np.array(list(bytes.fromhex(colour[1:]))) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return LAB @ np.cbrt(CONES @ np.clip(VISION[vision] @ linear, 0, 1))


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", THEMES)
def test_hues_differ_for_every_eye(theme, vision):
    seen = [oklab(colour, vision) for colour in HUES[theme].values()]
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 0.12


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("norm", NAMES)
def test_a_hue_and_its_two_tints_differ_for_every_eye(norm, theme, vision):
    three = [oklab(colour, vision) for colour in (hue(norm, theme), *(fill(norm, t, theme) for t in (0, 1)))]
    assert min(np.linalg.norm(a - b) for a, b in combinations(three, 2)) > 0.05


@pytest.mark.parametrize("theme", THEMES)
def test_text_and_hues_stand_out_from_the_background(theme):
    page = THEMES[theme]
    assert min(contrast(page.ink, page.background), contrast(page.muted, page.background)) > 4.5
    assert min(contrast(hue(norm, theme), page.background) for norm in NAMES) > 3  # large text, areas


def test_ink_can_be_read_on_every_colour():
    for theme in THEMES:
        assert min(contrast(ink_on(c), c) for c in HUES[theme].values()) > 4.5


def test_rms_shares_the_hue_of_layer():
    assert hue("rms") == hue("layer")
    assert hue("rms", "dark") == hue("layer", "dark")


def test_an_unknown_theme_raises():
    with pytest.raises(ValueError, match="theme is 'blue'; expected one of light, dark"):
        check_theme("blue")
