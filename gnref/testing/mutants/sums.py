"""Edits of the backward pass: dweight and dbias."""

from __future__ import annotations

from gnref.testing.mutants.edit import AXIS, CENTERED, CHANNELS, COUNT, DTYPE, EXAMPLES, INDEX, TERM, Edit

DWEIGHT = "dweight = (dy5 * xhat5).sum((0, 1, 4))"
DBIAS = "dbias = dy5.sum((0, 1, 4))"
DWEIGHT_RETURNED = "None if weight is None else dweight.reshape(weight.shape).astype(weight.dtype)"
DBIAS_RETURNED = "None if bias is None else dbias.reshape(bias.shape).astype(bias.dtype)"
SO_FAR = (
    'dweight = globals().setdefault(f"{dy5.shape}{dy5.dtype}", np.zeros(dy5.shape[2:4], dy5.dtype)); '
    "dweight += (dy5 * xhat5).sum((0, 1, 4))"
)

EDITS = (
    Edit(
        "dweight of the first example", AXIS, DWEIGHT, "dweight = (dy5 * xhat5)[:1].sum((0, 1, 4))", EXAMPLES
    ),
    Edit(
        "dweight of the first in the batch",
        AXIS,
        DWEIGHT,
        "dweight = (dy5 * xhat5)[:, :1].sum((0, 1, 4))",
        ("batch",),
    ),
    Edit(
        "dweight of the first pixel",
        AXIS,
        DWEIGHT,
        "dweight = (dy5 * xhat5)[..., :1].sum((0, 1, 4))",
        CHANNELS,
    ),
    Edit(
        "dweight averaged over the examples",
        COUNT,
        DWEIGHT,
        "dweight = (dy5 * xhat5).mean(0).sum((0, 3))",
        EXAMPLES,
    ),
    Edit("dweight with x for xhat", TERM, DWEIGHT, "dweight = (dy5 * x5).sum((0, 1, 4))"),
    Edit(
        "dweight times weight", TERM, DWEIGHT, DWEIGHT.replace("(dy5", "(parameter(weight, 1.0, dy5) * dy5")
    ),
    Edit(
        "dweight divided by weight",
        TERM,
        DWEIGHT,
        "dweight = (dy5 * xhat5 * (w := parameter(weight, 1.0, dy5)) / w).sum((0, 1, 4))",
    ),
    Edit("dweight's sign", TERM, DWEIGHT, DWEIGHT.replace("(dy5", "-(dy5")),
    Edit(
        "dbias times weight",
        TERM,
        DBIAS,
        "dbias = (dy5 * parameter(weight, 1.0, dy5)).sum((0, 1, 4))",
        CENTERED,
    ),
    Edit(
        "dbias dropped without weight",
        TERM,
        DBIAS_RETURNED,
        DBIAS_RETURNED.replace("bias is None", "bias is None or weight is None"),
        CENTERED,
    ),
    Edit("dweight of the calls so far", TERM, DWEIGHT, SO_FAR),
    Edit("dweight and dbias swapped", INDEX, DBIAS, "dweight, dbias = dy5.sum((0, 1, 4)), dweight", CENTERED),
    Edit("dweight one channel off", INDEX, DWEIGHT, "dweight = np.roll((dy5 * xhat5).sum((0, 1, 4)), 1)"),
    Edit(
        "dweight without its shape",
        INDEX,
        DWEIGHT_RETURNED,
        DWEIGHT_RETURNED.replace("weight.shape", "-1"),
        ("layer", "rms"),
    ),
    # A grid's second axis has 65,535 blocks.
    Edit(
        "dweight of 65535 examples",
        INDEX,
        DWEIGHT,
        "dweight = (dy5 * xhat5)[:65535].sum((0, 1, 4))",
        EXAMPLES,
        large=True,
    ),
    Edit(
        "dweight summed in the dtype of x",
        DTYPE,
        DWEIGHT,
        DWEIGHT.replace("(dy5 * xhat5)", "(dy5 * xhat5).astype(x.dtype)"),
    ),
    Edit(
        "dbias summed in the dtype of x", DTYPE, DBIAS, "dbias = dy5.astype(x.dtype).sum((0, 1, 4))", CENTERED
    ),
    Edit(
        "dweight in the dtype of x",
        DTYPE,
        DWEIGHT_RETURNED,
        DWEIGHT_RETURNED.replace("weight.dtype", "x.dtype"),
    ),
    Edit(
        "dbias in the dtype of x",
        DTYPE,
        DBIAS_RETURNED,
        DBIAS_RETURNED.replace("bias.dtype", "x.dtype"),
        CENTERED,
    ),
)
