"""The explorer alive on the site: clicks, sliders, keys, the address, and the numbers of NumPy."""

import re

import pytest

from gnref.teaching.explorer.numbers import numbers_of
from gnref.teaching.explorer.state import state_of

STATE = "document.querySelector('.gnref-explorer').explorer.state"
TUTORIALS = ["01_shared_mean", "03_one_reshape", "04_backward"]
PLACES = ["explorer.html", "index.html", *(f"tutorials/{name}.html" for name in TUTORIALS)]


@pytest.fixture(params=PLACES)
def page(request, visit):
    watched = visit(request.param)
    watched.page.locator(".gnref-explorer canvas").first.wait_for()
    yield watched.page
    assert watched.wrong == []


def shown(page):
    """The numbers beside the block, by their names."""
    facts = page.locator(".gnref-explorer dl").first
    numbers = [float(text.replace("\N{MINUS SIGN}", "-")) for text in facts.locator("dd").all_inner_texts()]
    return dict(zip(facts.locator("dt").all_inner_texts(), numbers, strict=True))


def expected(page):
    """The same by NumPy."""
    state = page.evaluate(STATE)
    numbers = numbers_of(state_of(**state))
    return [numbers.m, numbers.mean, numbers.var, numbers.xhat[tuple(state["cell"])]]


def choose(page, norm):
    page.locator(f".gnref-explorer input[value={norm}]").first.evaluate("input => input.click()")


@pytest.mark.parametrize("norm", ["bn", "ln", "in", "gn", "ln-pytorch"])
def test_numbers_of_each_norm(page, norm):
    choose(page, norm)
    assert page.evaluate(STATE)["norm"] == norm
    assert list(shown(page).values()) == pytest.approx(expected(page), abs=6e-5)


def test_sliders(page):
    choose(page, "in")
    before = shown(page)
    page.locator(".gnref-explorer input[name=h]").first.fill("4")
    assert page.evaluate(STATE)["h"] == 4
    assert list(shown(page).values()) == pytest.approx(expected(page), abs=6e-5)
    assert shown(page)["m"] != before["m"]


def test_keys(page):
    page.evaluate(
        "document.querySelector('.gnref-explorer').explorer.update({ cell: [0, 0, 0, 0], norm: 'bn' })"
    )
    page.locator(".gnref-explorer canvas").first.focus()
    for key in ("ArrowRight", "ArrowUp", "PageUp"):
        page.keyboard.press(key)
    n, c, h, w = page.evaluate(STATE)["cell"]
    assert (n, c) == (1, 1)
    assert (h, w) != (0, 0)
    assert list(shown(page).values()) == pytest.approx(expected(page), abs=6e-5)


def test_a_click_picks_a_cell(page):
    canvas = page.locator(".gnref-explorer canvas").first
    canvas.scroll_into_view_if_needed()
    before = page.evaluate(STATE)["cell"]
    box = canvas.bounding_box()
    picked = []
    for x, y in [(0.5, 0.5), (0.42, 0.42), (0.58, 0.6)]:
        canvas.click(position={"x": box["width"] * x, "y": box["height"] * y})
        picked.append(page.evaluate(STATE)["cell"])
    assert any(cell != before for cell in picked)
    assert list(shown(page).values()) == pytest.approx(expected(page), abs=6e-5)


def test_the_address_follows(visit):
    page = visit("explorer.html?norm=bn&n=3&c=4&h=1&w=2").page
    assert {"norm": "bn", "n": 3, "c": 4}.items() <= page.evaluate(STATE).items()
    choose(page, "in")
    page.locator(".gnref-explorer input[name=n]").fill("2")
    assert re.search(r"\?norm=in&n=2&c=4&h=1&w=2", page.url)
    page.reload()
    assert {"norm": "in", "n": 2, "c": 4}.items() <= page.evaluate(STATE).items()


def test_a_block_of_the_front_page_opens_in_the_explorer(visit):
    page = visit("index.html").page
    page.locator(".block-card.batch").click()
    page.locator(".gnref-explorer canvas").wait_for()
    assert {"norm": "bn", "n": 3, "c": 6}.items() <= page.evaluate(STATE).items()


def test_what_cannot_be_drawn_gets_a_sentence(visit):
    page = visit("explorer.html?norm=gn&c=6&g=4").page
    assert "expected a divisor of C = 6" in page.locator(".gnref-explorer #note").inner_text()


def test_it_follows_the_theme(visit):
    page = visit("explorer.html").page
    root = "document.querySelector('.gnref-explorer').shadowRoot"
    ground = f"getComputedStyle({root}.querySelector('.gx')).backgroundColor"
    page.evaluate("document.body.dataset.theme = 'dark'")
    page.wait_for_timeout(100)
    assert page.evaluate(ground) == "rgb(13, 17, 23)"
    page.evaluate("document.body.dataset.theme = 'light'")
    page.wait_for_timeout(100)
    assert page.evaluate(ground) == "rgb(255, 255, 255)"


def test_without_scripts_there_is_a_picture(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}explorer.html")
    picture = page.locator(".gnref-explorer img")
    assert picture.is_visible()
    assert "GroupNorm" in picture.get_attribute("alt")
    context.close()


def test_the_file_to_download_stands_alone(visit):
    watched = visit("download/gnref-explorer.html?norm=in")
    assert watched.page.evaluate("window.explorer.state.norm") == "in"
    assert watched.wrong == []
