"""Each peer computes what gnref computes, in the layout of the row."""

import sys
import warnings
from importlib.util import find_spec

import numpy as np
import pytest

from gnref.bench import peers
from gnref.bench.case import draw
from gnref.bench.grid import DIRECTIONS, Row
from gnref.bench.own import Own
from gnref.bench.peers import PEERS, Entry, Refusal, load, one_line

ROWS = [
    Row("batch", "forward", (3, 4, 5, 3)),
    Row("batch", "forward", (3, 5, 3, 4), channel_axis=-1),
    Row("batch", "forward", (2, 4, 3, 5, 3)),
    Row("instance", "forward", (3, 4, 5, 3)),
    Row("group", "forward", (3, 4, 5, 3), num_groups=2),
    Row("group", "forward", (3, 5, 3, 4), channel_axis=-1, num_groups=2),
    Row("group", "forward", (2, 4, 3, 5, 3), num_groups=2),
    Row("group", "forward", (3, 4, 5, 3), "float16", num_groups=2),
    Row("group", "forward", (3, 4, 5, 3), "bfloat16", num_groups=2),
    Row("group", "forward", (3, 4, 5, 3), "float64", num_groups=2),
    Row("layer", "forward", (3, 4, 5, 3), normalized_shape=(4, 5, 3)),
    Row("layer", "forward", (6, 7), normalized_shape=(7,)),
]
# Of the largest number; 16-bit results may be rounded twice.
TOLERANCE = {"float16": 2e-3, "bfloat16": 8e-3, "float32": 1e-5, "float64": 1e-12}


@pytest.fixture(scope="module")
def loaded():
    made = {}

    def get(name):
        for package in PEERS[name].packages:
            pytest.importorskip(package)
        if name not in made:
            found, absent = load([name], 2)
            assert not absent
            made.update(found)
        return made[name]

    return get


@pytest.fixture(autouse=True)
def _traced_but_not_compiled(monkeypatch):
    """torch.compile without its C++ compiler, which takes seconds for each function."""
    if find_spec("torch"):
        import torch

        real = torch.compile
        monkeypatch.setattr(torch, "compile", lambda f, **options: real(f, backend="eager", **options))


def rows_of(name):
    """All rows in both directions; of those who compile each anew a few, which have all there is."""
    rows = [row._replace(direction=direction) for row in ROWS for direction in DIRECTIONS]
    if name not in ("jax", "compile"):
        return rows
    return [ROWS[5]._replace(direction="backward"), ROWS[1], ROWS[8], ROWS[9]]


def label(value):
    return value if isinstance(value, str) else value.name.replace(" ", "-")


@pytest.mark.parametrize(("name", "row"), [(name, row) for name in PEERS for row in rows_of(name)], ids=label)
def test_every_way_gives_gnrefs_result(loaded, name, row):
    case, direction = draw(row), row.direction
    own = Own(case)
    expected = own.arrays(own.run())
    peer = loaded(name)
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # what a library says of itself
        try:
            ways = peer.ways(case)
        except Refusal:
            assert (name, direction) in REFUSALS or row in SOME_REFUSE
            return
        assert (name, direction) not in REFUSALS
        for way in ways.values():
            for _ in range(2):  # the second call is the one that is timed
                found = way.arrays(way.run())
            assert len(found) == len(expected)
            for a, b in zip(found, expected, strict=True):
                assert a.shape == b.shape
                worst = np.abs(a.astype(float) - b.astype(float)).max() / np.abs(b.astype(float)).max()
                assert worst < TOLERANCE[row.dtype]


REFUSALS = {("onnxruntime", "backward"), ("openvino", "backward")}
SOME_REFUSE = [row for name in PEERS for row in rows_of(name) if row.layout or row.dtype != "float32"]


@pytest.mark.parametrize("name", PEERS)
def test_results_are_new_arrays(loaded, name):
    """Allocation counts for everybody."""
    way = next(iter(loaded(name).ways(draw(ROWS[4])).values()))
    first = way.arrays(way.run())[0]
    kept = first.copy()
    second = way.arrays(way.run())[0]
    assert not np.shares_memory(first, second)
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("name", PEERS)
def test_inputs_are_the_peers_own(loaded, name):
    case = draw(ROWS[4])
    way = next(iter(loaded(name).ways(case).values()))
    before = way.arrays(way.run())[0].copy()
    case.x[...] = 0
    assert np.array_equal(way.arrays(way.run())[0], before)


def test_several_ways_of_one_result():
    pytest.importorskip("torch")
    from gnref.bench.peers.torch import forwards

    assert set(forwards(ROWS[3])) == {"instance_norm", "group_norm"}


def test_threads_are_handed_on():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    try:
        load(["torch"], 1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_who_is_not_installed_is_told(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name == "onnx" else True)
    found, absent = load(["numpy", "onnxruntime"], 1)
    assert set(found) == {"numpy"}
    assert absent == {"onnxruntime": "onnx is not installed"}


def test_who_is_broken_is_told(monkeypatch):
    entry = Entry("JAX", "gnref.bench.peers.no_such_file", ("numpy",))
    monkeypatch.setitem(PEERS, "jax", entry)
    found, absent = load(["jax"], 1)
    assert found == {}
    assert absent["jax"].startswith("ModuleNotFoundError: No module named 'gnref.bench.peers.no_such_file'")


def test_a_missing_compiler_is_told(monkeypatch):
    torch = pytest.importorskip("torch")

    def no_compiler(*arguments, **options):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", no_compiler)
    assert load(["compile"], 2) == ({}, {"compile": "RuntimeError: no C++ compiler"})


def test_openvino_does_not_phone_home(monkeypatch):
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    load([], 1)
    assert sys.modules["openvino_telemetry"] is None


def test_an_error_is_one_line():
    assert one_line(ValueError("\n  one\n two")) == "ValueError: one"
    assert one_line(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert len(one_line(ValueError("x" * 500))) == 160
