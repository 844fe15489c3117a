"""The layers beside those of torch.nn: results, gradients, running statistics, states, memory and layouts."""

import copy
import inspect

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

bridge = pytest.importorskip("gnref.bridges.torch")

# A class, its arguments, and the shape of an input.
LAYERS = {
    "BatchNorm1d": ((6,), {}, (5, 6)),
    "BatchNorm1d of 3 axes": ((6,), {"momentum": 0.3, "eps": 1e-3}, (5, 6, 4)),
    "BatchNorm2d": ((6,), {}, (5, 6, 4, 3)),
    "BatchNorm2d, cumulative": ((6,), {"momentum": None}, (5, 6, 4, 3)),
    "BatchNorm2d, untracked": ((6,), {"track_running_stats": False}, (5, 6, 4, 3)),
    "BatchNorm2d, no affine": ((6,), {"affine": False}, (5, 6, 4, 3)),
    "BatchNorm3d": ((6,), {}, (2, 6, 2, 3, 4)),
    "LayerNorm": (((4, 3),), {}, (5, 6, 4, 3)),
    "LayerNorm, no bias": ((3,), {"bias": False}, (5, 6, 4, 3)),
    "LayerNorm, no affine": ((3,), {"elementwise_affine": False}, (5, 3)),
    "RMSNorm": ((3,), {}, (5, 6, 3)),
    "RMSNorm, eps": ((3,), {"eps": 0.1}, (5, 6, 3)),
    "InstanceNorm1d": ((6,), {}, (5, 6, 4)),
    "InstanceNorm2d": ((6,), {"affine": True}, (5, 6, 4, 3)),
    "InstanceNorm2d, tracked": ((6,), {"affine": True, "track_running_stats": True}, (5, 6, 4, 3)),
    "InstanceNorm2d, no batch": ((6,), {"affine": True}, (6, 4, 3)),
    "InstanceNorm3d": ((6,), {"momentum": None, "track_running_stats": True}, (2, 6, 2, 3, 4)),
    "GroupNorm": ((3, 6), {}, (5, 6, 4, 3)),
    "GroupNorm of 2 axes": ((3, 6), {"eps": 0.1}, (5, 6)),
    "GroupNorm, no affine": ((2, 6), {"affine": False}, (5, 6, 4)),
}
LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def pair(name, dtype=torch.float64):
    """gnref's layer and torch.nn's, with one random state."""
    arguments, options, _ = LAYERS[name]
    cls = name.split(",")[0].split(" ")[0]
    own, native = (getattr(m, cls)(*arguments, **options, dtype=dtype) for m in (bridge, nn))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for key, value in native.state_dict().items():
            if key != "num_batches_tracked":
                value.copy_(torch.rand(value.shape, generator=generator, dtype=dtype) + 0.5)
    own.load_state_dict(native.state_dict())
    return own, native


def random(shape, seed, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def step(layer, x, dy):
    """y and all gradients."""
    layer.zero_grad()
    x = x.clone().requires_grad_()
    y = layer(x)
    y.backward(dy)
    return {"y": y.detach(), "dx": x.grad} | {key: p.grad for key, p in layer.named_parameters()}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_three_steps_are_those_of_torch(name, training):
    own, native = pair(name)
    own.train(training), native.train(training)
    shape = LAYERS[name][2]
    for seed in range(3):
        x, dy = random(shape, seed), random(shape, seed + 10)
        found, expected = step(own, x, dy), step(native, x, dy)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-11)
    states = own.state_dict(), native.state_dict()
    assert states[0].keys() == states[1].keys()
    for key, value in states[1].items():
        torch.testing.assert_close(states[0][key], value, rtol=1e-12, atol=1e-12)
        assert states[0][key].dtype == value.dtype


@pytest.mark.parametrize("name", [name for name in LAYERS if "," not in name and " " not in name])
def test_constructor_and_functions_have_torchs_signatures(name):
    own, native = (getattr(module, name) for module in (bridge, nn))
    assert inspect.signature(own) == inspect.signature(native)
    assert inspect.signature(own.forward).parameters.keys() == {"self", "input"}
    function = {"BatchNorm": "batch_norm", "InstanceNorm": "instance_norm", "LayerNorm": "layer_norm"} | {
        "GroupNorm": "group_norm",
        "RMSNorm": "rms_norm",
    }
    function = function[name[:-2] if name[-1] == "d" else name]
    mine, theirs = (
        inspect.signature(getattr(module, function)).parameters
        for module in (bridge.functional, nn.functional)
    )
    assert [(p.name, p.default) for p in mine.values()] == [(p.name, p.default) for p in theirs.values()]


@pytest.mark.parametrize("name", LAYERS)
def test_it_is_a_subclass_with_the_same_signature_and_text(name):
    own, native = pair(name)
    assert isinstance(own, type(native))
    assert repr(own) == repr(native)
    copied = copy.deepcopy(own)
    assert type(copied) is type(own)
    assert copied.state_dict().keys() == native.state_dict().keys()


