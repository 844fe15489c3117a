"""What every test and doctest has, and what is not collected where an optional package is missing."""

import os
import re
from importlib.util import find_spec

import pytest

# Modules that import an optional package at their top.
NEEDS = {
    "anywidget": ["gnref/teaching/explorer/widget.py"],
    "autograd": ["gnref/testing/oracles/hips.py"],
    "cupy": ["gnref/kernels/cuda*"],
    "flax": ["gnref/testing/targets/known/flax.py"],
    "jax": [
        "gnref/bench/peers/jax.py",
        "gnref/bridges/jax*",
        "gnref/testing/oracles/jax.py",
        "gnref/testing/targets/known/flax.py",
        "gnref/testing/targets/known/jax.py",
    ],
    "numba": ["gnref/kernels/cpu*", "tests/kernels/cpu*"],
    "onnx": [
        "gnref/bench/peers/onnxruntime.py",
        "gnref/testing/targets/known/onnx.py",
        "gnref/testing/targets/known/onnxruntime.py",
        "gnref/testing/targets/known/openvino.py",
    ],
    "onnxruntime": ["gnref/bench/peers/onnxruntime.py", "gnref/testing/targets/known/onnxruntime.py"],
    "openvino": ["gnref/bench/peers/openvino.py", "gnref/testing/targets/known/openvino.py"],
    "torch": [
        "gnref/bench/peers/compiled.py",
        "gnref/bench/peers/torch.py",
        "gnref/bench/resnet.py",
        "gnref/bench/torch_model.py",
        "gnref/bridges/torch*",
        "gnref/testing/oracles/torch.py",
        "gnref/testing/targets/known/torch.py",
        "gnref/testing/targets/known/torch_compile.py",
    ],
}
missing = [package for package in NEEDS if find_spec(package) is None]
collect_ignore_glob = [path for package in missing for path in NEEDS[package]]

if find_spec("hypothesis"):
    from hypothesis import settings

    # A deadline would assert a timing, and a busy machine would break it.
    settings.register_profile("gnref", deadline=None)
    settings.load_profile("gnref")


@pytest.fixture(autouse=True, scope="session")
def _gnref_in_doctests(doctest_namespace):
    import gnref

    doctest_namespace["gnref"] = gnref


# Where a test of notebooks, pages, the explorer or the CUDA kernels skips, it says that it "needs" this.
WANTED = re.compile(
    r"needs (anywidget|chromium|g\+\+|ipykernel|jupyterlab|mpi4py|nbclient|node|playwright|the built site)"
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """With GNREF_ALL_THERE=1, as in CI, such a skip is a failure: nothing goes unlooked at in silence."""
    report = yield
    if report.skipped and os.environ.get("GNREF_ALL_THERE") == "1":
        told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if WANTED.search(told):
            report.outcome = "failed"
            report.longrepr = f"{told}, and GNREF_ALL_THERE=1 says that it is there"
    return report
