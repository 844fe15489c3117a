"""A notice says where the tutorial runs, as text and in a box for light and dark pages."""

from gnref.teaching.notice import GROUND, Notice, gpu_notice
from gnref.teaching.palette import DARK_PAGES, SYSTEM_PAGE, THEMES, contrast


def test_without_a_gpu_it_says_so_and_why():
    told = str(gpu_notice("cupy is not installed: pip install 'gnref[gpu]'"))
    assert told.startswith("There is no GPU here. The cuda backend says: cupy is not installed")
    assert "runs on NumPy arrays" in told
    assert ".." not in str(gpu_notice("no CUDA device: none."))


def test_with_one_it_does_not():
    assert "no GPU" not in str(gpu_notice("ready"))


def test_text_and_html_say_the_same():
    bundle = Notice("A & B", "x < 1")._repr_mimebundle_()
    assert bundle["text/plain"] == "A & B. x < 1"
    assert "<strong>A &amp; B</strong>" in bundle["text/html"]
    assert "<p>x &lt; 1</p>" in bundle["text/html"]


def test_every_kind_of_dark_page_has_its_own_colours():
    html = gpu_notice("ready").html
    for where in (*DARK_PAGES, SYSTEM_PAGE):
        assert f"{where} .gnref-notice" in html
    for theme, ground in GROUND.items():
        assert f"--ink:{THEMES[theme].ink}" in html
        assert contrast(THEMES[theme].ink, ground) > 7
