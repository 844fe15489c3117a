"""Slips in copying a formula of one line."""

from __future__ import annotations

from gnref.testing.museum.mechanism import Change, Mechanism
from gnref.testing.museum.precision import RSTD, VAR

MOMENTS = "mean 0 and variance v/(v+eps)"

MECHANISMS = (
    Mechanism(
        name="eps outside the root",
        slip="1 / (sqrt(var) + eps)",
        explanation="With eps = 1e-5 the two hardly differ where the variance is about 1. They do where it "
        "is small, or eps large.",
        norm="layer",
        property=MOMENTS,
        changes=(Change(RSTD, "rstd = 1 / (np.sqrt(var) + eps)"),),
        asking={"options": {"eps": (0.5,)}},
    ),
    Mechanism(
        name="unbiased variance",
        slip="sum (x - mean)^2 / (m - 1)",
        explanation="The default of torch.std and of statistics books; a normalization divides by m. For "
        "large sets nobody notices.",
        norm="layer",
        property=MOMENTS,
        changes=(Change(VAR, "var = squares / (m - 1)"),),
    ),
    Mechanism(
        name="square for root",
        slip="1 / (var + eps)^2",
        explanation="For data of variance 1 it is right.",
        norm="layer",
        property=MOMENTS,
        changes=(Change(RSTD, "rstd = 1 / (var + eps) ** 2"),),
    ),
    Mechanism(
        name="eps added to the count",
        slip="1 / sqrt(sum (x - mean)^2 / (m + eps))",
        explanation="A bracket ends too late, and eps guards the count, which is never 0, not the variance: "
        "a constant set gives NaN.",
        norm="rms",
        property=MOMENTS,
        changes=(Change(RSTD, "rstd = 1 / np.sqrt(squares / (m + eps))"),),
    ),
    Mechanism(
        name="another eps",
        slip="eps = 1e-3 whatever was asked",
        explanation="Libraries differ in their defaults, from 1e-3 to 1e-12, and a port that relies on them "
        "computes something else. Here the eps of the call does not arrive.",
        norm="layer",
        property="y equals exact fractions",
        changes=(Change(RSTD, "rstd = 1 / np.sqrt(var + 1e-3)"),),
    ),
)
