"""The widget: its traits, what a notebook gets of it, and that nobody needs it who does not ask."""

import subprocess
import sys

import pytest

pytest.importorskip("anywidget", reason="needs anywidget")
import traitlets

from gnref.teaching import AxisExplorer
from gnref.teaching.explorer.page import module
from gnref.teaching.explorer.state import State, state_of

WIDGET = "application/vnd.jupyter.widget-view+json"


def python(code):
    """Run code in a fresh interpreter and return what it prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_every_field_is_a_trait_that_the_page_shares():
    explorer = AxisExplorer("bn", 3, 4, 1, 2, cell=(2, 3, 0, 1), show="dx", theme="dark")
    assert set(State.__dataclass_fields__) <= set(explorer.keys)
    assert explorer.state == state_of("bn", 3, 4, 1, 2, cell=(2, 3, 0, 1), show="dx", theme="dark")
    assert explorer.address == explorer.state.address
    assert explorer._esm == module()


def test_no_bad_value_gets_in():
    explorer = AxisExplorer()
    before = explorer.state
    for name, value in [("g", 4), ("n", 0), ("norm", "rms"), ("cell", (9, 9, 9, 9)), ("theme", None)]:
        with pytest.raises(traitlets.TraitError, match=rf"^{name} is .*; expected "):
            setattr(explorer, name, value)
        with pytest.raises(traitlets.TraitError, match=rf"^{name} is .*; expected "):
            AxisExplorer(**{name: value})
    assert explorer.state == before


def test_g_and_the_cell_follow_the_block():
    explorer = AxisExplorer(c=12, g=6, cell=(1, 11, 0, 0))
    explorer.c = 5
    assert (explorer.g, explorer.cell) == (5, (1, 4, 0, 0))
    explorer.n = 1
    assert explorer.cell == (0, 4, 0, 0)


def test_a_message_of_the_page_changes_all_at_once():
    explorer = AxisExplorer()
    explorer.set_state({"c": 8, "g": 4, "cell": [1, 7, 0, 0], "norm": "gn", "n": 2})
    assert (explorer.g, explorer.cell) == (4, (1, 7, 0, 0))


def test_several_values_at_once_are_taken_together_or_not_at_all():
    explorer = AxisExplorer()
    with explorer.hold_trait_notifications():
        explorer.g, explorer.c = 4, 8
    assert (explorer.c, explorer.g) == (8, 4)
    with pytest.raises(traitlets.TraitError, match="g is 3"), explorer.hold_trait_notifications():
        explorer.g, explorer.n = 3, 5
    assert (explorer.n, explorer.g) == (2, 4)


def test_what_a_notebook_gets():
    explorer = AxisExplorer("in")
    explorer.norm = "bn"
    data, _ = explorer._repr_mimebundle_()
    assert data[WIDGET]["model_id"] == explorer.model_id
    assert data["text/plain"].startswith("BatchNorm over a block")
    assert '"norm": "bn"' in data["text/html"]
    assert data["image/png"] in data["text/html"]


def test_without_matplotlib_the_widget_is_still_shown(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    data, _ = AxisExplorer(n=6, c=7)._repr_mimebundle_()
    assert set(data) == {WIDGET, "text/plain", "text/html"}


def test_nothing_else_needs_anywidget():
    out = python("""
import sys
sys.modules["anywidget"] = None
import gnref.teaching
from gnref.teaching.explorer import explorer_page
explorer_page()
print("matplotlib" in sys.modules)
from gnref.errors import MissingExtraError
try:
    gnref.teaching.AxisExplorer
except MissingExtraError as error:
    print(error)
""")
    assert out.split("\n")[:2] == ["False", "the explorer needs anywidget: pip install 'gnref[tutorials]'"]
