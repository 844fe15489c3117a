"""One forward and one backward pass for all norms: check, fold into slots, run a kernel, unfold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from array_api_compat import is_cupy_array, is_torch_array

from gnref import dispatch
from gnref.arguments import NEEDS, check_dy, check_needs, check_params, is_usual
from gnref.arrays import check_array, check_out, dtype_name, like_layout, namespace, strides
from gnref.axes import View, view
from gnref.checks import check_eps
from gnref.dispatch import check_not_followed, choose, kernels
from gnref.errors import ShapeError
from gnref.kernels import Kernels
from gnref.kernels.reference import reciprocal_std, widen

Array = Any


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """What a forward pass keeps for `gnref.backward`.

    It refers to x, weight and bias and does not copy them: changed in place before the backward
    pass, they give wrong gradients.

    Attributes
    ----------
    norm : str
        "batch", "instance", "group", "layer", "rms" or "batch_frozen".
    x, weight, bias : array or None
        The inputs.
    eps : float
        The number added to the variance.
    mean, var, rstd : array
        Statistics in float64 (or the widest real dtype of the array's library), var biased, rstd =
        1/sqrt(var + eps). Shapes: (C,) for batch, (N/g, C) with virtual batches of g, (N, C) for
        instance, (N, G) for group, the leading dimensions of x for layer and rms. mean is None for
        rms; for the frozen norm they are the running statistics.
    view : gnref.axes.View
        How x, the statistics and the weight are seen in slots.
    backend : str
        Whose kernels ran, and will run backward.
    straight : bool
        Whether x is an array for the `cpu` backend whose slots are no more than another shape of it.
    """

    norm: str
    x: Array
    weight: Array | None
    bias: Array | None
    eps: float
    mean: Array | None
    var: Array
    rstd: Array
    view: View
    backend: str
    straight: bool

    def with_arrays(self, x: Array | None, weight: Array | None, bias: Array | None) -> Saved:
        """The same, with others that are like x, weight and bias, or without them."""
        stats = self.mean, self.var, self.rstd
        return Saved(self.norm, x, weight, bias, self.eps, *stats, self.view, self.backend, self.straight)

    def __repr__(self) -> str:
        shape, dtype = tuple(self.x.shape), dtype_name(self.x.dtype)
        return f"<Saved of {self.norm} norm: x {shape} {dtype}, backend {self.backend}>"


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What follows from the shape, strides and dtype of x and from the options."""

    view: View
    backend: str
    run: Kernels
    straight: bool  # x is for `cpu`, and its slots are no more than another shape of it


# Looking takes longer than normalizing a small array does, and most arrays look like the one before.
PLANS: dict[tuple[Any, ...], Plan] = {}
MANY = 1024
PLAIN = (str, type(None))


def plan(norm: str, x: Array, backend: str | None, axes: dict[str, Any], **others: Array | None) -> Plan:
    """What `make_plan` finds out, recalled for NumPy's and CuPy's arrays that look like an earlier one."""
    ready = None
    if type(x) is not np.ndarray:
        if not is_cupy_array(x):
            return make_plan(norm, x, backend, axes, **others)
        ready = dispatch.status("cuda")  # None is for NumPy's arrays, which may look the same
    if type(backend) not in PLAIN:
        return make_plan(norm, x, backend, axes)
    for value in axes.values():
        if type(value) is not int and not is_plain(value):
            return make_plan(norm, x, backend, axes)
    key = norm, x.shape, x.strides, x.dtype, ready, backend, dispatch.FROM_ENVIRONMENT, *axes.values()
    found = PLANS.get(key)
    if found is None:
        found = make_plan(norm, x, backend, axes)
        if len(PLANS) >= MANY:
            PLANS.clear()
        PLANS[key] = found
    return found


def is_plain(value: Any) -> bool:
    """Whether an option may be recalled by its value: True and 1.0 equal 1, and are no number of groups."""
    return value is None or type(value) is int or (type(value) is tuple and set(map(type, value)) == {int})


def make_plan(norm: str, x: Array, backend: str | None, axes: dict[str, Any], **others: Array | None) -> Plan:
    """Check x and the options, and choose the view and the backend; ``others`` are the arrays beside x."""
    check_array(x, "x")
    v = view(norm.removesuffix("_frozen"), x.shape, strides(x), **axes)
    if norm == "batch" and v.set_size == 1 and 0 not in x.shape:
        raise ShapeError(
            f"x has shape {tuple(x.shape)}, one element per channel and batch; batch norm expects N*H*W > 1 "
            "(its output would be the bias, whatever x is)"
        )
    name = choose(x, backend, **others)
    straight = name == "cpu" and type(x) is np.ndarray and x.flags.c_contiguous and x.dtype.isnative
    straight = straight and v.x.in_order and v.stats.in_order and v.params.in_order
    return Plan(v, name, kernels(name), straight)


def forward(
    norm: str,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    *,
    eps: float,
    backend: str | None,
    out: Array | None,
    **axes: Any,
) -> tuple[Array, Saved]:
    """Normalize with x's own statistics; ``axes`` are the options of `gnref.axes.view`."""
    p = plan(norm, x, backend, axes, weight=weight, bias=bias, out=out)
    y, mean, var, rstd = run_forward(p, x, weight, bias, eps, out)
    v = p.view
    if p.straight:
        shape = v.stats.shape
        mean = None if mean is None else mean.reshape(shape)
        var, rstd = var.reshape(shape), rstd.reshape(shape)
    else:
        mean, var, rstd = (unfold_stat(v, stat) for stat in (mean, var, rstd))
    return y, Saved(norm, x, weight, bias, float(eps), mean, var, rstd, v, p.backend, p.straight)


def normalize(
    norm: str,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    *,
    eps: float,
    backend: str | None,
    out: Array | None,
    **axes: Any,
) -> Array:
    """`forward` for those who want y alone."""
    p = plan(norm, x, backend, axes, weight=weight, bias=bias, out=out)
    return run_forward(p, x, weight, bias, eps, out)[0]


def run_forward(
    p: Plan, x: Array, weight: Array | None, bias: Array | None, eps: float, out: Array | None
) -> tuple[Array, Array | None, Array, Array]:
    """Check the rest of the arguments, and run a kernel; the statistics come back in slots."""
    v = p.view
    if type(eps) is not float or not 0.0 <= eps < inf:
        eps = check_eps(eps)
    if not (is_usual(weight, v, x) and is_usual(bias, v, x)):
        check_params(v, x, weight=weight, bias=bias)
    if out is not None:
        check_out(out, x, {"x": x, "weight": weight, "bias": bias})
    elif p.straight:
        y5, mean, var, rstd = p.run.forward(*reshape(v, x, weight, bias), eps, v.center)
        return y5.reshape(x.shape), mean, var, rstd
    with place(x):
        x5, weight5, bias5 = fold(v, x, weight, bias)
        out5 = fold_out(v, out)
        y5, *stats = p.run.forward(x5, weight5, bias5, eps, v.center, out5)
        return finish(v, y5, x, out, out5), *stats


def forward_frozen(
    x: Array,
    running_mean: Array,
    running_var: Array,
    weight: Array | None,
    bias: Array | None,
    *,
    eps: float,
    channel_axis: int,
    backend: str | None,
    out: Array | None,
) -> tuple[Array, Saved]:
    """Normalize with statistics that are given, one pair per channel."""
    given = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    p = plan("batch_frozen", x, backend, {"channel_axis": channel_axis}, **given, out=out)
    v, eps = p.view, check_eps(eps)
    if not all(is_usual(a, v, x) for a in given.values()):
        check_params(v, x, **given)
    for missing in (name for name in ("running_mean", "running_var") if given[name] is None):
        raise TypeError(f"{missing} is None; expected an array of shape {v.params.shape}")
    if out is not None:
        check_out(out, x, {"x": x, **given})
    with place(x):
        mean, var = widen(running_mean), widen(running_var)
        rstd = reciprocal_std(var, eps)
        if p.straight and out is None:
            x5, weight5, bias5 = reshape(v, x, weight, bias)
            slots = v.stats.slots
            y5 = p.run.apply(x5, mean.reshape(slots), rstd.reshape(slots), weight5, bias5)
            y = y5.reshape(x.shape)
        else:
            x5, weight5, bias5 = fold(v, x, weight, bias)
            out5 = fold_out(v, out)
            y5 = p.run.apply(x5, fold_stat(v, mean), fold_stat(v, rstd), weight5, bias5, out5)
            y = finish(v, y5, x, out, out5)
    return y, Saved("batch_frozen", x, weight, bias, eps, mean, var, rstd, v, p.backend, p.straight)


def backward(
    dy: Array, saved: Saved, needs: Iterable[str], out: Array | None
) -> tuple[Array | None, Array | None, Array | None]:
    """Differentiate the forward pass that ``saved`` comes from."""
    if not isinstance(saved, Saved):
        raise TypeError(f"saved is a {type(saved).__name__}; expected the Saved of a *_forward function")
    x, weight, bias, v = saved.x, saved.weight, saved.bias, saved.view
    if needs is not NEEDS:
        needs = check_needs(needs)
    usual = type(dy) is np.ndarray and dy.dtype is x.dtype and dy.shape == x.shape
    if usual and saved.straight and out is None and dy.flags.c_contiguous:
        x5, weight5, _ = reshape(v, x, weight, None)
        slots = v.stats.slots
        mean = None if saved.mean is None else saved.mean.reshape(slots)
        dx5, dweight, dbias = differentiate(
            saved, dy.reshape(v.x.slots), x5, mean, saved.rstd.reshape(slots), weight5
        )
        dx = dx5.reshape(x.shape)
    else:
        check_dy(dy, x)
        dx, dweight, dbias = run_backward(dy, saved, needs, out)
    return (
        dx if "x" in needs else None,
        finish_param(saved, dweight, weight) if "weight" in needs else None,
        finish_param(saved, dbias, bias) if "bias" in needs else None,
    )


def run_backward(
    dy: Array, saved: Saved, needs: tuple[str, ...], out: Array | None
) -> tuple[Array, Array, Array]:
    """dx in x's layout, and dweight and dbias in slots, whatever dy, x and ``out`` are."""
    x, weight, v = saved.x, saved.weight, saved.view
    if out is not None:
        if "x" not in needs:
            raise ValueError(f"out is given and needs is {needs}; expected 'x' in needs, or out=None")
        inputs = {"dy": dy, "x": x, "weight": weight, "bias": saved.bias}
        check_out(out, x, {**inputs, "saved.mean": saved.mean, "saved.rstd": saved.rstd})
    check_not_followed(saved.backend, dy=dy, x=x, weight=weight, out=out)
    with place(x):
        x5, weight5, _ = fold(v, x, weight, None)
        dy5 = v.x.fold(namespace(x), dy)
        mean, rstd = fold_stat(v, saved.mean), fold_stat(v, saved.rstd)
        out5 = fold_out(v, out)
        dx5, dweight, dbias = differentiate(saved, dy5, x5, mean, rstd, weight5, out5)
        return finish(v, dx5, x, out, out5), dweight, dbias


def differentiate(
    saved: Saved,
    dy5: Array,
    x5: Array,
    mean: Array | None,
    rstd: Array,
    weight5: Array | None,
    out5: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Run the kernel for a backward pass, on slots."""
    run = kernels(saved.backend)
    if saved.norm == "batch_frozen":
        return run.backward_given(dy5, x5, mean, rstd, weight5, out5)
    return run.backward(dy5, x5, mean, rstd, weight5, saved.view.center, out5)


def reshape(
    v: View, x: Array, weight: Array | None, bias: Array | None
) -> tuple[Array, Array | None, Array | None]:
    """`fold` where the slots are no more than another shape of the arrays."""
    slots = v.params.slots
    return (
        x.reshape(v.x.slots),
        None if weight is None else weight.reshape(slots),
        None if bias is None else bias.reshape(slots),
    )


def fold(
    v: View, x: Array, weight: Array | None, bias: Array | None
) -> tuple[Array, Array | None, Array | None]:
    """x, weight and bias in slots."""
    xp = namespace(x)
    if isinstance(x, np.memmap):  # the arithmetic's results are no files
        x = np.asarray(x)
    params = (None if p is None else v.params.fold(xp, p) for p in (weight, bias))
    return v.x.fold(xp, x), *params


def fold_stat(v: View, stat: Array | None) -> Array | None:
    """A statistic as (O, A)."""
    return None if stat is None else v.stats.fold(namespace(stat), stat)


def unfold_stat(v: View, stat: Array | None) -> Array | None:
    """A statistic as the user sees it."""
    return None if stat is None else v.stats.unfold(namespace(stat), stat)


def fold_out(v: View, out: Array | None) -> Array | None:
    """``out`` in slots, if writing there writes into it: then a kernel needs no array of its own."""
    if out is None or 0 in out.shape:
        return None
    xp = namespace(out)
    if is_torch_array(out) and not out.is_neg():
        out5 = v.x.fold(xp, out)
        return out5 if out5.data_ptr() == out.data_ptr() else None
    if type(out) is np.ndarray or is_cupy_array(out):
        out5 = v.x.fold(xp, out)
        return out5 if xp.may_share_memory(out5, out) else None
    return None


def finish(v: View, a5: Array, x: Array, out: Array | None, out5: Array | None) -> Array:
    """Bring y or dx into x's shape and layout, or into ``out``, if it is not there already."""
    if out5 is not None and a5 is out5:
        return out
    a = v.x.unfold(namespace(x), a5)
    if out is None:
        return like_layout(a, x)
    out[...] = a
    return out


def finish_param(saved: Saved, dparam: Array, param: Array | None) -> Array | None:
    """Bring dweight or dbias into the shape and dtype of its parameter; None if there is none."""
    if param is None:
        return None
    if saved.straight and param.dtype.itemsize > 2:
        dparam = dparam.reshape(param.shape)
        if dparam.dtype is param.dtype:
            return dparam
        with quiet():
            return dparam.astype(param.dtype, copy=False)
    xp = namespace(param)
    with place(param):  # quietly: a sum may be more than 16 bits hold
        return xp.astype(saved.view.params.unfold(xp, dparam), param.dtype, copy=False)


def place(a: Array) -> Any:
    """Where to compute with an array: on a CuPy array's device, which need not be the current one."""
    return a.device if type(a) is not np.ndarray and is_cupy_array(a) else quiet()


def quiet() -> np.errstate:
    """Leave NumPy's floating-point warnings out: infinities and NaN in x speak through y."""
    return np.errstate(all="ignore")
