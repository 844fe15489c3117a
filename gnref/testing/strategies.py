"""Hypothesis strategies for problems: shapes and structure first, then the numbers.

Hypothesis shrinks what was drawn first, first: a counterexample loses axes and elements, then
absent parameters, then its distribution turns to small integers and its seed to 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import gcd, prod
from typing import Any, NamedTuple

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from gnref.testing import data
from gnref.testing.domain import Domain
from gnref.testing.memory import LAYOUTS
from gnref.testing.problems import CHANNEL_NORMS, Array, Problem
from gnref.testing.tolerances import largest_result

PARAM_LAYOUTS = ("plain", "every_second", "backwards", "read_only")
DTYPES = ("float32", "float64", "float16", "bfloat16")
PARAM_DTYPES = {
    "float32": ("float32",),
    "float64": ("float64",),
    "float16": ("float16", "float32"),
    "bfloat16": ("bfloat16", "float32"),
}


class Range(NamedTuple):
    """What a dtype can hold without overflow or total loss: offsets in spreads, and scales."""

    offsets: tuple[float, ...]
    scales: tuple[float, ...]


RANGES = {
    "A": {
        "float64": Range((0.0, 1.0, 1e3, 1e6, 1e9), (1.0, 1e-18, 1e18, 1e-3, 1e3)),
        "float32": Range((0.0, 1.0, 1e2, 1e4, 1e6), (1.0, 1e-18, 1e18, 1e-3, 1e3)),
        "bfloat16": Range((0.0, 1.0, 1e2), (1.0, 1e-18, 1e18, 1e-3, 1e3)),
        "float16": Range((0.0, 1.0, 1e1), (1.0, 1e-1, 1e1)),
    },
    # What a sound kernel without special care survives: see `gnref.testing.tolerances`.
    "B": {
        "float64": Range((0.0, 1.0, 1e2, 1e4), (1.0, 1e-4, 1e4, 1e-2, 1e2)),
        "float32": Range((0.0, 1.0, 1e1, 1e2, 1e3), (1.0, 1e-4, 1e4, 1e-2, 1e2)),
        "bfloat16": Range((0.0, 1.0, 1e1, 1e2, 1e3), (1.0, 1e-4, 1e4, 1e-2, 1e2)),
        "float16": Range((0.0, 1.0, 1e1, 1e2, 1e3), (1.0, 1e-2, 1e1, 1e-1)),
    },
}
EASY = Range((0.0, 1.0), (1.0,))


class Most(NamedTuple):
    """The largest offset that leaves a dtype digits for the spread, and the largest scale in its range."""

    offset: float
    scale: float


MOST = {
    "float64": Most(1e9, 1e18),
    "float32": Most(1e6, 1e18),
    "bfloat16": Most(1e3, 1e18),
    "float16": Most(1e3, 1e2),
}
EVERYWHERE = Domain()


# (G, K): G groups of K channels. Where G = K, or either is 1, mistakes in the grouping do not show.
GROUPS = ((1, 1), (2, 3), (3, 2), (1, 3), (3, 1), (2, 2), (2, 4), (4, 3), (3, 5), (5, 2), (2, 7))
TILES = (1, 2, 3, 5, 8, 9, 16, 17, 31, 33, 64, 65, 100, 129, 256)  # sizes where kernels change their ways
FEW = ((1, 1), (2, 1), (1, 2), (2, 3))


def one_of(options: Sequence[Any]) -> st.SearchStrategy[Any]:
    """Draw one of some values; Hypothesis takes its time to look into a strategy that it has not seen."""
    return _one_of(*options)


@lru_cache(maxsize=500, typed=True)
def _one_of(*options: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(options)


class Sizes(NamedTuple):
    """The sizes of a problem's axes."""

    N: int
    G: int
    K: int
    spatial: tuple[int, ...]


