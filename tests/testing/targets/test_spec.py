import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

import gnref
from gnref.errors import BackendError
from gnref.testing.domain import Domain
from gnref.testing.grades import standard
from gnref.testing.targets.known import KNOWN, NORMS, objects
from gnref.testing.targets.spec import parse

MODULE = """
import numpy as np

def group_norm(x, num_groups, weight, bias, eps): return x
def group_norm_backward(dy, x, num_groups, weight, bias, eps): return dy, None, None
def layer(x, normalized_shape, weight, bias, eps): return x
arrays = "numpy"

def instance(x, weight, bias, eps, channel_axis=1): return x
instance.norm, instance.backward, instance.layouts = "instance", group_norm_backward, ("channels_last",)

def other(x, weight, bias, eps): return x
pair = (other, group_norm_backward)
table = {"batch": other, "rms_norm": (other, None), "dtypes": ("float64",)}
class Norms:
    batch_norm = staticmethod(other)
    supports = {"ranks": 4}
number = 3
class Empty: pass
def wrong(): pass
wrong.norm = "spectral"
def half(): pass
half.backward = 1
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a module of one's own, as the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_norms.py").write_text(MODULE)
    package = tmp_path / "own_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "kernels.py").write_text(MODULE)
    (package / "broken.py").write_text("1 / 0")
    (package / "script.py").write_text("import sys; sys.exit(0)")
    (package / "lacking.py").write_text("import no_such_framework")
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def test_a_function_says_what_it_is(here):
    spec = parse("own_norms:instance")
    assert spec.norms == ("instance",)
    given = spec.arguments("instance")
    assert (given["forward"].__name__, given["backward"].__name__) == ("instance", "group_norm_backward")
    assert given["layouts"] == ("channels_last",)
    with pytest.raises(ValueError, match="expected one that own_norms:instance has: instance"):
        spec.arguments("group")


@pytest.mark.parametrize("text", ["own_norms:other", "own_norms:pair", "own_package.kernels:pair"])
def test_a_function_or_a_pair_that_does_not_may_be_any_norm(here, text):
    spec = parse(text)
    assert spec.norms == ()
    given = spec.arguments("batch")
    assert given["forward"].__name__ == "other"
    assert (given["backward"] is None) == text.endswith("other")


@pytest.mark.parametrize(
    ("text", "norms"),
    [
        ("own_norms:table", ("batch", "rms")),
        ("own_norms:Norms", ("batch",)),
        ("own_package:kernels", ("instance", "group", "layer")),
    ],
)
def test_a_namespace_has_several_norms(here, text, norms):
    spec = parse(text)
    assert spec.norms == norms
    assert all(callable(spec.arguments(norm)["forward"]) for norm in norms)


def test_functions_of_a_library_take_its_arrays():
    pytest.importorskip("torch")
    given = parse("torch.nn.functional:group_norm").arguments("group")
    assert given["arrays"] == "torch"
    assert parse("torch.nn:functional").arguments("layer")["arrays"] == "torch"


def test_options_beside_the_functions_and_a_backward_pass_there(here):
    assert parse("own_norms:table").arguments("rms")["dtypes"] == ("float64",)
    assert parse("own_norms:Norms").arguments("batch")["supports"] == {"ranks": 4}
    module = parse("own_package:kernels")
    assert module.arguments("group")["backward"].__name__ == "group_norm_backward"
    assert module.arguments("layer") == {
        "forward": sys.modules["own_package.kernels"].layer,
        "backward": None,
        "arrays": "numpy",
    }


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("numpy", ValueError, "target is 'numpy'; expected torch, torch.compile, jax"),
        ("", ValueError, "target is ''; expected torch"),
        (":group", ValueError, "target is ':group'; expected torch"),
        ("own_norms:", ValueError, "target is 'own_norms:'; expected torch"),
        ("no_such_module:f", ValueError, "there is no no_such_module"),
        ("own_package.nothing:f", ValueError, "there is no own_package.nothing"),
        ("own_package:nothing", ValueError, "and own_package has no nothing; expected an object that exists"),
        ("own_package:lacking", BackendError, "imports no_such_framework, which is not installed"),
        (
            "own_norms:nothing",
            ValueError,
            "'own_norms:nothing', and own_norms has no nothing; expected an obj",
        ),
        ("own_norms:layer.nothing", ValueError, "layer has no nothing"),
        ("own_norms:grup_norm", ValueError, "and own_norms has no grup_norm; expected group_norm"),
        ("own_package.broken:f", ValueError, "importing own_package.broken raises ZeroDivisionError"),
        ("own_package.script:f", ValueError, "importing own_package.script raises SystemExit: 0"),
        ("own_package.lacking:f", BackendError, "imports no_such_framework, which is not installed"),
        ("own_norms:number", TypeError, "which is a int; expected a function, a pair"),
        ("own_norms:Empty", TypeError, "which is the class Empty; expected a function"),
        ("own_norms:wrong", ValueError, "whose norm is 'spectral'; expected batch"),
        ("own_norms:half", TypeError, "whose backward is 1; expected a function"),
        ("gnref:gpu", ValueError, "target is 'gnref:gpu'; expected one of gnref:reference, gnref:cpu"),
        ("kernelbench:nothing.py", ValueError, "expected a file that exists"),
    ],
)
def test_what_names_nothing_is_told(here, text, error, message):
    with pytest.raises(error, match=message):
        parse(text)


def test_a_missing_framework_is_named_with_the_way_to_install_it(monkeypatch):
    monkeypatch.setattr("gnref.testing.targets.known.find_spec", lambda name: None)
    with pytest.raises(BackendError, match="onnxruntime and onnx are not installed; try: pip install onnxr"):
        parse("onnxruntime")
    with pytest.raises(BackendError, match="target is 'torch', and torch is not installed"):
        parse("torch")


def test_a_backend_that_is_not_ready_is_told(monkeypatch):
    monkeypatch.setattr(gnref, "backends", lambda: {"cpu": "numba is not installed"})
    with pytest.raises(BackendError, match="'gnref:cpu', which is not ready: numba is not installed"):
        parse("gnref:cpu")


def test_a_spec_travels_as_its_text(here):
    spec = parse("own_norms:pair")
    again = pickle.loads(pickle.dumps(spec))
    assert again == spec
    assert again.arguments("group")["forward"] is spec.arguments("group")["forward"]


def test_parsing_imports_no_framework():
    code = """
