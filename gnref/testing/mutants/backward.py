"""Edits of the backward pass: the sums, and dx."""

from __future__ import annotations

from gnref.testing.mutants.edit import (
    AXIS,
    CENTERED,
    CONSTANT,
    COUNT,
    DTYPE,
    ELEMENTS,
    EXAMPLES,
    INDEX,
    MASK,
    TERM,
    Edit,
)

ARRAYS = "x5, dy5 = (to_slots(a, norm, argument, channel_axis) for a in (x, dy))"
XHAT = "xhat = np.where(mask, (loaded - mean[..., None]) * rstd[..., None], 0)"
G = "g, _ = load(to_rows(dy5 * parameter(weight, 1.0, dy5)))"
MEAN_G = "mean_g = g.sum(-1) / m"
NO_MEAN_G = "mean_g = np.zeros_like(mean_g)"
MEAN_G_XHAT = "mean_g_xhat = (g * xhat).sum(-1) / m"
DX = "dx = rstd[..., None] * (g - mean_g[..., None] - xhat * mean_g_xhat[..., None])"
DX5 = "dx5 = from_rows(dx[..., :m], x5.shape)"
DX_RETURNED = "from_slots(dx5, x, norm, channel_axis),"
# dy and xhat as rows; the weight comes last.
AFTER = (
    "dx = rstd[..., None] * load(to_rows(0 * dy5 + parameter(weight, 1.0, dy5)))[0] * ("
    "(r := load(to_rows(dy5))[0])"
    " - r.sum(-1, keepdims=True) / m - xhat * (r * xhat).sum(-1, keepdims=True) / m)"
)

