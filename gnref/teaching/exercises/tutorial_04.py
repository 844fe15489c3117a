"""The exercises of tutorial 4: the backward pass, step by step, as one line, and as a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnref.teaching.exercises.exercise import Exercise, Mistake
from gnref.teaching.exercises.truth import Truth
from gnref.testing import oracles
from gnref.testing.problems import Array, Problem

ONE_SET: dict[str, Any] = {"norm": "layer", "ranks": (1,)}  # x is (m,), and all of it is one set

WALK_TO_VAR = Exercise(
    name="walk_to_var",
    tutorial=4,
    title="From dy to dvar",
    **ONE_SET,
    takes=("dy", "weight", "xc", "rstd"),
    answers=("drstd", "dvar"),
    solution="""\
def walk_to_var(dy, weight, xc, rstd):
    dxhat = dy * weight
    drstd = (dxhat * xc).sum()
    dvar = -0.5 * rstd**3 * drstd
    return drstd, dvar
""",
    mistakes=(
        Mistake(
            "weight forgotten",
            "dy * weight",
            "dy",
            "You go back from y as if it were xhat: the first arrow, from xhat to y, has the slope "
            "`weight`. With a weight of ones you would not notice.",
        ),
        Mistake(
            "mean for a sum",
            "(dxhat * xc).sum()",
            "(dxhat * xc).mean()",
            "Your drstd is an average, m times too small. One rstd serves all m elements; what arrives from "
            "several arrows adds up.",
        ),
        Mistake(
            "xhat for xc",
            "(dxhat * xc)",
            "(dxhat * xc * rstd)",
            "Your drstd has xhat where the slope of the arrow belongs: differentiate `xhat = xc * rstd` by "
            "rstd, with xc held fixed.",
        ),
        Mistake(
            "power 2",
            "rstd**3",
            "rstd**2",
            "drstd is right; in dvar the power of rstd is not. The power rule lowers the exponent -1/2 of "
            "`(var + eps)` by one: which power of rstd is that?",
        ),
        Mistake(
            "power 3/2",
            "rstd**3",
            "rstd**1.5",
            "drstd is right; in dvar the 3/2 is the power of `var + eps`, not of rstd, which is already a "
            "root.",
        ),
        Mistake(
            "sign of dvar",
            "-0.5",
            "0.5",
            "drstd is right and dvar has the wrong sign: does rstd rise or fall as var rises?",
        ),
        Mistake(
            "no 1/2 in dvar",
            "-0.5 * rstd",
            "-1.0 * rstd",
            "drstd is right and dvar twice too large: the power rule also brings the old exponent, -1/2, "
            "down as a factor.",
        ),
    ),
)

DX_OF_SET = Exercise(
    name="dx_of_set",
    tutorial=4,
    title="dx of one set, in one line",
    **ONE_SET,
    takes=("dxhat", "xhat", "rstd"),
    answers=("dx",),
    solution="""\
def dx_of_set(dxhat, xhat, rstd):
    return rstd * (dxhat - dxhat.mean() - xhat * (dxhat * xhat).mean())
""",
    mistakes=(
        Mistake(
            "mean term forgotten",
            " - dxhat.mean()",
            "",
            "The path through the mean is missing. Add up your dx: a constant added to x changes no xhat, "
            "so it must be 0.",
        ),
        Mistake(
            "variance term forgotten",
            " - xhat * (dxhat * xhat).mean()",
            "",
            "The path through the variance is missing, or adds nothing. Your dx sums to 0, as it should, but "
            "still has its share along xhat: look at `(dx * xhat).sum()`.",
        ),
        Mistake(
            "sums for means",
            "dxhat.mean() - xhat * (dxhat * xhat).mean()",
            "dxhat.sum() - xhat * (dxhat * xhat).sum()",
            "You subtract sums over the set where their m-th part belongs: in the arrows from x to mean and "
            "to var stands 1/m.",
        ),
        Mistake(
            "rstd only on the first term",
            "rstd * (dxhat - dxhat.mean() - xhat * (dxhat * xhat).mean())",
            "rstd * dxhat - dxhat.mean() - xhat * (dxhat * xhat).mean()",
            "Only your first path is scaled by rstd; all three begin with it. Are the brackets where you "
            "want them?",
        ),
        Mistake(
            "rstd forgotten",
            "rstd * (",
            "(",
            "Your dx has the right direction, but not the right length: each of the three paths has a "
            "factor that is missing here.",
        ),
        Mistake(
            "sign of the variance term",
            "- xhat *",
            "+ xhat *",
            "The path through the variance has the wrong sign: follow the minus of dvar.",
        ),
        Mistake(
            "variance term without its xhat",
            "xhat * (dxhat * xhat).mean()",
            "(dxhat * xhat).mean()",
            "You take the same number off every element on the path through the variance. The arrow from xc "
            "to var has a slope of its own for each element.",
        ),
        Mistake(
            "wrong mean in the variance term",
            "(dxhat * xhat).mean()",
            "dxhat.mean()",
            "Both of your terms have the mean of dxhat. The one through the variance comes from drstd: what "
            "is summed there?",
        ),
    ),
)

GROUP_BACKWARD = Exercise(
    name="group_backward",
    tutorial=4,
    title="The whole backward of GroupNorm",
    norm="group",
    takes=("dy", "x", "mean", "rstd", "weight", "num_groups"),
    answers=("dx", "dweight", "dbias"),
    solution="""\
