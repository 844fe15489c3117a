"""A tutorial shows the very lines of a function, or says in one sentence why it cannot."""

import ast
import inspect
from html.parser import HTMLParser
from pathlib import Path

import pytest

import gnref
from gnref.axes import Fold
from gnref.kernels import reference
from gnref.teaching import show_source


class Text(HTMLParser):
    """The text of some HTML."""

    def __init__(self, html):
        super().__init__()
        self.seen = ""
        self.feed(html)

    def handle_data(self, data):
        self.seen += data


def test_the_lines_are_those_of_the_file():
    source = show_source(reference.backward, "via_mean =", "dx = ")
    file = Path(inspect.getsourcefile(reference)).read_text(encoding="utf-8").splitlines()
    lines = str(source).splitlines()
    assert [line.strip() for line in file[source.start - 1 :][: len(lines)]] == lines
    assert source.caption == f"gnref/kernels/reference.py, lines {source.start} to {source.start + 2}"
    assert lines[0].startswith("via_mean = ")


def test_a_whole_function_keeps_its_inner_indentation():
    text = str(show_source(Fold.unfold))
    assert text.startswith("def unfold(self")
    assert "\n    in_memory = " in text
    ast.parse(text)


def test_one_line():
    source = show_source(reference.forward, "y = affine(", "y = affine(")
    assert str(source).startswith("y = affine(xhat, weight, bias)")
    assert source.caption == f"gnref/kernels/reference.py, line {source.start}"


@pytest.mark.parametrize(
    ("function", "first"),
    [(reference.backward, None), (reference.backward, "means are what is left"), (gnref.group_norm, "x : ")],
)
def test_html_and_markdown_say_the_same(function, first):
    source = show_source(function, first)
    bundle = source._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/markdown", "text/html"}
    assert Text(source.html).seen == str(source)
    assert f"```python\n{source}\n```" in bundle["text/markdown"]
    assert all(source.caption in text for text in bundle.values())


def test_what_has_a_colour_in_an_editor_has_its_class():
    html = show_source(reference.backward, "via_mean =", "via_mean =").html
    assert '<span class="k">if</span> center' in html
    assert '<span class="mi">0.0</span>' in html
    assert '<span class="c1">#      (O, 1, A, 1, 1)</span>' in html


def test_a_function_of_no_file_has_its_name_as_text():
    pytest.importorskip("hypothesis")
    from gnref.teaching.exercises import EXERCISES
    from gnref.teaching.exercises.exercise import build

    exercise = EXERCISES["group_mean"]
    source = show_source(build(exercise, exercise.solution, "solution"))
    assert source.caption == "<group_mean: solution>, lines 1 to 4"
    html = source._repr_mimebundle_()["text/html"]
    assert source.caption not in html
    assert source.caption in Text(html).seen


def test_a_compiled_function_shows_its_python():
    pytest.importorskip("numba")
    from gnref.kernels.cpu import sums

    compiled = next(f for f in vars(sums).values() if hasattr(f, "py_func"))
    assert str(show_source(compiled)) == str(show_source(compiled.py_func))


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        ("no such", None, r"first is 'no such', which stands in no line of backward; expected exactly one"),
        ("xhat = xc", "xhat", r"last is 'xhat', which stands in \d+ lines of backward from its line \d+ on"),
        ("set_mean", None, r"first is 'set_mean', which stands in 2 lines of backward; expected exactly one"),
        ("dx = spread", "via_mean =", r"last is 'via_mean =', which stands in no line of backward from its"),
    ],
)
def test_text_that_is_not_in_one_line_is_refused(first, last, message):
    with pytest.raises(ValueError, match=message):
        show_source(reference.backward, first, last)


@pytest.mark.parametrize("function", [len, 3, "backward"])
def test_what_has_no_source_is_refused(function):
    with pytest.raises(TypeError, match=r"^function is .*; expected one written in Python$"):
        show_source(function)


def test_the_package_offers_its_names_late():
    import gnref.teaching

    assert set(gnref.teaching.__all__) == set(gnref.teaching._HOMES)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = gnref.teaching.nothing
