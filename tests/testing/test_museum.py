"""Every specimen fails its property, every twin has them all, and every entry of the list is there."""

from functools import cache

import hypothesis
import kernels
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from rich.console import Console
from rich.text import Text

from gnref.cli import main
from gnref.testing import PROPERTIES, Problem, check
from gnref.testing.museum import (
    ENTRIES,
    GROUPS,
    MECHANISMS,
    ROOMS,
    STATUSES,
    ask,
    exhibit,
    listing,
    resembling,
    show,
)
from gnref.testing.museum.asking import checker
from gnref.testing.museum.entries import entries_of
from gnref.testing.museum.mechanism import FIVE, TEXTBOOK, exchanged, source_of, target
from gnref.testing.museum.misreadings import in_memory_order, row_major, with_strides_of
from gnref.testing.museum.showing import asked
from gnref.testing.mutants import textbook
from gnref.testing.properties.property import results
from gnref.testing.strategies import problems

# Of these, no single small problem has a wrong result.
NO_WRONG_RESULT = {
    "a bias takes a weight along": "it raises",
    "a positive axis refused": "it raises",
    "rank 4 alone": "it raises",
    "strides of single elements": "it raises",
    "one element per channel refused": "it raises",
    "G that does not divide C": "it does not raise",
    "gradients add up between calls": "the second result is wrong",
    "input overwritten": "x is wrong afterwards",
    "block size by the batch": "every result is right to rounding",
    "flat dweight of many rows": "above 65,536 rows",
    "rows counted in 16 bits": "above 65,536 rows",
}
# Entries that no property names: which one, and what for, is said where the specimen is.


@cache
def broken(name):
    return ask(MECHANISMS[name])


@pytest.mark.parametrize("name", MECHANISMS)
def test_a_specimen_fails_its_property_and_its_twin_does_not(name):
    result = broken(name)
    assert (result.status, result.property) == ("failed", MECHANISMS[name].property)
    twin = ask(MECHANISMS[name], fixed=True, max_examples=6, seed=1)
    assert twin.status == "passed", twin.reason


def twins():
    """Each code of a twin once, with its norm; the textbook with all of them."""
    found = {}
    for mechanism in MECHANISMS.values():
        text = mechanism.code("fixed")
        for norm in FIVE if text == source_of(TEXTBOOK) else (mechanism.norm,):
            found.setdefault((text, norm), mechanism.name)
    return [(name, norm) for (_, norm), name in found.items()]


@pytest.mark.parametrize(("name", "norm"), twins())
def test_a_twin_has_every_property(name, norm):
    made, pairs = checker(MECHANISMS[name], fixed=True, norm=norm, max_examples=3)
    report = made.report(pairs, lambda result: None)
    assert report.failed == []
    assert len([result for result in report.results if result.status == "passed"]) > 12


@pytest.mark.parametrize("name", [name for name in MECHANISMS if name not in NO_WRONG_RESULT])
def test_the_results_of_a_specimen_are_recognised(name):
    mechanism = MECHANISMS[name]
    lines = [resembling(p, results(mechanism.target(), p)) for p in asked(mechanism, broken(name))]
    assert any(line.startswith(f"{name} (") for found in lines for line in found)
    assert max(map(len, lines)) <= 3


@pytest.mark.parametrize("name", NO_WRONG_RESULT)
def test_what_cannot_be_recognised_is_not_taken_for_something_else(name):
    mechanism = MECHANISMS[name]
    if NO_WRONG_RESULT[name] == "it raises":
        return
    for problem in asked(mechanism, broken(name)):
        if problem.num_groups is None or problem.channels % problem.num_groups == 0:
            assert resembling(problem, results(mechanism.target(), problem)) == ()


