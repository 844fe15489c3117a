"""Verdicts as text and as HTML: safe, quiet, and legible on light and dark pages."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from gnref.teaching.exercises import EXERCISES, check
from gnref.teaching.exercises.exercise import build
from gnref.teaching.exercises.pictures import bars, grid, words
from gnref.teaching.exercises.verdict import Verdict, marked, style
from gnref.teaching.palette import contrast

VOID = {"rect", "path", "br"}


class Strict(HTMLParser):
    """Reads HTML, and fails where an element is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module", params=list(EXERCISES))
def right(request):
    exercise = EXERCISES[request.param]
    return check(request.param, build(exercise, exercise.solution))


def test_a_right_answer_shows_the_readers_own_result(right):
    page = Strict(right.html)
    assert [tag for tag, _ in page.seen].count("svg") == 1
    assert "✓ Right" in page.text
    labels = [attributes["aria-label"] for tag, attributes in page.seen if tag == "svg"]
    assert labels[0]


def test_the_html_asks_nothing_of_the_network_and_runs_nothing(right):
    assert not re.search(r"<script|javascript:|\bon\w+=|https?:|//\w|url\(|@import|<link|<iframe", right.html)
    assert len(right.html) < 120_000


def test_text_and_html_say_the_same(right):
    bundle = right._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"] == str(right) == repr(right)


def test_what_a_reader_wrote_is_no_html():
    def wicked(x, num_groups):
        raise ValueError("<script>alert(1)</script> & `<b>`")

    html = check("group_mean", wicked).html
    assert "<script" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html
    Strict(html)


@pytest.mark.parametrize("status", ["right", "not written yet", "wrong", "not understood"])
def test_every_status_has_a_mark_beside_its_colour(status):
    verdict = Verdict("name", status, "A `b` c.")
    assert Strict(verdict.html).text.endswith("A b c.")
    assert str(verdict)[0] in "✓…✗?"
    assert str(verdict).endswith("A `b` c.")


def test_backticks_become_code():
    assert marked(f"a `{'b < ' * 9}` d") == f"a <code>{'b &lt; ' * 9}</code> d"
    assert marked("`b`") == '<code style="white-space:nowrap">b</code>'


@pytest.mark.parametrize("index", [0, 1], ids=["light", "dark"])
def test_text_can_be_read_on_its_ground(index):
    colours = dict(re.findall(r"--(\w+):(#\w{6})", style().split(".gnref-verdict{")[index + 1].split("}")[0]))
    for name in ("ink", "muted", "good", "bad"):
        assert contrast(colours[name], colours["ground"]) >= 4.5, name
    assert contrast(colours["ink"], colours["code"]) >= 7


@pytest.mark.parametrize(
    "picture",
    [
        bars(np.array([1.0, -2.0, 0.0]), "three"),
        bars(np.zeros(4), "none"),
        grid(np.eye(3, dtype=bool), "a mask"),
        grid(np.zeros((2, 5)), "zeros"),
        words("6", ""),
        words("a < b", "text"),
    ],
    ids=["bars", "no bars", "mask", "zeros", "number", "text"],
)
def test_pictures_are_whole(picture):
    page = Strict(picture.svg)
    assert page.seen[0][0] == "svg"
    assert "nan" not in picture.svg
