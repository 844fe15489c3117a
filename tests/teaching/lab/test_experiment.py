"""What an experiment is: every name leads to a module with the protocol's names, and settings are JSON."""

import json
import subprocess
import sys

import numpy as np
import pytest

from gnref.teaching.lab.experiment import EXPERIMENTS, key, load


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_keeps_the_protocol(name):
    module = load(name)
    assert module.NAME == name  # noqa: SIM300
    assert module.TITLE
    assert all(callable(getattr(module, part)) for part in ("settings", "run", "tables", "draw"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_settings_are_json_and_each_has_its_seed(name):
    module = load(name)
    full, quick = module.settings(3), module.settings(3, quick=True)
    assert {setting["seed"] for setting in full} == {0, 1, 2}
    assert json.loads(json.dumps(full + quick)) == full + quick
    fewer = {key(setting) for setting in module.settings(1)}
    assert fewer < {key(setting) for setting in full}  # more seeds keep the runs of fewer


def test_an_unknown_experiment_is_one_sentence():
    with pytest.raises(ValueError, match=r"^experiment is 'batch'; expected one of batch-size, groups, "):
        load("batch")


def test_a_key_knows_no_order():
    assert key({"N": 2, "seed": 0}) == key({"seed": 0, "N": 2}) != key({"seed": 2, "N": 0})


def test_a_setting_with_a_numpy_number_is_refused():
    with pytest.raises(TypeError, match=r"setting is .*; expected JSON values alone"):
        key({"seed": np.int64(0)})


def test_the_command_line_imports_no_experiment():
    code = "import sys, gnref.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert not {"joblib", "skimage", "rich", *EXPERIMENTS.values()} & set(loaded.split())
