"""torch.compile: the graph breaks at a norm, results stay, and what is around it is compiled."""

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

bridge = pytest.importorskip("gnref.bridges.torch")


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.batch = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.group, self.last = nn.GroupNorm(2, 8), nn.Linear(6, 4)

    def forward(self, x):
        x = self.batch(self.first(x)).relu()
        return self.last(x + self.group(x).sin()).cos()


@pytest.mark.filterwarnings("ignore")  # of the compiler's own
def test_a_compiled_model_gives_what_the_model_gives():
    torch.manual_seed(0)
    eager = bridge.convert(Model())
    compiled, graphs = Model(), []
    compiled.load_state_dict(eager.state_dict())
    bridge.convert(compiled)

    def backend(graph, _):
        graphs.append([node.target for node in graph.graph.nodes if node.op.startswith("call")])
        return graph.forward

    run = torch.compile(compiled, backend=backend)
    for training in (True, True, False):
        eager.train(training), compiled.train(training)
        x = torch.randn(4, 3, 8, 8)
        found, expected = run(x), eager(x)
        torch.testing.assert_close(found, expected)
        for model, y in ((eager, expected), (compiled, found)):
            model.zero_grad()
            y.square().sum().backward()
        for a, b in zip(compiled.parameters(), eager.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad)
    assert torch.equal(compiled.batch.running_var, eager.batch.running_var)
    called = {getattr(target, "__name__", target) for graph in graphs for target in graph}
    assert {"conv2d", "sin", "cos"} <= called  # on both sides of the norms
