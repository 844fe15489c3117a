"""Slips of the backward pass, and of what passes return."""

from __future__ import annotations

from gnref.testing.museum.mechanism import Change, Mechanism
from gnref.testing.museum.precision import CENTERED

EXACT = "gradients equal exact fractions"
SLOTS = "x5, dy5 = (to_slots(a, norm, argument, channel_axis) for a in (x, dy))"
MEAN_G, MEAN_G_XHAT = "mean_g = g.sum(-1) / m", "mean_g_xhat = (g * xhat).sum(-1) / m"
DWEIGHT, DBIAS = "dweight = (dy5 * xhat5).sum((0, 1, 4))", "dbias = dy5.sum((0, 1, 4))"
RETURN_DWEIGHT = "None if weight is None else dweight.reshape(weight.shape).astype(weight.dtype),"

MECHANISMS = (
    Mechanism(
        name="weight after the sums",
        slip="dx = weight rstd (dy - mean(dy) - xhat mean(dy xhat))",
        explanation="Right where a set has one weight, as in batch and instance norm. A group has several, "
        "and the weight belongs inside both means. Tests with a weight of 1 cannot see it.",
        norm="group",
        property=EXACT,
        changes=(
            Change(
                "g, _ = load(to_rows(dy5 * parameter(weight, 1.0, dy5)))",
                "g, _ = load(to_rows(dy5))",
            ),
            Change(
                "dx5 = from_rows(dx[..., :m], x5.shape)",
                "dx5 = from_rows(dx[..., :m], x5.shape) * parameter(weight, 1.0, dy5)",
            ),
        ),
        norms=("group", "layer", "rms"),
        asking={"options": {"affine": True}},
    ),
    Mechanism(
        name="a bias takes a weight along",
        slip="dbias.reshape(weight.shape)",
        explanation="weight and bias have one shape, so either may lend it to the other, as long as both are "
        "there. With weight=None and a bias, the pass raises.",
        norm="layer",
        property="every call returns",
        changes=(
            Change(
                "None if bias is None else dbias.reshape(bias.shape).astype(bias.dtype),",
                "None if bias is None else dbias.reshape(weight.shape).astype(bias.dtype),",
            ),
        ),
        norms=CENTERED,
    ),
    Mechanism(
        name="backward over all groups",
        slip="mean(g), mean(g xhat) over every group",
        explanation="The forward pass has G groups, and the backward pass takes its means over the whole "
        "dimension. With G = 1 they are the same.",
        norm="group",
        property=EXACT,
        changes=(
            Change(MEAN_G, "mean_g = g.sum((1, 2))[:, None] / (g.shape[1] * m)"),
            Change(MEAN_G_XHAT, "mean_g_xhat = (g * xhat).sum((1, 2))[:, None] / (g.shape[1] * m)"),
        ),
        norms=("batch", "instance", "group"),
    ),
    Mechanism(
        name="two dimensions in backward",
        slip="rows = x.shape[0]",
        explanation="The forward pass takes the number of rows from normalized_shape, the backward pass from "
        "the first axis. For x of two dimensions they agree. In NumPy the other shapes raise; a kernel reads "
        "and writes elsewhere.",
        norm="layer",
        property=EXACT,
        changes=(
            Change(
                SLOTS,
                "argument = (x.size // x.shape[0],)\n"
                "x5, dy5 = (to_slots(a.reshape(len(a), -1), norm, argument, channel_axis) for a in (x, dy))",
            ),
        ),
        norms=("layer", "rms"),
    ),
    Mechanism(
        name="divisor from the last axis",
        slip="m = K * dy.shape[-1]",
        explanation="The elements of a channel are counted by the last axis: right for N C L, and too few "
        "for N C H W, where W is only a row of them.",
        norm="group",
        property=EXACT,
        changes=(
            Change(MEAN_G, "mean_g = g.sum(-1) / (x5.shape[3] * prod(dy.shape[2:][-1:]))"),
            Change(MEAN_G_XHAT, "mean_g_xhat = (g * xhat).sum(-1) / (x5.shape[3] * prod(dy.shape[2:][-1:]))"),
        ),
        norms=("group", "instance"),
    ),
    Mechanism(
        name="flat dweight of many rows",
        slip="dweight of shape (m,) above 65,536 rows",
        explanation="Many rows are summed by another kernel, in two steps, and its result keeps the flat "
        "shape. Below the threshold, and where normalized_shape has one axis, all is well.",
        norm="layer",
        property="many sets are like few",
        changes=(
            Change(
                RETURN_DWEIGHT,
                "None if weight is None\n"
                "else dweight.reshape(weight.shape if len(rows) <= 65_536 else -1).astype(weight.dtype),",
            ),
        ),
        norms=("layer", "rms"),
        asking={"max_examples": 200},
    ),
    Mechanism(
        name="dweight and dbias swapped",
        slip="dweight = sum(dy), dbias = sum(dy xhat)",
        explanation="They have the same shape and dtype. A test that looks at shapes, or at their norm, or "
        "at dx alone, is satisfied.",
        norm="batch",
        property=EXACT,
        changes=(
            Change(DWEIGHT, "dbias = (dy5 * xhat5).sum((0, 1, 4))"),
            Change(DBIAS, "dweight = dy5.sum((0, 1, 4))"),
        ),
        norms=CENTERED,
        asking={"options": {"affine": True}},
    ),
    Mechanism(
        name="no gradient by x",
        slip="dx = None",
        explanation="A fused forward pass that the autograd does not know ends the graph: what comes before "
        "it is not trained, and no error says so.",
        norm="layer",
        property=EXACT,
        changes=(Change("from_slots(dx5, x, norm, channel_axis),", "None,"),),
        asking={"options": {"affine": True}},
    ),
    Mechanism(
        name="gradients add up between calls",
        slip="dweight += ... in a buffer that is kept",
        explanation="A buffer is added to, as is right within one backward pass, and never set to 0 before "
        "the next. The first gradient is right.",
        norm="batch",
        property="two backward passes are equal",
        changes=(
            Change(
                DWEIGHT,
                "dweight = kept[x5.shape] = kept.get(x5.shape, 0) + (dy5 * xhat5).sum((0, 1, 4))",
            ),
        ),
        asking={"options": {"affine": True}},
    ),
    Mechanism(
        name="the variance in place of rstd",
        slip="rstd = var",
        explanation="Both are positive, one for each set, and about 1 for data of spread 1: a test whose "
        "reference takes one for the other in the same way passes.",
        norm="batch",
        property="saved statistics equal exact",
        changes=(
            Change(
                "return from_slots(y5, x, norm, channel_axis), mean, rstd.astype(x5.dtype)",
                "return from_slots(y5, x, norm, channel_axis), mean, var.astype(x5.dtype)",
            ),
        ),
    ),
    Mechanism(
        name="one element per channel refused",
        slip="raise if N * H * W == 1",
        explanation="The check is batch norm's, whose sets run over N: for instance norm, (1, 3, 1, 1) "
        "raises and (2, 3, 1, 1), whose sets have one element as well, does not. Either is a choice; both "
        "are none.",
        norm="instance",
        property="f(x)[i] = f(x[i:i+1])",
        changes=(
            Change(
                "x5 = to_slots(x, norm, argument, channel_axis)",
                "x5 = to_slots(x, norm, argument, channel_axis)\n"
                'if x5.size == x5.shape[2]:\n    raise ValueError("expected more than 1 value per channel")',
            ),
        ),
        norms=("instance",),
        asking={"max_examples": 200},
    ),
)
