"""The progress bar: in a terminal, in a notebook, and nowhere else; nothing is left of it."""

import io

import IPython.display
from rich.console import Console

from gnref.teaching.lab import progress as module
from gnref.teaching.lab.progress import progress


def test_elsewhere_than_in_a_terminal_there_is_none(capsys):
    with progress("Toy", 2) as advance:
        advance()
    assert capsys.readouterr() == ("", "")


def test_in_a_terminal_it_is_cleared():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100)
    with module._terminal(console, "Toy", 3, 1) as advance:
        advance()
    shown = file.getvalue()
    assert "Toy" in shown
    assert "2/3" in shown
    assert shown.endswith("\x1b[1A\x1b[2K")  # a line up, and clear it


class Handle:
    def __init__(self):
        self.shown = []

    def update(self, bundle, raw):
        assert raw
        self.shown.append(bundle)


def test_in_a_notebook_it_is_replaced_by_nothing(monkeypatch):
    handle = Handle()

    def display(bundle, raw, display_id):
        handle.update(bundle, raw)
        return handle

    monkeypatch.setattr(IPython.display, "display", display)
    with module._notebook(None, "N < 4", 3, 1) as advance:
        advance()
    assert [bundle["text/plain"] for bundle in handle.shown] == ["N < 4: 1 of 3", "N < 4: 2 of 3", ""]
    assert 'N &lt; 4 <progress value="2" max="3"' in handle.shown[1]["text/html"]
    assert handle.shown[2]["text/html"] == ""
