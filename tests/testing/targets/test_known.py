import warnings
from importlib.util import find_spec

import numpy as np
import pytest

from gnref.errors import BackendError
from gnref.testing.check import check
from gnref.testing.domain import domain
from gnref.testing.grades import standard
from gnref.testing.oracles import load
from gnref.testing.properties.property import worst
from gnref.testing.targets import Functions, Unsupported
from gnref.testing.targets.known import KNOWN
from gnref.testing.targets.spec import parse
from gnref.testing.tolerances import tolerance

SLOW = ("torch.compile",)  # seconds for each graph; its own test below
PAIRS = [(text, norm) for text, known in KNOWN.items() if text not in SLOW for norm in known.norms]


def target_of(text, norm):
    """A target that is ready to be asked, and what it was made of."""
    for package in KNOWN[text].needs if text in KNOWN else ("torch",):
        pytest.importorskip(package)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the frameworks' own
        given = parse(text).arguments(norm)
    limits = domain(given.get("supports"))
    target = Functions(
        given["forward"],
        given.get("backward"),
        norm=norm,
        arrays=given.get("arrays", "numpy"),
        domain=limits,
        channel_axis="channels_last" in given.get("layouts", ()),
    )
    return target, limits, given


def errors(target, problem):
    """The worst errors of y and the gradients, in tolerances."""
    oracle, limit = load("exact"), tolerance(problem)
    forward = target.forward(problem)
    found = [worst((forward.y - oracle.y(problem).astype(float), limit.y))]
    if "backward" in target.abilities:
        limits = (limit.dx, limit.dweight, limit.dbias)
        trio = zip(target.backward(problem.dy, forward), oracle.gradients(problem), limits, strict=True)
        found += [
            worst((got - right.astype(float), allowed)) for got, right, allowed in trio if got is not None
        ]
    return found


@pytest.mark.parametrize(("text", "norm"), PAIRS)
def test_a_small_problem_is_solved(text, norm):
    target, limits, _ = target_of(text, norm)
    assert max(errors(target, standard(norm, "float32", "float32", limits))) <= 1


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_flax_takes_the_channels_last(norm):
    target, limits, given = target_of("flax", norm)
    assert given["layouts"] == ("channels_first", "channels_last")
    problem = standard(norm, "float32", "float32", limits)
    x, dy = (np.moveaxis(a, 1, -1).copy() for a in (problem.x, problem.dy))
    assert max(errors(target, problem.but(x=x, dy=dy, channel_axis=-1))) <= 1


@pytest.mark.parametrize(("text", "norm"), [("flax", "layer"), ("jax", "instance"), ("torch", "group")])
def test_parameters_may_be_absent(text, norm):
    target, limits, _ = target_of(text, norm)
    problem = standard(norm, "float32", "float32", limits)
    assert max(errors(target, problem.but(weight=None, bias=None))) <= 1
    assert max(errors(target, problem.but(bias=None))) <= 1


@pytest.mark.parametrize("text", ["onnxruntime", "openvino"])
def test_the_runtimes_declare_their_limits(text):
    target, limits, given = target_of(text, "group")
    assert given["dtypes"] == limits.dtypes
    plain = standard("group", "float32", "float32", limits)
    with pytest.raises(Unsupported, match="affine_required"):
        target.forward(plain.but(bias=None))
    float64 = standard("group", "float64", "float64", limits)
    assert not limits.where(float64.but(eps=1e-5)), "1e-5 has no 32 bits"
    assert limits.where(standard("group", "float64", "float64", limits).but(eps=0.5))


def test_torch_compile_solves_a_small_problem():
    pytest.importorskip("torch")
    try:
        target, limits, _ = target_of("torch.compile", "layer")
    except BackendError as error:
        pytest.skip(str(error))
    problem = standard("layer", "float32", "float32", limits)
    assert limits.why_not(problem) == ""
    assert limits.why_not(problem.but(eps=1e-7)) == "supports", "each eps takes a graph of its own"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert max(errors(target, problem)) <= 1


RIGHT = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self, num_features: int, num_groups: int):
        super().__init__()
        self.gn = nn.GroupNorm(num_groups=num_groups, num_channels=num_features)

    def forward(self, x):
        return self.gn(x)

def get_inputs():
    return [torch.rand(112, 64, 512, 512)]  # 7.5 GB

def get_init_inputs():
    return [64, 8]
"""
WRONG = """
class ModelNew(nn.Module):
    def __init__(self, num_features: int, num_groups: int):
        super().__init__()
        self.num_groups = num_groups
        self.gamma = nn.Parameter(torch.ones(num_features))
        self.beta = nn.Parameter(torch.zeros(num_features))

    def forward(self, x):
        grouped = x.reshape(x.shape[0], self.num_groups, -1)
        var = (grouped**2).mean(-1, keepdim=True) - grouped.mean(-1, keepdim=True) ** 2
        xhat = (grouped - grouped.mean(-1, keepdim=True)) * torch.rsqrt(var + 1e-5)
        return xhat.reshape(x.shape) * self.gamma[:, None, None] + self.beta[:, None, None]
