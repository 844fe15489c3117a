"""Bugs that the emulation must show: each a small edit of a .cu file, and a problem where it does harm.

Shared memory begins as NaN, and the kernels take NaN for numbers out of range and compute such a set
again, carefully and rightly. On a GPU there may be old numbers instead. So where a bug reads what nobody
has written, there are such numbers (`stale=True`).
"""

from __future__ import annotations

from typing import NamedTuple


class Bug(NamedTuple):
    name: str
    file: str  # without .cu
    old: str  # what is there, `count` times
    new: str
    slots: tuple[int, int, int, int, int]
    run: str  # "forward" or "backward"
    way: str | None = None  # which must be taken; None for that which is
    dtype: str = "float32"
    scale: float = 1.0  # of x
    offset: float = 0.0
    stale: bool = False
    count: int = 1


FORWARD, BACKWARD = "forward", "backward"

# Views (O, P, A, B, S), by what they are cut into; float32.
LANES = 3, 1, 1, 2, 8  # a set by 4 lanes of a warp: two items of two strips
WARPS = 1, 1, 2, 4, 49  # by four warps, an item each
BLOCKS = 1, 1, 1, 8, 33  # in a cluster by two blocks of several warps
ROWS = 1, 3, 2, 1, 43  # two items: two rows and one
PIECES = 1, 1, 1, 2, 129  # two items for each channel: 65 strips and 64
MANY = 1, 1, 1, 40, 3  # more items than a warp has lanes
HUNDREDS = 1, 1, 1, 1100, 3  # so many that all threads of a block add them together
COLUMNS = 1, 12, 2, 2, 1  # some threads have two rows, some one
CHUNKS = 1, 300, 2, 1, 1  # two chunks of rows
TRAILING = 9, 1, 1, 256, 1  # a warp for each set, two strips for each lane
TRAILING_WARPS = 3, 1, 1, 129, 1  # one set after the other, by two warps

BARRIER = "BLOCKS > 1 ? cluster_sync() : d.team.sync();"
LAST = "if (BLOCKS > 1)\n        cluster_sync(); // no block leaves while others read its parts"
MOMENTS_TURNS = "__syncthreads();\n        shared[threadIdx.x] = own;\n        __syncthreads();"
SUMS_TURNS = "__syncthreads();\n        shared[threadIdx.x] = own[v];\n        __syncthreads();"

