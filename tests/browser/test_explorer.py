"""The explorer in a real browser: pointer, touch, keys, the exercises, light and dark, nothing fetched."""

import base64
import io
import re
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import gnref.teaching.explorer
from gnref.teaching.explorer import explorer_html, save_explorer_page
from gnref.teaching.explorer.numbers import block
from gnref.teaching.palette import THEMES

FOLDER = Path(gnref.teaching.explorer.__file__).parent
GN = "norm=gn&n=2&c=6&h=2&w=2&g=3&cell=0,2,1,0"
AXES = {"bn": (0, 2, 3), "ln": (1, 2, 3), "in": (2, 3), "ln-pytorch": (1, 2, 3)}
NAMES = {"BatchNorm": "bn", "LayerNorm": "ln", "InstanceNorm": "in", "GroupNorm": "gn"}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of the page that stands alone."""
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    save_explorer_page(path)
    return path.as_uri()


@contextmanager
def watched(browser, width=1400, theme="light", **options):
    """A page; what it says to the console, or asks of another place, is a failure."""
    viewport = {"width": width, "height": 900}
    options = {"viewport": viewport, "color_scheme": theme, "reduced_motion": "reduce"} | options
    context = browser.new_context(**options)
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    local = ("file:", "data:", "blob:", "http://explorer.test/")
    page.on("request", lambda request: request.url.startswith(local) or complaints.append(request.url))
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def page(browser, address):
    with watched(browser) as page:
        page.goto(f"{address}?{GN}")
        yield page


def state(page):
    return page.evaluate("window.explorer.state")


def say(page, selector):
    return page.locator(selector).text_content()


def slide(page, axis, value):
    page.locator(f"input[name={axis}]").fill(str(value))


def press(page, *keys):
    page.locator("canvas").focus()
    for key in keys:
        page.keyboard.press(key)


def comes_true(page, condition, frames=300):
    """Whether a condition holds within so many frames. (The page forbids what wait_for_function does.)"""
    loop = f"for (let k = 0; k < {frames} && !({condition}); k++) await new Promise(requestAnimationFrame)"
    return page.evaluate(f"async () => {{ {loop}; return Boolean({condition}); }}")


def colour(page):
    return page.locator(".gx").evaluate("(e) => getComputedStyle(e).backgroundColor")


def rgb(name):
    return "rgb({}, {}, {})".format(*bytes.fromhex(THEMES[name].background[1:]))


def places(page):
    """Where each cell can be hit, found by clicks."""
    found, box = {}, page.locator("canvas").bounding_box()
    for y in np.arange(box["y"] + 50, box["y"] + box["height"] - 45, 40):
        for x in np.arange(box["x"] + 50, box["x"] + box["width"] - 45, 40):
            page.mouse.click(x, y)
            found.setdefault(tuple(state(page)["cell"]), (x, y))
    return found


def expected(s):
    """m, mean, variance and xhat, by NumPy alone."""
    cell, shape = tuple(s["cell"]), (s["n"], s["c"], s["h"], s["w"])
    x = block()[tuple(map(slice, shape))]
    v = x.reshape(shape[0], s["g"], -1, *shape[2:]) if s["norm"] == "gn" else x
    axes = (2, 3, 4) if s["norm"] == "gn" else AXES[s["norm"]]
    m = np.prod([v.shape[axis] for axis in axes])
    shared = (average(axes, keepdims=True) for average in (v.mean, v.var))
    mean, var = (np.broadcast_to(a, v.shape).reshape(shape)[cell] for a in shared)
    return m, mean, var, (x[cell] - mean) / np.sqrt(var + 1e-5)


def shown(page):
    """The same four, as the page has them."""
    texts = page.locator("dd").all_text_contents()
    return [float(text.replace("\N{MINUS SIGN}", "-")) for text in texts]


PAINTED = """() => new Promise((done) => new PerformanceObserver((list) => {
  for (const entry of list.getEntriesByName("first-contentful-paint")) done(entry.startTime);
}).observe({ type: "paint", buffered: true }))"""


def test_first_paint(page):
    print(f"first contentful paint after {page.evaluate(PAINTED):.0f} ms")
    assert page.locator("canvas").bounding_box()["height"] > 250


@pytest.mark.parametrize("name", [*NAMES, "PyTorch\N{RIGHT SINGLE QUOTATION MARK}s LayerNorm"])
def test_numbers_of_every_norm(page, name):
    page.get_by_text(name, exact=True).first.click()
    press(page, "ArrowRight", "ArrowUp", "PageUp")
    s = state(page)
    assert s["norm"] == NAMES.get(name, "ln-pytorch")
    assert s["cell"] == [1, 3, 1, 1]
    assert shown(page) == pytest.approx(expected(s), abs=5.1e-5)
    assert say(page, "#title").startswith(name)


def test_keys_stop_at_the_walls(page):
    press(page, *["ArrowLeft"] * 7, *["ArrowDown"] * 9, *["PageDown"] * 3)
    assert state(page)["cell"] == [0, 0, 0, 0]
    press(page, *["ArrowRight"] * 9, *["ArrowUp"] * 9, *["PageUp"] * 3)
    assert state(page)["cell"] == [1, 5, 1, 1]
    assert "GroupNorm, G = 3, cell (1, 5, 1, 1), x" in say(page, "#live")


def test_a_click_picks_a_cell_and_a_drag_turns_the_block(page):
    canvas = page.locator("canvas")
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.click(x, y)
    picked, before = state(page), canvas.screenshot()
    assert picked["cell"] != [0, 2, 1, 0]
    assert shown(page) == pytest.approx(expected(picked), abs=5.1e-5)
    page.mouse.down()
    page.mouse.move(x + 90, y + 20, steps=4)
    page.mouse.up()
    page.mouse.move(0, 0)
    assert state(page) == picked
    turned = canvas.screenshot()
    assert turned != before
    press(page, "Home")
    assert canvas.screenshot() != turned


def test_every_cell_of_the_slices_can_be_hit(page):
    page.get_by_text("Slices", exact=True).click()
    assert len(places(page)) == 2 * 6 * 2 * 2


def test_sliders_and_groups(page):
    slide(page, "c", 7)
    assert "G is “3”; expected a divisor of C = 7, one of 1, 7" in say(page, "#note")
    assert state(page)["g"] == 1
    slide(page, "c", 9)  # G = 3 was wished for
    assert (state(page)["g"], say(page, "#note")) == (3, "")
    page.locator("select").select_option("9")
    slide(page, "n", 5)
    slide(page, "h", 1)
    s = state(page)
    assert [s[key] for key in "nchwg"] == [5, 9, 1, 2, 9]
    assert shown(page) == pytest.approx(expected(s), abs=5.1e-5)


def test_the_address_follows_and_is_followed(page, address):
    page.goto(f"{address}?lesson=3&{GN}&show=dx#here")
    page.get_by_text("InstanceNorm", exact=True).click()
    assert page.url.endswith("?norm=in&n=2&c=6&h=2&w=2&g=3&cell=0,2,1,0&show=dx&lesson=3#here")
    before = state(page)
    page.reload()
    assert state(page) == before


def test_an_address_that_cannot_be_shown_gets_a_sentence(page, address):
    page.goto(f"{address}?norm=gn&c=6&g=4&n=99")
    assert "G is “4”; expected a divisor of C = 6" in say(page, "#note")
    assert "N is “99”; expected 1 to 6" in say(page, "#note")
    page.goto(f"{address}?c=1&n=1")
    assert say(page, "#note") == ""


def test_mark_by_keys(page, address):
    page.goto(f"{address}?norm=in&task=mark&view=slices&n=2&c=6&h=2&w=2")
    page.get_by_text("Check", exact=True).click()
    assert say(page, "#verdict") == "✕ Nothing is marked yet."
    press(page, "Space", "ArrowUp", "Space", "ArrowUp", "Space", "ArrowUp", "Space")
    page.get_by_text("Check", exact=True).click()
    assert say(page, "#verdict").startswith("✓ Right: example 0, channel 0")
    press(page, "ArrowRight", "Space")
    assert say(page, "#live") == "(0, 1, 1, 1) marked"
    page.get_by_text("Check", exact=True).click()
    assert say(page, "#verdict") == "✕ Too many: 1 cell, (0, 1, 1, 1)."


def test_keys_with_a_modifier_are_the_browser_s(page):
    passed = """(canvas, held) => canvas.dispatchEvent(new KeyboardEvent("keydown",
        { key: "ArrowRight", bubbles: true, cancelable: true, [held]: true }))"""
    before, canvas = state(page), page.locator("canvas")
    assert all(canvas.evaluate(passed, held) for held in ("ctrlKey", "altKey", "metaKey"))
    assert state(page) == before
    assert not canvas.evaluate(passed, "repeat")
    assert state(page) != before


def test_the_pointer_leaves_the_keyboard_s_cell_alone(page):
    page.get_by_text("Mark the set").click()
    assert say(page, "#live") == say(page, "#rule")
    assert say(page, "#live").startswith("Mark every cell that shares the mean")
    press(page, "ArrowRight", "ArrowRight")
    page.locator("canvas").hover()
    page.mouse.move(0, 0)
    press(page, "Space")
    assert say(page, "#live") == "(0, 4, 1, 0) marked"


def test_mark_by_a_drag(page, address):
    page.goto(f"{address}?norm=in&view=slices&n=2&c=3&h=2&w=2")
    where = places(page)
    page.evaluate("window.explorer.update({ view: 'block', cell: [1, 1, 0, 0] })")
    page.get_by_text("Mark the set").click()
    assert state(page)["view"] == "slices"  # in the block, cells hide cells
    page.mouse.move(*where[1, 1, 0, 0])
    page.mouse.down()
    page.mouse.move(*where[1, 1, 1, 1], steps=12)
    page.mouse.up()
    page.get_by_text("Check", exact=True).click()
    assert say(page, "#verdict").startswith("✓ Right: example 1, channel 1")


def test_count(page):
    page.get_by_text("Count means").click()
    assert page.locator("#facts").is_hidden()  # they would tell
    page.locator("#answer input").fill("8")
    page.keyboard.press("Enter")
    assert say(page, "#verdict").startswith("✕ Not 8. 8 is m")
    page.locator("#answer input").fill("6")
    page.get_by_text("Check", exact=True).click()
    assert say(page, "#verdict").startswith("✓ Right.")
    for _ in range(5):
        page.get_by_text("New question").click()
        assert say(page, "#note") == say(page, "#verdict") == ""


def pixels(png):
    image = pytest.importorskip("matplotlib.image", reason="needs matplotlib: gnref[tutorials]")
    return image.imread(io.BytesIO(png))


def test_png(page):
    with page.expect_download() as caught:
        page.get_by_text("Save PNG").click()
    assert caught.value.suggested_filename == "gn-2x6x2x2.png"
    saved = pixels(Path(caught.value.path()).read_bytes())
    assert saved.shape[1] == 2 * round(page.locator("canvas").bounding_box()["width"])
    assert len(np.unique(saved[::9, ::9].reshape(-1, saved.shape[2]), axis=0)) > 50


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_system_s_theme(browser, address, theme):
    with watched(browser, theme=theme) as page:
        page.goto(address)
        assert colour(page) == rgb(theme)


def test_the_page_s_theme_and_a_fixed_one(page):
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    ground = (
        "getComputedStyle(document.querySelector('main').shadowRoot.querySelector('.gx')).backgroundColor"
    )
    assert comes_true(page, f"{ground} === '{rgb('dark')}'")
    page.evaluate("window.explorer.update({ theme: 'light' })")
    assert colour(page) == rgb("light")


LARGE = "n=6&c=12&h=4&w=4"


@pytest.mark.parametrize("query", [GN, LARGE, f"{LARGE}&view=slices&show=dx", "task=mark&view=slices"])
def test_on_a_telephone(browser, address, query):
    with watched(browser, width=390, theme="dark", has_touch=True) as page:
        page.goto(f"{address}?{query}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        before = page.evaluate("window.explorer.png()")
        height = page.locator("canvas").bounding_box()["height"]
        for y in (0.4, 0.5, 0.6):  # between two slices is nothing to tap
            page.locator("canvas").tap(position={"x": 150, "y": y * height})
        assert page.evaluate("window.explorer.png()") != before


def test_every_control_is_reached_by_the_keyboard_and_shows_it(page):
    focus = """() => {
        let e = document.activeElement;
        while (e.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;
        const ring = e.type === "radio" ? e.nextElementSibling : e;
        return [e.id || e.name || e.localName, getComputedStyle(ring).outlineStyle];
    }"""
    page.locator("body").evaluate("(body) => { body.tabIndex = -1; body.focus(); }")
    seen = {}
    for _ in range(16):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(focus)
        seen[name] = outline
    wanted = {"norm", "view", "show", "png", "canvas", "task", "n", "c", "h", "w", "g", "summary"}
    assert wanted <= set(seen)
    assert all(seen[name] != "none" for name in wanted)


def test_every_control_has_a_name(page):
    tree = page.locator(".gx").aria_snapshot()
    for line in (
        'group "Norm"',
        'radio "BatchNorm"',
        'radio "GroupNorm" [checked]',
        'slider "N"',
        'combobox "G"',
        'application "Block of cells"',
        'button "Save PNG"',
    ):
        assert line in tree
    assert not re.search(r"- (radio|slider|combobox|button|application)(:|$)", tree, re.MULTILINE)


def moved(a, b):
    """Share of the pixels that differ by more than the edge of a glyph; text that moved is smoothed anew."""
    before, after = (pixels(base64.b64decode(url.partition(",")[2])) for url in (a, b))
    return np.mean(np.abs(after - before).max(axis=-1) > 0.3)


def test_slices_move_apart_unless_motion_is_unwelcome(browser, address):
    apart = "() => { window.explorer.update({ view: 'slices' }); return window.explorer.png(); }"
    with watched(browser) as page:
        page.goto(f"{address}?{GN}")
        rest = page.evaluate(apart)
    with watched(browser, reduced_motion="no-preference") as page:
        page.goto(f"{address}?{GN}")
        first = page.evaluate(apart)
        assert moved(first, rest) > 0.05
        assert comes_true(page, f"performance.now() > {page.evaluate('performance.now()')} + 1000")
        assert moved(page.evaluate("window.explorer.png()"), rest) == 0


SITE = """<!doctype html><html data-theme="dark"><link rel="icon" href="data:,"><body>
{}{}<div class="gnref-explorer" data-state="no JSON"></div>
<script type="module" src="host.js"></script>"""


def serve(page, scripts=True):
    """A static site with three divisions, of which one follows the address."""
    html = SITE.format(explorer_html(norm="bn"), explorer_html(address=True, norm="in", n=3))
    files = {name: (FOLDER / name).read_text(encoding="utf-8") for name in ("host.js", "explorer.min.js")}

    def answer(route):
        name = route.request.url.partition("?")[0].rpartition("/")[2]
        if name in files and not scripts:
            return route.fulfill(status=200, body="", content_type="text/javascript")
        kind = "text/javascript" if name in files else "text/html; charset=utf-8"
        return route.fulfill(body=files.get(name, html), content_type=kind)

    page.route("http://explorer.test/**", answer)
    page.goto("http://explorer.test/?norm=gn&c=4&g=2")


def test_a_static_page_comes_to_life(browser):
    with watched(browser) as page:
        serve(page)
        assert comes_true(page, "document.querySelectorAll('.gnref-explorer')[2].explorer")
        mounted = "[...document.querySelectorAll('.gnref-explorer')].map((e) => e.explorer.state)"
        states = page.evaluate(mounted)
        assert [(s["norm"], s["n"], s["c"], s["g"]) for s in states] == [
            ("bn", 2, 6, 3),
            ("gn", 3, 4, 2),
            ("gn", 2, 6, 3),
        ]
        assert colour(page.locator(".gnref-explorer").first) == rgb("dark")
        assert page.locator("img").first.is_hidden()
        page.locator(".gnref-explorer").first.get_by_text("InstanceNorm", exact=True).click()
        assert page.url.endswith("?norm=gn&n=3&c=4&h=2&w=2&g=2&cell=0,0,0,0")


def test_a_static_page_without_scripts_keeps_its_pictures(browser):
    with watched(browser) as page:
        serve(page, scripts=False)
        assert page.locator("img").first.is_visible()
        assert page.locator("img").first.evaluate("(image) => image.naturalWidth") == 960


MODEL = """async () => {
    const { default: widget } = await import("./explorer.min.js");
    const [values, heard, saves] = [{ norm: "ln", n: 3, c: 4, h: 1, w: 2, g: 2, cell: [0, 1, 0, 0] }, {}, []];
    const model = { get: (key) => values[key], set: (key, value) => (values[key] = value),
        save_changes: () => saves.push({ ...values }), on: (key, f) => (heard[key] = f) };
    const el = document.body.appendChild(document.createElement("div"));
    const stop = widget.render({ model, el });
    const title = () => el.shadowRoot.querySelector("#title").textContent;
    const seen = [title()];
    el.shadowRoot.querySelector("input[value=bn]").click();
    seen.push(title(), values.norm, saves.length);
    values.norm = "in";
    heard["change:norm"]();
    seen.push(title(), saves.length);
    stop();
    return [...seen, el.shadowRoot.childElementCount];
}"""


def test_the_way_in_for_anywidget(browser):
    with watched(browser) as page:
        serve(page)
        assert page.evaluate(MODEL) == ["LayerNorm", "BatchNorm", "bn", 1, "InstanceNorm", 2, 0]