@st.composite
def sizes(
    draw: st.DrawFn,
    max_elements: int,
    batch_sizes: Sequence[int],
    lengths: Sequence[int],
    spatial_axes: Sequence[int],
    channel_multiple: int,
) -> Sizes:
    """Draw N, G groups of K channels and so many spatial axes, with at most so many elements.

    Every draw has its own range, whatever was drawn before, so that one can shrink and leave the
    others alone; what is too large is cut afterwards.
    """
    N, (G, K) = draw(one_of(batch_sizes)), draw(one_of(FEW if lengths else GROUPS))
    K *= channel_multiple // gcd(G * K, channel_multiple)
    axes = draw(one_of(spatial_axes))
    spatial = draw(st.lists(st.integers(1, 7), min_size=axes, max_size=axes))
    longer = draw(one_of([1, 1, 1, 5, 13, 37]))  # now and then a longer set
    if lengths:  # few sets, and long ones
        return Sizes(min(N, 2), G, K, (draw(one_of(lengths)),) + (1,) * (axes - 1))
    if spatial:
        spatial[-1] *= longer
    N = max(1, min(N, max_elements // (G * K)))
    budget = max_elements // (N * G * K)
    for i, size in enumerate(spatial):
        spatial[i] = max(1, min(size, budget))
        budget //= spatial[i]
    return Sizes(N, G, K, tuple(spatial))


@st.composite
def tiled(draw: st.DrawFn, max_elements: int, spatial_axes: Sequence[int], channel_multiple: int) -> Sizes:
    """Draw every size by itself from `TILES`; the largest is cut until there are so many elements at most."""
    drawn = [draw(one_of(TILES)) for _ in range(4)]
    axes = draw(one_of(spatial_axes))
    if axes == 0:
        drawn[3] = 1
    drawn[2] *= channel_multiple // gcd(drawn[1] * drawn[2], channel_multiple)
    while (excess := prod(drawn) / max_elements) > 1:
        i = max((3, 0, 1), key=lambda i: drawn[i])  # K is what channel_multiple is about
        if drawn[i] == 1:
            break
        drawn[i] = max(1, int(drawn[i] / excess))
    N, G, K, S = drawn
    return Sizes(N, G, K, (S,) * (axes > 0) + (1,) * (axes - 1))


@st.composite
def problems(
    draw: st.DrawFn,
    norm: str,
    *,
    max_elements: int = 240,
    dtypes: Sequence[str] = DTYPES,
    param_dtypes: Mapping[str, Sequence[str]] | None = None,
    kinds: Sequence[str] = ("integers", "normal", "heavy_tailed", "normal", "one_hot", "constant"),
    layouts: Sequence[str] = tuple(LAYOUTS),
    param_layouts: Sequence[str] = PARAM_LAYOUTS,
    hard: bool = True,
    eps: Sequence[float] = (1e-5, 1e-3, 0.5, 0.0),
    channel_axes: bool | Sequence[str] = True,
    affine: bool | None = None,
    batch_sizes: Sequence[int] = (1, 2, 3, 4),
    lengths: Sequence[int] = (),
    tiles: bool = False,
    virtual: Sequence[bool] = (False, True),
    offsets: Sequence[float] | None = None,
    scales: Sequence[float] | None = None,
    grade: str = "A",
    domain: Domain = EVERYWHERE,
) -> Problem:
    """Draw a problem of a norm.

    Parameters
    ----------
    norm : str
        One of `gnref.testing.problems.NORMS`.
    max_elements : int
        The largest size of x.
    dtypes, kinds, layouts : sequence of str
        To draw x's dtype, distribution and memory layout from (dy's layout too).
    param_layouts : sequence of str
        To draw the memory layout of weight and bias from.
    param_dtypes : mapping, optional
        The dtypes that weight and bias may have for a dtype of x; by default x's own, and for 16 bits
        float32 too.
    hard : bool
        Whether to draw offsets and scales as far as the grade goes (A, float32: 1e6 spreads, 1e-18 to
        1e18), eps scaled along; if not, offsets of at most one spread.
    eps : sequence of float
        To draw eps from, in units of the squared scale.
    channel_axes : bool or sequence of str
        Whether C may stand elsewhere than at axis 1; or "channels_first", "channels_last" or both.
    offsets, scales : sequence of float, optional
        To draw x's offset (in spreads) and scale from, instead of what ``hard`` says.
    affine : bool, optional
        Whether weight and bias are there; by default each may be absent.
    batch_sizes : sequence of int
        To draw N from.
    lengths : sequence of int
        If given, to draw H*W from, for few and long sets; max_elements then does not hold.
    tiles : bool
        Whether to draw N, G, K and the first spatial axis, each by itself, around the sizes of tiles.
    virtual : sequence of bool
        To draw from whether batch norm has virtual batches.
    grade : str
        Of accuracy, "A" or "B".
    domain : Domain
        The problems that a target is meant for; ranks, dtypes, multiples and sizes are drawn inside.
    """
    spatial_axes = [rank - 2 for rank in domain.ranks or range(2, 7) if rank >= 2] or [0]
    if lengths:
        spatial_axes = [axes for axes in spatial_axes if axes > 0] or [1]
    multiple = domain.channel_multiple
    if tiles:
        size = draw(tiled(max_elements, spatial_axes, multiple))
    else:
        size = draw(sizes(max_elements * min(multiple, 4), batch_sizes, lengths, spatial_axes, multiple))
    size = _within(size, norm, domain)
    shape, options = draw(structures(norm, size, channel_axes, virtual, domain, len(lengths) > 0))
    dtype = draw(one_of([name for name in dtypes if name in (domain.dtypes or dtypes)] or list(dtypes)))
    affine = True if domain.affine_required else affine
    present = one_of([False, True, True, True]) if affine is None else st.just(affine)
    with_weight, with_bias = draw(present), draw(present) and norm != "rms"
    param_dtype = draw(one_of((param_dtypes or PARAM_DTYPES)[dtype]))
    if lengths and dtype == "float16" and "float32" in (param_dtypes or PARAM_DTYPES)[dtype]:
        param_dtype = "float32"  # a sum over so many may be more than float16 can hold
    layouts = ("plain",) if domain.contiguous else layouts
    layout, dy_layout = draw(one_of(layouts)), draw(one_of(layouts))
    param_layout = draw(one_of(("plain",) if domain.contiguous else param_layouts))
    reach = RANGES[grade][dtype] if hard else EASY
    offset = draw(one_of(_held(offsets, MOST[dtype].offset) or reach.offsets))
    scale = draw(one_of(_held(scales, MOST[dtype].scale) or reach.scales))
    drawn_eps = draw(one_of(domain.eps or eps))
    kind, dy_kind = draw(one_of(kinds)), draw(one_of(["integers", "normal"]))
    seed = draw(st.integers(0, 2**16))
    x = (data.values(kind, shape, seed) + offset) * scale
    params = options.pop("params")
    given: dict[str, Any] = {}
    if norm == "batch_frozen":
        given |= statistics(params, seed, offset, scale, param_dtype)
    if with_weight:
        given["weight"] = data.nonzero(params, seed).astype(np_dtype(param_dtype))
    if with_bias:
        given["bias"] = data.values("normal", params, seed + 1).astype(np_dtype(param_dtype))
    options |= {name: LAYOUTS[param_layout](a) for name, a in given.items()}
    problem = Problem(
        norm,
        x=LAYOUTS[layout](x.astype(np_dtype(dtype))),
        dy=LAYOUTS[dy_layout](random_dy(dy_kind, shape, seed).astype(np_dtype(dtype))),
        eps=drawn_eps if domain.eps else drawn_eps * scale**2,
        kind=kind,
        seed=seed,
        layout=layout,
        dy_layout=dy_layout,
        param_layout=param_layout,
        grade=grade,
        **options,
    )
    if dtype == "float16":  # whose largest number, 65504, a dx of a narrow set may well exceed
        assume(largest_result(problem) < 60_000)
    return problem


def _held(numbers: Sequence[float] | None, largest: float) -> list[float]:
    """Those of some offsets or scales that a dtype has enough digits or range for."""
    return [a for a in numbers or () if a == 0 or 1 / largest <= a <= largest]


def _within(size: Sizes, norm: str, domain: Domain) -> Sizes:
    """Cut what makes the sets larger than the domain has them."""
    if domain.max_set is None:
        return size
    N, G, K, spatial = size
    fixed = {"instance": 1, "group": K, "batch": N}.get(norm, G * K)
    budget = max(1, domain.max_set // fixed)
    cut = []
    for s in spatial:
        cut.append(min(s, budget))
        budget //= cut[-1]
    return Sizes(N if norm != "batch" or fixed <= domain.max_set else domain.max_set, G, K, tuple(cut))


@st.composite
def structures(
    draw: st.DrawFn,
    norm: str,
    size: Sizes,
    channel_axes: bool | Sequence[str],
    virtual: Sequence[bool],
    domain: Domain,
    long: bool,
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Arrange the sizes as a norm wants them: x's shape, and the options that go with it.

    Where the first spatial axis is to make ``long`` sets, layer norm normalizes over it.
    """
    N, G, K, spatial = size
    if norm not in CHANNEL_NORMS:
        shape = (N, G, K, *spatial)[-max(domain.ranks or (6,)) :]
        least = max(1, min(len(spatial), len(shape) - 1)) if long else 1
        ndim = draw(st.integers(least, len(shape) - (N > 4)))  # many examples are there to be told apart
        start = draw(st.integers(0, (len(shape) - ndim) * (N <= 4)))
        if domain.ranks is not None:
            rank = draw(one_of(sorted(domain.ranks)))
            shape, start = (1,) * (rank - len(shape)) + shape, max(0, len(shape) - rank)
            ndim = min(ndim, rank)
        shape = shape[start:]
        if prod(shape[len(shape) - ndim :]) % domain.channel_multiple:
            shape = (*shape[:-1], shape[-1] * domain.channel_multiple)
        return shape, {"normalized_shape": shape[len(shape) - ndim :], "params": shape[len(shape) - ndim :]}
    if norm == "batch" and N * np.prod(spatial, dtype=int) == 1:
        N = 2
    C = G * K
    if isinstance(channel_axes, bool):
        axis = draw(st.integers(1, 1 + len(spatial))) if channel_axes else 1
        from_end = axis != 1 and draw(st.booleans())
    else:
        last = draw(one_of(channel_axes)) == "channels_last"
        axis = 1 + len(spatial) if last else 1
        from_end = last and (axis == 1 or draw(st.booleans()))
    shape = (N, *spatial[: axis - 1], C, *spatial[axis - 1 :])
    if from_end:
        axis -= len(shape)
    options: dict[str, Any] = {"channel_axis": axis, "params": (C,)}
    if norm == "group":
        options["num_groups"] = G
    if norm == "batch" and draw(one_of(virtual)):
        fits = [g for g in range(1, N + 1) if N % g == 0 and g * np.prod(spatial, dtype=int) > 1]
        options["virtual_batch_size"] = draw(one_of(fits))
    return shape, options


def statistics(
    params: tuple[int, ...], seed: int, offset: float, scale: float, dtype: str
) -> dict[str, Array]:
    """Running statistics near those of the data."""
    mean = (data.values("normal", params, seed + 2) + offset) * scale
    var = data.nonzero(params, seed + 3) ** 2 * scale**2
    wide = "float64" if dtype == "float64" else "float32"
    tiny, huge = np.finfo(wide).tiny, np.finfo(wide).max
    return {"running_mean": mean.astype(wide), "running_var": np.clip(var, tiny, huge).astype(wide)}


def random_dy(kind: str, shape: tuple[int, ...], seed: int) -> Array:
    """A dy that is not constant, and that does not follow x: its values come from another seed."""
    return data.values(kind, shape, seed + 4)


def np_dtype(name: str) -> np.dtype[Any]:
    """The dtype of a name; bfloat16 is the one of ml_dtypes."""
    if name == "bfloat16":
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return found
    return np.dtype(name)