# A barrier is missing.
BARRIERS = [
    Bug(
        "forward reads parts too early",
        "forward",
        BARRIER,
        "if (BLOCKS > 1) cluster_sync();",
        WARPS,
        FORWARD,
        stale=True,
    ),
    Bug(
        "forward_cluster reads parts too early",
        "forward",
        BARRIER,
        "d.team.sync();",
        BLOCKS,
        FORWARD,
        "cluster",
        stale=True,
    ),
    Bug("forward_cluster leaves too early", "forward", LAST, "", BLOCKS, FORWARD, "cluster"),
    Bug(
        "forward_shared reads parts too early",
        "forward",
        "    d.team.sync();\n    Moments all",
        "    Moments all",
        WARPS,
        FORWARD,
        "shared",
        stale=True,
    ),
    Bug(
        "backward reads parts too early",
        "backward",
        BARRIER,
        "if (BLOCKS > 1) cluster_sync();",
        WARPS,
        BACKWARD,
        stale=True,
    ),
    Bug(
        "backward_cluster reads parts too early",
        "backward",
        BARRIER,
        "d.team.sync();",
        BLOCKS,
        BACKWARD,
        "cluster",
        stale=True,
    ),
    Bug("backward_cluster leaves too early", "backward", LAST, "", BLOCKS, BACKWARD, "cluster"),
    Bug(
        "backward_shared reads parts too early",
        "backward",
        "    d.team.sync();\n    auto at",
        "    auto at",
        WARPS,
        BACKWARD,
        "shared",
        stale=True,
    ),
    Bug("lanes read parts too early", "teams", "__syncwarp();", ";", LANES, FORWARD, stale=True),
    Bug(
        "a team's sum is written before the last one is read",
        "teams",
        "__syncthreads(); // the last sum has been read",
        "",
        HUNDREDS,
        FORWARD,
    ),
    Bug(
        "a team's sum is read too early",
        "teams",
        "__syncthreads();\n        return",
        "return",
        HUNDREDS,
        FORWARD,
        stale=True,
    ),
    Bug(
        "a careful sum is written before the last one is read",
        "careful",
        "__syncthreads(); // the last sum has been read",
        ";",
        WARPS,
        FORWARD,
        scale=1e25,
    ),
    Bug(
        "a careful sum is read too early",
        "careful",
        "__syncthreads();\n    total = 0.0;",
        "total = 0.0;",
        WARPS,
        FORWARD,
        scale=1e25,
    ),
    Bug(
        "a team's largest number is read too early",
        "teams",
        "__syncthreads();\n        for",
        "for",
        WARPS,
        FORWARD,
        scale=1e25,
    ),
    Bug(
        "fold_parameters reads too early",
        "trailing",
        "sums[threadIdx.x] = sum;\n    __syncthreads();",
        "sums[threadIdx.x] = sum;",
        LANES,
        BACKWARD,
    ),
    Bug(
        "column_moments writes too early",
        "columns",
        MOMENTS_TURNS,
        MOMENTS_TURNS.removeprefix("__syncthreads();"),
        COLUMNS,
        FORWARD,
        stale=True,
    ),
    Bug(
        "column_moments reads too early",
        "columns",
        MOMENTS_TURNS,
        MOMENTS_TURNS.removesuffix("__syncthreads();"),
        COLUMNS,
        FORWARD,
        stale=True,
    ),
    Bug(
        "column_sums writes too early",
        "columns",
        SUMS_TURNS,
        SUMS_TURNS.removeprefix("__syncthreads();"),
        COLUMNS,
        BACKWARD,
        stale=True,
    ),
    Bug(
        "column_sums reads too early",
        "columns",
        SUMS_TURNS,
        SUMS_TURNS.removesuffix("__syncthreads();"),
        COLUMNS,
        BACKWARD,
        stale=True,
    ),
    Bug(
        "backward_trailing writes sums that are still read",
        "trailing",
        "team.sync(); // the last sums have been read",
        "",
        TRAILING_WARPS,
        BACKWARD,
        stale=True,
    ),
    Bug(
        "backward_trailing reads sums too early",
        "trailing",
        "sums[slot] = own;\n        team.sync();",
        "sums[slot] = own;",
        TRAILING_WARPS,
        BACKWARD,
        stale=True,
    ),
    Bug(
        "backward_trailing gathers into what is still read",
        "trailing",
        "__syncthreads(); // what was shared has been read",
        "",
        TRAILING,
        BACKWARD,
    ),
    Bug(
        "backward_trailing reads what others gathered too early",
        "trailing",
        "__syncthreads();\n            if (t < step)",
        "if (t < step)",
        TRAILING,
        BACKWARD,
    ),
]

# Something beyond an array or of another place is taken, or something is left out.
PLACES = [
    Bug("items of sets that are not there", "items", "!set.there || i >=", "i >=", LANES, FORWARD),
    Bug(
        "items that are not there",
        "items",
        "!set.there || i >= s.items",
        "!set.there",
        WARPS,
        FORWARD,
        "shared",
    ),
    Bug(
        "strips that are not there",
        "items",
        "if (lane + r * s.lanes < item.strips)\n            to",
        "to",
        PIECES,
        FORWARD,
    ),
    Bug("a row too far", "items", "(k + 0.5f)", "(k + 1.5f)", ROWS, FORWARD),
    Bug(
        "a short piece as a whole one",
        "items",
        "min(s.piece, s.strips - q * s.piece)",
        "s.piece",
        PIECES,
        FORWARD,
    ),
    Bug("a few rows as all", "items", "(int)min((long long)s.rows, s.P - p)", "s.rows", ROWS, FORWARD),
    Bug(
        "chunks and groups change places",
        "items",
        "(o * s.chunks + chunk) * s.A + set.a",
        "(o * s.A + set.a) * s.chunks + chunk",
        CHUNKS,
        FORWARD,
    ),
    Bug(
        "the last strip is not counted",
        "moments",
        "if (lane + r * s.lanes < item.strips) {",
        "if (lane + r * s.lanes < item.strips - 1) {",
        PIECES,
        FORWARD,
    ),
    Bug(
        "the weight of group 0",
        "forward",
        "ab = set.a * s.B + item.b;",
        "ab = item.b;",
        WARPS,
        FORWARD,
    ),
    Bug(
        "the weight of group 0 in sums",
        "sums",
        "weight && !s.trailing ? exact(weight[set.a * s.B + b])",
        "weight && !s.trailing ? exact(weight[b])",
        WARPS,
        BACKWARD,
    ),
    Bug("scratch without room", "forward", "SCRATCH = 32 *", "SCRATCH = 64 *", WARPS, FORWARD),
    Bug(
        "the last row is not folded",
        "trailing",
        "+ row < rows; row",
        "+ row < rows - 1; row",
        LANES,
        BACKWARD,
    ),
]