SUMS = (
    Edit("mean of g over all sets", AXIS, MEAN_G, "mean_g = 0 * g.sum(-1) + g.sum(-1).mean() / m", CENTERED),
    Edit(
        "mean of g xhat over the examples",
        AXIS,
        MEAN_G_XHAT,
        "mean_g_xhat = 0 * g.sum(-1) + (g * xhat).sum(-1).mean(0) / m",
        EXAMPLES,
    ),
)
COUNTS = (
    Edit("mean of g by m - 1", COUNT, MEAN_G, "mean_g = g.sum(-1) / max(m - 1, 1)", CENTERED),
    Edit("mean of g by the lanes", COUNT, MEAN_G, "mean_g = g.sum(-1) / len(mask)", CENTERED),
    Edit("mean of g xhat by m - 1", COUNT, MEAN_G_XHAT, "mean_g_xhat = (g * xhat).sum(-1) / max(m - 1, 1)"),
    Edit("dx divided by N", COUNT, DX, DX.replace("rstd[", "1 / len(x) * rstd[")),
)
TERMS = (
    Edit("mean of g dropped", TERM, DX, DX.replace(" - mean_g[..., None]", ""), CENTERED),
    Edit("mean of g xhat dropped", TERM, DX, DX.replace(" - xhat * mean_g_xhat[..., None]", "")),
    Edit("mean of g xhat added", TERM, DX, DX.replace("- xhat", "+ xhat")),
    Edit("dx as with given statistics", TERM, DX, "dx = rstd[..., None] * g"),
    Edit("dx without rstd", TERM, DX, DX.replace("rstd[..., None] * ", "")),
    Edit("dx is 0", TERM, DX, "dx = 0 * xhat"),
    Edit("dy added to dx", TERM, DX_RETURNED, DX_RETURNED.replace("dx5", "dx5 + dy5")),
    Edit("dy taken for 1", TERM, G, G.replace("dy5 *", "(0 * dy5 + 1) *")),
    Edit("weight forgotten in dx", TERM, G, "g, _ = load(to_rows(dy5))"),
    Edit(
        "weight averaged over the set",
        TERM,
        G,
        G.replace("dy5)))", "dy5).mean(3, keepdims=True)))"),
        ELEMENTS,
    ),
    Edit("weight after the sums", TERM, DX, AFTER, ("group", "layer")),
    Edit(
        "weight forgotten in the mean of g",
        TERM,
        MEAN_G,
        "mean_g = load(to_rows(dy5))[0].sum(-1) / m",
        CENTERED,
    ),
    Edit(
        "weight forgotten in the mean of g xhat",
        TERM,
        MEAN_G_XHAT,
        "mean_g_xhat = (load(to_rows(dy5))[0] * xhat).sum(-1) / m",
    ),
    Edit("rms: a mean of g is subtracted", TERM, NO_MEAN_G, "pass", ("rms",)),
)
CONSTANTS = (
    Edit("mean of g twice", CONSTANT, DX, DX.replace("- mean_g[", "- 2 * mean_g["), CENTERED),
    Edit("mean of g xhat halved", CONSTANT, DX, DX.replace("- xhat", "- 0.5 * xhat")),
    Edit("dx within 10", CONSTANT, DX5, DX5.replace("dx[..., :m]", "dx[..., :m].clip(-10, 10)")),
    Edit(
        "dx of a constant set is 0",
        CONSTANT,
        DX,
        DX.replace("rstd[..., None]", "rstd[..., None] * xhat.any(-1, keepdims=True)"),
        CENTERED,
    ),
)
MASKS = (
    Edit(
        "tail left out of the mean of g xhat",
        MASK,
        MEAN_G_XHAT,
        MEAN_G_XHAT.replace("(g * xhat)", "(g * xhat)[..., : m // BLOCK * BLOCK]"),
    ),
    Edit(
        "tail of dx is 0",
        MASK,
        DX5,
        DX5.replace("dx[..., :m]", "(dx * (np.arange(len(mask)) < m // BLOCK * BLOCK))[..., :m]"),
    ),
    Edit(
        "g of the padding is 1",
        MASK,
        G,
        G.replace("g, _ = ", "g = np.where(mask, ").replace("dy5)))", "dy5)))[0], 1)"),
        CENTERED,
    ),
)
INDICES = (
    Edit("NaN in dy taken for 0", MASK, ARRAYS, ARRAYS.replace("dy))", "np.where(dy == dy, dy, 0 * x)))")),
    Edit("the next example's dy", INDEX, ARRAYS, ARRAYS.replace("dy))", "np.roll(dy, 1, 0)))")),
    Edit(
        "dy in the order of memory",
        INDEX,
        ARRAYS,
        ARRAYS.replace("dy))", 'dy.ravel(order="K").reshape(dy.shape)))'),
    ),
    Edit(
        "x read as dy lies",
        INDEX,
        ARRAYS,
        ARRAYS.replace(
            "(x, dy))", '(x if dy.flags.c_contiguous else x.ravel(order="K").reshape(x.shape), dy))'
        ),
    ),
    Edit(
        "the neighbouring set's mean in xhat",
        INDEX,
        XHAT,
        XHAT.replace("mean[", "np.roll(mean, 1)["),
        CENTERED,
    ),
    Edit(
        "dy overwritten with dx",
        INDEX,
        DX_RETURNED,
        "np.positive(from_slots(dx5, x, norm, channel_axis), out=dy),",
    ),
    # A grid's second axis has 65,535 blocks.
    Edit(
        "dx of 65535 examples",
        INDEX,
        DX5,
        DX5 + " * (np.arange(x5.shape[0]) < 65535).reshape(-1, 1, 1, 1, 1)",
        EXAMPLES,
        large=True,
    ),
    Edit(
        "dx of 65535 in the batch",
        INDEX,
        DX5,
        DX5 + " * (np.arange(x5.shape[1]) < 65535).reshape(-1, 1, 1, 1)",
        ("batch",),
        large=True,
    ),
)
DTYPES = (
    Edit(
        "dx in the dtype of the sums",
        DTYPE,
        DX_RETURNED,
        "from_slots(dx5, x.astype(x5.dtype), norm, channel_axis),",
    ),
    Edit("dx by way of float16", DTYPE, DX5, DX5.replace("dx[..., :m]", "dx[..., :m].astype(np.float16)")),
    Edit(
        "mean of g in the dtype of x",
        DTYPE,
        MEAN_G,
        MEAN_G.replace("g.sum(-1)", "g.astype(x.dtype).sum(-1)"),
        CENTERED,
    ),
    Edit(
        "mean of g xhat in float16",
        DTYPE,
        MEAN_G_XHAT,
        MEAN_G_XHAT.replace("(g * xhat).sum(-1)", "(g * xhat).sum(-1, dtype=np.float16)"),
    ),
    Edit(
        "backward in float32",
        DTYPE,
        XHAT,
        XHAT.replace("(loaded - mean[..., None])", "(loaded - mean[..., None]).astype(np.float32)"),
    ),
)
EDITS = (*SUMS, *COUNTS, *TERMS, *CONSTANTS, *MASKS, *INDICES, *DTYPES)
