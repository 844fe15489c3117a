import innocents
import kernels
import numpy as np
import pytest

import gnref
from gnref.errors import BackendError
from gnref.testing import PROPERTIES, check
from gnref.testing.check import checker_of

FEW = {"max_examples": 5}


def answer(name, forward, backward=None, *, max_examples=20, dtypes=("float32",), **words):
    """What comes of one property."""
    checker, pairs = checker_of(None, forward, backward, max_examples=max_examples, dtypes=dtypes, **words)
    return checker.ask(PROPERTIES[name], pairs)


def test_a_right_kernel_is_not_accused():
    report = check(kernels.right, kernels.backward, norm="group", **FEW)
    assert report.ok
    assert report.failed == []
    assert set(report.dtypes) == {"float32", "float64", "float16", "bfloat16"}
    assert report.grades["float32"].accuracy == "B"
    assert report.grades["float32"].range == 1e15, "its squares overflow"
    assert report.batch_invariant
    assert report.not_exercised == ["channels last is a transpose", "a wrong num_groups is refused"]


def test_a_cancelling_variance_gets_an_f_and_a_small_counterexample():
    report = check(kernels.cancelling, norm="group", dtypes=("float32",), max_examples=30)
    assert "error grows like the offset at most" in report.failed
    assert report.grades["float32"].accuracy == "F"
    assert report.smallest.counterexample.x.size <= 8


def test_without_a_backward_its_laws_are_not_asked():
    report = check(lambda *a, **k: kernels.right(*a, **k)[0], norm="group", dtypes=("float32",), **FEW)
    assert report.ok
    assert {"gradients equal exact fractions", "saved statistics equal exact"} <= set(report.not_exercised)


def test_a_declared_domain_is_kept_and_told():
    limits = {"ranks": (4,), "channel_multiple": 4, "affine_required": True, "dtypes": ("float32",)}
    report = check(kernels.narrow, kernels.backward, norm="group", supports=limits, **FEW)
    assert report.ok
    assert report.excluded > 0.8
    assert "absent parameters are 1 and 0" in report.not_exercised
    assert not check(kernels.narrow, kernels.backward, norm="group", **FEW).ok


def test_a_function_may_declare_the_domain():
    report = check(kernels.narrow, norm="group", supports=lambda problem: problem.rank < 1, **FEW)
    assert not report.ok, "nothing was checked"
    assert report.excluded == 1
    assert {result.status for result in report.results} <= {"unsupported", "not asked"}


def test_a_narrow_domain_does_not_buy_a_green_report():
    report = check(kernels.right_y, norm="group", supports=lambda problem: problem.shape[1] % 32 == 0, **FEW)
    assert not report.failed
    assert not report.ok
    assert "too little was exercised" in report.summary()
    named = check(kernels.right_y, norm="group", dtypes="float32", supports={"channel_multiple": 32}, **FEW)
    assert named.ok
    assert named.excluded > 0.9


def test_a_domain_of_the_smallest_problems():
    report = check(kernels.right_y, norm="group", supports=lambda problem: problem.x.size <= 1, **FEW)
    assert not report.failed


@pytest.mark.parametrize("answer", [np.float32(1), 1.0, "hello", None])
def test_an_answer_that_is_no_array_is_a_finding(answer):
    report = check(lambda *a, **k: answer, norm="group", dtypes=("float32",), **FEW)
    assert "dtype and shape preserved" in report.failed


def test_only_what_is_at_fault_fails():
    def without_bias_alone(x, num_groups, weight, bias, eps):
        if weight is None and bias is not None:
            raise RuntimeError("no weight")
        return kernels.right(x, num_groups, weight, bias, eps)

    report = check(without_bias_alone, kernels.backward, norm="group", dtypes=("float32",), max_examples=30)
    assert report.failed == ["every call returns"]
    assert report.results[0].reason == "raises RuntimeError: no weight"


def test_a_kernel_that_writes_to_its_input_fails_that_alone():
    def in_place(x, num_groups, weight, bias, eps):
        found = kernels.right(x.copy(), num_groups, weight, bias, eps)
        x[...] = 0
        return found

    report = check(in_place, kernels.backward, norm="group", dtypes=("float32",), **FEW)
    assert report.failed == ["inputs are unchanged"]


def test_a_bug_in_16_bits_hides_none_in_float32():
    def forward(x, num_groups, weight, bias, eps):
        y, mean, rstd = kernels.right(x, num_groups, weight, bias, eps)
        return y * (1.01 if x.dtype == np.float16 else 1 if x.size < 12 else 1.001), mean, rstd

    dtypes = ("float32", "float64", "float16")
    result = answer("y equals exact fractions", forward, norm="group", max_examples=10, dtypes=dtypes)
    assert result.fails_in == ("float32", "float16")
    assert result.counterexample.dtype == "float32"
    assert 12 <= result.counterexample.x.size <= 16


