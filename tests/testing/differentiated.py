"""Layer norms that a framework differentiates, right and wrong beyond the first derivative."""

import numpy as np
import torch
from torch.autograd.function import once_differentiable


def sets(x, normalized_shape):
    """The axes of a set, and those that share a weight."""
    return tuple(range(-len(normalized_shape), 0)), tuple(range(x.ndim - len(normalized_shape)))


def plain(x, normalized_shape, weight, bias, eps):
    axes, _ = sets(x, normalized_shape)
    d = x - x.mean(axes, keepdim=True)
    y = d / torch.sqrt((d * d).mean(axes, keepdim=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def saved(x, normalized_shape, eps):
    axes, _ = sets(x, normalized_shape)
    mean = x.mean(axes, keepdim=True)
    return mean, ((x - mean) ** 2).mean(axes, keepdim=True).add(eps).rsqrt()


def jacobian(v, xhat, rstd, axes):
    return rstd * (v - v.mean(axes, keepdim=True) - xhat * (v * xhat).mean(axes, keepdim=True))


class Right(torch.autograd.Function):
    """The backward pass takes the statistics of x again, and so can be differentiated."""

    @staticmethod
    def forward(ctx, x, weight, bias, normalized_shape, eps):
        ctx.save_for_backward(x, weight, bias)
        ctx.save_for_forward(x, weight, bias)
        ctx.words = normalized_shape, eps
        ctx.statistics = saved(x, normalized_shape, eps)
        return plain(x, normalized_shape, weight, bias, eps)

    @classmethod
    def gradients(cls, ctx, dy, mean, rstd):
        x, weight, bias = ctx.saved_tensors
        axes, owners = sets(x, ctx.words[0])
        xhat = (x - mean) * rstd
        dx = jacobian(dy if weight is None else dy * weight, xhat, rstd, axes)
        pairs = (weight, dy * xhat), (bias, dy)
        sums = [None if p is None else a.sum(owners) if owners else a for p, a in pairs]
        return dx, *sums, None, None

    @staticmethod
    def backward(ctx, dy):
        return Right.gradients(ctx, dy, *saved(ctx.saved_tensors[0], *ctx.words))

    @staticmethod
    def jvp(ctx, x_dot, weight_dot, bias_dot, *_):
        x, weight, _ = ctx.saved_tensors
        mean, rstd = ctx.statistics
        xhat = (x - mean) * rstd
        y_dot = jacobian(x_dot, xhat, rstd, sets(x, ctx.words[0])[0])
        y_dot = y_dot if weight is None else y_dot * weight + weight_dot * xhat
        return y_dot if bias_dot is None else y_dot + bias_dot


class ConstantStatistics(Right):
    """The mean and rstd that the forward pass saved are constants to whoever differentiates again."""

    @staticmethod
    def backward(ctx, dy):
        return Right.gradients(ctx, dy, *ctx.statistics)


class WeightInside(Right):
    """J(weight * x_dot) for weight * J(x_dot): the transpose, which is the backward pass."""

    @staticmethod
    def jvp(ctx, x_dot, weight_dot, bias_dot, *_):
        x, weight, _ = ctx.saved_tensors
        mean, rstd = ctx.statistics
        xhat = (x - mean) * rstd
        weighted = x_dot if weight is None else x_dot * weight
        y_dot = jacobian(weighted, xhat, rstd, sets(x, ctx.words[0])[0])
        y_dot = y_dot if weight is None else y_dot + weight_dot * xhat
        return y_dot if bias_dot is None else y_dot + bias_dot


class Once(torch.autograd.Function):
    """It says that it can be differentiated once, and has no forward mode."""

    forward = Right.forward

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        return Right.gradients(ctx, dy, *ctx.statistics)


class Silent(Once):
    """Its backward pass computes outside of PyTorch, and does not say so."""

    @staticmethod
    def backward(ctx, dy):
        found = Right.gradients(ctx, dy.detach(), *ctx.statistics)
        return tuple(None if a is None else torch.from_numpy(np.array(a.detach())) for a in found)


class Slightly(Right):
    """A thousandth of dy is a constant to whoever differentiates again."""

    @staticmethod
    def backward(ctx, dy):
        return Right.backward(ctx, dy.detach() * 1e-3 + dy * 0.999)


def function(made):
    """The layer norm of one of them."""

    def forward(x, normalized_shape, weight, bias, eps):
        return made.apply(x, weight, bias, normalized_shape, eps)

    forward.__qualname__ = made.__name__
    return forward


def no_bias_alone(x, normalized_shape, weight, bias, eps):
    """Right, but for a second derivative with a bias and no weight, which it refuses."""
    y = plain(x, normalized_shape, weight, bias, eps)
    if weight is None and bias is not None and y.requires_grad:
        y.register_hook(refuse_again)
    return y


def refuse_again(dy):
    if torch.is_grad_enabled():
        raise RuntimeError("no weight")
    return dy
