"""convert: every norm of a model, in place, and back."""

import copy

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

bridge = pytest.importorskip("gnref.bridges.torch")
convert = bridge.convert


class Own(nn.BatchNorm2d):
    """A class of a user's, which may compute something else."""


def model():
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(4, 6, 3), nn.GroupNorm(2, 6), nn.InstanceNorm2d(6))
    norms = nn.ModuleDict(
        {
            "a": nn.BatchNorm1d(6),
            "b": nn.BatchNorm3d(6),
            "c": nn.LayerNorm(6),
            "d": nn.RMSNorm(6),
            "e": nn.InstanceNorm1d(6),
            "f": nn.InstanceNorm3d(6),
        }
    )
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), inner, Own(6), nn.LazyBatchNorm2d())
    made.unused = norms
    return made


def test_every_norm_is_converted_and_comes_back():
    made = model()
    before = [type(m) for m in made.modules()]
    assert convert(made) is made
    during = {type(m).__name__ for m in made.modules() if type(m).__module__.startswith("gnref")}
    assert during == set(bridge.__all__) - {"convert"}
    assert [type(m).__name__ for m in made.modules()] == [t.__name__ for t in before]
    convert(made, to="torch")
    assert [type(m) for m in made.modules()] == before


def test_classes_of_a_users_own_and_lazy_layers_are_left_alone():
    made = convert(model())
    assert type(made[3]) is Own
    assert type(made[4]) is nn.LazyBatchNorm2d


def test_there_and_back_is_bit_identical():
    made = model()[:4]
    x = torch.randn(5, 3, 12, 12)
    made(x)  # running statistics have moved
    made.eval()
    before, state = made(x), copy.deepcopy(made.state_dict())
    convert(made)
    y = made(x)
    assert not torch.equal(y, before)  # others compute it
    torch.testing.assert_close(y, before, rtol=1e-5, atol=1e-6)
    convert(made, to="torch")
    assert torch.equal(made(x), before)
    for key, value in made.state_dict().items():
        assert torch.equal(value, state[key])


def test_parameters_stay_the_same_objects_so_that_optimizers_and_hooks_go_on():
    made = model()[:2]
    parameters, seen = list(made.parameters()), []
    made[1].register_forward_hook(lambda *_: seen.append(1))
    optimizer = torch.optim.SGD(made.parameters(), 0.1)
    convert(made)
    assert all(a is b for a, b in zip(parameters, made.parameters(), strict=True))
    before = made[1].weight.detach().clone()
    made(torch.randn(2, 3, 8, 8)).square().sum().backward()
    optimizer.step()
    assert seen == [1]
    assert not torch.equal(made[1].weight, before)


def test_a_norm_is_a_model_and_a_shared_one_stays_shared():
    layer = nn.GroupNorm(2, 6)
    assert type(convert(layer)) is bridge.GroupNorm
    made = convert(nn.Sequential(layer, layer))
    assert made[0] is made[1] is layer


def test_a_state_dict_goes_both_ways_and_a_model_through_a_file(tmp_path):
    made = convert(model()[:3])
    fresh = model()[:3]
    fresh.load_state_dict(made.state_dict())
    torch.save(made, tmp_path / "model.pt")
    back = torch.load(tmp_path / "model.pt", weights_only=False)
    assert type(back[1]) is bridge.BatchNorm2d
    x = torch.randn(2, 3, 12, 12)
    assert torch.equal(back.eval()(x), made.eval()(x))


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ((3,), TypeError, "model is a int; expected a torch.nn.Module"),
        ((nn.ReLU(), "jax"), ValueError, "to is 'jax'; expected 'gnref' or 'torch'"),
    ],
)
def test_what_is_no_model_is_refused(arguments, error, told):
    with pytest.raises(error, match=told):
        convert(*arguments)
