"""Forward mode and second derivatives of every norm, by hand.

All of it is made of one linear map. For a set with m elements, xhat = (x - mean) * rstd has the derivative

    J v = rstd * (v - mean(v) - xhat * mean(v * xhat))

along v, which is symmetric: <u, J v> = <J u, v>. So the backward pass of the norm without a weight *is* J,
and forward mode needs no code of its own. (The derivative of y = weight * xhat + bias is not symmetric where
weights differ within a set, as in group and layer norm: there the weight stays outside.) RMS norm lacks the
first mean; the frozen norm has J v = rstd * v.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gnref.arguments import check_dy
from gnref.arrays import check_array, dtype_name, like_layout, namespace
from gnref.dispatch import check_not_followed, kernels
from gnref.errors import ShapeError
from gnref.kernels import Kernels, reference
from gnref.passes import Saved, fold_stat, place

Array = Any


def jvp(
    saved: Saved,
    x_dot: Array | None = None,
    weight_dot: Array | None = None,
    bias_dot: Array | None = None,
) -> Array:
    """Return how y changes along directions of x, weight and bias: forward mode.

    Parameters
    ----------
    saved : Saved
        From any ``*_forward`` function.
    x_dot : array, optional
        The direction of x, of its shape and dtype. None: x stays as it is.
    weight_dot, bias_dot : array, optional
        Those of weight and bias, of their shape and dtype; None where the parameter is absent.

    Returns
    -------
    y_dot : array
        Of x's shape, dtype and memory layout.

    Raises
    ------
    ShapeError, TypeError
        A direction is not of its array's shape, dtype or library.
    ValueError
        A direction is given for a parameter that is absent.

    Notes
    -----
    ``y_dot = weight * J(x_dot) + weight_dot * xhat + bias_dot``, with the symmetric Jacobian J of xhat: the
    backward pass of the norm without its weight (gnref's derivation; see `gnref.calculus`). J runs on the
    backend that the forward pass ran on.

    Examples
    --------
    >>> import gnref
    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0, 4.0, 7.0]])
    >>> y, saved = gnref.group_norm_forward(x, 2)
    >>> bool(abs(gnref.jvp(saved, np.ones_like(x))).max() < 1e-12)  # all at once: the mean takes it out
    True
    """
    check(saved)
    check_directions(saved, x_dot=x_dot, weight_dot=weight_dot, bias_dot=bias_dot)
    x = saved.x
    followed = {
        "x": x,
        "weight": saved.weight,
        "x_dot": x_dot,
        "weight_dot": weight_dot,
        "bias_dot": bias_dot,
    }
    check_not_followed(saved.backend, **followed)
    with place(x):
        run = kernels(saved.backend)
        set_up = Slots(saved, run, computed(x, saved.backend))
        y_dot = set_up.directional(x_dot, weight_dot, bias_dot)
        return set_up.finish(y_dot, x)


def double_backward(
    dy: Array,
    saved: Saved,
    ddx: Array | None = None,
    ddweight: Array | None = None,
    ddbias: Array | None = None,
) -> tuple[Array, Array, Array | None]:
    """Differentiate `gnref.backward`: how its results hang on dy, x and weight.

    Parameters
    ----------
    dy : array
        As for `gnref.backward`.
    saved : Saved
        From any ``*_forward`` function.
    ddx, ddweight, ddbias : array, optional
        The gradients of a second loss by dx, dweight and dbias, of their shapes and dtypes. None: it does
        not hang on them.

    Returns
    -------
    grad_dy, grad_x : array
        Its gradients by dy and x: of x's shape, dtype and memory layout.
    grad_weight : array or None
        That by weight, of its shape and dtype; None if there is none.

    Raises
    ------
    ShapeError, TypeError
        dy, or a gradient, is not of its array's shape, dtype or library.
    ValueError
        A gradient is given for a parameter that is absent.

    Notes
    -----
    With J as in `jvp`, g = dy * weight, dx = J(g), and means and products over the set:

    ``grad_dy     = weight * J(ddx) + ddweight * xhat + ddbias``

    ``grad_weight = sum(dy * J(ddx))``

    ``grad_x      = J(ddweight * dy) - rstd * curve``, with

    ``curve = xhat * mean(ddx * dx) + mean(g * xhat) * J(ddx) + mean(ddx * xhat) * dx``

    The first is `jvp` along the same three. -rstd * curve is the derivative of <ddx, J(g)> by x, since rstd
    and xhat hang on x; the frozen norm has none of it. The derivation is gnref's own. All is computed in the
    array API, by the reference, so that an array library which differentiates can go on from here.

    Examples
    --------
    >>> import gnref
    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0, 4.0, 7.0]])
    >>> y, saved = gnref.group_norm_forward(x, 1)
    >>> grad_dy, grad_x, grad_weight = gnref.double_backward(np.ones_like(x), saved, ddx=np.ones_like(x))
    >>> grad_dy.shape, grad_weight is None
    ((1, 4), True)
    """
    check(saved)
    x, weight = saved.x, saved.weight
    check_dy(dy, x)
    check_directions(saved, ddx=ddx, ddweight=ddweight, ddbias=ddbias)
    check_not_followed(saved.backend, x=x, weight=weight)  # or rstd would be a constant, and x not
    with place(x):
        xp = namespace(x)
        set_up = Slots(saved, reference, reference.widest(xp))
        grad_dy = set_up.finish(set_up.directional(ddx, ddweight, ddbias), x)
        grad_x, grad_weight = set_up.second(dy, ddx, ddweight)
        if weight is None:
            return grad_dy, set_up.finish(grad_x, x), None
        by_weight = xp.astype(saved.view.params.unfold(xp, grad_weight), weight.dtype, copy=False)
        return grad_dy, set_up.finish(grad_x, x), by_weight


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """What a forward pass saved, in slots (O, P, A, B, S); J and what is made of it."""

    saved: Saved
    run: Kernels | Any  # whose backward pass is J
    dtype: Any  # of the arithmetic around it

    def x5(self, a: Array) -> Array:
        """An array like x in slots, in the dtype of the arithmetic."""
        xp = namespace(a)
        return xp.astype(self.saved.view.x.fold(xp, a), self.dtype, copy=False)

    def params(self, a: Array) -> Array:
        """An array like weight, as (1, 1, A, B, 1)."""
        xp = namespace(a)
        folded = xp.astype(self.saved.view.params.fold(xp, a), self.dtype, copy=False)
        return folded[None, None, :, :, None]

    def weighted(self, a5: Array) -> Array:
        """Times weight, if there is one."""
        return a5 if self.saved.weight is None else a5 * self.params(self.saved.weight)

    @property
    def stats(self) -> tuple[Array | None, Array]:
        """mean and rstd as (O, A)."""
        v = self.saved.view
        return fold_stat(v, self.saved.mean), fold_stat(v, self.saved.rstd)

    def jacobian(self, v5: Array) -> Array:
        """J v: the derivative of xhat along v, and its transpose's as well."""
        (mean, rstd), x5 = self.stats, self.x5(self.saved.x)
        if self.saved.norm == "batch_frozen":
            return self.run.backward_given(v5, x5, mean, rstd, None)[0]
        return self.run.backward(v5, x5, mean, rstd, None, self.saved.view.center)[0]

    def xhat(self) -> Array:
        """x, normalized: as though the mean had twice its digits, where it is the set's own."""
        x5 = self.x5(self.saved.x)
        if self.saved.norm == "batch_frozen":
            return self.run.apply(x5, *self.stats, None, None)
        return self.run.forward(x5, None, None, self.saved.eps, self.saved.view.center)[0]

    def directional(self, v: Array | None, weight_v: Array | None, bias_v: Array | None) -> Array:
        """weight * J(v) + weight_v * xhat + bias_v; what is None is 0."""
        x5 = self.x5(self.saved.x)
        total = namespace(x5).zeros_like(x5)
        if v is not None:
            total = total + self.weighted(self.jacobian(self.x5(v)))
        if weight_v is not None:
            total = total + self.xhat() * self.params(weight_v)
        if bias_v is not None:
            total = total + self.params(bias_v)
        return total

    def second(self, dy: Array, u: Array | None, weight_u: Array | None) -> tuple[Array, Array]:
        """grad_x in slots, and grad_weight as (A, B), of `double_backward`; u is ddx."""
        dy5 = self.x5(dy)
        grad_x = namespace(dy5).zeros_like(dy5)
        grad_weight = reference.param_sum(grad_x)
        if weight_u is not None:
            grad_x = grad_x + self.jacobian(self.params(weight_u) * dy5)
        if u is not None:
            u5 = self.x5(u)
            along = self.jacobian(u5)
            grad_weight = reference.param_sum(dy5 * along)
            if self.saved.norm != "batch_frozen":
                grad_x = grad_x - self.curve(u5, along, self.weighted(dy5))
        return grad_x, grad_weight

    def curve(self, u: Array, along: Array, g: Array) -> Array:
        """Minus the derivative of <u, J(g)> by x, for sets with statistics of their own; along is J(u)."""
        xhat, dx, mean = self.xhat(), self.jacobian(g), reference.set_mean
        inner = xhat * mean(u * dx) + mean(g * xhat) * along + mean(u * xhat) * dx
        return reference.spread(self.stats[1]) * inner

    def finish(self, a5: Array, x: Array) -> Array:
        """Back to x's shape, dtype and layout."""
        xp = namespace(x)
        return like_layout(self.saved.view.x.unfold(xp, xp.astype(a5, x.dtype, copy=False)), x)


