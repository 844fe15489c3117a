import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)


def run(*words, folder):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "gnref.testing.plugin",
        "-p",
        "no:cacheprovider",
        "-q",
        "-rA",
    ]
    path = os.pathsep.join([HERE, str(Path(HERE).parents[1])])
    done = subprocess.run(
        [*command, *words], cwd=folder, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    return done.returncode, done.stdout + done.stderr


FEW = ("--gnref-norm=group", "--gnref-max-examples=10", "--gnref-no-isolate")


def test_one_test_for_each_property(tmp_path):
    code, text = run("--gnref-target=kernels:right", *FEW, "-k", "unchanged or shape", folder=tmp_path)
    assert code == 0, text
    assert "2 passed" in text
    assert "kernels:right[group: inputs are unchanged]" in text


def test_a_failure_tells_and_can_be_expected(tmp_path):
    words = ("--gnref-target=kernels:cancelling", *FEW, "-k", "constant or unchanged")
    code, text = run(*words, folder=tmp_path)
    assert code == 1
    assert "a constant set gives the bias: " in text
    assert "problem = Problem(" in text
    assert "Traceback" not in text
    listed = tmp_path / "known.txt"
    listed.write_text("# what we know of\ngroup: a constant set gives the bias  # issue 7\n")
    code, text = run(*words, f"--gnref-expected={listed}", folder=tmp_path)
    assert code == 0, text
    assert "1 xfailed" in text
    assert "issue 7" in text


def test_an_expected_failure_that_passes_is_a_failure(tmp_path):
    listed = tmp_path / "known.txt"
    listed.write_text("group: inputs are unchanged  # long ago\n")
    code, text = run(
        "--gnref-target=kernels:right", *FEW, "-k", "unchanged", f"--gnref-expected={listed}", folder=tmp_path
    )
    assert code == 1
    assert "XPASS(strict)" in text


OWN = """
from kernels import cancelling, right

def large(x, num_groups, weight, bias, eps):
    return (cancelling if x.size > 100 else right)(x, num_groups, weight, bias, eps)

def long(x, num_groups, weight, bias, eps):
    y, *statistics = right(x, num_groups, weight, bias, eps)
    return (y * (abs(x).max(initial=0) < 1e3 or x.size < 1000), *statistics)

def narrow(x, num_groups, weight, bias, eps):
    return right(x, num_groups, weight, bias, eps)

narrow.supports = {"affine_required": True}

def nowhere(x, num_groups, weight, bias, eps):
    return right(x, num_groups, weight, bias, eps)

nowhere.supports, nowhere.require = lambda problem: problem.x.size > 1e9, {"validation": "raises"}
"""


@pytest.mark.parametrize(("name", "word"), [("large", "grows"), ("long", "scales")])
def test_what_only_a_grade_shows_is_a_failure(name, word, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    words = (f"--gnref-target=own:{name}", *FEW, "-k", word)
    code, text = run(*words, folder=tmp_path)
    assert code == 1, text
    assert "1 failed" in text
    assert "times the tolerance" in text


def test_what_is_required_and_not_shown_is_a_failure(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    code, text = run("--gnref-target=own:nowhere", *FEW, "-k", "refused", folder=tmp_path)
    assert code == 1, text
    assert "not shown, and require['validation'] is 'raises'" in text


def test_what_is_outside_the_domain_is_told_at_the_end(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    code, text = run("--gnref-target=own:narrow", *FEW, "-k", "unchanged", folder=tmp_path)
    assert code == 0, text
    assert re.search(r"own:narrow, group norm: [1-9]\d?% of all problems outside its domain", text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--gnref-target=nothing"], "target is 'nothing'"),
        (["--gnref-target=kernels:right"], "which may be any norm; add --gnref-norm"),
        (["--gnref-target=kernels:right", *FEW, "--gnref-expected=no.txt"], "--gnref-expected is 'no.txt'"),
    ],
)
def test_bad_input_is_a_usage_error(words, message, tmp_path):
    code, text = run(*words, folder=tmp_path)
    assert code == 4
    assert message in text