# Wrong sums, and numbers that are lost.
NUMBERS = [
    Bug("a tree of 16 lanes", "teams", "step < lanes; step", "step < min(lanes, 16); step", PIECES, FORWARD),
    Bug(
        "a team's sum without the last warp",
        "teams",
        "< size / WARP ?",
        "< size / WARP - 1 ?",
        HUNDREDS,
        FORWARD,
    ),
    Bug(
        "items as though of one size",
        "moments",
        "sum += part.count *",
        "sum += (double)s.m / items *",
        ROWS,
        FORWARD,
    ),
    Bug(
        "rows as though shared evenly", "columns", "share = b.count / count", "share = 0.5", COLUMNS, FORWARD
    ),
    Bug("items beyond a warp", "moments", "many ? team.size : team.width()", "team.size", MANY, FORWARD),
    Bug("items of other warps", "moments", "first = team.rank % step", "first = team.rank", MANY, FORWARD),
    Bug(
        "what an item's mean lacks is dropped",
        "moments",
        "(part.hi - from) + part.lo",
        "part.hi - from",
        WARPS,
        FORWARD,
        offset=1e4,
        count=2,
    ),
    Bug(
        "what the mean lacks is dropped",
        "moments",
        "Moments{(double)s.m, hi, lo,",
        "Moments{(double)s.m, hi, 0.0,",
        WARPS,
        FORWARD,
        dtype="float64",
        offset=1e9,
    ),
    Bug(
        "what a given mean lacks is dropped from dweight",
        "sums",
        "e - lo_r * g",
        "e",
        WARPS,
        BACKWARD,
        dtype="float64",
        offset=1e9,
    ),
    Bug(
        "what a given mean lacks is dropped",
        "sums",
        "sizeof(T) == 8 ? all.d / s.m",
        "sizeof(T) == 8 ? 0.0",
        WARPS,
        BACKWARD,
        dtype="float64",
        offset=1e9,
    ),
    Bug(
        "lanes of all teams of a warp in one careful sum",
        "careful",
        "__shfl_sync(ALL, chain, k, width)",
        "__shfl_sync(ALL, chain, k)",
        LANES,
        FORWARD,
        scale=1e25,
    ),
    Bug(
        "blocks take care of the same items",
        "forward",
        "(int i = d.block * d.slots + d.slot; y",
        "(int i = d.slot; y",
        BLOCKS,
        FORWARD,
        "cluster",
        scale=1e25,
    ),
    Bug(
        "blocks take care of the same gradients",
        "backward",
        "(int i = d.block * d.slots + d.slot; odd",
        "(int i = d.slot; odd",
        BLOCKS,
        BACKWARD,
        "cluster",
        scale=1e25,
    ),
    Bug(
        "another set is done again",
        "trailing",
        "(32 - many",
        "(31 - many",
        TRAILING,
        BACKWARD,
        scale=1e25,
    ),
    Bug(
        "no care in forward",
        "moments",
        "return (var > low",
        "return true || (var > low",
        LANES,
        FORWARD,
        scale=1e25,
    ),
    Bug(
        "no care in backward",
        "sums",
        "return (size == 0.0 ||",
        "return true || (size == 0.0 ||",
        LANES,
        BACKWARD,
        scale=1e25,
    ),
]

BUGS = BARRIERS + PLACES + NUMBERS


def edit(source, file, old, new, count=1):
    """All kernels as one text, with one file of them changed."""
    before, marker, rest = source.partition(f'#line 1 "{file}.cu"\n')
    text, following, after = rest.partition('#line 1 "')
    found = text.count(old)
    if not marker or found != count:
        raise ValueError(f"{file}.cu has {found} times {old!r}; expected {count}")
    return before + marker + text.replace(old, new) + following + after


def forced(plan, way):
    """A `plan` that takes this way; `plan` is the module."""

    def force(slots, itemsize, limits, *, backward=False):
        found = getattr(plan, way)(slots, plan.cut_of(slots, itemsize), limits, backward)
        assert found is not None, f"{slots} cannot go by way of {way}"
        return found

    return force
