"""Right and wrong normalizations of a user, for the tests of the kit."""

import numpy as np

from gnref.testing.mutants import textbook

forward, backward = textbook.functions("group")
layer_forward, layer_backward = textbook.functions("layer")


def right(x, num_groups, weight, bias, eps):
    return forward(x, num_groups, weight, bias, eps)


def right_y(x, num_groups, weight, bias, eps):
    return forward(x, num_groups, weight, bias, eps)[0]


def backward_of_x(dy, x, num_groups, weight, bias, eps):
    """With statistics of its own."""
    _, mean, rstd = forward(x, num_groups, weight, bias, eps)
    return backward(dy, x, mean, rstd, num_groups, weight, bias, eps)


def cancelling(x, num_groups, weight, bias, eps):
    """var = E[x^2] - E[x]^2."""
    N, C = x.shape[:2]
    rows = x.reshape(N * num_groups, -1)
    mean = rows.mean(-1, keepdims=True)
    var = (rows * rows).mean(-1, keepdims=True) - mean * mean
    y = ((rows - mean) / np.sqrt(var + eps)).reshape(x.shape)
    for p, combine in ((weight, np.multiply), (bias, np.add)):
        if p is not None:
            y = combine(y, p.reshape(1, C, *[1] * (x.ndim - 2)))
    return y.astype(x.dtype)


def narrow(x, num_groups, weight, bias, eps):
    """Only for N C H W, C a multiple of 4, and with both parameters."""
    assert x.ndim == 4
    assert x.shape[1] % 4 == 0
    assert weight is not None
    assert bias is not None
    return forward(x, num_groups, weight, bias, eps)


narrow.backward = backward


def by_block(x, normalized_shape, weight, bias, eps):
    """Layer norm whose sums take another order in a large batch."""
    rows = x.astype(np.float32).reshape(-1, int(np.prod(normalized_shape)))
    block = 1 if len(rows) < 16 else 2
    padded = np.pad(rows, [(0, 0), (0, -rows.shape[1] % block)])
    mean = padded.reshape(len(rows), block, -1).sum(-1).sum(-1, keepdims=True) / np.float32(rows.shape[1])
    d = rows - mean
    y = (d / np.sqrt((d * d).mean(-1, keepdims=True) + np.float32(eps))).reshape(x.shape)
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias).astype(x.dtype)
