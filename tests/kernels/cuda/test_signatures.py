"""What gnref asks of CuPy, and how, is what the real CuPy has: looked up without calling any of it."""

import ast
import importlib
import inspect
import operator
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

GNREF = Path(__file__).parents[3] / "gnref"
FOLDER = GNREF / "kernels" / "cuda"
AROUND = [GNREF / name for name in ("arrays.py", "axes.py", "passes.py")]
FILES = sorted(FOLDER.glob("*.py")) + AROUND
# Whose these are, where they are reached from something else than `cupy`.
OWNERS = {
    **{name: "ndarray" for name in dir(np.ndarray) if not name.startswith("_")},
    "__dlpack__": "ndarray",
    "ptr": "cuda.MemoryPointer",
    "c_contiguous": "_core.flags.Flags",
    "id": "cuda.Device",
    "attributes": "cuda.Device",
    "compute_capability": "cuda.Device",
    "get_function": "RawModule",
    "max_dynamic_shared_size_bytes": "RawKernel",
}


class Use(NamedTuple):
    """A name of CuPy and, if it is called, how."""

    name: str
    positional: int | None = None
    keywords: tuple[str, ...] = ()


@pytest.fixture
def real():
    return pytest.importorskip("cupy", reason="needs cupy")


def uses(code):
    """Everything of CuPy that the code uses."""
    tree, found = ast.parse(code), []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            found += made_as(node)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (name := name_of(node)):
            found.append(Use(name))
        if isinstance(node, ast.Call) and (name := called(node)):
            assert not any(isinstance(a, ast.Starred) for a in node.args), f"{name}: arguments not known here"
            keywords = tuple(keyword.arg for keyword in node.keywords)
            method = name.rpartition(".")[0] in OWNERS.values()
            found.append(Use(name, len(node.args) + method, keywords))
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in ("cupy", "cupyx"), "names are reached from `cupy`"
    return found


def made_as(kind):
    """How a class calls that of CuPy which it extends."""
    for base in kind.bases:
        if isinstance(base, ast.Attribute) and (name := name_of(base)):
            for node in ast.walk(kind):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "super().__init__":
                    yield Use(name, len(node.args), tuple(keyword.arg for keyword in node.keywords))


def name_of(node):
    """A dotted name within CuPy, or in the namespace of its arrays ("xp"); "" if it is not one."""
    path = ast.unparse(node)
    if re.fullmatch(r"(xp|namespace\(\w+\))\.\w+", path):
        return f"xp.{node.attr}"
    if re.search(r"\.data\.\w+$", path):
        return f"cuda.MemoryPointer.{node.attr}"
    if re.fullmatch(r"cupy(\.\w+)+", path):
        return path.removeprefix("cupy.")
    if node.attr not in OWNERS or re.fullmatch(r"(np|torch|array_api_compat)(\.\w+)+", path):
        return ""
    return f"{OWNERS[node.attr]}.{node.attr}"


def called(node):
    if any(keyword.arg == "shared_mem" for keyword in node.keywords):
        return "RawKernel.__call__"
    return name_of(node.func) if isinstance(node.func, ast.Attribute) else ""


def complaint(cupy, use):
    """What is wrong with a use; None if nothing is."""
    home, name = cupy, use.name
    if name.startswith("xp."):
        home, name = importlib.import_module("array_api_compat.cupy"), name.removeprefix("xp.")
    try:
        it = operator.attrgetter(name)(home)
    except AttributeError:
        return f"no cupy.{use.name}"
    if use.positional is None:
        return None
    try:
        signature_of(it).bind(*[None] * use.positional, **dict.fromkeys(use.keywords))
    except TypeError as error:
        return f"cupy.{use.name}: {error}"
    return None


def signature_of(it):
    """That of a function or class; if it is compiled, as the head of its documentation has it."""
    try:
        return inspect.signature(it)
    except ValueError:
        heads = re.findall(rf"^(?:\w+\.)?{it.__name__}\((.*)\)", it.__doc__.replace("\\", ""), re.MULTILINE)
        given = next((head for head in heads if "**kwargs" not in head), heads[0])
        given = re.sub(r"(^|, )\w+ (?=\w)", r"\1", given)  # str code=None
        space = {}
        exec(f"def documented({given}): pass", space)
        return inspect.signature(space["documented"])


def complaints(cupy, code):
    return sorted({said for use in uses(code) if (said := complaint(cupy, use))})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_cupy_has_all_that_is_used(real, path):
    assert complaints(real, path.read_text(encoding="utf-8")) == []


def test_pytorch_has_all_that_is_used():
    torch = pytest.importorskip("torch")
    found = set()
    for node in ast.walk(ast.parse((FOLDER / "exchange.py").read_text(encoding="utf-8"))):
        used = node.func if isinstance(node, ast.Call) else node
        if re.fullmatch(r"torch(\.\w+)+", ast.unparse(used)):
            it = operator.attrgetter(ast.unparse(used).removeprefix("torch."))(torch)
            if used is not node and it is not torch.empty:  # which does not tell what it takes
                inspect.signature(it).bind(*node.args, **{word.arg: None for word in node.keywords})
                found.add(it)
    assert found >= {torch.from_dlpack, torch.cuda.current_stream, torch.autograd.graph.increment_version}


