"""Edits that change nothing, and why: no property can find them, and none should."""

from __future__ import annotations

from gnref.testing.mutants import backward, forward, slots, sums
from gnref.testing.mutants.edit import ALL, CENTERED, CONSTANT, COUNT, INDEX, MASK, TERM, Edit

SAME_BITS = (
    Edit(
        "mask forgotten in the backward pass's xhat",
        MASK,
        backward.XHAT,
        "xhat = (loaded - mean[..., None]) * rstd[..., None]",
        proof="In the sums xhat is multiplied by g, which is 0 in the padding, and of dx and dweight the "
        "padding is cut off. What stands there, -mean rstd, is finite or all of the set is not.",
    ),
    Edit(
        "xhat of the padding is 1",
        MASK,
        backward.XHAT,
        backward.XHAT.replace(", 0)", ", 1)"),
        proof="As without the mask: 1 times the padding's g is 0, and the padding of dx is cut off.",
    ),
    Edit(
        "mean subtracted where the mask is",
        MASK,
        forward.DIFFERENCE,
        "d = loaded - np.where(mask, mean[..., None], 0)",
        proof="The padding is 0, and 0 - 0 = 0; elsewhere the same subtraction.",
    ),
    Edit(
        "variance at least 0",
        CONSTANT,
        forward.VAR,
        "var = np.maximum(squares / m, 0)",
        proof="A sum of squares is not negative, and NumPy's maximum keeps NaN.",
    ),
    Edit(
        "weight per group, where a group is a channel",
        INDEX,
        slots.SHAPED,
        slots.SHAPED + "[:, :, :, :1]",
        ("batch", "instance"),
        proof="Slot B, which is cut to its first element, has one element.",
    ),
    Edit(
        "rms: variance as E[x^2] - E[x]^2",
        TERM,
        forward.SQUARES,
        "squares = (loaded * loaded).sum(-1) - m * mean * mean",
        ("rms",),
        proof="The mean of rms norm is 0 here, and d is what was loaded.",
    ),
    Edit(
        "batch: variance over the examples",
        INDEX,
        forward.SQUARES,
        "squares = 0 * d.sum(-1) + (d * d).sum(-1).mean(0)",
        ("batch",),
        proof="Slot O of batch norm is 1: a mean over one number is that number.",
    ),
)
SAME_VALUE = (
    Edit(
        "blocks of 16",
        COUNT,
        "BLOCK = 8",
        "BLOCK = 16",
        proof="More zeros are added to the same sums, and the mask follows the block; only the order of the "
        "additions may change.",
    ),
    Edit(
        "weight after the sums, where a set has one",
        TERM,
        backward.DX,
        backward.AFTER,
        ("batch", "instance"),
        proof="The weight is constant in a set, so it can be taken out of both means.",
    ),
    Edit(
        "dweight of dy minus its mean",
        TERM,
        sums.DWEIGHT,
        "dweight = ((dy5 - dy5.mean((1, 4), keepdims=True)) * xhat5).sum((0, 1, 4))",
        ("batch", "instance"),
        proof="xhat sums to 0 over a set, where the mean of dy is constant: with xhat it adds up to 0.",
    ),
    Edit(
        "mean corrected by what is left",
        TERM,
        forward.MEAN,
        "mean = total / m; mean = mean + np.where(mask, loaded - mean[..., None], 0).sum(-1) / m",
        CENTERED,
        proof="What is left sums to 0 but for rounding: the second mean is the first, or better.",
    ),
    Edit(
        "root of the inverse",
        CONSTANT,
        forward.RSTD,
        "rstd = np.sqrt(1 / (var + eps))",
        ALL,
        proof="The same number, rounded after the division and not after the root.",
    ),
)
EDITS = (*SAME_BITS, *SAME_VALUE)
