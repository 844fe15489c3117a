import json
import subprocess
import sys

import numpy as np
import pytest

from gnref import cli
from gnref.testing.domain import domain
from gnref.testing.grades import standard
from gnref.testing.problems import Problem
from gnref.testing.properties.derivatives import FORWARD_MODE, SECOND
from gnref.testing.targets import Functions, Refused, Unsupported, gradients
from gnref.testing.targets.known import NORMS, modules
from gnref.testing.targets.spec import parse

torch = pytest.importorskip("torch")

CLASSES = [(name, norm) for norm, names in modules.CLASSES.items() for name in names]
MODULE = """
import torch
from torch import nn

class GroupNorm(nn.GroupNorm):
    pass
class Mine(nn.GroupNorm):
    require, dtypes, supports = {"accuracy": "B"}, ("float64",), {"channel_multiple": 4}
class Told(nn.Module):
    norm = "instance"
    def __init__(self, num_features, eps=1e-5, affine=False):
        super().__init__()
        self.eps, kinds = eps, (torch.ones, torch.zeros) if affine else ()
        self.weight, self.bias = [nn.Parameter(kind(num_features)) for kind in kinds] or (None, None)
    def forward(self, x):
        return nn.functional.instance_norm(x, None, None, self.weight, self.bias, eps=self.eps)
class PlainRMSNorm(nn.Module):
    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True):
        super().__init__()
        self.axes, self.eps = tuple(range(-len(normalized_shape), 0)), eps
        self.weight = nn.Parameter(torch.ones(normalized_shape)) if elementwise_affine else None
    def forward(self, x):
        y = x * torch.rsqrt((x * x).mean(self.axes, keepdim=True) + self.eps)
        return y if self.weight is None else y * self.weight
class Other(Told):
    norm = "spectral"
class BatchNormOrGroupNorm(nn.Module):
    pass
class Lacking(nn.Module):
    norm = "group"
    def __init__(self, channels): super().__init__()
class Gamma(nn.Module):
    norm = "layer"
    def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(normalized_shape))
    def forward(self, x): return x
class Exits(nn.LayerNorm):
    def __init__(self, *args, **words): raise SystemExit(0)
built = nn.GroupNorm(2, 4)
told = Told(4)
table = {"group": nn.GroupNorm, "supports": {"ranks": (4,)}}
"""


LACKING = (
    "whose constructor raises TypeError: .*eps.*; expected that of torch.nn.GroupNorm"
    r"\(num_groups, num_channels, eps=, affine=\)$"
)
GAMMA = r"whose parameters are gamma; expected weight and bias, as of torch.nn.LayerNorm\("


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a module of one's own, as the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_layers.py").write_text(MODULE)
    yield tmp_path
    sys.modules.pop("own_layers", None)


def target_of(text, norm):
    """A target that is ready to be asked."""
    given = parse(text).arguments(norm)
    return Functions(given["forward"], norm=norm, arrays=given["arrays"], domain=domain(given["supports"]))


def functional(problem):
    """The gradients of the plain function, and y."""
    target = Functions(parse("torch").arguments(problem.norm)["forward"], norm=problem.norm, arrays="torch")
    return [target.forward(problem).y, *gradients(target, problem)]


def same(target, problem):
    expected = functional(problem)
    found = [target.forward(problem).y, *gradients(target, problem)]
    pairs = zip(found, expected, strict=True)
    return all((a is None) == (b is None) and (a is None or np.array_equal(a, b)) for a, b in pairs)


@pytest.mark.parametrize(("name", "norm"), CLASSES)
def test_the_layers_of_torch_are_its_functions(name, norm):
    spec = parse(f"torch.nn:{name}")
    assert spec.norms == (norm,)
    target = target_of(f"torch.nn:{name}", norm)
    for dtype, param in (("float32", "float32"), ("float64", "float64"), ("bfloat16", "float32")):
        problem = standard(norm, dtype, param, target.domain)
        assert same(target, problem)
        assert same(target, problem.but(weight=None, bias=None, eps=0.5))


@pytest.mark.parametrize(
    ("name", "norm", "taken"),
    [
        ("BatchNorm1d", "batch", (2, 3)),
        ("BatchNorm3d", "batch", (5,)),
        ("InstanceNorm1d", "instance", (3,)),
        ("InstanceNorm2d", "instance", (4,)),
    ],
)
def test_ranks_are_those_of_the_class(name, norm, taken):
    target = target_of(f"torch.nn:{name}", norm)
    assert target.domain.ranks == taken
    for rank in range(2, 7):
        shape = (2, 3, 2, 2, 2, 2)[:rank]
        problem = Problem(norm, np.ones(shape), np.ones(shape))
        if rank not in taken:
            with pytest.raises(Unsupported, match="ranks"):
                target.forward(problem)


def test_in_a_namespace_the_three_are_one():
    spec = parse("torch:nn")
    assert spec.norms == NORMS
    target = target_of("torch:nn", "batch")
    assert target.domain.ranks == (2, 3, 4, 5)
    rng = np.random.default_rng(0)
    for rank in (2, 3, 4, 5):
        x, dy = rng.standard_normal((2, *(4, 3, 2, 2, 2)[:rank]))
        assert same(target, Problem("batch", x, dy, rng.standard_normal(3), rng.standard_normal(3)))


