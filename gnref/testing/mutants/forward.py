"""Edits of the forward pass."""

from __future__ import annotations

from gnref.testing.mutants.edit import (
    AXIS,
    CENTERED,
    CHANNELS,
    CONSTANT,
    COUNT,
    DTYPE,
    EXAMPLES,
    INDEX,
    MASK,
    TERM,
    Edit,
)

TOTAL = "total = loaded.sum(-1)"
MEAN = "mean = total / m"
NO_MEAN = "mean = np.zeros_like(mean)"
DIFFERENCE = "d = np.where(mask, loaded - mean[..., None], 0)"
SQUARES = "squares = (d * d).sum(-1)"
VAR = "var = squares / m"
RSTD = "rstd = 1 / np.sqrt(var + eps)"
XHAT = "xhat = from_rows((d * rstd[..., None])[..., :m], x5.shape)"
Y = "y5 = xhat * parameter(weight, 1.0, x5) + parameter(bias, 0.0, x5)"
RETURNED = "return from_slots(y5, x, norm, channel_axis), mean, rstd.astype(x5.dtype)"
KEY = 'f"{total.shape}{total.dtype}"'  # of what is kept from call to call

SUMS = (  # total and squares are (O, A), and keep that shape
    Edit("mean over all sets", AXIS, TOTAL, "total = 0 * loaded.sum(-1) + loaded.sum(-1).mean()", CENTERED),
    Edit("variance over all sets", AXIS, SQUARES, "squares = 0 * d.sum(-1) + (d * d).sum(-1).mean()"),
    Edit(
        "variance over the examples",
        AXIS,
        SQUARES,
        "squares = 0 * d.sum(-1) + (d * d).sum(-1).mean(0)",
        EXAMPLES,
    ),
    Edit(
        "the first example's mean",
        INDEX,
        MEAN,
        "mean = 0 * total + total[:1] / m",
        ("group", "instance", "layer"),
    ),
    Edit("the last group's mean in the first", INDEX, MEAN, "mean = np.roll(total, 1, 1) / m", CHANNELS),
    Edit("mean in the dtype of x", DTYPE, MEAN, "mean = (total / m).astype(x.dtype)", CENTERED),
    Edit(
        "variance as E[x^2] - E[x]^2",
        DTYPE,
        SQUARES,
        "squares = (loaded * loaded).sum(-1) - m * mean * mean",
        CENTERED,
    ),
    Edit(
        "variance as E[x^2] - E[x]^2, not below 0",
        DTYPE,
        SQUARES,
        "squares = np.maximum((loaded * loaded).sum(-1) - m * mean * mean, 0)",
        CENTERED,
    ),
    Edit(
        "squares of the dtype of x",
        DTYPE,
        SQUARES,
        "squares = (d * d).astype(x.dtype).astype(x5.dtype).sum(-1)",
    ),
    # A shorter set has no more.
    Edit(
        "mean of the first 1024 elements",
        MASK,
        TOTAL,
        "total = loaded[..., :1024].sum(-1)",
        CENTERED,
        large=True,
    ),
    Edit("mask forgotten", MASK, DIFFERENCE, "d = loaded - mean[..., None]", CENTERED),
    Edit("masked with 1", MASK, DIFFERENCE, DIFFERENCE.replace(", 0)", ", 1)")),
)
COUNTS = (
    Edit("mean by m - 1", COUNT, MEAN, "mean = total / max(m - 1, 1)", CENTERED),
    Edit("mean by the lanes", COUNT, MEAN, "mean = total / len(mask)", CENTERED),
    Edit("variance by m - 1", COUNT, VAR, "var = squares / max(m - 1, 1)"),
    Edit("variance by m + 1", COUNT, VAR, "var = squares / (m + 1)"),
    Edit("variance by the lanes", COUNT, VAR, "var = squares / len(mask)"),
    Edit("variance by N m", COUNT, VAR, "var = squares / (x5.shape[0] * m)", EXAMPLES),
    # Shorter sets are no whole tiles.
    Edit("variance by m - 1 in whole tiles", COUNT, VAR, "var = squares / (m - (m % 1024 == 0))", large=True),
    # Counts of 16 bits: float16 has every one up to 2048, an integer every one up to 65,535.
    Edit("variance by a count in float16", COUNT, VAR, "var = squares / np.float16(m)", large=True),
    Edit("mean by a count in 16 bits", COUNT, MEAN, "mean = total / (m % 2**16)", CENTERED, large=True),
)
CONSTANTS = (
    Edit("eps forgotten", CONSTANT, RSTD, "rstd = 1 / np.sqrt(var)"),
    Edit("eps outside the root", CONSTANT, RSTD, "rstd = 1 / (np.sqrt(var) + eps)"),
    Edit("eps twice", CONSTANT, RSTD, "rstd = 1 / np.sqrt(var + 2 * eps)"),
    Edit("eps squared", CONSTANT, RSTD, "rstd = 1 / np.sqrt(var + eps**2)"),
    Edit("eps divided by m", CONSTANT, RSTD, "rstd = 1 / np.sqrt((squares + eps) / m)"),
    Edit("eps as a floor", CONSTANT, RSTD, "rstd = 1 / np.sqrt(np.maximum(var, eps))"),
    Edit("eps is always 1e-5", CONSTANT, RSTD, "rstd = 1 / np.sqrt(var + 1e-5)"),
    Edit("eps in float32", CONSTANT, RSTD, "rstd = 1 / np.sqrt(var + float(np.float32(eps)))"),
    Edit("variance at least 1e-6", CONSTANT, RSTD, "rstd = 1 / np.sqrt(np.maximum(var, 1e-6) + eps)"),
    Edit("no root", CONSTANT, RSTD, "rstd = 1 / (var + eps)"),
    Edit("exponent -0.49", CONSTANT, RSTD, "rstd = (var + eps) ** -0.49"),
    Edit("absent bias taken for 1", CONSTANT, Y, Y.replace("0.0", "1.0"), CENTERED),
    # |xhat| is below sqrt(m).
    Edit(
        "xhat within 10",
        CONSTANT,
        XHAT,
        "xhat = from_rows((d * rstd[..., None]).clip(-10, 10)[..., :m], x5.shape)",
        large=True,
    ),
    Edit("rstd at most 1e3", CONSTANT, RSTD, "rstd = np.minimum(1 / np.sqrt(var + eps), 1e3)"),
)
TERMS = (
    Edit("rms: a mean is subtracted", TERM, NO_MEAN, "pass", ("rms",)),
    Edit("mean not subtracted", TERM, DIFFERENCE, "d = loaded", CENTERED),
    Edit("|x - mean| for its square", TERM, SQUARES, "squares = np.abs(d).sum(-1)"),
    Edit("bias dropped", TERM, Y, "y5 = xhat * parameter(weight, 1.0, x5)", CENTERED),
    Edit(
        "bias before weight",
        TERM,
        Y,
        "y5 = (xhat + parameter(bias, 0.0, x5)) * parameter(weight, 1.0, x5)",
        CENTERED,
    ),
    Edit(
        "bias without weight dropped",
        TERM,
        Y,
        Y.replace("bias, 0.0", "None if weight is None else bias, 0.0"),
        CENTERED,
    ),
    Edit("weight dropped", TERM, Y, "y5 = xhat + parameter(bias, 0.0, x5)"),
    Edit("weight twice", TERM, Y, Y.replace("xhat *", "xhat * parameter(weight, 1.0, x5) *")),
    Edit(
        "weight added to 1",
        TERM,
        Y,
        Y.replace("parameter(weight, 1.0, x5)", "(1 + parameter(weight, 0.0, x5))"),
    ),
    Edit("x added to y", TERM, Y, Y.replace("xhat *", "x5 + xhat *")),
)
OTHERS = (
    Edit("the first example's rstd", INDEX, RSTD, "rstd = 1 / np.sqrt(0 * var + var[:1] + eps)", EXAMPLES),
    Edit("the neighbouring set's rstd", INDEX, RSTD, "rstd = np.roll(1 / np.sqrt(var + eps), 1)"),
    Edit(
        "mean and rstd swapped",
        INDEX,
        RETURNED,
        RETURNED.replace("mean, rstd.astype(x5.dtype)", "rstd, mean"),
    ),
    Edit("variance returned for rstd", TERM, RETURNED, RETURNED.replace("rstd", "var")),
    Edit("rstd returned without eps", CONSTANT, RETURNED, RETURNED.replace("rstd", "(1 / np.sqrt(var))")),
    Edit("rstd returned in the dtype of x", DTYPE, RETURNED, RETURNED.replace("x5.dtype", "x.dtype")),
    Edit(
        "xhat in float16",
        DTYPE,
        XHAT,
        XHAT.replace("None])", "None]).astype(np.float16).astype(x5.dtype)"),
    ),
    Edit(
        "mean folded in float16",
        DTYPE,
        XHAT,
        XHAT.replace("(d * rstd", "(loaded * rstd[..., None] - np.float16(mean * rstd)"),
        CENTERED,
    ),
    # As many sets as the index counts are right.
    Edit(
        "example's index in 16 bits",
        INDEX,
        MEAN,
        "mean = (total / m)[np.arange(total.shape[0]) % 2**16]",
        ("group", "instance", "layer"),
        large=True,
    ),
    Edit(
        "channel's index in 16 bits",
        INDEX,
        MEAN,
        "mean = (total / m)[:, np.arange(total.shape[1]) % 2**16]",
        ("batch",),
        large=True,
    ),
    Edit(
        "group's index in 5 bits",
        INDEX,
        RSTD,
        "rstd = 1 / np.sqrt(var[:, np.arange(var.shape[1]) % 32] + eps)",
        CHANNELS,
        large=True,
    ),
    Edit("mean of the first call", INDEX, MEAN, f"mean = globals().setdefault({KEY}, total / m)", CENTERED),
    Edit(
        "mean in a buffer that is used again",
        INDEX,
        MEAN,
        f"mean = np.divide(total, m, out=globals().setdefault({KEY}, np.empty_like(total)))",
        CENTERED,
    ),
    Edit(
        "y in a buffer that is used again",
        INDEX,
        RETURNED,
        RETURNED.replace("from_slots(", "np.positive(from_slots(").replace(
            "axis),", 'axis), out=globals().setdefault(f"{x.shape}{x.dtype}", np.empty_like(x))),'
        ),
    ),
    Edit(
        "x overwritten with y",
        INDEX,
        RETURNED,
        RETURNED.replace("from_slots(", "np.positive(from_slots(").replace("axis),", "axis), out=x),"),
    ),
)
EDITS = (*SUMS, *COUNTS, *CONSTANTS, *TERMS, *OTHERS)
