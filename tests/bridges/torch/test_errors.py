"""Bad input: one sentence that names the argument, what it is and what was expected."""

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

bridge = pytest.importorskip("gnref.bridges.torch")

from gnref import BackendError, ShapeError  # noqa: E402
from gnref.bridges.torch import functional  # noqa: E402


@pytest.mark.parametrize(
    ("x", "error", "told"),
    [
        (torch.ones(2, 6, dtype=torch.int64), TypeError, r"x .*int64"),
        (torch.ones(2, 6, dtype=torch.bool), TypeError, r"x .*bool"),
        (torch.ones(2, 6, dtype=torch.complex64), TypeError, r"x .*complex64"),
        ([[1.0, 2.0]], TypeError, r"x has type list; expected a torch.Tensor"),
        (None, TypeError, r"x is a .*NoneType; expected"),
        (torch.ones(2, 6).to(torch.float8_e4m3fn), TypeError, r"x is a Tensor of float8_e4m3fn that NumPy"),
        (torch.ones(2, 6).to_sparse(), TypeError, r"x has layout torch.sparse_coo; expected a dense tensor"),
        (torch.ones(2, 6, device="meta"), BackendError, r"x is a tensor on meta; expected one on the CPU"),
        (torch.ones(6), ShapeError, r"x .*\(6,\)"),
        (torch.ones(2, 5), ShapeError, r"5"),
    ],
)
def test_an_x_that_will_not_do(x, error, told):
    with pytest.raises(error, match=told):
        bridge.GroupNorm(2, 6)(x)


def test_a_tensor_on_a_cuda_device_that_gnref_cannot_use(monkeypatch):
    from gnref.bridges.torch import memory

    class Elsewhere(torch.Tensor):
        is_cpu = False
        device = torch.device("cuda", 0)

    monkeypatch.setattr(memory, "status", lambda name: "no CUDA device: no driver")
    x = torch.ones(2, 6).as_subclass(Elsewhere)
    with pytest.raises(BackendError, match=r"x is a tensor on cuda:0; expected .* no driver.*to='torch'"):
        memory.lend(x, "x")


def test_one_element_per_channel_is_refused_as_by_torch():
    x = torch.ones(1, 6)
    for layer in (bridge.BatchNorm1d(6), nn.BatchNorm1d(6)):
        with pytest.raises(ValueError, match="1"):
            layer(x)
    assert bridge.BatchNorm1d(6).eval()(x).shape == x.shape


@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("BatchNorm1d", (6,), (2, 6, 3, 3)),
        ("BatchNorm2d", (6,), (2, 6, 3)),
        ("BatchNorm3d", (6,), (2, 6, 3, 3)),
        ("InstanceNorm2d", (6,), (2, 6)),
        ("BatchNorm2d", (6,), (2, 5, 3, 3)),
        ("GroupNorm", (2, 6), (2, 4, 3)),
        ("LayerNorm", (6,), (2, 5)),
        ("RMSNorm", (6,), (2, 5)),
    ],
)
def test_a_shape_that_torch_refuses_is_refused(name, arguments, shape):
    for module in (nn, bridge):
        with pytest.raises((ValueError, RuntimeError)):
            getattr(module, name)(*arguments)(torch.ones(shape))


@pytest.mark.parametrize("arguments", [(4, 6), (0, 6)])
def test_a_constructor_refuses_what_torchs_does(arguments):
    for module in (nn, bridge):
        with pytest.raises((ValueError, ZeroDivisionError)):
            module.GroupNorm(*arguments)


