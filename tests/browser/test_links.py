"""Every link inside the built site leads somewhere, its anchor included."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

SITE = Path(__file__).parents[2] / "build" / "site"
ATTRIBUTES = {"a": "href", "link": "href", "img": "src", "script": "src"}


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = [], {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors.update(filter(None, (attrs.get("id"), attrs.get("name") if tag == "a" else None)))
        if attrs.get(ATTRIBUTES.get(tag)):
            self.links.append(attrs[ATTRIBUTES[tag]])


@pytest.fixture(scope="module")
def pages():
    if not (SITE / "index.html").exists():
        pytest.skip("needs the built site: make site")
    return {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in SITE.rglob("*.html")}


def dead(path, link, pages):
    """Whether a link of a page leads nowhere; links to other sites are not followed."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return parts.scheme not in ("http", "https", "data", "mailto")
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    target = target / "index.html" if target.is_dir() else target
    if target in pages:
        return unquote(parts.fragment) not in pages[target].anchors
    return not target.is_file()


def test_links_lead_somewhere(pages):
    found = [
        f"{path.name}: {link}"
        for path, page in pages.items()
        for link in page.links
        if dead(path, link, pages)
    ]
    assert found == []


def test_nothing_is_loaded_from_elsewhere(pages):
    loaded = [link for page in pages.values() for link in page.links]
    assert len(loaded) > 1000
    for path in [*SITE.rglob("*.css"), *SITE.glob("_static/*.js")]:
        text = path.read_text(encoding="utf-8")
        assert "url(http" not in text, path
        assert "@import" not in text, path


@pytest.mark.parametrize("link", ["nowhere.html", "#nowhere", "explorer.html#nowhere", "javascript:void(0)"])
def test_a_dead_link_is_found(pages, link):
    assert dead((SITE / "index.html").resolve(), link, pages)