import json, sys
from gnref.testing.targets.spec import parse
for text in sys.argv[1:]:
    try:
        parse(text)
    except RuntimeError:
        pass  # not installed
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
    out = subprocess.run([sys.executable, "-c", code, *KNOWN], capture_output=True, text=True, check=True)
    assert not {"torch", "jax", "flax", "onnx", "onnxruntime", "openvino"} & set(json.loads(out.stdout))


@pytest.mark.parametrize("norm", NORMS)
def test_gnrefs_own_backends_are_two_plain_functions(norm):
    spec = parse("gnref:reference")
    given, problem = spec.arguments(norm), standard(norm, "float64", "float64", Domain())
    arguments = list(problem.positional.values())
    y, *statistics = given["forward"](*arguments, eps=problem.eps)
    dx, dweight, dbias = given["backward"](problem.dy, *arguments, eps=problem.eps)
    assert y.shape == dx.shape == problem.shape
    assert len(statistics) == (1 if norm == "rms" else 2)
    assert np.ndim(dweight) == 1
    assert (dbias is None) == (norm == "rms")
    assert spec.version == f"gnref {gnref.__version__}"


def test_every_norm_is_named_in_the_docstring_of_objects():
    assert all(f'"{norm}"' in objects.__doc__ for norm in NORMS)
