"""A notice in a notebook: what the reader should know of the machine that it runs on."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from gnref.teaching.palette import THEMES, on_dark_pages

GROUND = {"light": "#F6F8FA", "dark": "#161B22"}


@dataclass(frozen=True)
class Notice:
    """A head and some sentences, which a notebook shows in a box.

    Examples
    --------
    >>> print(Notice("No GPU here", "What follows runs on NumPy arrays."))
    No GPU here. What follows runs on NumPy arrays.
    """

    head: str
    text: str

    def __str__(self) -> str:
        return f"{self.head}. {self.text}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """As text, and as HTML for light and dark pages."""
        return {"text/plain": str(self), "text/html": self.html}

    @property
    def html(self) -> str:
        """The notice for a page; it brings its style, and asks nothing of the network."""
        return (
            f'<style>{style()}</style><div class="gnref-notice" role="note">'
            f"<p><strong>{escape(self.head, quote=False)}</strong></p>"
            f"<p>{escape(self.text, quote=False)}</p></div>"
        )


def gpu_notice(status: str) -> Notice:
    """Say whether what follows runs on a GPU, and if not, why.

    Parameters
    ----------
    status : str
        ``gnref.backends()["cuda"]``.

    Examples
    --------
    >>> gpu_notice("ready").head
    'There is a GPU'
    """
    if status == "ready":
        return Notice("There is a GPU", "What follows runs on CuPy arrays, in its memory.")
    return Notice(
        "There is no GPU here",
        f"The cuda backend says: {status.rstrip('.')}. So what follows runs on NumPy arrays, by the same "
        "lines; where a GPU would show something else, the text says so.",
    )


def style() -> str:
    """The style sheet, from the palette."""
    box = ".gnref-notice"
    return (
        f"{box}{{{_colours('light')}}}{on_dark_pages({box: _colours('dark')})}"
        f"{box}{{border:1px solid var(--muted);border-left:4px solid var(--muted);background:var(--ground);"
        "color:var(--ink);padding:.6em 1em;margin:.3em 0;border-radius:0 6px 6px 0;max-width:46em;"
        "font-size:.95em;line-height:1.5}"
        f"{box} p{{margin:0 0 .3em;color:inherit}}{box} p:last-child{{margin-bottom:0}}"
    )


def _colours(theme: str) -> str:
    """The colours of a theme, as CSS variables."""
    page = THEMES[theme]
    return f"--ink:{page.ink};--muted:{page.muted};--ground:{GROUND[theme]};"