@pytest.mark.parametrize("name", [n for n, (_, _, shape) in LAYERS.items() if len(shape) in LAST])
def test_channels_last_stays_and_is_the_same(name):
    own, native = pair(name)
    shape = LAYERS[name][2]
    layout = LAST[len(shape)]
    x, dy = random(shape, 1), random(shape, 2)
    expected = step(native, x, dy)
    found = step(own, x.to(memory_format=layout), dy.to(memory_format=layout))
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-11)
    for key in ("y", "dx"):
        assert found[key].is_contiguous(memory_format=layout)


@pytest.mark.parametrize("name", ["BatchNorm2d", "GroupNorm", "LayerNorm", "InstanceNorm2d"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_16_bits_with_wide_weights_give_16_bits(name, dtype):
    own, native = pair(name, torch.float32)
    wide = copy.deepcopy(native).double()
    shape = LAYERS[name][2]
    x, dy = random(shape, 1, dtype), random(shape, 2, dtype)
    found, expected = step(own, x, dy), step(wide, x.double(), dy.double())
    unit = torch.finfo(dtype).eps
    for key, value in expected.items():
        kept = dtype if key in ("y", "dx") else torch.float32
        assert found[key].dtype == kept
        size = value.abs().max().item()
        torch.testing.assert_close(found[key].double(), value, rtol=0, atol=2 * unit * size)


def test_gradients_of_wide_parameters_are_not_rounded_to_16_bits():
    own, native = pair("GroupNorm", torch.float32)
    wide = copy.deepcopy(native).double()
    x, dy = random((5, 6, 4, 3), 1, torch.bfloat16), random((5, 6, 4, 3), 2, torch.bfloat16)
    found, expected = step(own, x, dy), step(wide, x.double(), dy.double())
    for key in ("weight", "bias"):
        torch.testing.assert_close(found[key].double(), expected[key], rtol=1e-5, atol=1e-5)


def test_under_autocast_the_dtype_is_that_of_torch():
    for name in ("BatchNorm2d", "GroupNorm", "LayerNorm"):
        own, native = pair(name, torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            x = nn.functional.conv2d(random((2, 3, 4, 3), 1, torch.float32), torch.ones(6, 3, 1, 1))
            assert x.dtype == torch.bfloat16
            found, expected = own(x), native(x)
        assert found.dtype == expected.dtype == torch.bfloat16
        torch.testing.assert_close(found, expected, rtol=0.02, atol=0.05)
        found.float().square().sum().backward()
        assert all(p.grad.dtype == torch.float32 for p in own.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("last", [False, True])
def test_memory_is_shared_and_no_copy_made(monkeypatch, dtype, last):
    from gnref.bridges.torch import functional

    seen = {}
    forward = functional.gnref.group_norm_forward

    def spy(x, *rest, **options):
        seen["x"] = x
        y, saved = forward(x, *rest, **options)
        seen["y"] = y
        return y, saved

    monkeypatch.setattr(functional.gnref, "group_norm_forward", spy)
    x = random((2, 6, 4, 3), 1, dtype)
    x = x.to(memory_format=torch.channels_last) if last else x
    y = bridge.GroupNorm(2, 6)(x)
    assert isinstance(seen["x"], np.ndarray)
    assert seen["x"].__array_interface__["data"][0] == x.data_ptr()
    assert seen["y"].__array_interface__["data"][0] == y.data_ptr()


def test_any_strides_of_x_and_dy():
    own, native = pair("GroupNorm")
    x, dy = random((3, 4, 6, 5), 1).permute(3, 2, 1, 0)[:, :, ::2], random((1, 6, 1, 3), 2).expand(5, 6, 2, 3)
    found, expected = step(own, x, dy), step(native, x, dy)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-11)


def test_a_sum_has_a_gradient_that_is_one_number_stretched():
    own, native = pair("LayerNorm")
    grads = []
    for layer in (own, native):
        x = random((5, 6, 4, 3), 1).requires_grad_()
        (layer(x) * x.detach()).sum().backward()
        layer(x).sum().backward()
        grads.append(x.grad)
    torch.testing.assert_close(*grads, rtol=1e-9, atol=1e-11)


def test_only_what_needs_a_gradient_has_one():
    own, _ = pair("GroupNorm")
    own.weight.requires_grad_(False)
    x = random((5, 6, 4, 3), 1)
    own(x).sum().backward()
    assert own.weight.grad is None
    assert own.bias.grad is not None
    with torch.no_grad():
        assert not own(x).requires_grad


def test_an_empty_batch_gives_nothing_and_moves_nothing():
    own, _ = pair("BatchNorm2d")
    before = copy.deepcopy(own.state_dict())
    x = torch.empty((0, 6, 4, 3), dtype=torch.float64, requires_grad=True)
    y = own(x)
    y.sum().backward()
    assert y.shape == x.grad.shape == x.shape
    assert torch.equal(own.weight.grad, torch.zeros_like(own.weight))
    assert torch.equal(own.running_mean, before["running_mean"])
    assert torch.equal(own.running_var, before["running_var"])


def test_running_statistics_may_move_on_before_the_backward_pass():
    own, native = pair("BatchNorm2d")
    x, dy = random((5, 6, 4, 3), 1), random((5, 6, 4, 3), 2)
    expected = step(native.eval(), x, dy)
    held = x.clone().requires_grad_()
    y = own.eval()(held)
    own.train()(x + 3)
    y.backward(dy)
    torch.testing.assert_close(held.grad, expected["dx"])


def test_running_statistics_may_move_on_before_the_second_derivatives():
    own, native = pair("BatchNorm2d")
    x, dy = random((5, 6, 4, 3), 1).requires_grad_(), random((5, 6, 4, 3), 2)
    own.eval(), native.eval()
    dx, expected = (
        torch.autograd.grad(layer(x), x, dy, create_graph=True)[0].square().sum() for layer in (own, native)
    )
    (expected,) = torch.autograd.grad(expected, native.weight)
    own.train()(x + 3)
    (found,) = torch.autograd.grad(dx, own.weight)
    torch.testing.assert_close(found, expected)


def test_x_changed_in_place_before_the_backward_pass_is_an_error():
    x = random((5, 6), 1)
    held = (x + 0).requires_grad_()
    inner = held * 2
    y = bridge.GroupNorm(2, 6, dtype=torch.float64)(inner)
    inner.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_bias_may_change_before_the_backward_pass():
    own, native = pair("GroupNorm")
    x, dy = random((5, 6, 4, 3), 1), random((5, 6, 4, 3), 2)
    expected = step(native, x, dy)
    held = x.clone().requires_grad_()
    y = own(held)
    with torch.no_grad():
        own.bias.add_(1)
    y.backward(dy)
    torch.testing.assert_close(held.grad, expected["dx"], rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(own.bias.grad, expected["bias"], rtol=1e-9, atol=1e-11)


def test_y_may_be_changed_in_place_as_by_relu():
    own, native = pair("BatchNorm2d")
    results = []
    for layer in (own, native):
        x = random((5, 6, 4, 3), 1).requires_grad_()
        nn.functional.relu(layer(x), inplace=True).square().sum().backward()
        results.append(x.grad)
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-11)


def test_switched_off_by_hand_instance_norm_does_as_torchs():
    own, native = pair("InstanceNorm2d, tracked")
    for layer in (own, native):
        layer.track_running_stats = False
        layer(random((5, 6, 4, 3), 1))
    torch.testing.assert_close(own.running_mean, native.running_mean)


def test_x_is_let_go_of_after_the_backward_pass():
    import weakref

    own, _ = pair("GroupNorm")
    leaf = random((5, 6, 4, 3), 1).requires_grad_()
    x = leaf * 1
    storage = weakref.ref(x.untyped_storage())
    y = own(x)
    y.sum().backward()
    del x
    assert storage() is None  # y is still there, and the graph behind it


def test_tensors_stored_elsewhere_until_the_backward_pass():
    own, native = pair("GroupNorm")
    x, dy = random((5, 6, 4, 3), 1).to(memory_format=torch.channels_last), random((5, 6, 4, 3), 2)
    expected = step(native, x, dy)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: t.tolist(), lambda t: torch.tensor(t, dtype=x.dtype)
    ):
        found = step(own, x, dy)
    torch.testing.assert_close(found["dx"], expected["dx"], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["GroupNorm", "BatchNorm2d"])
def test_activation_checkpointing(name):
    from torch.utils.checkpoint import checkpoint

    own, native = pair(name)
    results = []
    for layer in (own, native):
        x = random((5, 6, 4, 3), 1).requires_grad_()
        checkpoint(layer, x, use_reentrant=False).square().sum().backward()
        results.append([x.grad, *layer.state_dict().values()])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["GroupNorm", "LayerNorm", "BatchNorm2d", "InstanceNorm2d", "RMSNorm"])
@pytest.mark.filterwarnings("ignore")  # of the recorders: sizes become constants
def test_what_is_recorded_is_a_function_of_x(name):
    from torch.fx.experimental.proxy_tensor import make_fx

    own, native = pair(name)
    own.eval(), native.eval()
    x, z = (random(LAYERS[name][2], seed) for seed in (1, 2))
    with torch.no_grad():
        for recorded in (torch.jit.trace(own, x), make_fx(own)(x), torch.export.export(own, (x,)).module()):
            torch.testing.assert_close(recorded(z), native(z), rtol=1e-9, atol=1e-11)