"""
OTHERS = {
    "33_BatchNorm": ("batch", "nn.BatchNorm2d(num_features)", "num_features"),
    "34_InstanceNorm": ("instance", "nn.InstanceNorm2d(num_features)", "num_features"),
    "40_LayerNorm": ("layer", "nn.LayerNorm(normalized_shape)", "normalized_shape"),
}
RMS = """
import torch

class Model(torch.nn.Module):
    def __init__(self, num_features, eps=1e-5):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        return x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + self.eps)
"""


@pytest.fixture
def bench(tmp_path):
    """Write a KernelBench file, and name it as a target."""
    pytest.importorskip("torch")

    def write(name, text):
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        return f"kernelbench:{path}"

    return write


def other(name):
    """The text of one of the other problems."""
    norm, layer, argument = OTHERS[name]
    return norm, RIGHT.replace(
        "nn.GroupNorm(num_groups=num_groups, num_channels=num_features)", layer
    ).replace("num_features: int, num_groups: int", argument)


def test_a_right_kernelbench_file_passes(bench):
    spec = parse(bench("35_GroupNorm_", RIGHT))
    assert spec.norms == ("group",)
    where = {"where": lambda problem: problem.set_size > 1}  # else PyTorch raises, where N = 1 alone
    given = spec.arguments("group")
    report = check(norm="group", max_examples=3, **(given | {"supports": given["supports"] | where}))
    assert report.failed == []
    assert report.grades["float32"].accuracy == "B"


def test_what_kernelbench_accepts_is_found_wrong(bench):
    import torch

    text = bench("new", RIGHT + WRONG)
    spec = parse(text)
    assert spec.norms == ("group",)
    module = {}
    exec(RIGHT + WRONG, module)
    x = torch.rand(4, 64, 16, 16)
    one, new = (module[name](64, 8)(x) for name in ("Model", "ModelNew"))
    assert torch.allclose(one, new, atol=1e-4, rtol=1e-4), "its own check"
    given = spec.arguments("group")
    assert given["supports"]["eps"] == (1e-5,)
    report = check(norm="group", max_examples=3, **given)
    assert report.grades["float32"].accuracy == "F"
    assert "error grows like the offset at most" in report.failed


@pytest.mark.parametrize("name", OTHERS)
def test_the_other_kernelbench_problems(bench, name):
    norm, text = other(name)
    target, limits, _ = target_of(bench(name, text), norm)
    problem = standard(norm, "float32", "float32", limits)
    assert max(errors(target, problem)) <= 1
    assert max(errors(target, problem.but(eps=0.5))) <= 1
    assert max(errors(target, problem.but(weight=None, bias=None))) <= 1


@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 6), (2, 3, 4, 5, 6)])
def test_kernelbenchs_rms_norm_of_axis_1_gets_the_last_axes(bench, shape):
    target, limits, _ = target_of(bench("36_RMSNorm_", RMS), "rms")
    rng = np.random.default_rng(0)
    problem = standard("rms", "float32", "float32", limits)
    weight = rng.standard_normal(shape[-1:]).astype("float32")
    x = rng.standard_normal(shape).astype("float32")
    problem = problem.but(x=x, dy=x, weight=weight, normalized_shape=shape[-1:])
    assert max(errors(target, problem)) <= 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "expected a file with a torch.nn.Module ModelNew or Model"),
        ("class Model: pass", "expected a file with a torch.nn.Module ModelNew or Model"),
        ("raise OSError('no CUDA')", "which raises OSError: no CUDA"),
        (RMS.replace("num_features", "size"), "whose Model takes 'size'; expected parameters among num_fea"),
    ],
)
def test_files_that_are_none_are_told(bench, text, message):
    with pytest.raises(ValueError, match=message):
        parse(bench("file", text))


def test_a_file_that_imports_what_is_not_there(bench):
    with pytest.raises(BackendError, match="which imports no_such_framework, which is not installed"):
        parse(bench("file", "import no_such_framework"))


def test_a_file_that_speaks_of_several_norms_does_not_say_which(bench):
    spec = parse(bench("mixed", RIGHT + "# unlike BatchNorm"))
    assert spec.norms == ()
    assert callable(spec.arguments("group")["forward"])


def test_a_fixed_rank_is_found_out_without_memory(bench):
    text = RIGHT.replace("112, 64, 512, 512", "2**20, 2**20, 2**10")
    assert parse(bench("35_GroupNorm_", text)).arguments("group")["supports"]["ranks"] == (3,)


def test_constructor_arguments_of_other_names_come_from_get_init_inputs(bench):
    text = RIGHT.replace("num_groups: int)", "num_groups: int, affine)").replace("[64, 8]", "[64, 8, False]")
    text = text.replace("num_channels=num_features", "num_channels=num_features, affine=affine")
    target, limits, _ = target_of(bench("35_GroupNorm_", text), "group")
    assert max(errors(target, standard("group", "float32", "float32", limits))) <= 1, "weights put on here"


def test_what_is_known_is_installed_by_the_names_given():
    for known in KNOWN.values():
        if all(find_spec(package) for package in known.needs):
            assert known.version.startswith(f"{known.needs[0]} ")
