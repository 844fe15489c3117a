"""What a user installs: extras, the wheel, one version everywhere, and an import that stays light."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest

import gnref

ROOT = Path(__file__).parents[1]
OPTIONAL = ["autograd", "cupy", "hypothesis", "jax", "matplotlib", "ml_dtypes", "numba", "rich", "torch"]


def python(code):
    """Run code in a fresh interpreter and return what it prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_core_dependencies_are_three(project):
    names = {re.match(r"[\w-]+", line).group() for line in project["dependencies"]}
    assert names == {"numpy", "numba", "array-api-compat"}


def test_extras(project):
    extras = {"testing", "plots", "bench", "lab", "tutorials", "docs", "torch", "jax", "gpu", "mpi", "dev"}
    assert set(project["optional-dependencies"]) == extras


@pytest.mark.parametrize("framework", ["torch", "jax", "cupy"])
def test_nobody_gets_a_large_framework_unasked(framework):
    lines = [line for line in requires("gnref") if line.startswith(framework)]
    extra = "(gpu|dev)" if framework == "cupy" else framework
    assert lines
    assert all(re.search(f"extra == ['\"]{extra}['\"]", line) for line in lines)


def test_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {"gnref", f"gnref-{gnref.__version__}.dist-info"}
    assert "gnref/py.typed" in names
    sources = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("gnref/**/*.py")}
    assert sources <= set(names)
    modules = {f"gnref/teaching/explorer/{name}" for name in ("explorer.min.js", "host.js")}
    assert modules <= set(names)
    assert {f"gnref/teaching/tutorials/{path.name}" for path in ROOT.glob("tutorials/*.ipynb")} <= set(names)


def test_one_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {gnref.__version__}\n" in citation
    assert gnref.__version__ in changelog


def test_import_is_light():
    loaded = python("import sys, gnref; print(*sys.modules)").split()
    assert "gnref" in loaded
    assert not set(OPTIONAL) & set(loaded)


def test_all_but_the_cpu_backend_works_without_numba():
    # None in sys.modules is Python's own way to say that a package is not there.
    code = """
import sys
sys.modules["numba"] = None
import numpy as np
import gnref
x = np.array([[1.0, 3.0, 10.0, 30.0]])
y, saved = gnref.group_norm_forward(x, 2, eps=0.0)
dx, _, _ = gnref.backward(y, saved)
print(y.tolist(), dx.shape, saved.backend, gnref.backends()["cpu"])
"""
    out = python(code)
    assert out.startswith("[[-1.0, 1.0, -1.0, 1.0]] (1, 4) reference ")
    assert "ready" not in out


@pytest.mark.parametrize("module", ["gnref.testing", "gnref.testing.runner", "gnref.cli"])
def test_the_test_kit_imports_without_numba(module):
    python(f"import sys; sys.modules['numba'] = None; import {module}")