def test_bfloat16_without_ml_dtypes(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(BackendError, match=r"x has dtype bfloat16.* pip install ml_dtypes"):
        bridge.GroupNorm(2, 6)(torch.ones(2, 6, dtype=torch.bfloat16))


def test_running_statistics_under_vmap_are_refused():
    layer = bridge.BatchNorm1d(6)
    with pytest.raises(
        RuntimeError, match=r"running statistics cannot follow a batch that torch\.vmap takes apart"
    ):
        torch.func.vmap(layer)(torch.randn(3, 4, 6))
    assert torch.equal(layer.running_mean, torch.zeros(6))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_tensor():
    x = torch.nested.nested_tensor([torch.ones(2, 6), torch.ones(1, 6)])
    with pytest.raises(TypeError, match=r"x is a nested tensor of float32 that NumPy cannot read"):
        bridge.GroupNorm(2, 6)(x)


@pytest.mark.parametrize("layer", [bridge.BatchNorm1d(6), bridge.InstanceNorm1d(6), bridge.RMSNorm(6)])
@pytest.mark.parametrize("x", [None, 3])
def test_an_x_that_is_no_tensor(layer, x):
    with pytest.raises(TypeError, match=rf"x has type {type(x).__name__}; expected a torch\.Tensor"):
        layer(x)


@pytest.mark.parametrize("momentum", ["a", torch.ones(2), torch.tensor(1j)])
def test_a_momentum_that_is_no_number(momentum):
    layer = bridge.BatchNorm1d(6)
    layer.momentum = momentum
    with pytest.raises(TypeError, match=r"momentum is .*; expected a number"):
        layer(torch.randn(3, 6))
    assert torch.equal(layer.running_mean, torch.zeros(6))


def test_a_momentum_in_a_tensor_is_a_number():
    layers = [module.BatchNorm1d(6, momentum=torch.tensor(0.5)) for module in (bridge, nn)]
    x = torch.randn(3, 6)
    for layer in layers:
        layer(x)
    torch.testing.assert_close(layers[0].running_mean, layers[1].running_mean)


def test_statistics_that_cannot_be_written_are_told_by_pytorch():
    one = torch.zeros(1).expand(6)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        functional.batch_norm(torch.randn(3, 6), one, one + 1, training=True)


C = torch.ones(6)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("x", "mean", "var", "error", "told"),
    [
        ([1.0], C, C, TypeError, "x has type list; expected a torch.Tensor"),
        (torch.ones(2, 6), [1.0], C, TypeError, "running_mean has type list; expected a torch.Tensor"),
        (torch.ones(2, 6), C, C.long(), TypeError, "running_var has dtype int64; expected one of float16"),
        (torch.ones(6), C, C, ShapeError, r"x .*\(6,\)"),
    ],
)
def test_running_statistics_that_will_not_do(training, x, mean, var, error, told):
    with pytest.raises(error, match=told):
        functional.batch_norm(x, mean, var, training=training)


def test_a_normalized_shape_that_is_a_number():
    x = torch.randn(3, 6)
    for norm in (functional.layer_norm, functional.rms_norm):
        assert torch.equal(norm(x, 6), norm(x, (6,)))
        with pytest.raises(ShapeError, match="normalized_shape is 5; expected"):
            norm(x, 5)


def test_running_statistics_in_evaluation_must_be_there():
    with pytest.raises(TypeError, match="running_mean is None; expected an array of shape"):
        functional.batch_norm(torch.randn(3, 6), None, None)


@pytest.mark.filterwarnings("ignore:input's size at dim")  # torch.nn's own
@pytest.mark.parametrize("module", [nn, bridge])
@pytest.mark.parametrize("name", ["BatchNorm2d", "InstanceNorm2d"])
def test_another_number_of_channels_is_refused_and_moves_nothing(module, name):
    layer = getattr(module, name)(3, affine=False, track_running_stats=True)
    with pytest.raises((ValueError, RuntimeError), match=r"running_mean") as raised:
        layer(torch.randn(4, 6, 3, 3))
    if module is bridge:
        assert "running_mean has shape (3,); expected (6,)" in str(raised.value)
    assert torch.equal(layer.running_mean, torch.zeros(3))


@pytest.mark.parametrize("training", [True, False])
def test_a_lone_running_statistic_is_refused(training):
    layer = bridge.BatchNorm2d(3).train(training)
    layer.running_mean = None
    with pytest.raises(ValueError, match="running_mean is None and running_var is not"):
        layer(torch.randn(4, 3, 3, 3))


@pytest.mark.parametrize("training", [True, False])
def test_running_statistics_have_no_gradient(training):
    layer = bridge.BatchNorm2d(3).train(training)
    layer.running_mean.requires_grad_()
    with pytest.raises(ValueError, match="running_mean requires a gradient, and has none"):
        layer(torch.randn(4, 3, 3, 3))
