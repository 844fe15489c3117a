"""A progress bar that leaves nothing behind, in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from gnref.errors import MissingExtraError


@contextmanager
def progress(title: str, total: int, done: int = 0) -> Iterator[Callable[[], None]]:
    """Show how many of all runs are done; yield the function that says that one more is.

    In a terminal it is a line, on stderr; in a notebook a bar below the cell; elsewhere, as in a file or in
    a test, nothing.

    Parameters
    ----------
    title : str
        Beside the bar.
    total, done : int
        Runs in all, and those that need not be made.

    Raises
    ------
    MissingExtraError
        rich is not installed.
    """
    try:
        from rich.console import Console
    except ImportError as error:
        raise MissingExtraError("a progress bar needs rich: pip install 'gnref[lab]'") from error
    console = Console(stderr=True)
    bar = _notebook if console.is_jupyter else _terminal
    with bar(console, title, total, done) as advance:
        yield advance


@contextmanager
def _terminal(console: Any, title: str, total: int, done: int) -> Iterator[Callable[[], None]]:
    """A line that is cleared in the end."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total, completed=done)
        yield lambda: bar.advance(task)


@contextmanager
def _notebook(console: Any, title: str, total: int, done: int) -> Iterator[Callable[[], None]]:
    """A bar of the browser's own, which is replaced by nothing in the end.

    Not rich's, which leaves an empty widget on every page that the notebook is made into.
    """
    from IPython.display import display

    shown = [done]

    def bundle() -> dict[str, str]:
        bar = f'<progress value="{shown[0]}" max="{max(total, 1)}" style="vertical-align:middle"></progress>'
        told = f"{shown[0]} of {total}"
        return {"text/html": f"{escape(title)} {bar} {told}", "text/plain": f"{title}: {told}"}

    def advance() -> None:
        shown[0] += 1
        handle.update(bundle(), raw=True)

    handle = display(bundle(), raw=True, display_id=True)
    try:
        yield advance
    finally:
        handle.update({"text/html": "", "text/plain": ""}, raw=True)