def computed(x: Array, backend: str) -> Any:
    """What forward mode is computed in: float32 for 16 bits where a backend takes it, else x's own dtype.

    The reference is in the widest dtype anyway.
    """
    xp = namespace(x)
    if backend == "reference":
        return reference.widest(xp)
    return x.dtype if dtype_name(x.dtype) in ("float32", "float64") else xp.float32


def check(saved: Any) -> None:
    """Raise unless it is what a forward pass saved."""
    if not isinstance(saved, Saved):
        raise TypeError(f"saved is a {type(saved).__name__}; expected the Saved of a *_forward function")


def check_directions(saved: Saved, **directions: Array | None) -> None:
    """Raise unless directions of x, weight and bias, in this order, are like them."""
    likes = {"x": saved.x, "weight": saved.weight, "bias": saved.bias}
    for (name, a), (of, like) in zip(directions.items(), likes.items(), strict=True):
        if a is None:
            continue
        if like is None:
            raise ValueError(f"{name} is given and {of} was absent in the forward pass; expected None")
        check_array(a, name, like=saved.x)
        if tuple(a.shape) != tuple(like.shape):
            raise ShapeError(f"{name} has shape {tuple(a.shape)}; expected that of {of}, {tuple(like.shape)}")
        if dtype_name(a.dtype) != dtype_name(like.dtype):
            raise TypeError(
                f"{name} has dtype {dtype_name(a.dtype)}; expected that of {of}, {dtype_name(like.dtype)}"
            )
