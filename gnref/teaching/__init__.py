"""What only readers and teachers need: pictures of the axes, the explorer, exercises, the tutorials."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnref.teaching.explorer import AxisExplorer
    from gnref.teaching.source import show_source

__all__ = ["AxisExplorer", "show_source"]

_HOMES = {"AxisExplorer": "gnref.teaching.explorer", "show_source": "gnref.teaching.source"}


def __getattr__(name: str) -> Any:
    """Import on first use: the command line draws pictures without the explorer's packages."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
