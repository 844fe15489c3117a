"""Slips about axes: which elements share a mean, which a weight, and what shape comes out."""

from __future__ import annotations

from gnref.testing.museum.mechanism import GROUPED, Change, Mechanism

EXACT = "y equals exact fractions"
BOTH = ("channels_first", "channels_last")
CHANNELS = ("batch", "instance", "group")
FIRST = "a = np.moveaxis(a, channel_axis, 1)"

MECHANISMS = (
    Mechanism(
        name="weight per group",
        slip="weight[c // K] for weight[c]",
        explanation="The parameters of group norm belong to channels, not to groups. With the same weight "
        "all over, or with G = C, it does not show.",
        norm="group",
        property=EXACT,
        changes=(
            Change(
                "return full.astype(a5.dtype).reshape(1, 1, A, B, 1)",
                "return full[:A].astype(a5.dtype).reshape(1, 1, A, 1, 1)",
            ),
        ),
        norms=("group",),
        asking={"options": {"affine": True}},
    ),
    Mechanism(
        name="channels last without a transpose",
        slip="x.reshape(N, C, H*W) of an N H W C array",
        explanation="A reshape changes the shape and moves nothing: what it calls a channel is a piece of a "
        "row. The result has the right shape, and its mean and variance look well.",
        norm="group",
        property="channels last is a transpose",
        changes=(
            Change(FIRST, "a = a.reshape(a.shape[0], a.shape[channel_axis], -1)"),
            Change(
                "return np.moveaxis(a5.reshape(first.shape), 1, channel_axis).astype(like.dtype)",
                "return a5.reshape(like.shape).astype(like.dtype)",
            ),
        ),
        norms=CHANNELS,
        asking={"layouts": BOTH},
    ),
    Mechanism(
        name="a positive axis refused",
        slip="axis=-1 works, axis=3 raises",
        explanation="Axis k of an array with n axes and axis k - n are one; a check that knows one of them "
        "refuses the other.",
        norm="batch",
        property="every call returns",
        changes=(
            Change(
                FIRST,
                "if channel_axis not in (1, -1):\n"
                "    raise ValueError(f'channel_axis is {channel_axis}')\n" + FIRST,
            ),
        ),
        norms=CHANNELS,
        asking={"layouts": BOTH, "through": "channels last is a transpose"},
    ),
    Mechanism(
        name="means over all groups",
        slip="mean, var over (G, K, H, W)",
        explanation="The axis of the groups is averaged away with the others. Every set is then a whole "
        "example, and group norm is the paper's layer norm.",
        norm="group",
        property="a changed set leaves the others",
        changes=(Change("return N, 1, G, K, S", "return N, 1, 1, C, S"),),
        norms=("group",),
    ),
    Mechanism(
        name="rank 4 alone",
        slip="N, C, H, W = x.shape",
        explanation="Images have four axes; sound has three, video five, and what comes after a pooling two.",
        norm="group",
        property="every call returns",
        changes=(Change("N, C, S = shape[0], shape[1], prod(shape[2:])", "N, C, H, W = shape\nS = H * W"),),
        norms=CHANNELS,
    ),
    Mechanism(
        name="G that does not divide C",
        slip="x.reshape(N, G, -1) for any G",
        explanation="With C = 3, H*W = 4 and G = 2 the reshape succeeds, and a group is one channel and a "
        "half. The formula has no meaning there, and nobody is told.",
        norm="group",
        property="a wrong num_groups is refused",
        changes=(Change("if C % num_groups != 0:", "if num_groups < 1:"),),
        norms=("group",),
        prepared=(
            Change(
                "return a.astype(work).reshape(N, num_groups, max(1, C // num_groups), -1)",
                "return a.astype(work).reshape(N, num_groups, 1, -1)",
            ),
        ),
        source=GROUPED,
        asking={"max_examples": 200},
    ),
    Mechanism(
        name="y in the kernel's shape",
        slip="y.shape = (rows, m)",
        explanation="A kernel works on rows, and its result is handed on as it is. For x of two axes that is "
        "its shape.",
        norm="layer",
        property="dtype and shape preserved",
        changes=(
            Change(
                "return a5.reshape(like.shape).astype(like.dtype)",
                "return a5.reshape(len(a5), -1).astype(like.dtype)",
            ),
        ),
        norms=("layer", "rms"),
    ),
    Mechanism(
        name="means over channels alone",
        slip="mean, var over C of every pixel",
        explanation='"Layer norm" is two things for N C H W: over C H W of an example, which is group norm '
        "with G = 1, and over C of each pixel. One of them was put for the other.",
        norm="group",
        property=EXACT,
        changes=(Change("SHARED = (2, 3)", "SHARED = (2,)"),),
        norms=("group",),
        source=GROUPED,
    ),
)
