"""What `gnref check` says of its words, before the long work begins."""

import json

import kernels
import pytest

from gnref import cli
from gnref.testing.properties.derivatives import FORWARD_MODE, SECOND


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--require", "accuracy"], "--require is 'accuracy'; expected KEY=VALUE"),
        (["--require", "speed=1"], "a key of require is 'speed'; expected one of accuracy, range"),
        (["--require", "accuracy=C"], "require['accuracy'] is 'C'; expected one of A, B"),
        (["--require", "range=far"], "require['range'] is 'far'; expected a number from 1"),
        (
            ["--require", "second_order=exact"],
            "the backward pass of gnref:reference is a function of its own",
        ),
    ],
)
def test_a_wrong_requirement_is_told_before_anything_is_checked(words, message, capsys, monkeypatch):
    monkeypatch.setattr("gnref.testing.command._progress", lambda *words: pytest.fail("it began"))
    assert cli.main(["check", "gnref:reference", *words]) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_so_is_a_wrong_attribute_of_the_target(capsys, monkeypatch):
    monkeypatch.setattr("gnref.testing.command._progress", lambda *words: pytest.fail("it began"))
    monkeypatch.setattr(kernels.right, "require", "A", raising=False)
    assert cli.main(["check", "kernels:right", "--norm", "group"]) == 2
    assert capsys.readouterr().err == "gnref: require is 'A'; expected a dict of grades\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--require", "accuracy=A"], "--require is 'accuracy=A'; expected a target with it"),
        (["--markdown", "a.md"], "--markdown is 'a.md'; expected a target with it"),
        (["kernels:right"], "may be any norm; expected --norm, too: batch, instance, group, layer, rms"),
    ],
)
def test_what_lacks_another_word_is_told(words, message, capsys):
    assert cli.main(["check", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_requirement_that_nothing_shows_is_a_failure(tmp_path, capsys):
    pytest.importorskip("torch")
    out = tmp_path / "found.json"
    words = ["check", "torch", "--norm", "rms", "--max-examples", "1", "--no-isolate"]
    assert cli.main([*words, "--require", "second_order=exact", "--json", str(out)]) == 1
    assert "not shown, and require['second_order'] is 'exact'" in " ".join(capsys.readouterr().out.split())
    (report,) = json.loads(out.read_text())["reports"]
    assert report["failed"] == [SECOND, FORWARD_MODE]
