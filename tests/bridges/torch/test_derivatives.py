"""Derivatives of every order and mode: PyTorch's own checks, and formulas in PyTorch's operations."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("gnref.bridges.torch")

from formulas import FORMULAS, NORMS, parameter_shape  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import func  # noqa: E402
from torch.autograd import forward_ad, gradcheck, gradgradcheck  # noqa: E402
from torch.autograd.functional import hessian, jacobian  # noqa: E402

SHAPE = (3, 4, 2, 3)
PRESENT = {
    "weight, bias": (True, True),
    "weight": (True, False),
    "bias": (False, True),
    "neither": (False, False),
}


def draw(norm, shape, seed, present=(True, True), spread=1.0, offset=0.0):
    """x, weight, bias, and a direction of each with one of y; random, in float64."""
    generator = torch.Generator().manual_seed(seed)

    def random(size):
        return torch.randn(size, generator=generator, dtype=torch.float64)

    present = (present[0], present[1] and norm != "rms")
    x = random(shape) * spread + offset
    params = [random(parameter_shape(norm, shape)) if there else None for there in present]
    dots = [random(shape), *(None if p is None else random(p.shape) for p in params)]
    return (x, *params), dots, random(shape)


def leaves(arrays):
    return tuple(None if a is None else a.clone().requires_grad_() for a in arrays)


def close(found, expected, rtol=1e-6):
    """Within rtol of the largest number of each."""
    for a, b in zip(found, expected, strict=True):
        if a is None or b is None:
            assert a is b
            continue
        torch.testing.assert_close(a, b, rtol=0, atol=rtol * max(b.abs().max().item(), 1e-3))


@pytest.mark.parametrize("present", PRESENT)
@pytest.mark.parametrize("norm", NORMS)
def test_gradcheck_forward_and_backward(norm, present):
    inputs = leaves(draw(norm, SHAPE, 0, PRESENT[present])[0])
    assert gradcheck(NORMS[norm], inputs, check_forward_ad=True)


@pytest.mark.parametrize("present", PRESENT)
@pytest.mark.parametrize("norm", NORMS)
def test_gradgradcheck_reverse_and_forward_over_reverse(norm, present):
    inputs = leaves(draw(norm, SHAPE, 1, PRESENT[present])[0])
    assert gradgradcheck(NORMS[norm], inputs, check_fwd_over_rev=True, check_rev_over_rev=True)


def first(function, inputs, dy, **options):
    """dx, dweight and dbias; None for what is absent."""
    there = [a for a in inputs if a is not None]
    found = iter(torch.autograd.grad(function(*inputs), there, dy, **options))
    return [None if a is None else next(found) for a in inputs]


def second(function, inputs, dy, dots):
    """The gradients by dy and all inputs of the product of the first ones with directions."""
    inputs, dy = leaves(inputs), dy.clone().requires_grad_()
    grads = first(function, inputs, dy, create_graph=True)
    total = sum((g * d).sum() for g, d in zip(grads, dots, strict=True) if d is not None)
    there = [dy, *(a for a in inputs if a is not None)]
    return torch.autograd.grad(total, there, allow_unused=True, materialize_grads=True)


def tangent(function, inputs, dots):
    """y_dot."""
    with forward_ad.dual_level():
        dual = [None if a is None else forward_ad.make_dual(a, d) for a, d in zip(inputs, dots, strict=True)]
        return forward_ad.unpack_dual(function(*dual)).tangent


problems = st.fixed_dictionaries(
    {
        "shape": st.tuples(
            st.integers(2, 4), st.sampled_from((2, 4, 6)), st.integers(1, 4), st.integers(2, 4)
        ),
        "seed": st.integers(0, 2**32),
        "present": st.sampled_from(list(PRESENT.values())),
        "spread": st.sampled_from((0.1, 1.0, 30.0)),
        "offset": st.sampled_from((0.0, -3.0, 100.0)),
    }
)


@pytest.mark.parametrize("norm", NORMS)
@given(problem=problems)
def test_first_and_second_derivatives_and_forward_mode_equal_those_of_the_formula(norm, problem):
    inputs, dots, dy = draw(norm, **problem)
    own, formula = NORMS[norm], FORMULAS[norm]
    close(first(own, leaves(inputs), dy), first(formula, leaves(inputs), dy))
    close(second(own, inputs, dy, dots), second(formula, inputs, dy, dots))
    close([tangent(own, inputs, dots)], [tangent(formula, inputs, dots)])


def loss(function, c):
    return lambda *inputs: ((y := function(*inputs)) * c).sum() + (y**3).sum()


# What torch.func makes of a norm f, at (x, w, b), with directions v and z of x and r of w.
TRANSFORMS = {
    "grad": lambda f, x, w, b, v, r, z: func.grad(loss(f, z), (0, 1, 2))(x, w, b),
    "hessian": lambda f, x, w, b, v, r, z: func.hessian(loss(f, z), (0, 1, 2))(x, w, b),
    "jacfwd": lambda f, x, w, b, v, r, z: func.jacfwd(f, (0, 1, 2))(x, w, b),
    "jacrev": lambda f, x, w, b, v, r, z: func.jacrev(f, (0, 1, 2))(x, w, b),
    "forward over forward": lambda f, x, w, b, v, r, z: func.jvp(
        lambda x, w: func.jvp(lambda x, w: f(x, w, b), (x, w), (v, r))[1], (x, w), (z, 2 * r)
    ),
    "reverse over forward": lambda f, x, w, b, v, r, z: func.grad(
        lambda x, w: (func.jvp(lambda x, w: f(x, w, b), (x, w), (v, r))[1] ** 2).sum(), (0, 1)
    )(x, w),
    "third, reverse": lambda f, x, w, b, v, r, z: func.grad(
        lambda x, w: (func.grad(lambda x: (func.grad(loss(f, z))(x, w, b) * v).sum())(x) ** 2).sum(), (0, 1)
    )(x, w),
    "third, forward over a Hessian": lambda f, x, w, b, v, r, z: func.jvp(
        lambda w: func.hessian(lambda x: loss(f, z)(x, w, b))(x), (w,), (r,)
    ),
    "third, reverse over a Hessian": lambda f, x, w, b, v, r, z: func.grad(
        lambda x: (func.hessian(lambda x: loss(f, z)(x, w, b))(x) * v[..., None, None, None, None] * x).sum()
    )(x),
    "vmap over x": lambda f, x, w, b, v, r, z: func.vmap(f, (1, None, None))(
        torch.stack([x, 2 * x, v], 1), w, b
    ),
    "vmap over weight and bias": lambda f, x, w, b, v, r, z: func.vmap(f, (None, 0, 0))(
        x, torch.stack([w, r]), torch.stack([b, 2 * b])
    ),
    "vmap of grad": lambda f, x, w, b, v, r, z: func.vmap(func.grad(loss(f, z), (0, 1, 2)), (0, None, 0))(
        torch.stack([x, v]), w, torch.stack([b, 2 * b])
    ),
    "grad of vmap": lambda f, x, w, b, v, r, z: func.grad(
        lambda x, w, b: (func.vmap(f, (0, None, None))(x, w, b) ** 3).sum(), (0, 1, 2)
    )(torch.stack([x, v]), w, b),
    "vmap of jvp": lambda f, x, w, b, v, r, z: func.vmap(
        lambda x, v: func.jvp(lambda x: f(x, w, b), (x,), (v,))
    )(torch.stack([x, v]), torch.stack([v, z])),
}


def flat(found):
    return [found] if isinstance(found, torch.Tensor) else [a for part in found for a in flat(part)]


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("norm", NORMS)
def test_torch_func_transforms_it_as_the_formula(norm, transform):
    (x, w, _), (v, r, _), z = draw(norm, (2, 4, 2, 2), 5)
    b = torch.linspace(-1, 1, w.numel(), dtype=w.dtype).reshape(w.shape)
    # RMSNorm has no bias: one is added here, that its derivatives do not go through.
    own, formula = (
        (lambda x, w, b, f=f[norm]: f(x, w, None) + b.sum()) if norm == "rms" else f[norm]
        for f in (NORMS, FORMULAS)
    )
    found, expected = (TRANSFORMS[transform](f, x, w, b, v, r, z) for f in (own, formula))
    close(flat(found), flat(expected), rtol=1e-10)


def test_vmap_over_no_example_says_so():
    with pytest.raises(ValueError, match=r"torch\.vmap over an axis of size 0"):
        func.vmap(lambda x: NORMS["group"](x, None, None))(torch.ones(0, 2, 4))


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # PyTorch's own, of vectorize=True
@pytest.mark.parametrize("mode", ["reverse-mode", "forward-mode"])
@pytest.mark.parametrize("norm", NORMS)
def test_vectorized_jacobians_and_hessians_are_those_taken_one_by_one(norm, mode):
    (x, w, b), _, z = draw(norm, (3, 4, 1, 3), 9)  # an odd number of examples

    def f(x, w):
        return NORMS[norm](x, w, b).sin()

    def total(x, w):
        return (f(x, w) * z).sum()

    expected = jacobian(f, (x, w))
    close(jacobian(f, (x, w), vectorize=True, strategy=mode), expected, 1e-12)
    expected = hessian(total, (x, w))
    found = hessian(total, (x, w), vectorize=True, outer_jacobian_strategy=mode)
    close(flat(found), flat(expected), 1e-12)


def test_gradients_in_a_batch():
    (x, w, b), _, _ = draw("group", SHAPE, 3)
    inputs = leaves((x, w, b))
    y = NORMS["group"](*inputs)
    dys = torch.stack([draw("group", SHAPE, seed)[2] for seed in range(3)])
    found = torch.autograd.grad(y, inputs, dys, is_grads_batched=True, retain_graph=True)
    expected = zip(*(torch.autograd.grad(y, inputs, dy, retain_graph=True) for dy in dys), strict=True)
    close(found, [torch.stack(each) for each in expected], 1e-12)


def test_gradient_penalty_in_float32_follows_the_formula_in_float64():
    inputs, _, dy = draw("group", (4, 6, 5, 5), 7)
    found = []
    for function, dtype in ((NORMS["group"], torch.float32), (FORMULAS["group"], torch.float64)):
        x, w, b = leaves([a.to(dtype) for a in inputs])
        (dx,) = torch.autograd.grad(function(x, w, b), x, dy.to(dtype), create_graph=True)
        ((dx**2).sum().sqrt() - 1).square().backward()
        assert b.grad is None
        found.append([x.grad.double(), w.grad.double()])
    close(*found, rtol=1e-5)
