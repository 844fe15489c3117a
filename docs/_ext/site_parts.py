"""What the site's pages are made of beside text: the live explorer, and pieces that the code writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gnref.conventions import as_markdown
from gnref.teaching.explorer import explorer_html
from gnref.teaching.explorer.state import State
from gnref.teaching.lab.data.photos import PHOTOS
from gnref.teaching.lab.tables import reported
from gnref.teaching.paper import PROTOCOL, TABLES

FIRST_CELL = re.compile(r"# %% \[markdown\]\n(?P<text>(?:#.*\n)+)")


class Explorer(SphinxDirective):
    """The explorer, live, at a state that is written as in its address: ``norm=gn&n=2&cell=0,2,1,0``."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"address": directives.flag}

    def run(self) -> list[nodes.Node]:
        """The division that host.js brings to life."""
        try:
            state = State.from_address(self.arguments[0])
        except ValueError as error:
            raise self.error(str(error)) from None
        html = explorer_html(address="address" in self.options, **state.fields())
        return [nodes.raw("", html, format="html")]


class Piece(SphinxDirective):
    """HTML that tools/site_figures.py wrote into docs/_generated."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The file's text, as it stands."""
        path = Path(self.env.srcdir) / "_generated" / self.arguments[0]
        return [nodes.raw("", path.read_text(encoding="utf-8"), format="html")]


class Conventions(SphinxDirective):
    """The table of `gnref.conventions`."""

    def run(self) -> list[nodes.Node]:
        """The table, from its Markdown."""
        return self.parse_text_to_nodes(as_markdown())


class Paper(SphinxDirective):
    """The tables of `gnref.teaching.paper`, and how they were measured."""

    def run(self) -> list[nodes.Node]:
        """The tables, from their Markdown, and the protocol as a list."""
        tables = [reported(table).markdown() for table in TABLES.values()]
        protocol = [f"- {what}: {how}" for what, how in PROTOCOL.items()]
        return self.parse_text_to_nodes("\n\n".join([*tables, "**The protocol**", "\n".join(protocol)]))


class Photos(SphinxDirective):
    """The photographs of `gnref.teaching.lab`: what each shows, where it is from, its licence."""

    def run(self) -> list[nodes.Node]:
        """The table."""
        rows = [f"| `{p.name}` | {p.shows} | {p.source} | {p.licence} |" for p in PHOTOS]
        head = ["| in scikit-image | shows | from | its licence, as stated there |", "|---|---|---|---|"]
        return self.parse_text_to_nodes("\n".join([*head, *rows]))


class Tutorials(SphinxDirective):
    """A card for each tutorial: its number, its title and its first sentence."""

    def run(self) -> list[nodes.Node]:
        """The cards, and the entries of the sidebar."""
        pages = sorted((Path(self.env.srcdir) / "tutorials").glob("[0-9]*.py"))
        cards = [line for page in pages for line in card(page)]
        toctree = ["```{toctree}", ":hidden:", "", *(page.stem for page in pages), "```"]
        return self.parse_text_to_nodes("\n".join([*cards, *toctree]))


def card(page: Path) -> Iterator[str]:
    """One tutorial in Markdown."""
    title, sentence = opening(page.read_text(encoding="utf-8"))
    yield ":::{container} tutorial-card"
    yield f"<span class='number'>{int(page.stem[:2])}</span>"
    yield ""
    yield f"**[{title}]({page.stem})**"
    yield ""
    yield sentence
    yield ":::"


def opening(text: str) -> tuple[str, str]:
    """The title of a tutorial and the paragraph below it, in one line."""
    found = FIRST_CELL.search(text)
    lines = [line[2:] for line in (found["text"] if found else "").splitlines()]
    title, _, rest = "\n".join(lines).partition("\n")
    return title.removeprefix("# "), " ".join(rest.strip().partition("\n\n")[0].split())


def notebook_of(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Tell the template of a tutorial where its notebook lies."""
    name = page.removeprefix("tutorials/") + ".ipynb"
    if page.startswith("tutorials/") and (Path(app.srcdir) / "_extra" / "notebooks" / name).exists():
        context["notebook"] = f"../notebooks/{name}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the above."""
    for directive in (Explorer, Piece, Conventions, Paper, Photos, Tutorials):
        app.add_directive(directive.__name__.lower(), directive)
    app.connect("html-page-context", notebook_of)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
