"""The explorer's JavaScript, in node: every norm, several shapes and all G, against what NumPy says."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import build_explorer
import numpy as np
import pytest

from gnref.teaching import palette
from gnref.teaching.explorer.state import CHOICES, LIMITS, state_of

FOLDER = Path(build_explorer.FOLDER)
EPS = 1e-5
SHAPES = [
    (2, 6, 2, 2),
    (3, 4, 1, 2),
    (1, 12, 2, 1),
    (4, 5, 1, 1),
    (6, 3, 4, 3),
    (2, 8, 3, 1),
    (1, 1, 1, 1),
    (3, 1, 2, 2),
]
AXES = {"bn": (0, 2, 3), "ln": (1, 2, 3), "in": (2, 3), "gn": (2, 3, 4), "ln-pytorch": (1, 2, 3)}
STATES = [
    {},
    {"norm": "bn", "n": 4, "c": 5, "h": 1, "w": 3, "cell": (3, 2, 0, 1)},
    {"c": 8, "g": 4, "view": "slices", "show": "dx"},
    {"norm": "ln-pytorch", "task": "mark", "show": "weight", "n": 6, "c": 12, "h": 4, "w": 4},
]
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")


def block():
    """The largest block: a linear congruential generator on integers, in steps of 0.01."""
    seed, values = 1, []
    for _ in range(6 * 12 * 4 * 4):
        seed = 16807 * seed % (2**31 - 1)
        values.append((seed % 401 - 200) / 100)
    return np.array(values).reshape(6, 12, 4, 4)


def seen(x, norm, G):
    """x as the norm sees it: reshaped for the group norm, and no other."""
    N, C, H, W = x.shape
    return x.reshape(N, G, C // G, H, W) if norm == "gn" else x


def statistics(x, norm, G):
    """Mean, variance, xhat and the number of its mean for every cell, in the shape of x; x may be complex."""
    v = seen(x, norm, G)
    mean = v.mean(AXES[norm], keepdims=True)
    var = ((v - mean) ** 2).mean(AXES[norm], keepdims=True)
    xhat = (v - mean) / np.sqrt(var + EPS)
    numbers = np.arange(mean.size).reshape(mean.shape)
    return [np.broadcast_to(a, v.shape).reshape(x.shape) for a in (mean, var, xhat, numbers)]


def jacobian_row(x, norm, G, i):
    """d xhat[i] / d x[j] for every j, by complex steps: exact to the last bits."""
    row, step = np.zeros(x.size), 1e-100
    for j in range(x.size):
        moved = x.astype(complex)
        moved.flat[j] += 1j * step
        row[j] = statistics(moved, norm, G)[2].flat[i].imag / step
    return row


def line(norm, shape, G, cell):
    """The line of NumPy for the mean of a cell's set."""
    N, C, H, W = shape
    n, c = cell[:2]
    K = C // G
    return {
        "bn": f"x.mean(axis=(0, 2, 3))[{c}]",
        "in": f"x.mean(axis=(2, 3))[{n}, {c}]",
        "gn": f"x.reshape({N}, {G}, {K}, {H}, {W}).mean(axis=(2, 3, 4))[{n}, {c // K}]",
    }.get(norm, f"x.mean(axis=(1, 2, 3))[{n}]")


def weights(norm, shape):
    """The number of each cell's weight: of its channel, or of its element."""
    own = np.arange(np.prod(shape[1:])).reshape(shape[1:])
    channels = np.arange(shape[1]).reshape(-1, 1, 1)
    return np.broadcast_to(own if norm == "ln-pytorch" else channels, shape)


def case(norm, shape, G, cell):
    """All that the explorer says of one picked cell."""
    x = np.ascontiguousarray(block()[tuple(map(slice, shape))])
    i = int(np.ravel_multi_index(cell, shape))
    mean, var, xhat, numbers = statistics(x, norm, G)
    assert eval(line(norm, shape, G, cell), {"x": x}) == mean.flat[i]
    return {
        "state": dict(zip("nchw", shape, strict=True)) | {"norm": norm, "g": G, "cell": list(cell)},
        "line": line(norm, shape, G, cell),
        "count": len(np.unique(numbers)),
        "size": int((numbers == 0).sum()),
        "sets": numbers.ravel().tolist(),
        "weights": weights(norm, shape).ravel().tolist(),
        "mean": mean.flat[i],
        "var": var.flat[i],
        "xhat": xhat.ravel().tolist(),
        "row": jacobian_row(x, norm, G, i).tolist(),
    }


def cases():
    """Every norm, every shape and every G that divides C; the first cell, the last and one between."""
    for shape in SHAPES:
        N, C, H, W = shape
        cells = sorted({(0, 0, 0, 0), (N // 2, C // 2, H // 2, W // 2), (N - 1, C - 1, H - 1, W - 1)})
        for norm in AXES:
            for G in (g for g in range(1, C + 1) if C % g == 0 and (norm == "gn" or g == C)):
                # Complex steps take long on a large block: one cell must do there.
                yield from (case(norm, shape, G, cell) for cell in cells[-1 if N * C * H * W > 99 else 0 :])


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """A file of all of it."""
    theme = {name: page._asdict() | palette.HUES[name] for name, page in palette.THEMES.items()}
    states = [state_of(**fields) for fields in STATES]
    told = {
        "palette": theme,
        "block": block().ravel().tolist(),
        "cases": list(cases()),
        "limits": LIMITS,
        "choices": {name: CHOICES[name] for name in ("view", "show", "task")},
        "norms": CHOICES["norm"],
        "states": [{"fields": state.fields(), "address": state.address} for state in states],
    }
    path = tmp_path_factory.mktemp("numbers") / "numbers.json"
    path.write_text(json.dumps(told), encoding="utf-8")
    return path


@needs_node
@pytest.mark.parametrize("module", ["explorer.js", "explorer.min.js"])
def test_numbers_sentences_exercises(module, numbers, tmp_path):
    shutil.copytree(FOLDER, tmp_path / "explorer", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (tmp_path / "explorer" / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    env = os.environ | {"MODULE": str(tmp_path / "explorer" / module), "NUMBERS": str(numbers)}
    tests = Path(__file__).with_name("explorer.test.mjs")
    many = len(re.findall(r"^test\(", tests.read_text(encoding="utf-8"), re.MULTILINE))
    command = ["node", "--test", "--test-reporter=tap", tests]
    done = subprocess.run(command, env=env, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    # Each count is a whole line: all that are written passed, and none was skipped.
    assert {f"# tests {many}", f"# pass {many}", "# skipped 0"} <= set(done.stdout.splitlines()), done.stdout


def test_what_is_shipped_is_made_from_its_sources():
    assert not build_explorer.stale(), "run tools/build_explorer.py"


def test_what_is_shipped_is_small_and_stands_alone():
    text = build_explorer.SHIPPED.read_text(encoding="utf-8")
    assert len(text.encode()) < build_explorer.LIMIT == 30_000
    for word in ("import ", "import(", "fetch(", "XMLHttpRequest", "http:", "https:", "</script"):
        assert word not in text


def test_the_first_line_follows_the_sources(tmp_path, monkeypatch):
    shutil.copytree(FOLDER / "js", tmp_path / "js")
    entry = shutil.copy(FOLDER / "explorer.js", tmp_path)
    monkeypatch.setattr(build_explorer, "FOLDER", tmp_path)
    monkeypatch.setattr(build_explorer, "ENTRY", Path(entry))
    assert not build_explorer.stale()
    with (tmp_path / "js" / "sets.js").open("a", encoding="utf-8") as file:
        file.write("// another line\n")
    assert build_explorer.stale()