@pytest.mark.parametrize("norm", FIVE)
def test_right_results_resemble_nothing(norm):
    right = target(*textbook.functions(norm), norm, "the textbook", True)

    @hypothesis.seed(0)
    @settings(
        max_examples=6,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(problem=problems(norm, grade="B", eps=(1e-5, 0.5), virtual=(False,)))
    def search(problem):
        found = results(right, problem)
        assert resembling(problem, found) == ()
        found["y"] = found["y"] + found["y"].dtype.type(3)  # wrong in a way that no specimen is
        assert resembling(problem, found) == ()

    search()


def of_rows(x, **given):
    return Problem("group", x, np.ones_like(x), num_groups=1, eps=1e-5, grade="B", **given)


@pytest.mark.parametrize("length", [31, 127])
@pytest.mark.parametrize("offset", [1e5, 3e5, 1e6])
def test_nothing_false_is_named_where_the_tolerance_is_as_large_as_the_results(offset, length):
    problem = of_rows((np.random.default_rng(0).standard_normal((1, 1, length)) + offset).astype("f4"))
    with np.errstate(invalid="ignore"):
        y = kernels.cancelling(problem.x, 1, None, None, 1e-5)
    assert all(line.startswith("cancelling variance (") for line in resembling(problem, {"y": y}))
    assert resembling(problem, {"y": 0.01 * problem.x / offset}) == ()


def test_nothing_is_named_where_16_bits_leave_nothing_of_the_results():
    x = (3 * np.random.default_rng(0).standard_normal((1, 2, 31))).astype("f2")
    bias = np.array([5000, -5000], "f4")  # beside which float16 has steps of 4
    problem = of_rows(x, weight=np.full(2, 4.0, "f4"), bias=bias)
    assert resembling(problem, {"y": np.zeros_like(x) + bias.astype("f2").reshape(1, 2, 1)}) == ()


def test_a_report_on_a_cancelling_variance_names_nothing_else():
    report = check(kernels.cancelling, norm="group", dtypes=("float32",), max_examples=10)
    assert {"long sets equal math.fsum", "y equals exact fractions"} <= set(report.failed)
    named = [line for result in report.results for line in result.museum]
    assert named
    assert all(line.startswith("cancelling variance (") for line in named)


def test_resembling_never_raises():
    problem = broken("weight per group").counterexample
    for found in (
        {},
        {"y": None},
        {"y": "no array"},
        {"y": np.zeros(3)},
        {"dx": np.full(problem.shape, np.nan)},
    ):
        assert resembling(problem, found) == ()
    assert resembling(problem.but(norm="batch_frozen"), {"y": problem.x}) == ()
    assert resembling("no problem", {"y": problem.x}) == ()


def test_another_spelling_of_a_slip_is_recognised():
    def forward(x, num_groups, weight, bias, eps):
        groups = x.astype(np.float32).reshape(*x.shape[:1], num_groups, -1)
        mean = groups.mean(-1, keepdims=True)
        var = np.maximum(0, np.square(groups).mean(-1, keepdims=True) - np.square(mean))
        return ((groups - mean) / np.sqrt(var + np.float32(eps))).reshape(x.shape)

    problem = broken("weight per group").counterexample
    x = (np.arange(6, dtype="f4").reshape(1, 6) * 0.01 + 100).astype("f4")
    problem = problem.but(x=x, weight=None, bias=None)
    (line,) = resembling(problem, {"y": forward(x, 2, None, None, 1e-5)})
    assert (
        line
        == "cancelling variance (1 flax #1491, 2 jax #30426, 3 pytorch #40302, ...): var = E[x^2] - E[x]^2"
    )


def test_every_entry_is_there():
    assert list(ENTRIES) == list(range(1, 71))
    for entry in ENTRIES.values():
        assert bool(entry.mechanisms) != bool(entry.why_not), entry
        assert set(entry.mechanisms) <= MECHANISMS.keys()
        assert entry.group in GROUPS
        assert {status for _, status in entry.sources} <= STATUSES.keys()
        assert entry.what.endswith(".")


def test_every_mechanism_shows_an_entry_that_its_property_names():
    for mechanism in MECHANISMS.values():
        named = PROPERTIES[mechanism.property].museum
        entries = {entry.number for entry in entries_of(mechanism.name)}
        assert entries
        assert entries & set(named)
        assert mechanism.norm in mechanism.norms


def test_names_are_those_of_one_mechanism():
    assert len(MECHANISMS) == sum(len(room.MECHANISMS) for room in ROOMS)


@pytest.mark.parametrize("name", MECHANISMS)
def test_a_specimen_differs_by_its_lines_alone(name):
    mechanism = MECHANISMS[name]
    fixed, slip = (mechanism.code(state).splitlines() for state in ("fixed", "broken"))
    lines = [
        line
        for change in mechanism.changes
        for line in (*change.fixed.splitlines(), *change.broken.splitlines())
    ]
    assert fixed != slip
    assert len(mechanism.changes) <= 2
    assert {line.strip() for line in set(fixed) ^ set(slip)} <= {line.strip() for line in lines}


def test_lines_that_are_not_there_once_are_refused():
    with pytest.raises(ValueError, match="stands 2 times"):
        exchanged("a = 1\na = 1", "a = 1", "a = 2")
    with pytest.raises(ValueError, match="stands 0 times"):
        exchanged("a = 1", "b = 1", "a = 2")


def test_specimens_keep_nothing_for_each_other():
    mechanism, problem = (
        MECHANISMS["gradients add up between calls"],
        broken("dweight and dbias swapped").counterexample,
    )
    first, second = (results(mechanism.target(), problem)["dweight"] for _ in range(2))
    assert np.array_equal(first, second)


def test_misreadings_stay_inside_the_memory_of_the_array():
    a = np.arange(24.0).reshape(2, 3, 4)
    assert np.array_equal(in_memory_order(a), a)
    assert in_memory_order(a.transpose(2, 0, 1)).ravel().tolist() == list(range(24))
    assert in_memory_order(a[:, ::2]).ravel().tolist() == list(range(16))
    for same in (a[::-1], np.broadcast_to(a[..., :1], a.shape), a[:0]):
        assert in_memory_order(same) is same
        assert with_strides_of(same, a) is same
    assert with_strides_of(a, a[:, :, ::-1]) is a
    assert with_strides_of(a, a.astype("f4")) is a
    assert row_major(a) == a.strides


@pytest.mark.parametrize("number", [45, 50, 61])
def test_the_snippet_of_an_exhibit_runs_and_shows_the_failure(number, capsys):
    (shown,) = show(number)
    if shown.result.reason.startswith("raises"):
        with pytest.raises(Exception, match=shown.result.reason.split(": ")[-1]):
            exec(shown.result.snippet, {})
        return
    exec(shown.result.snippet, {})
    assert float(capsys.readouterr().out) > 1


@pytest.mark.parametrize("number", [15, 21, 43, 65])
def test_an_exhibit_says_what_is_known_and_what_differs(number):
    text = printed(exhibit(number))
    entry = ENTRIES[number]
    assert text.startswith(f"{number}  {entry.what}")
    for where, status in entry.sources:
        assert f"{where}: {STATUSES[status]}" in text
    assert ("Not on show" in text) == (not entry.mechanisms)
    for name in entry.mechanisms:
        for fixed, slip in MECHANISMS[name].changes:
            assert f"- {slip}" in text
            assert f"+ {fixed}" in text
        assert "expected" in text
        assert f'MECHANISMS["{name}"].target()' in text


def test_an_unknown_entry_is_refused():
    with pytest.raises(ValueError, match="number is 71; expected one of the museum's entries, 1 to 70"):
        exhibit(71)


def test_the_list_has_a_row_for_every_entry():
    table = listing()
    cells = [cell.plain if isinstance(cell, Text) else cell for cell in table.columns[0].cells]
    assert [int(cell) for cell in cells if cell] == list(ENTRIES)


@pytest.mark.parametrize("width", [80, 110, 160])
def test_the_list_keeps_every_word_at_any_width(width):
    text = printed(listing(), width)
    assert all(len(line) <= width for line in text.splitlines())
    assert "…" not in text
    words = {word for name in MECHANISMS for word in name.split()}
    assert words | {"ChainerMN", "#37358", "processes."} <= set(text.split())


def test_the_command_prints_a_program_that_runs(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["museum", "43"]) == 0
    text = capsys.readouterr().out
    assert any(len(line) > 80 for line in text.splitlines())
    exec(text.split("To run it again:")[1], {})
    assert float(capsys.readouterr().out) > 1


def test_the_command_lists_the_entries(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["museum"]) == 0
    assert "small variance taken" in capsys.readouterr().out


def printed(renderable, width=100):
    console = Console(width=width, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()
