"""JupyterLab for real: a notebook is opened, all of it is run, and the explorer answers."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "tutorials" / "01_shared_mean.ipynb"
SETTINGS = {  # outputs out of sight are there as well; nothing asks the reader anything
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
CELLS = [
    "from gnref.teaching import AxisExplorer\nmine = AxisExplorer('gn', n=2)\nmine",
    "print('norm', mine.norm, mine.c)",
]


@pytest.fixture
def folder(tmp_path):
    """A copy of tutorial 1 with two cells more, and JupyterLab's settings."""
    nbformat = pytest.importorskip("nbformat", reason="needs jupyterlab: gnref[tutorials]")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(text) for text in CELLS]
    nbformat.write(notebook, tmp_path / "copy.ipynb")
    for name, settings in SETTINGS.items():
        path = tmp_path / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings), encoding="utf-8")
    return tmp_path


@pytest.fixture
def lab(folder):
    """The address of a JupyterLab that has the folder."""
    pytest.importorskip("jupyterlab", reason="needs jupyterlab: gnref[tutorials]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}"]
    command += ["--IdentityProvider.token=", f"--ServerApp.root_dir={folder}", "--ServerApp.port_retries=0"]
    own = {
        name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")
    }
    own |= {
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
    }
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=log)
        try:
            yield wait_for(f"http://127.0.0.1:{port}/", server)
        finally:
            server.terminate()
            server.wait(30)


def wait_for(address, server, seconds=60):
    """Return the address when something answers there."""
    for _ in range(seconds * 4):
        assert server.poll() is None, "JupyterLab did not start"
        try:
            with urllib.request.urlopen(f"{address}api", timeout=5):
                return address
        except OSError:
            time.sleep(0.25)
    raise TimeoutError(address)


@pytest.mark.slow
def test_the_explorer_answers(browser, lab):
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(120_000)
    page.goto(f"{lab}lab/tree/copy.ipynb")
    page.locator(".jp-NotebookPanel .jp-CodeCell").first.wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()  # before that, Run does nothing
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    last = page.locator(".jp-CodeCell").last
    last.get_by_text("norm gn 6").wait_for()
    assert page.get_by_text("Traceback").count() == 0
    widget = page.locator(".jp-CodeCell").nth(-2)
    widget.locator("canvas").wait_for()
    widget.get_by_text("BatchNorm", exact=True).click()
    widget.locator("input[name=c]").fill("8")
    last.locator(".jp-InputArea-editor").click()
    page.keyboard.press("Control+Enter")
    last.get_by_text("norm bn 8").wait_for()
    page.close()