def test_a_crash_seen_by_another_property_is_shrunk():
    def forward(x, weight, bias, eps):
        if max(x.shape[2:], default=0) > 60:
            raise RuntimeError("too long")
        return innocents.innocent("instance", "numpy")[0](x, weight, bias, eps)[0]

    report = check(forward, norm="instance", dtypes=("float32",), max_examples=10)
    assert report.failed == ["every call returns"]
    assert report.results[0].counterexample.x.size <= 65


def test_an_eps_that_is_built_in_is_declared():
    def forward(x, num_groups, weight, bias, eps):
        return kernels.right(x, num_groups, weight, bias, 1e-5)

    words = {"norm": "group", "dtypes": ("float32",), **FEW}
    report = check(forward, supports={"eps": 1e-5}, **words)
    assert report.ok
    assert report.grades["float32"].accuracy == "B"
    assert report.excluded > 0.5
    assert "y equals exact fractions" in check(forward, **words).failed


def test_a_variance_that_cancels_in_channels_last_memory_alone_is_graded():
    def forward(x, num_groups, weight, bias, eps):
        last = x.ndim > 2 and min(x.shape) > 1 and x.strides[1] == x.itemsize
        return (kernels.cancelling if last else kernels.right_y)(x, num_groups, weight, bias, eps)

    report = check(forward, norm="group", dtypes=("float32",), max_examples=40)
    assert report.grades["float32"].accuracy == "F"
    assert "error grows like the offset at most" in report.failed
    contiguous = check(forward, norm="group", dtypes=("float32",), supports={"contiguous": True}, **FEW)
    assert contiguous.ok
    assert "f(view) = f(copy)" in contiguous.not_exercised


def test_a_state_from_the_last_call_is_found():
    last = []

    def forward(x, normalized_shape, weight, bias, eps):
        y, mean, rstd = kernels.layer_forward(x, normalized_shape, weight, bias, eps)
        last[:] = [mean, rstd]
        return y

    def backward(dy, x, normalized_shape, weight, bias, eps):
        return kernels.layer_backward(dy, x, *last, normalized_shape, weight, bias, eps)

    report = check(forward, backward, norm="layer", dtypes=("float32",), **FEW)
    assert "forward passes do not mix" in report.failed


def test_channels_last_are_asked_where_they_are_named():
    both = ("channels_first", "channels_last")
    forward, backward = kernels.textbook.functions("group")
    report = check(forward, backward, norm="group", layouts=both, dtypes=("float32",), **FEW)
    assert report.ok
    assert report.not_exercised == ["a wrong num_groups is refused"]


def test_grades_can_be_required():
    few = {"norm": "group", "dtypes": ("float32",), "max_examples": 20}
    report = check(kernels.right, kernels.backward, require={"accuracy": "A"}, **few)
    assert report.failed == ["error grows like the offset at most"]
    report = check(kernels.right, kernels.backward, require={"range": 1e12}, **few)
    assert report.ok
    report = check(kernels.right, kernels.backward, require={"range": 1e18}, **few)
    assert report.failed == ["scales of x"]


def test_a_wrong_num_groups_is_asked_where_it_is_required():
    def unchecked(x, num_groups, weight, bias, eps):
        if x.shape[1] % num_groups:
            return x
        return kernels.right(x, num_groups, weight, bias, eps)

    few = {"norm": "group", "dtypes": ("float32",), "max_examples": 10}
    report = check(unchecked, kernels.backward, **few)
    assert report.ok
    assert "a wrong num_groups is refused" in report.not_exercised
    report = check(unchecked, kernels.backward, require={"validation": "raises"}, **few)
    assert report.failed == ["a wrong num_groups is refused"]


def test_the_same_bits_in_any_batch_can_be_required():
    few = {"norm": "layer", "dtypes": ("float32",), "max_examples": 20}
    report = check(kernels.by_block, **few)
    assert report.ok
    assert report.batch_invariant is False
    report = check(kernels.by_block, require={"batch_invariance": "bits"}, **few)
    assert report.failed == ["f(x)[i] = f(x[i:i+1])"]


def test_bits_that_a_single_example_does_not_show_are_asked_where_they_are_required():
    few = {"norm": "layer", "dtypes": ("float32",), "max_examples": 1}
    assert check(kernels.by_block, **few).ok
    report = check(kernels.by_block, require={"batch_invariance": "bits"}, **few)
    assert report.failed == ["f(x)[i] = f(x[i:i+1])"]


