"""Slips about tiles: masks, remainders, counters that run over, sums in the order of a batch."""

from __future__ import annotations

from gnref.testing.museum.gradients import MEAN_G
from gnref.testing.museum.mechanism import FIVE, Change, Mechanism
from gnref.testing.museum.precision import CENTERED, MEAN, SQUARES

EXACT = "y equals exact fractions"
TOTAL = "total = loaded.sum(-1)"
LOAD = """mask = lanes < m
loaded = np.zeros((*rows.shape[:-1], len(lanes)), rows.dtype)
loaded[..., :m] = rows
return loaded, mask"""
LOAD_BY_ADDRESS = """address = np.arange(0, rows.size, max(1, m))[:, None] + lanes
mask = (lanes < m) & (address < rows.size)
loaded = np.where(mask, np.take(rows, address, mode="clip"), 0)
return loaded.reshape(*rows.shape[:-1], -1), mask.reshape(*rows.shape[:-1], -1)"""
MECHANISMS = (
    Mechanism(
        name="padded lanes count",
        slip="(0 - mean)^2 of the padding in the variance",
        explanation="A block is filled up with zeros, which do no harm to the sum. Minus the mean they are "
        "no zeros any more, and each adds mean^2. Sizes that fill the blocks, or a mean of 0, hide it.",
        norm="layer",
        property=EXACT,
        changes=(Change("d = np.where(mask, loaded - mean[..., None], 0)", "d = loaded - mean[..., None]"),),
        norms=CENTERED,
    ),
    Mechanism(
        name="mask up to the array's end",
        slip="lanes of the next group are read",
        explanation="The lanes beyond a group are masked where the array ends, and a group ends before that: "
        "its sums take the first elements of the next one in.",
        norm="group",
        property=EXACT,
        changes=(Change("mask = (lanes < m) & (address < rows.size)", "mask = address < rows.size"),),
        prepared=(Change(LOAD, LOAD_BY_ADDRESS),),
    ),
    Mechanism(
        name="the last tile left out",
        slip="for tile in range(m // 1024)",
        explanation="Where a set is longer than a tile, the remainder is forgotten. Sizes in tests are "
        "powers of two, or smaller than a tile.",
        norm="group",
        property="long sets equal math.fsum",
        changes=(Change(TOTAL, "total = loaded[..., : m // 1024 * 1024 or None].sum(-1)"),),
        norms=CENTERED,
    ),
    Mechanism(
        name="rows counted in 16 bits",
        slip="row number modulo 65,536",
        explanation="The counter runs over, and row 65,536 takes the statistics of row 0. The same happens "
        "with 32 bits at 2^31, for which an array of 8 GB is needed.",
        norm="layer",
        property="many sets are like few",
        changes=(Change(TOTAL, "total = loaded.sum(-1)[np.arange(len(loaded)).astype(np.uint16)]"),),
        norms=("instance", "group", "layer"),
        asking={"max_examples": 200},
    ),
    Mechanism(
        name="unequal pieces, equal votes",
        slip="mean of the means of pieces",
        explanation="A set that is cut in pieces, by tiles or by machines, has the mean of their means only "
        "where the pieces are equally long; else each mean counts as often as its piece has elements.",
        norm="batch",
        property=EXACT,
        changes=(
            Change(MEAN, "mean = np.mean([rows[..., i : i + 4].mean(-1) for i in range(0, m, 4)], axis=0)"),
            Change(
                MEAN_G,
                "mean_g = np.mean([g[..., i : min(i + 4, m)].mean(-1) for i in range(0, m, 4)], axis=0)",
            ),
        ),
        norms=CENTERED,
    ),
    Mechanism(
        name="block size by the batch",
        slip="block = 8 if N < 256 else 4",
        explanation="The order of the additions in a row depends on how many rows there are. Every result is "
        "right to rounding, and an example's result changes with its neighbours.",
        norm="rms",
        property="f(x)[i] = f(x[i:i+1])",
        changes=(
            Change(
                SQUARES,
                "block = 8 if len(d) < 256 else 4\n"
                "squares = (d * d).reshape(*d.shape[:-1], -1, block).sum(-1).sum(-1)",
            ),
        ),
        norms=FIVE[1:],
        asking={
            "dtypes": ("float32",),
            "require": {"batch_invariance": "bits"},
            "max_examples": 300,
            "options": {"kinds": ("normal",), "batch_sizes": (1, 257)},
        },
    ),
)