def test_what_is_used_is_found():
    found = {use for path in FILES for use in uses(path.read_text(encoding="utf-8"))}
    assert found >= {
        Use("ndarray"),
        Use("empty", 2),
        Use("cuda.Device", 0),
        Use("cuda.Device", 1),
        Use("cuda.Device.attributes"),
        Use("cuda.MemoryPointer.ptr"),
        Use("cuda.memory.OutOfMemoryError"),
        Use("cuda.runtime.getDeviceCount", 0),
        Use("ndarray.astype", 2, ("copy",)),
        Use("ndarray.reshape", 3),
        Use("ndarray.data"),
        Use("ndarray.device"),
        Use("_core.flags.Flags.c_contiguous"),
        Use("cuda.Stream.from_external", 1),
        Use("cuda.using_allocator", 1),
        Use("cuda.UnownedMemory", 4),
        Use("cuda.MemoryPointer", 2),
        Use("cuda.MemoryPointer.mem"),
        Use("ndarray.strides"),
        Use("xp.may_share_memory", 2),
        Use("xp.empty_like", 1),
        Use("xp.permute_dims", 2),
        Use("xp.astype", 2, ("copy",)),
        Use("cuda.memory.OutOfMemoryError", 2),
        Use("from_dlpack", 1),
        Use("ndarray.__dlpack__", 1, ("stream",)),
        Use("ndarray.view", 2),
        Use("RawModule", 0, ("code", "options", "name_expressions")),
        Use("RawModule.get_function", 2),
        Use("RawKernel.__call__", 4, ("shared_mem",)),
        Use("RawKernel.max_dynamic_shared_size_bytes"),
    }


def test_a_device_tells_what_is_asked(real):
    tree = ast.parse((FOLDER / "device.py").read_text(encoding="utf-8"))
    asked = [
        node.slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "told"
    ]
    assert len(asked) >= 2
    assert [name for name in asked if not hasattr(real.cuda.runtime, f"cudaDevAttr{name}")] == []


def test_an_array_s_device_can_be_entered(real):
    assert hasattr(real.cuda.Device, "__enter__")
    assert hasattr(real.cuda.Device, "__exit__")


def test_errors_can_be_caught(real):
    assert issubclass(real.cuda.runtime.CUDARuntimeError, Exception)
    assert issubclass(real.cuda.memory.OutOfMemoryError, Exception)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("cupy.emptied(3)", "no cupy.emptied"),
        ("cupy.cuda.runtime.countDevices()", "no cupy.cuda.runtime.countDevices"),
        ("cupy.cuda.runtime.getDeviceCount(0)", "cupy.cuda.runtime.getDeviceCount: too many"),
        ("cupy.cuda.Device(number=0)", "cupy.cuda.Device: got an unexpected keyword argument 'number'"),
        ("cupy.empty(3, like=x)", "cupy.empty: got an unexpected keyword argument 'like'"),
        ("cupy.zeros()", "cupy.zeros: missing a required"),
        ("cupy.stack(xs, 0, None, 'f4')", "cupy.stack: too many positional arguments"),
        ("cupy.RawModule(code='', flags=())", "cupy.RawModule: got an unexpected keyword argument 'flags'"),
        ("cupy.RawModule('', ())", "cupy.RawModule: too many positional arguments"),
        ("module.get_function('k', 'l')", "cupy.RawModule.get_function: too many positional arguments"),
        ("run((1,), (1,), (), shared_mem=0, waits=1)", "cupy.RawKernel.__call__: got an unexpected"),
        ("run((1,), (1,), shared_mem=0)", "cupy.RawKernel.__call__: missing a required"),
        ("x.astype(d, copied=False)", "cupy.ndarray.astype: got an unexpected keyword argument 'copied'"),
        ("x.__dlpack__(waits=-1)", "cupy.ndarray.__dlpack__: got an unexpected keyword argument 'waits'"),
        ("cupy.cuda.UnownedMemory(0, 0)", "cupy.cuda.UnownedMemory: missing a required"),
        (
            "class Room(cupy.cuda.UnownedMemory):\n def __init__(self): super().__init__(1)",
            "cupy.cuda.UnownedMemory: missing a required",
        ),
        ("a.data.memory", "no cupy.cuda.MemoryPointer.memory"),
        ("xp.expand(a)", "no cupy.xp.expand"),
        ("namespace(a).matrix_transposed(a)", "no cupy.xp.matrix_transposed"),
        ("xp.permute_dims(a)", "cupy.xp.permute_dims: missing a required"),
        ("xp.may_share_memory(a, b, None, exact=True)", "cupy.xp.may_share_memory: got an unexpected"),
        ("cupy.cuda.MemoryPointer(m)", "cupy.cuda.MemoryPointer: missing a required"),
        ("cupy.cuda.Stream.from_external()", "cupy.cuda.Stream.from_external: missing a required"),
        ("x[0].setfield(1, d)", "no cupy.ndarray.setfield"),
        ("f(x).ctypes", "no cupy.ndarray.ctypes"),
    ],
)
def test_what_cupy_does_not_have_is_seen(real, wrong, said):
    assert [line[: len(said)] for line in complaints(real, wrong)] == [said]
