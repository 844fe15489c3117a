"""The axis explorer: a widget for notebooks, a page that stands alone, and what a site needs to show it.

`explorer.js` is the source of all of it, and `explorer.min.js` what is shipped, made by
`tools/build_explorer.py`. A site serves that file beside `host.js`, which brings each division with the
class ``gnref-explorer`` to life.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gnref.teaching.explorer.page import explorer_html, explorer_page, save_explorer_page

if TYPE_CHECKING:
    from gnref.teaching.explorer.widget import AxisExplorer

__all__ = ["AxisExplorer", "explorer_html", "explorer_page", "save_explorer_page"]


def __getattr__(name: str) -> Any:
    """Import the widget, and with it anywidget, when it is asked for."""
    if name == "AxisExplorer":
        from gnref.teaching.explorer.widget import AxisExplorer

        return AxisExplorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