def group_backward(dy, x, mean, rstd, weight, num_groups):
    N, C, H, W = x.shape
    split = (N, num_groups, C // num_groups, H, W)
    per_set = (N, num_groups, 1, 1, 1)
    over = (2, 3, 4)
    xhat = (x.reshape(split) - mean.reshape(per_set)) * rstd.reshape(per_set)
    dxhat = (dy * weight.reshape(1, C, 1, 1)).reshape(split)
    via_mean = dxhat.mean(over, keepdims=True)
    via_var = (dxhat * xhat).mean(over, keepdims=True)
    dx = rstd.reshape(per_set) * (dxhat - via_mean - xhat * via_var)
    dweight = (dy * xhat.reshape(x.shape)).sum((0, 2, 3))
    dbias = dy.sum((0, 2, 3))
    return dx.reshape(x.shape), dweight, dbias
""",
    mistakes=(
        Mistake(
            "mean term forgotten",
            " - via_mean - xhat",
            " - xhat",
            "dweight and dbias are right; in dx the path through the mean is missing. Over every group dx "
            "must sum to 0.",
        ),
        Mistake(
            "variance term forgotten",
            " - xhat * via_var",
            "",
            "dweight and dbias are right; in dx the path through the variance is missing, or adds nothing. "
            "Scaling a group about its mean leaves xhat as it is, and your dx does not know.",
        ),
        Mistake(
            "weight forgotten in dxhat",
            "(dy * weight.reshape(1, C, 1, 1))",
            "dy",
            "dweight and dbias are right, but dx does not depend on weight at all. With a weight of ones "
            "you would not notice.",
        ),
        Mistake(
            "weight after the means",
            """\
    dxhat = (dy * weight.reshape(1, C, 1, 1)).reshape(split)
    via_mean = dxhat.mean(over, keepdims=True)
    via_var = (dxhat * xhat).mean(over, keepdims=True)
    dx = rstd.reshape(per_set) * (dxhat - via_mean - xhat * via_var)
""",
            """\
    dxhat = dy.reshape(split)
    via_mean = dxhat.mean(over, keepdims=True)
    via_var = (dxhat * xhat).mean(over, keepdims=True)
    dx = rstd.reshape(per_set) * (dxhat - via_mean - xhat * via_var)
    dx = dx * weight.reshape(1, num_groups, -1, 1, 1)
""",
            "You multiply by weight after the two means; but the walk meets it before them, on the way from "
            "y to xhat. Where all channels of a group have one weight, as in BatchNorm, that is the same.",
        ),
        Mistake(
            "sums for means",
            """\
    via_mean = dxhat.mean(over, keepdims=True)
    via_var = (dxhat * xhat).mean(over, keepdims=True)
""",
            """\
    via_mean = dxhat.sum(over, keepdims=True)
    via_var = (dxhat * xhat).sum(over, keepdims=True)
""",
            "In dx you subtract sums over the group where means belong: their 1/m is that of mean and var. "
            "(dweight and dbias are sums indeed.)",
        ),
        Mistake(
            "rstd forgotten in dx",
            "rstd.reshape(per_set) * (dxhat",
            "(dxhat",
            "dweight and dbias are right, and dx has the right direction in every group, but not the right "
            "length: what do all three paths begin with?",
        ),
        Mistake(
            "strided groups",
            """\
    split = (N, num_groups, C // num_groups, H, W)
    per_set = (N, num_groups, 1, 1, 1)
    over = (2, 3, 4)
""",
            """\
    split = (N, C // num_groups, num_groups, H, W)
    per_set = (N, 1, num_groups, 1, 1)
    over = (1, 3, 4)
""",
            "Your groups are strided: channels 0, G, 2G, ... are taken together. The K channels of a group "
            "are neighbours.",
        ),
        Mistake(
            "means over the pixels alone",
            "over = (2, 3, 4)",
            "over = (3, 4)",
            "Your two means are over the pixels of each channel: that is InstanceNorm. mean and rstd came "
            "one per group.",
        ),
        Mistake(
            "means over all groups",
            "over = (2, 3, 4)",
            "over = (1, 2, 3, 4)",
            "Your two means are over all channels of an example: that is LayerNorm. mean and rstd came one "
            "per group.",
        ),
        Mistake(
            "batch pooled",
            "over = (2, 3, 4)",
            "over = (0, 2, 3, 4)",
            "Your two means are over the batch as well. No example of GroupNorm hears of another: does your "
            "dx of x[0] change with dy[1]?",
        ),
        Mistake(
            "xhat not centred",
            "(x.reshape(split) - mean.reshape(per_set))",
            "x.reshape(split)",
            "dbias is right, dweight is not: your xhat is x * rstd, with its mean still in it.",
        ),
        Mistake(
            "xc for xhat in dweight",
            "dy * xhat.reshape(x.shape)",
            "dy * (x - np.repeat(mean, C // num_groups, 1)[:, :, None, None])",
            "dx and dbias are right; dweight is summed with x - mean, before rstd. What does weight "
            "multiply in the forward pass?",
        ),
        Mistake(
            "weight counted in dweight",
            "(dy * xhat.reshape(x.shape))",
            "(dy * weight[:, None, None] * xhat.reshape(x.shape))",
            "dx and dbias are right; your dweight sums dy * weight * xhat, so that weight is counted in its "
            "own gradient.",
        ),
        Mistake(
            "dweight without the batch",
            "dweight = (dy * xhat.reshape(x.shape)).sum((0, 2, 3))",
            "dweight = (dy * xhat.reshape(x.shape)).sum((2, 3))",
            "Your dweight is one per example and channel. Every example uses the same weight; what arrives "
            "from several arrows adds up.",
        ),
        Mistake(
            "dweight per group",
            "dweight = (dy * xhat.reshape(x.shape)).sum((0, 2, 3))",
            "dweight = (dy.reshape(split) * xhat).sum((0, 2, 3, 4))",
            "Your dweight is one per group: it is summed like the statistics. But each channel has a weight "
            "of its own.",
        ),
        Mistake(
            "dweight and dbias swapped",
            "dweight, dbias\n",
            "dbias, dweight\n",
            "dx is right; dweight and dbias stand in each other's place.",
        ),
        Mistake(
            "means for dweight and dbias",
            """\
    dweight = (dy * xhat.reshape(x.shape)).sum((0, 2, 3))
    dbias = dy.sum((0, 2, 3))
""",
            """\
    dweight = (dy * xhat.reshape(x.shape)).mean((0, 2, 3))
    dbias = dy.mean((0, 2, 3))
""",
            "dx is right; dweight and dbias are averages. The 1/m belongs to the statistics; in the "
            "gradients of the parameters all arrows count in full.",
        ),
    ),
)


def exact_jacobian(problem: Problem) -> Array:
    """Return the Jacobian of xhat of one set: row i is the exact gradient of xhat[i] alone."""
    bare, exact = problem.but(weight=None, bias=None), oracles.load("exact")
    rows = [exact.gradients(bare.but(dy=row))[0] for row in np.eye(problem.x.size)]
    return np.array(rows).astype(np.float64)


def _xhat_and_rstd(problem: Problem) -> tuple[Any, ...]:
    truth = Truth(problem)
    return truth["xhat"], truth["rstd"]


JACOBIAN = Exercise(
    name="jacobian",
    tutorial=4,
    title="The Jacobian of one set",
    **ONE_SET,
    arguments=_xhat_and_rstd,
    oracle=exact_jacobian,
    solution="""\
def jacobian(xhat, rstd):
    m = xhat.size
    return rstd * (np.eye(m) - 1 / m - np.outer(xhat, xhat) / m)
""",
    mistakes=(
        Mistake(
            "no path through the mean",
            " - 1 / m",
            "",
            "The path through the mean is missing. Add up a row of yours: a constant added to x changes no "
            "xhat.",
        ),
        Mistake(
            "no path through the variance",
            " - np.outer(xhat, xhat) / m",
            "",
            "The path through the variance is missing. Your rows sum to 0, but scaling x about its mean "
            "must leave xhat nearly as it is: look at `J @ xhat`.",
        ),
        Mistake(
            "only the diagonal",
            "(np.eye(m) - 1 / m - np.outer(xhat, xhat) / m)",
            "np.diag(1 - 1 / m - xhat * xhat / m)",
            "Your diagonal is right and the rest is 0; but each x moves the mean and the variance, and with "
            "them every xhat of the set.",
        ),
        Mistake(
            "no 1/m in the variance term",
            "np.outer(xhat, xhat) / m",
            "np.outer(xhat, xhat)",
            "Your term in xhat[i] xhat[j] is m times too large: the mean of dxhat * xhat has an m, too.",
        ),
        Mistake(
            "rstd forgotten",
            "rstd * (",
            "(",
            "Your matrix is right up to a factor: it tells nothing of how large the spread of x is.",
        ),
        Mistake(
            "xhat[i] squared",
            "np.outer(xhat, xhat)",
            "(xhat * xhat)[:, None]",
            "Your term of the variance has xhat[i] twice in every column. One of the two is that of the "
            "element that moves.",
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (WALK_TO_VAR, DX_OF_SET, GROUP_BACKWARD, JACOBIAN)
