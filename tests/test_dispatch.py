import numpy as np
import pytest

import gnref
from gnref import dispatch

X = np.arange(8.0).reshape(2, 4)


@pytest.fixture(autouse=True)
def fresh():
    dispatch.status.cache_clear()
    yield
    dispatch.status.cache_clear()


def test_every_backend_has_a_status():
    states = gnref.backends()
    assert list(states) == ["reference", "cpu", "cuda"]
    assert states["reference"] == "ready"
    assert all(states.values())


def test_a_missing_package_is_named(monkeypatch):
    found = {"gnref.kernels.cpu": True, "numba": None}
    monkeypatch.setattr(dispatch, "find_spec", lambda name: found.get(name))
    assert gnref.backends()["cpu"] == "numba is not installed: pip install numba"
    with pytest.raises(
        gnref.BackendError, match=r"backend is 'cpu', which is not ready: .* pip install numba"
    ):
        gnref.group_norm(X, 2, backend="cpu")


def test_the_default_is_the_fastest_that_is_ready(monkeypatch):
    monkeypatch.setattr(dispatch, "status", lambda name: "ready")
    assert dispatch.choose(X, None) == "cpu"
    monkeypatch.setattr(dispatch, "status", lambda name: "ready" if name == "reference" else "no")
    assert dispatch.choose(X, None) == "reference"


def test_an_unknown_backend():
    with pytest.raises(gnref.BackendError, match="backend is 'gpu'; expected one of reference, cpu, cuda"):
        gnref.batch_norm(X, backend="gpu")
    with pytest.raises(gnref.BackendError, match=r"backend is \['cpu'\]; expected one of"):
        gnref.batch_norm(X, backend=["cpu"])


def test_a_backend_takes_its_own_arrays(monkeypatch):
    monkeypatch.setattr(dispatch, "status", lambda name: "ready")
    said = "backend is 'cuda', which takes a cupy array or a torch tensor on cuda; x is a numpy array"
    with pytest.raises(gnref.BackendError, match=said):
        gnref.batch_norm(X, backend="cuda")
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(
        gnref.BackendError, match="'cpu', which takes a numpy array; x is a array_api_strict arr"
    ):
        gnref.batch_norm(strict.asarray(X), backend="cpu")


def test_the_environment_variable(monkeypatch):
    monkeypatch.setattr(dispatch, "FROM_ENVIRONMENT", "reference")
    assert gnref.batch_norm_forward(X)[1].backend == "reference"
    monkeypatch.setattr(dispatch, "FROM_ENVIRONMENT", "nonsense")
    with pytest.raises(gnref.BackendError, match="GNREF_BACKEND is 'nonsense'; expected one of reference"):
        gnref.batch_norm(X)
    assert gnref.batch_norm(X, backend="reference").shape == X.shape
