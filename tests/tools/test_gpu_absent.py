"""The GPU check on a machine that has NumPy and CuPy and nothing else; and CuPy's names."""

import ast
import importlib.util
import operator
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tools" / "gpu"
BENCH = ROOT / "gnref" / "bench"


def test_the_stand_in_has_all_of_array_api_compat_that_gnref_uses(gpu, monkeypatch):
    used = set()
    for path in sorted((ROOT / "gnref").rglob("*.py")):
        if not {"testing", "teaching", "bridges"} & set(path.parts):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "array_api_compat":
                    used.add(node.attr)
                if isinstance(node, ast.ImportFrom) and node.module == "array_api_compat":
                    used |= {alias.name for alias in node.names}
    monkeypatch.delitem(sys.modules, "array_api_compat")
    monkeypatch.setattr(gpu.absent, "find_spec", lambda name: None)
    try:
        assert gpu.absent.fill_in()
        assert gpu.absent.fill_in(), "it still serves"
        assert used
        assert [name for name in sorted(used) if not hasattr(sys.modules["array_api_compat"], name)] == []
    finally:
        sys.modules.pop("array_api_compat")


def test_the_package_itself_is_told_from_the_stand_in(gpu):
    import array_api_compat

    assert not gpu.absent.fill_in()
    assert sys.modules["array_api_compat"] is array_api_compat


ALONE = """
import sys
from importlib.machinery import PathFinder
real = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in {absent} else real(name, *rest)
sys.path[:0] = {paths}
from gpu import absent
assert absent.fill_in()
import numpy as np
import gnref
x = np.arange(24.0).reshape(2, 3, 4)
y, saved = gnref.group_norm_forward(x, 3, backend="reference")
gnref.backward(y, saved)
from gnref.bench import device, events
import gpu.cases, gpu.oracle, gpu.report, gpu.sanitizer, gpu.facts
print(abs(y).max() < 2)
"""


def test_numpy_alone_is_enough_to_import_it_all():
    absent = {"array_api_compat", "ml_dtypes", "numba", "rich", "hypothesis", "torch", "typer", "cupy"}
    code = ALONE.format(absent=absent, paths=[str(ROOT), str(ROOT / "tools")])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr


def load_signatures():
    path = ROOT / "tests" / "kernels" / "cuda" / "test_signatures.py"
    spec = importlib.util.spec_from_file_location("signatures", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def uses(code):
    """Everything that is reached from a name `cupy`, as (name, number of arguments, keywords)."""
    for node in ast.walk(ast.parse(code)):
        inside = node.func if isinstance(node, ast.Call) else node
        if isinstance(inside, ast.Attribute):
            found = re.fullmatch(r"(?:self\.|clock\.)?cupy((?:\.\w+)+)", ast.unparse(inside))
            if found and not isinstance(node, ast.Call):
                yield found[1][1:], None, ()
            elif found and not any(isinstance(a, ast.Starred) for a in node.args):
                yield found[1][1:], len(node.args), tuple(keyword.arg for keyword in node.keywords)


@pytest.mark.parametrize(
    "path", [*sorted(FOLDER.glob("*.py")), BENCH / "events.py", BENCH / "device.py"], ids=lambda p: p.stem
)
def test_cupy_has_all_that_is_used(path):
    real = pytest.importorskip("cupy", reason="needs cupy")
    signatures = load_signatures()
    for name, arguments, keywords in uses(path.read_text(encoding="utf-8")):
        it = operator.attrgetter(name)(real)
        if isinstance(it, real.ufunc) and arguments is not None:
            assert it.nin <= arguments <= it.nargs, name
        else:
            assert signatures.complaint(real, signatures.Use(name, arguments, keywords)) is None


def test_cupy_has_what_is_reached_from_its_objects():
    real = pytest.importorskip("cupy", reason="needs cupy")
    signatures = load_signatures()
    for use in [
        ("cuda.Event.record", 1),
        ("cuda.Event.synchronize", 1),
        ("cuda.Event.done", None),
        ("cuda.runtime.memGetInfo", 0),
        ("cuda.Stream.synchronize", 1),
        ("cuda.get_elapsed_time", 2),
        ("cuda.MemoryPointer.copy_from_device_async", 3),
        ("ndarray.fill", 2),
        ("cuda.Device.attributes", None),
        ("cuda.Device.synchronize", 1),
        ("cuda.runtime.getDeviceProperties", 1),
        ("cuda.runtime.driverGetVersion", 0),
        ("cuda.runtime.runtimeGetVersion", 0),
        *((f"RawKernel.{name}", None) for name in ("num_regs", "local_size_bytes", "shared_size_bytes")),
    ]:
        assert signatures.complaint(real, signatures.Use(*use)) is None
    assert hasattr(real.cuda.runtime, "cudaDevAttrL2CacheSize")
    assert hasattr(real.cuda.Stream, "__enter__")
