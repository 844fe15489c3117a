"""The very lines of a function, shown in a tutorial, so that text and code cannot part."""

from __future__ import annotations

import inspect
import io
import keyword
import re
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

# Pygments' names: Sphinx colours these classes by itself, JupyterLab has the colours as variables.
STYLE = "".join(
    f"[data-jp-theme-name] .gnref-source .{name}{{color:var(--jp-mirror-editor-{kind}-color)}}"
    for name, kind in {"k": "keyword", "c1": "comment", "mi": "number", "s": "string"}.items()
)
STYLE += "[data-jp-theme-name] .gnref-source pre{font-size:var(--jp-code-font-size)}"
FONT = "font-family:var(--jp-code-font-family,var(--font-stack--monospace,monospace))"
PRE = f"white-space:pre;overflow-x:auto;{FONT}"


@dataclass(frozen=True, slots=True)
class Source:
    """Lines of a file; Jupyter shows them in colour, `print` as text.

    Attributes
    ----------
    path : str
        Of the file, from the package on: "gnref/kernels/reference.py".
    start : int
        The number of the first line.
    text : str
        The lines, less the indentation that they share.
    html : str
        The same with the keywords, comments, numbers and strings marked.
    """

    path: str
    start: int
    text: str
    html: str

    @property
    def caption(self) -> str:
        """Where the lines stand: "gnref/axes.py, lines 3 to 9"."""
        stop = self.start + self.text.count("\n")
        return f"{self.path}, line{f's {self.start} to {stop}' if stop > self.start else f' {stop}'}"

    def __str__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What Jupyter and the site choose from."""
        caption = escape(self.caption)  # "<group_mean: solution>" is a file, too
        head = f'<div class="gnref-source-caption" style="opacity:0.75;font-size:0.85em">{caption}</div>'
        code = f'<div class="highlight"><pre style="{PRE}">{self.html}</pre></div>'
        return {
            "text/plain": f"# {self.caption}\n{self.text}",
            "text/markdown": f"{self.caption}\n\n```python\n{self.text}\n```",
            "text/html": f'<style>{STYLE}</style><div class="gnref-source">{head}{code}</div>',
        }


def show_source(function: Any, first: str | None = None, last: str | None = None) -> Source:
    """Return the lines of a function, to be the last expression of a cell.

    Parameters
    ----------
    function : function or class
        Of any module; a function that Numba compiles shows what it was compiled from.
    first : str, optional
        Text in the first line to show, and in no other line of the function; absent, its ``def``.
    last : str, optional
        Text in the last line to show, and in no other line from `first` on; absent, its end.

    Returns
    -------
    source : Source
        Jupyter displays it; ``str(source)`` is the text.

    Raises
    ------
    ValueError
        The text stands in no line, or in more than one.
    TypeError
        There is no source to show.

    Examples
    --------
    >>> from gnref.kernels import reference
    >>> print(show_source(reference.backward, "via_mean =", "via_var ="))
    via_mean = set_mean(dxhat) if center else 0.0  #      (O, 1, A, 1, 1)
    via_var = set_mean(dxhat * xhat)  #                   (O, 1, A, 1, 1)
    """
    function = getattr(function, "py_func", function)  # what Numba compiled
    try:
        lines, start = inspect.getsourcelines(function)
    except (OSError, TypeError) as error:
        raise TypeError(f"function is {function!r}; expected one written in Python") from error
    begin = 0 if first is None else _find("first", first, lines, 0, function)
    end = len(lines) if last is None else _find("last", last, lines, begin, function) + 1
    code = textwrap.dedent("".join(lines))
    return Source(
        path=_path(function),
        start=start + begin,
        text=_cut(code, begin, end),
        html=_cut(_mark(code), begin, end),
    )


def _find(argument: str, text: str, lines: list[str], begin: int, function: Any) -> int:
    """The index of the one line, from begin on, that holds a text."""
    found = [i for i in range(begin, len(lines)) if text in lines[i]]
    if len(found) == 1:
        return found[0]
    where = f"{len(found)} lines" if found else "no line"
    rest = f"{function.__qualname__}{f' from its line {begin + 1} on' if begin else ''}"
    raise ValueError(f"{argument} is {text!r}, which stands in {where} of {rest}; expected exactly one")


def _cut(code: str, begin: int, end: int) -> str:
    """Some lines of the code, less the indentation that they share."""
    return textwrap.dedent("\n".join(line.rstrip() for line in code.split("\n")[begin:end])).rstrip("\n")


def _path(function: Any) -> str:
    """The file, from its package on: a path without this machine's folders."""
    file = inspect.getsourcefile(function) or ""
    depth = function.__module__.count(".") + 1 + file.endswith("__init__.py")
    return "/".join(file.replace("\\", "/").split("/")[-depth:])


def _mark(code: str) -> str:
    """The code as HTML; a string of several lines is marked line by line, so that lines can be cut out."""
    marked = ""
    for kind, piece in _pieces(code):
        text = escape(piece, quote=False)
        marked += re.sub(r"(?m)\S.*$", rf'<span class="{kind}">\g<0></span>', text) if kind else text
    return marked


def _pieces(code: str) -> Iterator[tuple[str, str]]:
    """The code cut into (class, text); the class is empty for what has no colour."""
    offsets = [0]
    for line in code.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    at = 0
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        kind = _kind(token)
        if kind:
            start, end = (offsets[row - 1] + column for row, column in (token.start, token.end))
            yield "", code[at:start]
            yield kind, code[start:end]
            at = end
    yield "", code[at:]


def _kind(token: tokenize.TokenInfo) -> str:
    """Pygments' class of a token."""
    if token.type == tokenize.NAME:
        return "k" if keyword.iskeyword(token.string) else ""
    return {tokenize.COMMENT: "c1", tokenize.NUMBER: "mi", tokenize.STRING: "s"}.get(token.type, "")
