"""A browser, and the built site on a server of its own; what is missing is a reason to skip."""

import functools
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SITE = Path(__file__).parents[2] / "build" / "site"


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than half a minute")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def browser():
    """Chromium. One module has it at a time: while Playwright runs, this thread has an event loop."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: gnref[docs]")
    with sync_api.sync_playwright() as playwright:
        installed = shutil.which("chromium") or playwright.chromium.executable_path
        if not Path(installed).exists():
            pytest.skip("needs chromium")
        browser = playwright.chromium.launch(executable_path=installed, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address():
    """Where the built site is served."""
    if not (SITE / "index.html").exists():
        pytest.skip("needs the built site: make site")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


class Watched:
    """A page, with all that went wrong on it: errors, warnings of the console, foreign requests."""

    def __init__(self, context, own):
        self.page = context.new_page()
        self.wrong = []
        self.page.on("pageerror", lambda error: self.wrong.append(f"page error: {error}"))
        self.page.on("console", self.listen)
        self.page.on("response", self.look)
        self.page.route("**/*", lambda route: self.admit(route, own))

    def listen(self, message):
        if message.type in ("error", "warning"):
            self.wrong.append(f"console: {message.text}")

    def look(self, response):
        if response.status >= 400:
            self.wrong.append(f"{response.status}: {response.url}")

    def admit(self, route, own):
        """Let the site's own requests pass, and no other."""
        if route.request.url.startswith((own, "data:", "blob:")):
            route.continue_()
        else:
            self.wrong.append(f"foreign request: {route.request.url}")
            route.abort()


@pytest.fixture
def visit(browser, address):
    """visit("index.html", theme="dark", width=390) opens a page of the site, and watches it."""
    contexts = []

    def open_page(path, theme="light", width=1400):
        contexts.append(browser.new_context(color_scheme=theme, viewport={"width": width, "height": 900}))
        watched = Watched(contexts[-1], address)
        watched.page.goto(address + path, wait_until="load")
        return watched

    yield open_page
    for context in contexts:
        context.close()
