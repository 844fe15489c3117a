"""What is said of an answer, as text and as HTML for light and dark pages."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

from gnref.teaching.palette import HUES, THEMES, on_dark_pages

RIGHT, MISSING, WRONG, UNREAD = "right", "not written yet", "wrong", "not understood"
MARKS = {RIGHT: "✓", MISSING: "…", WRONG: "✗", UNREAD: "?"}
HEADS = {RIGHT: "Right", MISSING: "Not written yet", WRONG: "Not right yet", UNREAD: "Not understood"}
SHORT = 30  # characters of code that stay on one line


@dataclass(frozen=True)
class Verdict:
    """What `check` says of an answer.

    Attributes
    ----------
    name : str
        Of the exercise.
    status : str
        "right", "not written yet", "wrong", or "not understood" for a wrong type or shape.
    text : str
        Sentences; code stands between backticks.
    hint : str or None
        The name of the known mistake that the answer equals on every problem.
    picture : str
        An SVG of the reader's own result.
    caption : str
        What the picture shows.
    norm : str
        Whose colour it has.
    """

    name: str
    status: str
    text: str
    hint: str | None = None
    picture: str = ""
    caption: str = ""
    norm: str = "group"

    def __str__(self) -> str:
        head = f"{MARKS[self.status]} {HEADS[self.status]}"
        return f"{head}: {self.text}" if self.text else head

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self.html}

    @property
    def html(self) -> str:
        """The verdict for a page; it brings its style, and asks nothing of the network."""
        kind = self.status.replace(" ", "-")
        norm = "layer" if self.norm == "rms" else self.norm.removesuffix("_frozen")
        parts = [
            f"<style>{style()}</style>",
            f'<div class="gnref-verdict gnref-{kind} gnref-hue-{norm}" role="status">',
            f'<p class="gnref-head"><span class="gnref-mark" aria-hidden="true">{MARKS[self.status]}</span> ',
            f"{HEADS[self.status]}</p>",
            f"<p>{marked(self.text)}</p>" if self.text else "",
        ]
        if self.picture:
            parts.append(f"<figure>{self.picture}<figcaption>{marked(self.caption)}</figcaption></figure>")
        return "".join([*parts, "</div>"])


def marked(text: str) -> str:
    """Text as HTML, with code between backticks."""
    return re.sub(r"`([^`]+)`", _code, html.escape(text, quote=False))


def _code(found: re.Match[str]) -> str:
    """Code on one line, if it is short."""
    whole = ' style="white-space:nowrap"' if len(found[1]) <= SHORT else ""
    return f"<code{whole}>{found[1]}</code>"


def style() -> str:
    """The style sheet, from the palette."""
    dark = on_dark_pages({".gnref-verdict": _colours("dark")})
    return (
        f".gnref-verdict{{{_colours('light')}}}{dark}"
        ".gnref-verdict{border-left:4px solid var(--accent);background:var(--ground);color:var(--ink);"
        "padding:.6em 1em;margin:.3em 0;border-radius:0 6px 6px 0;max-width:46em;"
        "font-size:.95em;line-height:1.5}"
        ".gnref-verdict p{margin:0 0 .4em;color:inherit}.gnref-verdict p:last-child{margin-bottom:0}"
        ".gnref-verdict .gnref-head{font-weight:600;color:var(--accent)}"
        ".gnref-verdict code{background:var(--code);color:inherit;padding:.1em .3em;border-radius:3px;"
        "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.88em;border:0}"
        ".gnref-verdict figure{margin:.6em 0 .2em}"
        ".gnref-verdict figcaption{color:var(--muted);font-size:.88em;margin-top:.4em}"
        ".gnref-verdict svg{max-width:100%;height:auto;display:block}"
        ".gnref-right{--accent:var(--good)}.gnref-wrong{--accent:var(--bad)}"
        ".gnref-not-written-yet,.gnref-not-understood{--accent:var(--muted)}"
        + "".join(f".gnref-hue-{norm}{{--hue:var(--{norm})}}" for norm in HUES["light"])
    )


def _colours(theme: str) -> str:
    """The colours of a theme, as CSS variables."""
    page, hues = THEMES[theme], HUES[theme]
    ground, code = {"light": ("#F6F8FA", "#E6EAEF"), "dark": ("#161B22", "#262C36")}[theme]
    named = {"ink": page.ink, "muted": page.muted, "ground": ground, "code": code, "paper": page.background}
    named |= {
        "good": hues["instance"] if theme == "dark" else "#1B7358",
        "bad": hues["layer"] if theme == "dark" else "#A85400",
    }
    named |= hues
    return "".join(f"--{name}:{colour};" for name, colour in named.items())
