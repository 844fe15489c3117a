"""Equal bits: of two runs, of all ways, on another stream, alone and among others, of PyTorch's tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import cupy

from gnref.bench.case import dtype_of
from gnref.kernels.cuda import contract
from gnref.kernels.cuda.device import limits
from gpu.cases import COLUMNS, HUGE, KINDS, ROWS, Array, Case, Problem, draw, dtypes, natural, sized
from gpu.correctness import case_ways
from gpu.running import NAMES, both_passes, same_bits
from gpu.session import Context, Found, first_line, is_lost
from gpu.ways import OWN_CHOICE, edges, ways_of

Results = dict[str, Array]
Law = Callable[[Case, Problem, Results], list[str] | None]  # what differs; None where it is not asked
PER_SET = ("y", "mean", "var", "rstd", "dx")
ONE_ORDER = ("ordinary", "offset", "huge", "tiny")  # kinds whose sums have one order on every way
MOST = 40
DEVICE = "cuda"


def check(context: Context, found: Found) -> None:
    """The step: ``found["passed"]`` is whether no bit differed, and nothing failed."""
    laws = LAWS | ({"PyTorch's tensors": as_tensors} if tensors_are_there() else {})
    found["laws"] = {law: {"cases": 0, "differing": []} for law in laws} | found.get("laws", {})
    cases = context.options.get("cases") or list(some(context))
    for case in context.each(cases, found):
        one(case, laws, found)
    found["passed"] = not any(law["differing"] for law in found["laws"].values()) and not found.get(
        "failures"
    )
    for failure in found.get("failures", []):
        context.say(f"      failed: {failure['case']}: {failure['said']}")
    for law, told in found["laws"].items():
        context.say(f"      {law}: {told['cases']} problems, {len(told['differing'])} with other bits")


def some(context: Context) -> Iterator[Case]:
    """A part of the cases of `correctness`."""
    for dtype in context.options.get("dtypes", dtypes()):
        for kind in ONE_ORDER:
            rows, columns = (ROWS[:7], COLUMNS) if kind in KINDS[:2] else (ROWS[1:7:2], COLUMNS[:2])
            if kind in KINDS[:2] or dtype in HUGE:
                yield from (Case(slots, dtype, kind, context.seed) for slots in (*rows, *columns))
        sizes = edges(dtype_of(dtype).itemsize)
        yield from sized(dtype, sizes, context.seed)
        many = limits(cupy.cuda.Device().id).multiprocessors
        yield from natural(dtype, sizes[2::6], many, context.seed)


def one(case: Case, laws: Mapping[str, Law], found: Found) -> None:
    """All laws on one case."""
    p = draw(case)
    try:
        first = both_passes(p, OWN_CHOICE)
    except Exception as error:
        said = first_line(f"{type(error).__name__}: {error}")
        found.setdefault("failures", []).append({"case": case.name, "said": said})
        if is_lost(error):
            raise
        return
    for law, holds in laws.items():
        note(found["laws"][law], case, partial(holds, case, p, first))


def note(told: dict[str, Any], case: Case, differing: Callable[[], list[str] | None]) -> None:
    """Count a case that was compared, and write down what differed."""
    lost = None
    try:
        names = differing()
    except Exception as error:
        names = [first_line(f"{type(error).__name__}: {error}")]
        lost = error if is_lost(error) else None
    told["cases"] += names is not None
    if names and len(told["differing"]) < MOST:
        told["differing"].append({**case._asdict(), "case": case.name, "results": names})
    if lost is not None:
        raise lost


def differing(one: Results, other: Results, names: tuple[str, ...] | None = None) -> list[str]:
    """The results that have other bits."""
    return [name for name in (names or one) if name in one and not same_bits(one[name], other[name])]


def twice(case: Case, p: Problem, first: Results) -> list[str]:
    """The same call again."""
    return differing(first, both_passes(p, OWN_CHOICE))


def by_every_way(case: Case, p: Problem, first: Results) -> list[str] | None:
    """Whichever way it goes; dweight and dbias over a last axis are added in the order of the sets there."""
    if case_ways(case) == (OWN_CHOICE,) or case.kind not in ONE_ORDER:
        return None
    trailing = case.slots[1] == case.slots[4] == 1
    ways = [way for way in ways_of(case.slots, dtype_of(case.dtype).itemsize) if way != "columns"]
    if not ways:
        return None  # there is one way only
    return [
        f"{name}, {way}"
        for way in ways
        for name in differing(first, both_passes(p, way), PER_SET if trailing else None)
    ]


def on_another_stream(case: Case, p: Problem, first: Results) -> list[str]:
    """A stream that waits for no other."""
    cupy.cuda.Device().synchronize()
    with cupy.cuda.Stream(non_blocking=True) as stream:
        results = both_passes(p, OWN_CHOICE)
        stream.synchronize()
    return differing(first, results)


def alone(case: Case, p: Problem, first: Results) -> list[str] | None:
    """The first and the last example without the others: the same bits in all that belongs to a set."""
    if case.slots[0] == 1:
        return None
    found = []
    for i in {0, case.slots[0] - 1}:
        one = both_passes(p._replace(x=p.x[i : i + 1], dy=p.dy[i : i + 1]), OWN_CHOICE)
        among = {name: first[name][i : i + 1] for name in PER_SET if name in first}
        found += [f"{name}, example {i}" for name in differing(among, one)]
    return found


def tensors_are_there() -> bool:
    """Whether PyTorch has this device, too."""
    if find_spec("torch") is None:
        return False
    try:
        return bool(import_module("torch").cuda.is_available())
    except Exception:  # a PyTorch that cannot be imported
        return False


def as_tensors(case: Case, p: Problem, first: Results) -> list[str]:
    """PyTorch's tensors in the place of CuPy's arrays."""
    import torch

    from gnref.bench.peers.torch import tensor

    x, dy, weight, bias = (None if a is None else tensor(a).to(DEVICE) for a in p[:4])
    y, mean, var, rstd = contract.forward(x, weight, bias, p.eps, p.center)
    dx, dweight, dbias = contract.backward(dy, x, mean, rstd, weight, p.center)
    results = dict(zip(NAMES, (y, mean, var, rstd, dx, dweight, dbias), strict=True))
    return [
        name
        for name, a in first.items()
        if results[name].cpu().contiguous().view(torch.uint8).numpy().tobytes() != a.tobytes()
    ]


LAWS: dict[str, Law] = {
    "two runs": twice,
    "every way": by_every_way,
    "another stream": on_another_stream,
    "alone and among others": alone,
}
