"""The colours of the norms: one hue each, the same in the terminal, in plots and on pages.

The hues are blue, orange, green and purple, as in Okabe and Ito's palette for colour-blind readers,
moved apart in lightness: any two differ by at least 0.12 in OKLab, also as people without red, green or
blue cones see them (by Machado et al.'s matrices, 2009; the four original ones come within 0.08). The
tests compute it. RMSNorm is a LayerNorm without the mean, and shares its hue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

NAMES = {
    "batch": "BatchNorm",
    "layer": "LayerNorm",
    "instance": "InstanceNorm",
    "group": "GroupNorm",
    "rms": "RMSNorm",
}


class Theme(NamedTuple):
    """The colours of a page, and how strong the two tints of a hue are on it."""

    background: str
    ink: str  # text
    muted: str  # text and lines of less weight
    tints: tuple[float, float]  # of a hue in the background


THEMES = {
    "light": Theme("#FFFFFF", "#1F2328", "#59636E", (0.13, 0.30)),
    "dark": Theme("#0D1117", "#E6EDF3", "#9198A1", (0.17, 0.33)),
}

HUES: dict[str, dict[str, str]] = {
    "light": {"batch": "#0057B8", "layer": "#C96A00", "instance": "#2FA084", "group": "#8A1A5C"},
    "dark": {"batch": "#4C9BFF", "layer": "#F2A900", "instance": "#8FE6C4", "group": "#E0559A"},
}


# A page names its theme (Sphinx, JupyterLab, VS Code), or leaves it to the reader's system.
DARK_PAGES = ('[data-theme="dark"]', '[data-jp-theme-light="false"]', ".vscode-dark")
SYSTEM_PAGE = '[data-theme="auto"]'


def hue(norm: str, theme: str = "light") -> str:
    """Return the colour of a norm on a light or a dark background, as #RRGGBB.

    Examples
    --------
    >>> hue("group"), hue("rms") == hue("layer")
    ('#8A1A5C', True)
    """
    check_theme(theme)
    return HUES[theme]["layer" if norm == "rms" else norm]


def fill(norm: str, tint: int, theme: str = "light") -> str:
    """Return a quiet tint of a norm's colour, for all sets of cells but the one that is pointed out.

    Parameters
    ----------
    norm : str
        A key of `NAMES`.
    tint : int
        0 or 1, the weaker or the stronger one. Sets that touch take different ones.
    theme : str
        "light" or "dark".
    """
    return mix(THEMES[theme].background, hue(norm, theme), THEMES[theme].tints[tint])


def on_dark_pages(rules: Mapping[str, str]) -> str:
    """Return the CSS that has these rules hold on dark pages, and on no others.

    Parameters
    ----------
    rules : mapping
        Declarations by their selector.

    Examples
    --------
    >>> for part in on_dark_pages({"p": "color:white"}).split("@media "):
    ...     print(part)
    [data-theme="dark"] p,[data-jp-theme-light="false"] p,.vscode-dark p{color:white}
    (prefers-color-scheme:dark){[data-theme="auto"] p{color:white}}
    """
    named = (f"{','.join(f'{page} {of}' for page in DARK_PAGES)}{{{set_to}}}" for of, set_to in rules.items())
    by_system = (f"{SYSTEM_PAGE} {of}{{{set_to}}}" for of, set_to in rules.items())
    return f"{''.join(named)}@media (prefers-color-scheme:dark){{{''.join(by_system)}}}"


def mix(a: str, b: str, share: float) -> str:
    """Return the colour that is ``share`` of the way from a to b.

    Examples
    --------
    >>> mix("#FFFFFF", "#000000", 0.2)
    '#CCCCCC'
    """
    pairs = zip(_bytes(a), _bytes(b), strict=True)
    return "#" + "".join(f"{round(x + share * (y - x)):02X}" for x, y in pairs)


def contrast(a: str, b: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2; text wants 4.5, large text 3).

    Examples
    --------
    >>> contrast("#FFFFFF", "#000000")
    21.0
    """
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


def ink_on(background: str) -> str:
    """Return black or white, whichever is read more easily on this background."""
    return max("#000000", "#FFFFFF", key=lambda ink: contrast(ink, background))


def check_theme(theme: str) -> None:
    """Raise unless the theme is known."""
    if theme not in THEMES:
        raise ValueError(f"theme is {theme!r}; expected one of {', '.join(THEMES)}")


def _bytes(colour: str) -> tuple[int, ...]:
    """Red, green and blue, 0 to 255."""
    return tuple(bytes.fromhex(colour[1:]))


def _luminance(colour: str) -> float:
    """Relative luminance, 0 to 1."""
    linear = [_linear(byte / 255) for byte in _bytes(colour)]
    return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _linear(v: float) -> float:
    """An sRGB value as an amount of light."""
    return v / 12.92 if v <= 0.04045 else float(((v + 0.055) / 1.055) ** 2.4)
