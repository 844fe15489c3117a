"""Slips of arithmetic: a variance that cancels, numbers too narrow for what is added up in them."""

from __future__ import annotations

from gnref.testing.museum.mechanism import Change, Mechanism

CENTERED = ("batch", "instance", "group", "layer")
MEAN, VAR = "mean = total / m", "var = squares / m"
SQUARES = "squares = (d * d).sum(-1)"
RSTD = "rstd = 1 / np.sqrt(var + eps)"
WORK = "work = np.float64 if a.dtype == np.float64 else np.float32"

MECHANISMS = (
    Mechanism(
        name="cancelling variance",
        slip="var = E[x^2] - E[x]^2",
        explanation="One pass over the data suffices, and both terms are about mean^2. Where the mean is "
        "large beside the spread, their difference is what rounding left of it: at mean/spread = 1e4 nothing "
        "is right in float32, and a variance below 0 gives NaN.",
        norm="layer",
        property="error grows like the offset at most",
        changes=(Change(VAR, "var = (loaded * loaded).sum(-1) / m - mean * mean"),),
        norms=CENTERED,
        others=(
            "var = np.maximum(0, (loaded * loaded).sum(-1) / m - mean * mean)",
            "var = ((loaded * loaded).sum(-1) - total * total / m) / m",
            "var = np.maximum(0, ((loaded * loaded).sum(-1) - total * total / m) / m)",
        ),
        asking={"dtypes": ("float32",), "options": {"offsets": (1e3,)}},
    ),
    Mechanism(
        name="small variance taken for 0",
        slip="var = 0 where var < 1e-6",
        explanation="A threshold has a unit: it is small beside data of size 1 and large beside data of size "
        "1e-4. There eps stands alone under the root, and eps was chosen small as well.",
        norm="batch",
        property="scales of x",
        changes=(Change(VAR, "var = np.where(squares / m < 1e-6, 0, squares / m)"),),
    ),
    Mechanism(
        name="squares overflow in float32",
        slip="(x - mean)^2 in float32",
        explanation="Numbers of 1e18 are far from the end of float32, 3e38, and the sum of their squares is "
        "not: the variance is infinite, rstd is 0 and y is the bias. Tiny numbers lose their squares "
        "likewise.",
        norm="layer",
        property="scales of x",
        changes=(Change("work = np.float64", WORK),),
        asking={"dtypes": ("float32",), "require": {"range": 1e18}, "options": {"scales": (1e18,)}},
    ),
    Mechanism(
        name="sums kept in 16 bits",
        slip="sum(x), sum((x - mean)^2) in x's own dtype",
        explanation="bfloat16 has 8 bits: a sum of 256 terms or more stands still when the next is added. "
        "The error grows with the number of elements in a set, so that small tests do not show it.",
        norm="layer",
        property="long sets equal math.fsum",
        changes=(
            Change("total = loaded.sum(-1)", "total = loaded.astype(x.dtype).sum(-1).astype(rows.dtype)"),
            Change(SQUARES, "squares = (d * d).astype(x.dtype).sum(-1).astype(rows.dtype)"),
        ),
        asking={"dtypes": ("bfloat16",)},
    ),
    Mechanism(
        name="count in float16",
        slip="m as a float16",
        explanation="float16 has whole numbers up to 2048, then every second one, and nothing above 65504. "
        "With m = 65,536 elements the mean and the variance are sums divided by infinity; with m = 2049 they "
        "are off by a two-thousandth, which tells where the mean is large.",
        norm="layer",
        property="long sets equal math.fsum",
        changes=(Change(MEAN, "mean = total / np.float16(m)"), Change(VAR, "var = squares / np.float16(m)")),
        asking={"dtypes": (("float16", "float32"),), "options": {"lengths": (300, 2049, 4099)}},
    ),
    Mechanism(
        name="squares in float16",
        slip="(x - mean)^2 in float16",
        explanation="256^2 is more than float16 holds. An activation of 300, which float16 holds with room "
        "to spare, has an infinite square; rstd is 0 and y is the bias.",
        norm="layer",
        property="scales of x",
        changes=(Change(SQUARES, "squares = (d * d).astype(x.dtype).astype(rows.dtype).sum(-1)"),),
        asking={"dtypes": ("float16",)},
    ),
    Mechanism(
        name="eps rounded to 16 bits",
        slip="var + float16(eps)",
        explanation="The smallest number above 0 in float16 is 6e-8: an eps of 1e-12 becomes 0. Nothing "
        "shows until a set is constant, and then 0 times 1/0 is NaN.",
        norm="layer",
        property="a constant set gives the bias",
        changes=(Change(RSTD, "rstd = 1 / np.sqrt(var + x.dtype.type(eps))"),),
        asking={"dtypes": ("float16",)},
    ),
    Mechanism(
        name="y folded into x*a + b",
        slip="y = x*a + b, b = -mean*a",
        explanation="It saves a subtraction. x*a and b are large where the mean is, and each is rounded at "
        "its own size: a constant set gives a little more or less than its bias, 1/sqrt(eps) times a "
        "rounding. Grade B allows this; grade A, which is asked here, does not.",
        norm="instance",
        property="error grows like the offset at most",
        changes=(
            Change(
                "xhat = from_rows((d * rstd[..., None])[..., :m], x5.shape)",
                "a, b = (t[..., None].astype(x.dtype) for t in (rstd, -mean * rstd))\n"
                "xhat = from_rows(rows.astype(x.dtype) * a + b, x5.shape)",
            ),
            Change(
                "xhat = np.where(mask, (loaded - mean[..., None]) * rstd[..., None], 0)",
                "a, b = (t[..., None].astype(x.dtype) for t in (rstd, -mean * rstd))\n"
                "xhat = np.where(mask, loaded.astype(x.dtype) * a + b, 0)",
            ),
        ),
        norms=CENTERED,
        prepared=(Change(WORK, "work = np.float64"),),
        asking={"dtypes": ("float32",), "require": {"accuracy": "A"}, "options": {"affine": True}},
    ),
)
