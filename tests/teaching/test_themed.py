"""A figure is drawn for light and for dark pages, and says in words what it shows."""

import base64
import re

import pytest

pytest.importorskip("matplotlib")

from gnref.teaching.palette import DARK_PAGES, SYSTEM_PAGE, THEMES
from gnref.teaching.themed import themed


def dot(theme):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1))
    figure.text(0.5, 0.5, "dot", color=THEMES[theme].ink)
    return figure


def test_both_are_there_and_differ():
    html = themed(dot, 'a "dot"')._repr_mimebundle_()["text/html"]
    light, dark = (html.split(f'<img class="{theme}" ')[1].split(">")[0] for theme in ("light", "dark"))
    assert light != dark
    assert all(
        'alt="a &quot;dot&quot;" width="192" src="data:image/png;base64,' in image for image in (light, dark)
    )


def test_every_kind_of_dark_page_swaps_them():
    html = themed(dot, "a dot")._repr_mimebundle_()["text/html"]
    for where in (*DARK_PAGES, SYSTEM_PAGE):
        for image, shown in {"light": "none", "dark": "inline"}.items():
            assert re.search(rf"{re.escape(where)} \.gnref-figure \.{image}[^{{]*{{display:{shown}}}", html)


def test_where_no_html_is_shown():
    bundle = themed(dot, "a dot")._repr_mimebundle_()
    assert bundle["text/plain"] == "a dot"
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")


def test_the_background_is_the_page_s():
    from io import BytesIO

    from matplotlib.image import imread

    for png in themed(dot, "a dot").pngs.values():
        assert imread(BytesIO(png))[0, 0, 3] == 0


def test_equal_figures_give_equal_files():
    assert themed(dot, "a dot") == themed(dot, "a dot")
