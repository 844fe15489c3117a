"""Every link inside the built site leads somewhere, its anchor included; tables are tables."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

SITE = Path(__file__).parents[2] / "build" / "site"
ATTRIBUTES = {"a": "href", "link": "href", "img": "src", "script": "src"}
LOADED = {"stylesheet", "icon", "preload", "modulepreload"}  # of <link>: the browser fetches them by itself
FOREIGN = re.compile(r"""url\(\s*["']?(https?:)?//|@import""")


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors.update(filter(None, (attrs.get("id"), attrs.get("name") if tag == "a" else None)))
        if attrs.get(ATTRIBUTES.get(tag)):
            self.links.append(attrs[ATTRIBUTES[tag]])
            if tag in ("img", "script") or LOADED & set((attrs.get("rel") or "").split()):
                self.loaded.append(attrs[ATTRIBUTES[tag]])


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


def foreign(links):
    return [link for link in links if urlsplit(link).netloc]


def test_nothing_is_loaded_from_elsewhere(pages):
    assert all(len(page.loaded) > 3 for page in pages.values() if len(page.links) > 3)
    assert [link for page in pages.values() for link in foreign(page.loaded)] == []
    for path in [*SITE.rglob("*.css"), *SITE.glob("_static/*.js")]:
        assert not FOREIGN.search(path.read_text(encoding="utf-8")), path


def test_what_is_loaded_from_elsewhere_is_found():
    page = Page(
        '<a href="https://a.org"><img src="//b.org/c.png"><link rel="stylesheet" href="http://d.org/e.css">'
    )
    assert foreign(page.loaded) == ["//b.org/c.png", "http://d.org/e.css"]
    assert FOREIGN.search("src: url('//f.org/g.woff2')")


@pytest.mark.parametrize("link", ["nowhere.html", "#nowhere", "explorer.html#nowhere", "javascript:void(0)"])
def test_a_dead_link_is_found(pages, link):
    assert dead((SITE / "index.html").resolve(), link, pages)


def test_what_cells_show_as_a_table_is_one():
    paths = sorted((SITE / "tutorials").glob("[0-9]*.html"))
    if not paths:
        pytest.skip("needs the built site: make site")
    assert [path.name for path in paths if re.search(r"<p>\|", path.read_text(encoding="utf-8"))] == []
