"""Every page of the built site, on a phone and on a desk, in light and in dark."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
SITE = HERE.parents[1] / "build" / "site"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html")) or ["index.html"]
READING = (HERE / "reading.js").read_text(encoding="utf-8")
NARROW, WIDE = 390, 1400
# The explorer draws itself anew for another width in the frame after the one that tells it.
FRAMES = "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50)))"
DRAWN = f"() => new Promise((done) => {FRAMES})"


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page(visit, path, theme):
    watched = visit(path, theme, WIDE)
    watched.page.wait_for_load_state("networkidle")
    found = watched.page.evaluate(READING)
    watched.page.set_viewport_size({"width": NARROW, "height": 900})
    watched.page.evaluate(DRAWN)
    assert watched.wrong == []
    assert found + watched.page.evaluate(READING) == []


@pytest.mark.parametrize(("theme", "pale"), [("light", "#808080"), ("dark", "#606060")])
def test_what_would_be_stumbled_over_is_found(visit, theme, pale):
    page = visit("license.html", theme, NARROW).page
    page.evaluate(
        f"Object.assign(document.querySelector('article p').style, {{width: '2000px', color: '{pale}'}})"
    )
    found = page.evaluate(READING)
    assert any("px out of the page" in sentence for sentence in found)
    assert any("has a contrast of" in sentence for sentence in found)


def test_what_is_folded_and_in_a_shadow_is_read(visit):
    page = visit("explorer.html").page
    page.locator(".gnref-explorer canvas").wait_for()
    page.evaluate("""() => {
      const pale = '<details><summary>Solution</summary><p style="color: #bbb">pale</p></details>';
      document.querySelector("article").insertAdjacentHTML("beforeend", pale);
      const inside = document.querySelector(".gnref-explorer").shadowRoot;
      inside.lastElementChild.insertAdjacentHTML("beforeend", pale);
    }""")
    assert sum("“pale”" in sentence for sentence in page.evaluate(READING)) == 2


def test_foreign_requests_and_errors_are_found(visit):
    watched = visit("license.html")
    watched.page.evaluate("fetch('https://example.org/font.woff2').catch(() => console.error('no font'))")
    watched.page.evaluate("setTimeout(() => nowhere(), 0)")
    watched.page.wait_for_timeout(200)
    told = " ".join(watched.wrong)
    assert "foreign request: https://example.org/font.woff2" in told
    assert "console: no font" in told
    assert "nowhere is not defined" in told


def test_formulas_are_set(visit):
    page = visit("design.html").page
    page.wait_for_selector("mjx-container", timeout=20_000)
    assert page.locator("mjx-merror").count() == 0
    assert page.locator("mjx-container").count() > 2


def test_search_works_without_a_server_of_its_own(visit):
    watched = visit("search.html?q=momentum")
    watched.page.wait_for_selector("ul.search li a", timeout=20_000)
    assert "momentum" in watched.page.locator("ul.search").inner_text()
    assert watched.wrong == []


def test_the_reader_chooses_the_theme(visit):
    page = visit("index.html", "light").page
    ground = "getComputedStyle(document.body).backgroundColor"
    button = page.locator(".theme-toggle-content button")
    seen = {page.evaluate(ground)}
    for _ in range(2):
        button.click()
        page.wait_for_timeout(50)
        seen.add(page.evaluate(ground))
    assert seen == {"rgb(255, 255, 255)", "rgb(13, 17, 23)"}