@pytest.mark.parametrize(
    ("require", "name"),
    [({"accuracy": "A"}, "error grows like the offset at most"), ({"range": 1e18}, "scales of x")],
)
def test_a_required_grade_that_nothing_shows_is_a_failure(require, name):
    def ungraded(problem):
        return problem.shape[0] != 2

    words = {"norm": "group", "dtypes": ("float32",), "max_examples": 1}
    report = check(kernels.right_y, supports=ungraded, require=require, **words)
    assert not report.grades
    assert report.failed == [name]
    assert next(r.reason for r in report.results if r.status == "failed").startswith(
        "not shown, and require["
    )
    assert not check(kernels.right_y, supports=ungraded, **words).failed, "nobody required it"

    def steady(x, num_groups, weight, bias, eps):
        return gnref.group_norm(x, num_groups, weight, bias, eps=eps, backend="reference")

    assert check(steady, require=require, **words).ok, "a grade shows it"


def test_pairs_of_dtypes():
    report = check(
        kernels.right, kernels.backward, norm="group", dtypes=[("float16", "float32"), "float64"], **FEW
    )
    assert report.dtypes == {"float16": ("float32",), "float64": ("float64",)}


def test_equal_seeds_find_equal_counterexamples():
    few = {"norm": "group", "dtypes": ("float32",), "max_examples": 10}
    one, two = (check(kernels.cancelling, seed=3, **few).smallest.snippet for _ in range(2))
    assert one == two


def test_a_snippet_of_a_named_function_runs(capsys):
    report = check(kernels.cancelling, norm="group", dtypes=("float32",), max_examples=20)
    exec(report.smallest.snippet, {})
    assert float(capsys.readouterr().out) > 1


@pytest.mark.parametrize("arrays", ["torch", "jax"])
def test_one_differentiable_function_is_enough(arrays):
    library = pytest.importorskip(arrays)
    xp = library if arrays == "torch" else pytest.importorskip("jax.numpy")

    def forward(x, normalized_shape, weight, bias, eps):
        axes = tuple(range(-len(normalized_shape), 0))
        d = x - x.mean(axes, keepdims=True)
        y = d / xp.sqrt((d * d).mean(axes, keepdims=True) + eps)
        y = y if weight is None else y * weight
        return y if bias is None else y + bias

    checker, pairs = checker_of(
        None, forward, norm="layer", arrays=arrays, dtypes=("float32",), max_examples=3
    )
    result = checker.ask(PROPERTIES["gradients equal exact fractions"], pairs)
    assert (result.status, result.examples) == ("passed", 6), result.reason


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"norm": "grup"}, ValueError, "norm is 'grup'; expected one of batch, instance, group, layer, rms"),
        ({"arrays": "lists"}, ValueError, "arrays is 'lists'; expected one of numpy, torch, cupy, jax"),
        ({"dtypes": ("int8",)}, ValueError, "dtypes is 'int8'; expected one of float64"),
        ({"layouts": ("last",)}, ValueError, "layouts is 'last'; expected one of channels_first"),
        ({"dtypes": ()}, ValueError, "dtypes is (); expected one or more"),
        ({"dtypes": (("float16", "float32", "x"),)}, ValueError, "expected a name, or a pair of names"),
        ({"layouts": ()}, ValueError, "layouts is (); expected one or more"),
        ({"max_examples": 0}, ValueError, "max_examples is 0; expected a positive number"),
        ({"max_examples": 1.5}, ValueError, "max_examples is 1.5; expected a positive number"),
        ({"timeout": 0}, ValueError, "timeout is 0; expected a positive number"),
        ({"require": "A"}, ValueError, "require is 'A'; expected a dict of grades"),
        ({"supports": {"ranks": ("4",)}}, ValueError, "supports['ranks'] is ('4',); expected int values"),
        ({"supports": {"ranks": ()}}, ValueError, "supports['ranks'] is (); expected int values"),
        ({"supports": lambda p: p.nosuch}, ValueError, "supports raises AttributeError for Problem("),
        ({"supports": {"rank": 4}}, ValueError, "supports has the key 'rank'; expected ranks"),
        ({"supports": 4}, TypeError, "supports is 4; expected a function"),
        ({"require": {"speed": 1}}, ValueError, "a key of require is 'speed'; expected one of accuracy"),
        (
            {"require": {"second_order": 2}},
            ValueError,
            "require['second_order'] is 2; expected one of exact, any",
        ),
        (
            {"require": {"second_order": "exact"}},
            ValueError,
            "expected a forward pass that PyTorch or JAX diff",
        ),
        ({"require": {"accuracy": "C"}}, ValueError, "require['accuracy'] is 'C'"),
        ({"require": {"range": 0}}, ValueError, "require['range'] is 0; expected a number from 1"),
        ({"device": "cuda"}, ValueError, "device is 'cuda'; expected None: numpy arrays have no device"),
        ({"backward": 3}, TypeError, "backward is 3; expected a function"),
    ],
)
def test_bad_input_is_one_sentence(words, error, message):
    with pytest.raises(error) as raised:
        check(kernels.right, **({"norm": "group"} | words))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr("gnref.testing.targets.libraries.find_spec", lambda name: None)
    with pytest.raises(BackendError, match="torch is not installed; try: pip install torch"):
        check(kernels.right, norm="group", arrays="torch")


