"""The explorer on pages: one file that needs nothing beside it, and a division of any other page."""

from __future__ import annotations

import json
import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from gnref.errors import MissingExtraError
from gnref.teaching.explorer.numbers import alternative
from gnref.teaching.explorer.picture import WIDTH, png
from gnref.teaching.explorer.state import State, state_of

FOLDER = Path(__file__).parent
MOUNT = re.compile(r"([\w$]+) as mount\b")  # its short name inside the module

# The policy lets the page ask for nothing, from anywhere.
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>The axis explorer: which cells share a mean?</title>
<style>
  body {{ margin: 0 auto; max-width: 1280px; padding: 16px; background: #fff; font-family: sans-serif; }}
  @media (prefers-color-scheme: dark) {{ body {{ background: #0d1117; color: #e6edf3; }} }}
</style>
<main id="explorer"><noscript>The explorer needs JavaScript. {words}</noscript></main>
<script type="module">
{module}
window.explorer = {mount}(document.getElementById("explorer"), {{ ...{state}, address: true }});
</script>
</html>
"""


def explorer_page(**state: Any) -> str:
    """Return the explorer as one HTML page that needs nothing beside it, and asks for nothing.

    Parameters
    ----------
    **state
        What it shows unless its address says otherwise, as in `gnref.teaching.AxisExplorer`.

    Examples
    --------
    >>> explorer_page(norm="bn").splitlines()[0]
    '<!doctype html>'
    """
    wanted = state_of(**state)
    mount = MOUNT.search(module())
    assert mount, "explorer.min.js has no mount: build it again"
    return PAGE.format(
        module=module(), mount=mount[1], words=escape(alternative(wanted)), state=_json(wanted)
    )


def save_explorer_page(path: str | Path, **state: Any) -> None:
    """Write the explorer to a new .html file that needs nothing beside it.

    Parameters
    ----------
    path : str or Path
        Ends in .html.
    **state
        What it shows unless its address says otherwise, as in `gnref.teaching.AxisExplorer`.

    Raises
    ------
    ValueError
        Another suffix.
    FileExistsError
        There is such a file: nothing is overwritten.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"the page's path is {str(path)!r}; expected one that ends in .html")
    page = explorer_page(**state)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(page)
    except FileExistsError:
        raise FileExistsError(f"{str(path)!r} exists already; expected a new path") from None


def explorer_html(address: bool = False, **state: Any) -> str:
    """Return the explorer as a division of a page: a picture, which host.js replaces with the explorer.

    Parameters
    ----------
    address : bool
        Whether the page's address is to tell, and to be told, what is shown.
    **state
        As in `gnref.teaching.AxisExplorer`.

    Examples
    --------
    >>> print(explorer_html(norm="bn", n=1)[:78])
    <div class="gnref-explorer" data-state='{"norm": "bn", "n": 1, "c": 6, "h": 2,
    """
    return division(state_of(**state), address)


def division(state: State, address: bool = False) -> str:
    """Return the same for a state; without matplotlib, with words in place of the picture."""
    words = escape(alternative(state))
    try:
        picture = (
            f'<img alt="{words}" width="{WIDTH}" style="max-width: 100%" '
            f'src="data:image/png;base64,{png(state)}">'
        )
    except MissingExtraError:
        picture = f"<p>{words}</p>"
    more = " data-address" if address else ""
    return f"<div class=\"gnref-explorer\"{more} data-state='{_json(state)}'>{picture}</div>"


@cache
def module() -> str:
    """Return the text of the module as shipped."""
    return (FOLDER / "explorer.min.js").read_text(encoding="utf-8")


def _json(state: State) -> str:
    """The state for JavaScript. Its words are all gnref's own: none has a quote or a bracket."""
    return json.dumps(state.fields())
