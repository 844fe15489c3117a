"""gnref's layers in PyTorch beside torch.nn's: what is timed, and the command."""

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("numba")

from gnref import cli  # noqa: E402
from gnref.bench import torch_model  # noqa: E402
from gnref.bench.results import Timing  # noqa: E402
from gnref.bench.torch_model import Pair  # noqa: E402
from gnref.bridges import torch as bridge  # noqa: E402

TINY = (2, 64, 3, 3)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(torch_model, "IMAGES", (TINY,))
    monkeypatch.setattr(torch_model, "MODELS", (torch_model.Model(4, 2, 32),))


def test_all_participants_run_and_the_pairs_are_alike(tiny):
    plan = torch_model.plan()
    assert len(plan) == 4 + 4 + 6
    for name, make in plan.items():
        native, own, kernels = make()
        native(), own()
        assert (kernels is not None) == ("2x64x16x16" in name and "step" not in name)


@pytest.mark.parametrize("name", torch_model.CALLS)
def test_both_layers_and_the_function_give_one_result(name):
    layer, function = torch_model.CALLS[name]
    native, own, x, _ = torch_model.small(layer)
    torch.testing.assert_close(own(x), native(x))
    y, _ = function(x.detach().numpy(), *torch_model.arrays(torch_model.small(layer)[1]))
    torch.testing.assert_close(torch.from_numpy(y), native(x))


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_both_models_learn_alike(norm):
    native, own, _ = torch_model.model_steps(torch_model.Model(4, 8, 32), norm, torch.contiguous_format)
    first, second = (native(), own()), (native(), own())
    assert first[0] == pytest.approx(first[1], rel=1e-4)
    assert second[0] == pytest.approx(second[1], rel=1e-3)
    assert first[0] != pytest.approx(second[0], rel=1e-3), "a step changes the loss"


def test_a_step_runs_gnrefs_kernels_and_leaves_gradients(monkeypatch):
    called = []
    for name in ("group_norm_forward", "backward"):
        function = getattr(torch_model.gnref, name)
        monkeypatch.setattr(
            torch_model.gnref, name, lambda *a, n=name, f=function, **o: called.append(n) or f(*a, **o)
        )
    layer = bridge.GroupNorm(2, 64)
    x, dy = torch_model.inputs(TINY, torch.channels_last)
    torch_model.step_of(layer, x, dy)()
    assert called == ["group_norm_forward", "backward"]
    assert x.grad.is_contiguous(memory_format=torch.channels_last)
    assert layer.weight.grad.abs().sum() > 0


def test_the_ratio_and_the_overhead():
    pair = Pair("a call", Timing((3e-6,)), Timing((2e-6,)), Timing((0.5e-6,)))
    assert pair.ratio == pytest.approx(1.5)
    assert pair.overhead == pytest.approx(1.5e-6)
    assert Pair("a step", Timing((3e-6,)), Timing((2e-6,))).overhead is None


def test_the_command_prints_and_writes(tiny, tmp_path, capsys):
    file = tmp_path / "a.json"
    words = ["bench", "--torch-model", "--rounds", "1", "--threads", "1", "--json", str(file)]
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    assert "step of a ResNet with GroupNorm, 2x3x32x32, channels last" in shown
    assert "torch.nn ms" in shown
    found = json.loads(file.read_text())
    assert found["rounds"] == 1
    assert len(found["steps"]) == 14
    assert found["steps"][-1]["overhead"] is not None
    assert cli.main(words) == 2, "files are kept"


def test_an_interruption_leaves_what_is_done(tiny, monkeypatch, capsys):
    measure = torch_model.measure

    def interrupted(*arguments):
        yield next(measure(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr(torch_model, "measure", interrupted)
    assert cli.main(["bench", "--torch-model", "--rounds", "1"]) == 130
    shown = capsys.readouterr().out
    assert "interrupted" in shown
    assert shown.count("step of") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--norm", "group"], "--norm is ['group'] with --torch-model; expected it without"),
        (["--costs"], "--costs is True with --torch-model"),
        (["--backend", "cuda"], "--backend is 'cuda' with --torch-model; expected 'cpu'"),
    ],
)
def test_what_does_not_go_with_it_is_refused(words, told, capsys):
    assert cli.main(["bench", "--torch-model", *words]) == 2
    assert told in capsys.readouterr().err.replace("\n", " ")


def test_without_torch_the_extra_is_named(monkeypatch, capsys):
    found = cli.find_spec
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == "torch" else found(name))
    assert cli.main(["bench", "--torch-model"]) == 2
    assert "needs torch: pip install 'gnref[torch]'" in capsys.readouterr().err
