"""Models as functions of their parameters and buffers: ensembles, and gradients for each example."""

import copy

import pytest

torch = pytest.importorskip("torch")
nn, func = torch.nn, torch.func

bridge = pytest.importorskip("gnref.bridges.torch")


def model(seed):
    torch.manual_seed(seed)
    made = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.SiLU(), nn.GroupNorm(2, 8), nn.Flatten(1))
    made(torch.randn(4, 3, 6, 6) * 2 + 1)  # running statistics that are not those of no batch
    return made.double()


def both(training, number=1):
    """Models with torch.nn's norms, and the same with gnref's."""
    native = [model(seed).train(training) for seed in range(number)]
    return native, [bridge.convert(copy.deepcopy(one)) for one in native]


def images():
    return torch.randn(5, 3, 6, 6, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


@pytest.mark.parametrize("training", [True, False])
def test_an_ensemble(training):
    results = []
    for models in both(training, 3):
        parameters, buffers = func.stack_module_state(models)
        base = copy.deepcopy(models[0]).to("meta")

        def run(own, kept, x, base=base):
            return func.functional_call(base, (own, kept), (x,))

        y = func.vmap(run, (0, 0, None))(parameters, buffers, images())
        results.append({"y": y} | buffers)
    native, own = results
    assert own["1.running_mean"].shape == (3, 8)
    for name, value in native.items():
        torch.testing.assert_close(own[name], value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("each", [True, False])
def test_gradients_in_evaluation(each):
    results = []
    for (one,) in both(training=False):
        parameters = {name: value.detach() for name, value in one.named_parameters()}

        def loss(own, kept, x, one=one):
            return func.functional_call(one, (own, kept), (x,)).square().sum()

        run = func.grad(loss)
        x = images()[:, None] if each else images()
        run = func.vmap(run, (None, None, 0)) if each else run
        results.append(run(parameters, dict(one.named_buffers()), x))
    native, own = results
    for name, value in native.items():
        torch.testing.assert_close(own[name], value, rtol=1e-9, atol=1e-10)


def test_gradients_in_training_move_the_statistics():
    results = []
    for (one,) in both(training=True):
        parameters = {name: value.detach() for name, value in one.named_parameters()}

        def loss(own, kept, x, one=one):
            return func.functional_call(one, (own, kept), (x,)).square().sum()

        kept = {name: value.clone() for name, value in one.named_buffers()}
        results.append(func.grad(loss)(parameters, kept, images()) | kept)
        assert not torch.equal(kept["1.running_mean"], one[1].running_mean)
    native, own = results
    for name, value in native.items():
        torch.testing.assert_close(own[name], value, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["running_mean", "running_var", "weight", "bias"])
@pytest.mark.parametrize("training", [True, False])
def test_one_of_them_mapped_over(training, name):
    x, values = torch.randn(5, 8, 2, 2), torch.rand(3, 8) + 0.5
    results = []
    for module in (nn, bridge):
        layer = module.BatchNorm2d(8).train(training)

        def run(value, layer=layer):
            return func.functional_call(layer, {name: value}, (x,))

        # Of two statistics, torch.nn does not move the one that is not mapped over.
        kept = [] if name.startswith("running") else layer.buffers()
        results.append([func.vmap(run)(values), *kept])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["running_mean", "running_var"])
def test_one_of_them_mapped_over_with_x(name):
    x, values = torch.randn(3, 5, 8, 2, 2), torch.rand(3, 8) + 0.5
    results = []
    for module in (nn, bridge):
        layer = module.BatchNorm2d(8).eval()
        results.append(
            func.vmap(lambda value, x, a=layer: func.functional_call(a, {name: value}, (x,)))(values, x)
        )
    torch.testing.assert_close(*results)


def test_running_statistics_have_no_tangent():
    x, mean, var = torch.randn(5, 8), torch.zeros(8), torch.ones(8)
    for f in (bridge.functional.batch_norm, nn.functional.batch_norm):
        moved = func.jvp(lambda m, v, f=f: f(x, m, v), (mean, var), (mean + 1, var))[1]
        assert torch.equal(moved, torch.zeros_like(x))


def test_one_set_of_statistics_for_many_examples_is_refused():
    layer = bridge.BatchNorm2d(8)

    def run(kept, x):
        return func.functional_call(layer, kept, (x,))

    with pytest.raises(RuntimeError, match=r"running statistics cannot follow a batch that torch\.vmap"):
        func.vmap(run, (None, 0))(dict(layer.named_buffers()), torch.randn(3, 2, 8, 4, 4))
