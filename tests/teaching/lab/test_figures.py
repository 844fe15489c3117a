"""The figures' shared parts: where lines and dots lie, in which colours, and names that keep apart."""

import pytest

pytest.importorskip("matplotlib")

import numpy as np
from matplotlib.colors import to_hex

from gnref.teaching.lab.figures import (
    STYLES,
    _apart,
    curve,
    label,
    legend,
    name_ends,
    panels,
    paper_curve,
    powers,
)
from gnref.teaching.palette import THEMES, hue
from gnref.teaching.paper import BATCH_SIZE, CHANNELS_PER_GROUP

XS = (32, 8, 2)
VALUES = {32: [40.0, 42.0], 8: [], 2: [60.0, 66.0]}


def one(theme="light"):
    return panels(theme, "measured here")[1][0]


def test_a_line_of_means_and_a_dot_for_each_seed():
    ax = one()
    curve(ax, "light", "batch", XS, VALUES)
    means, seeds = ax.lines
    np.testing.assert_array_equal(means.get_xydata(), [[32, 41], [8, np.nan], [2, 63]])
    assert seeds.get_xydata().tolist() == [[32, 40], [32, 42], [2, 60], [2, 66]]


def test_one_seed_needs_no_dots():
    ax = one()
    curve(ax, "light", "group", XS, {32: [1.0], 2: [2.0]})
    assert len(ax.lines) == 1


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("norm", STYLES)
def test_a_norm_has_its_hue(norm, theme):
    ax = one(theme)
    curve(ax, theme, norm, (1,), {1: [1.0, 2.0]})
    colours = {to_hex(line.get_color()) for line in ax.lines}  # of the line and of the dots
    assert colours == {hue(STYLES[norm][0], theme).lower()}


def test_styles_differ():
    assert len({(of, line) for of, _, line in STYLES.values()}) == len(STYLES) - 1  # constant is frozen


def test_the_papers_figures_of_status_n_are_hollow():
    ax = one()
    paper_curve(ax, "light", "group", CHANNELS_PER_GROUP)
    line, hollow = ax.lines
    assert line.get_ydata().tolist() == [24.4, 24.5, 24.2, 24.3, 24.8, 25.6, 28.4]
    assert hollow.get_xdata().tolist() == [32, 16, 8, 4, 2]
    assert hollow.get_markerfacecolor() == THEMES["light"].background


def test_verified_figures_are_full():
    ax = one()
    paper_curve(ax, "light", "batch", BATCH_SIZE)
    assert len(ax.lines) == 1


@pytest.mark.parametrize("xs", [(32, 16, 2), (2, 16, 32)])
def test_powers_run_in_the_order_given(xs):
    ax = one()
    powers(ax, xs)
    ends = ax.transData.transform([(x, 1) for x in xs])[:, 0]
    assert list(ends) == sorted(ends)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == list(map(str, xs))


def test_names_stand_at_the_ends_and_apart():
    ax = one()
    for norm, y in (("batch", 9.9), ("group", 10.0), ("layer", 0.0)):
        curve(ax, "light", norm, (1, 2), {1: [5.0], 2: [y]})
    curve(ax, "light", "instance", (1, 2), {})
    name_ends(ax, gap=0.1)
    places = {text.get_text(): text.xy for text in ax.texts}
    assert set(places) == {"BN", "GN", "LN"}
    assert {x for x, _ in places.values()} == {2}
    assert places["GN"][1] - places["BN"][1] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("places", "apart"),
    [
        ([0.0, 0.5], [0.0, 0.5]),
        ([0.5, 0.5], [0.45, 0.55]),
        ([0.0, 0.5, 0.5, 0.5], [0.0, 0.4, 0.5, 0.6]),
        ([0.4, 0.45, 0.55], [0.36666667, 0.46666667, 0.56666667]),
        ([], []),
    ],
)
def test_apart_moves_no_more_than_it_must(places, apart):
    assert _apart(places, 0.1) == pytest.approx(apart)


def test_words_are_in_the_pages_ink():
    ax = one("dark")
    label(ax, "dark", "N", "error, %")
    curve(ax, "dark", "batch", (1,), {1: [1.0]})
    legend(ax, "dark", loc="upper left")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("N", "error, %")
    assert ax.get_title() == "measured here"
    assert ax.xaxis.label.get_color() == THEMES["dark"].muted
    assert ax.get_legend().get_texts()[0].get_color() == THEMES["dark"].ink


def test_an_unknown_theme_raises():
    with pytest.raises(ValueError, match="theme is 'blue'"):
        panels("blue", "measured here")
