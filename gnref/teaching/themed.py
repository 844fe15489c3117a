"""A figure for light and for dark pages: drawn twice, and the page shows the one that suits it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

from gnref.teaching.palette import THEMES, on_dark_pages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 192  # two pixels of the file for one of the page
STYLE = (
    ".gnref-figure img{max-width:100%;height:auto;background:none}.gnref-figure .dark{display:none}"
    + on_dark_pages({".gnref-figure .light": "display:none", ".gnref-figure .dark": "display:inline"})
)


@dataclass(frozen=True, slots=True)
class Themed:
    """A figure in both themes, with its words; Jupyter and the site show it, `print` says the words."""

    alt: str
    pngs: dict[str, bytes] = field(repr=False)
    width: int

    def __str__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What Jupyter and the site choose from."""
        images = {theme: b64encode(png).decode("ascii") for theme, png in self.pngs.items()}
        words = f'alt="{escape(self.alt)}" width="{self.width}"'
        shown = "".join(
            f'<img class="{theme}" {words} src="data:image/png;base64,{image}">'
            for theme, image in images.items()
        )
        return {
            "text/plain": self.alt,
            "image/png": images["light"],
            "text/html": f'<style>{STYLE}</style><div class="gnref-figure">{shown}</div>',
        }


def themed(draw: Callable[[str], Figure], alt: str) -> Themed:
    """Draw a figure for light and for dark pages, on the page's own background.

    Parameters
    ----------
    draw : callable
        ``draw(theme)`` returns a figure for "light" or "dark", with inks from `gnref.teaching.palette`.
    alt : str
        What the figure shows, in words, for those who do not see it.

    Returns
    -------
    figure : Themed
        The last expression of a cell.

    Examples
    --------
    >>> from gnref.teaching.plots import draw_blocks
    >>> print(themed(lambda theme: draw_blocks((2, 4, 2, 2), theme=theme), "Four blocks."))
    Four blocks.
    """
    figures = {theme: draw(theme) for theme in THEMES}
    width = round(96 * max(figure.get_size_inches()[0] for figure in figures.values()))
    return Themed(alt, {theme: _png(figure) for theme, figure in figures.items()}, width)


def _png(figure: Figure) -> bytes:
    """The file, without a background, a date or matplotlib's version."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=DPI, transparent=True, metadata={"Software": None})
    return file.getvalue()
