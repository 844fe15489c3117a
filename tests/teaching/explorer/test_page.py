"""The page that stands alone, and the division of any other page."""

import json
import sys
from html.parser import HTMLParser

import pytest

from gnref.teaching.explorer import explorer_html, explorer_page, save_explorer_page
from gnref.teaching.explorer.page import module
from gnref.teaching.explorer.state import state_of


class Tags(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def first(self, tag):
        return next(attributes for name, attributes in self.tags if name == tag)


def test_a_page_needs_nothing_beside_it():
    page = explorer_page(norm="bn", n=3)
    assert module() in page
    addresses = [value for _, tag in Tags(page).tags for key, value in tag.items() if key in ("src", "href")]
    assert addresses == ["data:,"]
    assert "default-src 'none'" in page
    assert '"norm": "bn", "n": 3' in page


def test_a_page_without_scripts_says_what_is_there():
    assert "6 means of 8 elements" in explorer_page().partition("</noscript>")[0]


def test_saved_once(tmp_path):
    path = tmp_path / "explorer.html"
    save_explorer_page(path, norm="in")
    assert path.read_text(encoding="utf-8") == explorer_page(norm="in")
    with pytest.raises(FileExistsError, match="exists already; expected a new path"):
        save_explorer_page(path)
    assert path.read_text(encoding="utf-8") == explorer_page(norm="in")


def test_nothing_is_written_for_bad_input(tmp_path):
    with pytest.raises(ValueError, match=r"one that ends in \.html"):
        save_explorer_page(tmp_path / "explorer.png")
    with pytest.raises(ValueError, match="g is 4; expected a divisor"):
        save_explorer_page(tmp_path / "explorer.html", g=4)
    assert list(tmp_path.iterdir()) == []


def test_a_division_holds_its_state_and_a_picture():
    tags = Tags(explorer_html(norm="ln-pytorch", cell=(1, 0, 0, 0)))
    division, image = tags.first("div"), tags.first("img")
    assert division["class"] == "gnref-explorer"
    assert "data-address" not in division
    assert json.loads(division["data-state"]) == state_of("ln-pytorch", cell=(1, 0, 0, 0)).fields() | {
        "cell": [1, 0, 0, 0]
    }
    assert image["alt"].startswith("PyTorch's LayerNorm over a block of")
    assert image["src"].startswith("data:image/png;base64,")


def test_a_division_that_follows_the_address():
    assert "data-address" in Tags(explorer_html(address=True)).first("div")


def test_without_matplotlib_words_stand_for_the_picture(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    html = explorer_html(n=5, c=5, h=1, w=1)
    assert "<img" not in html
    assert "<p>GroupNorm, G = 5 over a block" in html
