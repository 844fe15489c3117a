import sys
from pathlib import Path

import pytest

from gnref.teaching.lab import experiment


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    """Whatever `make test` sets: a sweep of these tests makes all of its runs."""
    monkeypatch.delenv("GNREF_LAB", raising=False)


@pytest.fixture
def toy(monkeypatch):
    """The experiment of toy_experiment.py, under the name "toy"; also in processes, which get sys.path."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setitem(experiment.EXPERIMENTS, "toy", "toy_experiment")
    yield experiment.load("toy")
    sys.modules.pop("toy_experiment")
