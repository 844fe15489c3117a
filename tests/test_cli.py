import json
import re
import subprocess
import sys

import pytest

from gnref import cli
from gnref.teaching import notebooks

pytest.importorskip("rich")


def test_check_passes_and_writes_json(tmp_path, capsys):
    file = tmp_path / "results.json"
    assert (
        cli.main(["check", "--norm", "rms", "--max-examples", "3", "--seed", "4", "--json", str(file)]) == 0
    )
    found = json.loads(file.read_text())
    assert found["settings"] == {"max_examples": 3, "seed": 4}
    assert {row["norm"] for row in found["results"]} == {"rms"}
    assert " 0 failed" in capsys.readouterr().out


def test_check_fails_with_a_counterexample(monkeypatch, capsys):
    from gnref.testing.targets import Gnref

    backward = Gnref.backward
    monkeypatch.setattr(Gnref, "backward", lambda *a, **k: backward(*a, **k)._replace(dbias=None))
    assert cli.main(["check", "--norm", "instance", "--backend", "reference", "--max-examples", "5"]) == 1
    shown = capsys.readouterr().out
    assert "problem = Problem(" in shown
    assert "FAIL" in shown


def test_an_interruption_keeps_what_is_done(monkeypatch, capsys):
    from gnref.testing import command

    real, calls = command.check_property, []

    def interrupted(*args, **words):
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return real(*args, **words)

    monkeypatch.setattr(command, "check_property", interrupted)
    assert cli.main(["check", "--norm", "rms", "--max-examples", "2"]) == 130
    shown = capsys.readouterr().out
    assert "2 passed" in shown
    assert "interrupted" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "--backend", "cuda"], "--backend is 'cuda', which is not ready: "),
        (["check", "--json", "no/such/folder/x.json"], "--json is 'no/such/folder/x.json'; expected a file"),
        (["axes", "2", "6", "2", "2", "--groups", "4"], "num_groups is 4, which does not divide C = 6"),
        (["axes", "2", "6", "2", "2", "--save", "x.pdf"], "x.pdf"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(words, message, capsys):
    if "--save" in words:
        pytest.importorskip("matplotlib")
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["axes", "0", "1", "1", "1"], "gnref axes: N is '0'; expected a positive integer"),
        (["axes", "2", "6"], "gnref axes: the following arguments are required: H, W"),
        (
            ["axes", "1", "1", "1", "1", "-G", "x"],
            "gnref axes: --groups/-G is 'x'; expected a positive integer",
        ),
        (["check", "--seed", "x"], "gnref check: --seed is 'x'; expected an int"),
        (["check", "--norm"], "gnref check: --norm: expected one argument"),
        (
            ["check", "--norm", "grp"],
            "gnref check: --norm is 'grp'; expected one of batch, instance, group, layer, rms, batch_frozen",
        ),
        (["museum", "x"], "gnref museum: number is 'x'; expected a positive integer"),
        (["bench", "--rounds", "0"], "gnref bench: --rounds is '0'; expected a positive integer"),
        (
            ["lab", "batch"],
            "gnref lab: EXPERIMENT is 'batch'; expected one of batch-size, groups, finetune, video",
        ),
        (["lab"], "gnref lab: the following arguments are required: EXPERIMENT"),
        (["lab", "video", "--seeds", "0"], "gnref lab: --seeds is '0'; expected a positive integer"),
        (["lab", "video", "--processes", "x"], "gnref lab: --processes is 'x'; expected a positive integer"),
        (["tutorials", "a", "b"], "gnref: unrecognized arguments: b"),
        (["chek"], "gnref: COMMAND is 'chek'; expected one of check, bench, museum, axes, lab, tutorials"),
        ([], "gnref: the following arguments are required: COMMAND"),
    ],
)
def test_bad_words_are_one_sentence_without_the_usage_and_exit_code_2(words, line, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"{line}\n"


def test_axes_prints_and_saves_and_overwrites_only_when_told(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    words = ["axes", "2", "6", "2", "2", "--groups", "3", "--save", str(tmp_path / "axes.svg")]
    assert cli.main(words) == 0
    assert "GroupNorm, G = 3" in capsys.readouterr().out
    assert (tmp_path / "axes.svg").read_text().startswith("<?xml")
    assert cli.main(words) == 2
    assert "axes.svg" in capsys.readouterr().err
    assert cli.main([*words, "--overwrite"]) == 0


def test_python_m_gnref_is_the_command():
    words = [sys.executable, "-m", "gnref", "check", "--norm", "grp"]
    told = subprocess.run(words, capture_output=True, text=True)
    assert told.returncode == 2
    assert told.stderr.startswith("gnref check: --norm is 'grp'; expected one of")


def test_a_missing_extra_is_named(monkeypatch, capsys):
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    assert cli.main(["check"]) == 2
    assert (
        "gnref check needs hypothesis, rich, ml_dtypes, autograd: pip install 'gnref[testing]'"
        in capsys.readouterr().err
    )
    assert cli.main(["axes", "1", "1", "1", "1"]) == 2
    assert "gnref axes needs rich: pip install 'gnref[testing]'" in capsys.readouterr().err
    assert cli.main(["lab", "video"]) == 2
    assert (
        "gnref lab needs joblib, rich, skimage, sklearn: pip install 'gnref[lab]'" in capsys.readouterr().err
    )
    assert cli.main(["tutorials"]) == 2
    assert re.fullmatch(
        r"gnref: gnref tutorials needs jupyterlab, .*\[tutorials\]'\n", capsys.readouterr().err
    )


def test_tutorials_copies_and_opens_the_first(tmp_path, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(notebooks, "open_lab", lambda path, browser: calls.append((path, browser)))
    monkeypatch.setattr(cli, "require", lambda *words: None)
    folder = tmp_path / "mine"
    assert cli.main(["tutorials", str(folder), "--copy-only"]) == 0
    assert not calls
    assert re.match(r"\d+ notebooks copied to ", capsys.readouterr().out)
    assert cli.main(["tutorials", str(folder), "--no-browser"]) == 0
    assert calls == [(folder / "01_shared_mean.ipynb", False)]
    assert capsys.readouterr().out.startswith("0 notebooks copied to ")


def test_tutorials_into_a_file_is_one_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    assert cli.main(["tutorials", str(tmp_path / "file"), "--copy-only"]) == 2
    assert capsys.readouterr().err.endswith("which is a file; expected a folder\n")


def test_the_module_runs():
    done = subprocess.run(
        [sys.executable, "-m", "gnref.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("gnref 0.")