def test_isolated_or_not_the_report_is_the_same():
    few = {"norm": "group", "dtypes": ("float32",), "max_examples": 4}
    near, far = (check(kernels.right, kernels.backward, isolate=isolate, **few) for isolate in (False, True))
    assert [(r.property, r.status, r.worst) for r in near.results] == [
        (r.property, r.status, r.worst) for r in far.results
    ]
    assert np.isclose(near.grades["float32"].errors[0.0], far.grades["float32"].errors[0.0])


def torch_layer_norm(x, normalized_shape, weight, bias, eps):
    import torch

    return torch.nn.functional.layer_norm(x, normalized_shape, weight, bias, eps=eps)


def test_another_path_where_gradients_are_recorded_is_found():
    torch = pytest.importorskip("torch")

    def forward(x, *arguments, eps):
        y = torch_layer_norm(x, *arguments, eps)
        return y + 1 if torch.is_grad_enabled() else y

    name = "y is the same where differentiated"
    assert answer(name, forward, norm="layer", arrays="torch").status == "failed"
    assert answer(name, torch_layer_norm, norm="layer", arrays="torch").status == "passed"


def test_a_gradient_that_needs_another_is_found():
    torch = pytest.importorskip("torch")

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, normalized_shape, weight, bias, eps):
            ctx.args = (normalized_shape, eps)
            ctx.save_for_backward(x, weight, bias)
            return torch_layer_norm(x, normalized_shape, weight, bias, eps)

        @staticmethod
        def backward(ctx, dy):
            arrays = [None if a is None else a.detach().requires_grad_() for a in ctx.saved_tensors]
            wanted = [a for a in arrays if a is not None]
            with torch.enable_grad():
                y = torch_layer_norm(arrays[0], ctx.args[0], *arrays[1:], ctx.args[1])
            found = iter(torch.autograd.grad(y, wanted, dy))
            dx, dweight, dbias = (None if a is None else next(found) for a in arrays)
            if dbias is not None and not ctx.needs_input_grad[0]:
                dbias = dbias * 0
            return dx, None, dweight, dbias, None

    def forward(x, normalized_shape, weight, bias, eps):
        return Function.apply(x, normalized_shape, weight, bias, eps)

    name = "some gradients alone equal all"
    assert answer(name, forward, norm="layer", arrays="torch").status == "failed"
    assert answer(name, torch_layer_norm, norm="layer", arrays="torch").status == "passed"


def test_16_bits_that_are_not_taken_are_told():
    def forward(x, num_groups, weight, bias, eps):
        y = kernels.right_y(x, num_groups, weight, bias, eps)
        return y.astype(np.float32) if x.dtype.itemsize == 2 else y

    report = check(forward, norm="group", **FEW)
    assert report.ok
    assert set(report.not_taken) == {"float16", "bfloat16"}
    assert report.not_taken["float16"] == "y comes in float32"
    assert "float16 and bfloat16 not taken" in report.summary()


def test_an_infinity_that_is_clipped_is_found():
    def forward(x, num_groups, weight, bias, eps):
        return kernels.right_y(np.clip(x, -3e38, 3e38), num_groups, weight, bias, eps)

    assert answer("NaN stays in its set", forward, norm="group").status == "failed"
    assert answer("NaN stays in its set", kernels.right_y, norm="group").status == "passed"


def test_a_kernel_that_takes_no_read_only_array_is_found():
    def forward(x, num_groups, weight, bias, eps):
        if not x.flags.writeable:
            raise ValueError("buffer source array is read-only")
        return kernels.right_y(x, num_groups, weight, bias, eps)

    assert answer("every call returns", forward, norm="group").status == "failed"
    contiguous = answer("every call returns", forward, norm="group", supports={"contiguous": True})
    assert contiguous.status == "passed"


def test_a_bug_that_needs_two_large_axes_is_found():
    def backward(dy, x, num_groups, weight, bias, eps):
        dx, dweight, dbias = kernels.backward_of_x(dy, x, num_groups, weight, bias, eps)
        if x.shape[0] >= 32 and x.shape[1] >= 32 and dweight is not None:
            dweight[32:] = 0
        return dx, dweight, dbias

    name = "tiles on every axis equal autograd"
    result = answer(name, kernels.right_y, backward, norm="group", max_examples=40)
    assert result.status == "failed"
    assert min(result.counterexample.shape[:2]) >= 32
    assert answer(name, kernels.right_y, kernels.backward_of_x, norm="group").status == "passed"