def test_absent_parameters_are_those_that_the_constructor_leaves_out():
    weight, bias = np.ones(3), np.zeros(3)
    layer, group = target_of("torch.nn:LayerNorm", "layer"), target_of("torch.nn:GroupNorm", "group")
    x = np.arange(6.0).reshape(2, 3)
    plain = Problem("layer", x, x, weight, bias, normalized_shape=(3,))
    grouped = Problem("group", x, x, weight, bias, num_groups=1)
    for target, problem in ((layer, plain), (group, grouped)):
        target.forward(problem)
        target.forward(problem.but(weight=None, bias=None))
        with pytest.raises(Unsupported):
            target.forward(problem.but(weight=None))
    assert same(layer, plain.but(bias=None))
    with pytest.raises(Unsupported):
        group.forward(grouped.but(bias=None))


def test_no_call_leaves_anything_behind():
    target = target_of("torch.nn:BatchNorm1d", "batch")
    x = np.arange(6.0).reshape(2, 3)
    problem = Problem("batch", x, x)
    target.forward(problem.but(x=np.full_like(x, np.nan)))
    (layer,) = [
        target.function.built(torch.nn.BatchNorm1d, (3,), 1e-5, (), torch.float64, torch.device("cpu"))
    ]
    assert torch.equal(layer.running_mean, torch.zeros(3, dtype=torch.float64))
    assert target.function.built.cache_info().hits == 1, "it was kept"


def test_a_wrong_num_groups_is_refused():
    x = np.ones((2, 3))
    with pytest.raises(Refused, match="must be divisible"):
        target_of("torch.nn:GroupNorm", "group").forward(Problem("group", x, x, num_groups=2))


@pytest.mark.parametrize(
    ("name", "norm"),
    [("GroupNorm", "group"), ("Mine", "group"), ("Told", "instance"), ("PlainRMSNorm", "rms")],
)
def test_which_norm_a_class_is(here, name, norm):
    spec = parse(f"own_layers:{name}")
    assert spec.norms == (norm,)
    assert spec.differentiates(norm)
    assert same_enough(target_of(f"own_layers:{name}", norm), norm)


def same_enough(target, norm):
    problem = standard(norm, "float64", "float64", target.domain)
    expected = functional(problem)
    return all(
        b is None or np.allclose(a, b)
        for a, b in zip([target.forward(problem).y, *gradients(target, problem)], expected, strict=True)
    )


def test_options_are_attributes_of_the_class(here):
    given = parse("own_layers:Mine").arguments("group")
    assert given["require"] == {"accuracy": "B"}
    assert given["dtypes"] == ("float64",)
    assert given["supports"]["channel_multiple"] == 4
    assert callable(given["supports"]["where"])
    assert parse("own_layers:table").arguments("group")["supports"]["ranks"] == (4,)


def test_a_declared_function_of_the_problem_is_kept(here):
    parse("own_layers:GroupNorm")
    sys.modules["own_layers"].GroupNorm.supports = staticmethod(lambda problem: problem.rank == 3)
    limits = domain(parse("own_layers:GroupNorm").arguments("group")["supports"])
    x = np.ones((2, 4, 3))
    assert limits.why_not(Problem("group", x, x, num_groups=2)) == ""
    assert limits.why_not(Problem("group", x[:, :, 0], x[:, :, 0], num_groups=2)) == "supports"
    assert limits.why_not(Problem("group", x, x, weight=np.ones(4), num_groups=2)) == "supports"


@pytest.mark.parametrize(
    ("text", "norm", "error", "message"),
    [
        ("own_layers:Lacking", "group", TypeError, LACKING),
        ("own_layers:Exits", "layer", TypeError, "whose constructor raises SystemExit: 0; expected that of"),
        ("own_layers:Gamma", "layer", TypeError, GAMMA),
        ("own_layers:Other", None, ValueError, "whose norm is 'spectral'; expected batch, instance"),
        ("own_layers:built", None, TypeError, "is a GroupNorm that was built; expected the class"),
        ("own_layers:told", None, TypeError, "is a Told that was built; expected the class"),
        ("torch.nn:Linear", "batch", TypeError, "which is Linear and no norm; expected one of BatchNorm1d, "),
        ("torch.nn:GroupNormx", "group", ValueError, "torch.nn has no GroupNormx; expected GroupNorm$"),
    ],
)
def test_what_is_no_layer_is_told(here, text, norm, error, message):
    with pytest.raises(error, match=message) as raised:
        parse(text).arguments(norm)
    assert "\n" not in str(raised.value)


def test_a_class_that_does_not_say_which_norm_may_be_any(here):
    assert parse("own_layers:BatchNormOrGroupNorm").norms == ()


def test_the_command_checks_a_layer_in_a_process_of_its_own(here, tmp_path):
    words = ["check", "own_layers:GroupNorm", "--max-examples", "8", "--require", "second_order=exact"]
    out = tmp_path / "found.json"
    assert cli.main([*words, "--json", str(out)]) in (0, 1)
    (report,) = json.loads(out.read_text())["reports"]
    status = {row["property"]: row["status"] for row in report["results"]}
    assert status[SECOND] == status[FORWARD_MODE] == status["gradients equal exact fractions"] == "passed"
    assert report["require"]["second_order"] == "exact"
    assert 0.1 < report["excluded"] < 0.5


def test_importing_the_kit_imports_no_torch():
    code = "import sys, gnref.testing.targets.known.modules; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
