"""Imports inside gnref run downward only, and the test kit stays apart from what it checks."""

import ast
from pathlib import Path

import pytest

GNREF = Path(__file__).parents[1] / "gnref"

# From the ground up: a room may import the rooms before it. "gnref" is the public face, gnref/__init__.py.
ORDER = [
    "errors",
    "checks",
    "axes",
    "conventions",
    "arrays",
    "arguments",
    "kernels",
    "dispatch",
    "passes",
    "functional",
    "layers",
    "calculus",
    "distributed",
    "gnref",
    "bridges",
    "bench",
    "testing",
    "teaching",
    "cli",
    "__main__",
]
MODULES = {
    ".".join(path.relative_to(GNREF.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in GNREF.rglob("*.py")
}


def room(module):
    """The name of the part of gnref that a module is in: "gnref.testing.data" is in "testing"."""
    return "gnref" if module == "gnref" else module.split(".")[1]


def imports(module, tree):
    """Every module of gnref that a module imports, anywhere in its file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if in_gnref(alias.name))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import, which this test does not follow"
            if in_gnref(node.module):
                names = (f"{node.module}.{alias.name}" for alias in node.names)
                yield from (name if name in MODULES else node.module for name in names)


def in_gnref(name):
    return name.partition(".")[0] == "gnref"


def imported(module):
    return sorted(set(imports(module, ast.parse(MODULES[module].read_text(encoding="utf-8")))))


def wrong(module, targets):
    """Those of the targets that the module must not import."""
    own = room(module)
    if own == "kernels":  # each backend stands alone
        return [t for t in targets if not t.startswith("gnref.errors") and not same_kernels(module, t)]
    if module.startswith("gnref.testing.oracles"):  # shared code would share its bugs
        allowed = ("gnref.testing.oracles", "gnref.testing.problems")
        return [t for t in targets if not t.startswith(allowed)]
    return [t for t in targets if room(t) != own and ORDER.index(room(t)) > ORDER.index(own)]


def same_kernels(module, target):
    """Whether both belong to one backend, as kernels.cpu and kernels.cpu.rows; or one is the contract."""
    return target == "gnref.kernels" or module.split(".")[:3] == target.split(".")[:3]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_run_downward(module):
    assert room(module) in ORDER, f"{module}: give it its place in ORDER, and in CONTRIBUTING.md"
    assert wrong(module, imported(module)) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("gnref.axes", "import gnref.arrays"),
        ("gnref.functional.batch", "from gnref import group_norm"),
        ("gnref.functional.batch", "from gnref.testing import data"),
        ("gnref.layers.layer", "def f():\n    import gnref.teaching"),
        ("gnref", "from gnref.testing import data"),
        ("gnref.testing.data", "from gnref.teaching import palette"),
        ("gnref.testing.oracles.loops", "from gnref.axes import view"),
        ("gnref.testing.oracles.loops", "import gnref"),
        ("gnref.kernels.reference", "from gnref.arrays import strides"),
        ("gnref.kernels.cpu", "from gnref.kernels.reference import widen"),
    ],
)
def test_a_wrong_import_is_found(module, line):
    assert wrong(module, list(imports(module, ast.parse(line)))) != []
