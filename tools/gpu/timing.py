"""gnref beside PyTorch and others, and as a share of what a copy reaches.

Bytes are those that must be moved at least: forward x and y, backward x, dy and dx.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from gnref.axes import view
from gnref.bench.case import Case, dtype_of
from gnref.bench.device import measure, to_device
from gnref.bench.events import Clock
from gnref.bench.grid import DIRECTIONS, Row, grid
from gnref.bench.own import Own, options
from gnref.bench.peers import Peer, load
from gnref.bench.record import row_of
from gpu.others import peers
from gpu.session import Context, Found, is_lost

COMPILED = ("group", "layer")  # for which torch.compile is asked
SMALL = Row("group", "forward", (2, 64, 16, 16), num_groups=8)
CALLS = 200
FOR_CALLS, FOR_COMPILING = 3, 30  # seconds that are kept for them
ONE_COMPILATION = 6  # seconds that one takes, about


def large() -> list[Row]:
    """Tensors of 100 MB in float32 and float16: twice as many examples in 16 bits."""
    found = []
    for dtype, times in (("float32", 1), ("float16", 2)):
        images, last = (32 * times, 256, 56, 56), (32 * times, 56, 56, 256)
        found += [Row("group", "", images, dtype, num_groups=32)]
        for D in (1024, 4096, 8192):
            found.append(Row("layer", "", (25_165_824 // D * times, D), dtype, normalized_shape=(D,)))
        found += [Row("instance", "", images, dtype), Row("batch", "", images, dtype)]
        found.append(Row("group", "", last, dtype, -1, num_groups=32))
        found.append(Row("batch", "", last, dtype, -1))
    return found


def problems(context: Context) -> list[Row]:
    """What is timed, both directions of each: large tensors, then the rows of the CPU's benchmark."""
    if "rows" in context.options:
        return list(context.options["rows"])
    if context.quick:
        return large()[:3]
    beside = [row._replace(direction="") for row in grid() if row.direction == "forward"]
    return large() + [row for row in beside if row not in large()]


def check(context: Context, found: Found) -> None:
    """The step; rows for which there is no time are listed."""
    clock, numbers = Clock(context.options.get("flush")), Numbers(context.seed)
    everybody, found["absent"] = peers()
    for name, reason in found["absent"].items():
        context.say(f"      not there: {name}: {reason}")
    rounds, end = 5 if context.quick else 11, context.deadline
    compiles = "torch" in everybody and not context.quick
    context.deadline -= FOR_CALLS + (FOR_COMPILING if compiles else 0)
    rows = found.setdefault("rows", [])
    for problem in context.each(problems(context), found, name=in_words):
        case = numbers.case(problem._replace(direction="backward"))
        for direction in DIRECTIONS:
            row = problem._replace(direction=direction)
            rows.append(one(case._replace(row=row), everybody, clock, rounds))
            context.say(f"      {told(rows[-1])}")
    context.deadline = end
    # torch.compile comes last: of all that is timed it is the likeliest not to come back.
    found["calls"] = small_calls(everybody, context.options.get("calls", CALLS))
    context.keep(found)
    if compiles:
        beside_the_compiler(context, found, clock, numbers, rounds)


def in_words(problem: Row) -> str:
    """A row whose directions are both meant."""
    return problem._replace(direction="both").name


def beside_the_compiler(context: Context, found: Found, clock: Clock, numbers: Numbers, rounds: int) -> None:
    """torch.compile on a few of the large rows, in the end: it takes seconds for each, and may fail."""
    there, absent = load(["compile"], 1, "cuda")
    found["absent"] |= absent
    for row in found["rows"] if there else []:
        if time.monotonic() > context.deadline - ONE_COMPILATION:
            break
        if (
            "error" not in row
            and row["norm"] in COMPILED
            and row["dtype"] == "float32"
            and row["nbytes"] > 9e7
        ):
            case = numbers.case(Row(*(row[name] for name in Row._fields)))
            again = one(case, there, clock, rounds)
            row["peers"] |= again.get("peers", {})
            row["ratios"] |= again.get("ratios", {})
            context.say(f"      {row['name']}: torch.compile {again.get('ratios', {}).get('compile')}")
            context.keep(found)


def one(case: Case, chosen: dict[str, Peer], clock: Clock, rounds: int) -> dict[str, Any]:
    """One row as JSON, or why gnref failed on it."""
    row = case.row
    head = {"name": row.name, "way": way_of(row), "direction": row.direction}
    try:
        made = row_of(measure(case, chosen, rounds, clock))
    except Exception as error:
        if is_lost(error):
            raise
        return {**head, "norm": row.norm, "error": f"{type(error).__name__}: {error}"}
    for timing in (made["gnref"], made["gnref_out"], *made["peers"].values(), *made["copies"].values()):
        (timing or {}).pop("seconds", None)
    return {**made, **head}


def way_of(row: Row) -> str:
    """The way through the kernels that a row takes on this device."""
    import cupy

    from gnref.kernels.cuda.device import limits
    from gnref.kernels.cuda.plan import plan

    axes = {name: value for name, value in options(row).items() if name != "eps"}
    slots: Any = view(row.norm, row.shape, **axes).x.slots
    itemsize = dtype_of(row.dtype).itemsize
    return plan(slots, itemsize, limits(cupy.cuda.Device().id), backward=row.direction == "backward").way


def small_calls(everybody: dict[str, Peer], calls: int) -> dict[str, float]:
    """Seconds for one call after the other on a small array, where launching is all there is.

    Who fails at it is left out: that is told with the rows.
    """
    case = Numbers(0).case(SMALL._replace(direction="backward"))
    found: dict[str, float] = {}
    for direction in DIRECTIONS:
        this = case._replace(row=SMALL._replace(direction=direction))
        ways: dict[str, Any] = {"gnref": lambda this=this: Own(to_device(this), "cuda")}
        for name, peer in everybody.items():
            ways[name] = lambda peer=peer, this=this: next(iter(peer.ways(this).values()))
        for name, way in ways.items():
            try:
                found[f"{name} {direction}"] = per_call(way().run, calls)
            except Exception as error:
                if is_lost(error):
                    raise
    return found


def per_call(run: Any, calls: int) -> float:
    """The time of one of many calls."""
    import cupy

    for _ in range(3):
        run()
    cupy.cuda.Device().synchronize()
    start = time.perf_counter()
    for _ in range(calls):
        run()
    cupy.cuda.Device().synchronize()
    return (time.perf_counter() - start) / calls


class Numbers:
    """Random numbers, drawn once and used in every case: drawing takes longer than all that is timed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.drawn = np.zeros(0, np.float32)

    def take(self, shape: tuple[int, ...], dtype: str, turned: bool = False) -> Any:
        """Normal numbers away from mean 0 and spread 1; from the other end for a second array."""
        size = int(np.prod(shape))
        if self.drawn.size < size:
            self.drawn = self.rng.standard_normal(size, np.float32) * np.float32(2) + np.float32(1)
        part = self.drawn[-size:][::-1] if turned else self.drawn[:size]
        return part.reshape(shape).astype(dtype_of(dtype))

    def case(self, row: Row) -> Case:
        """The arrays of a row, dy with them."""
        params = row.normalized_shape or (row.shape[row.channel_axis],)
        wide = np.float64 if row.dtype == "float64" else np.float32
        weight, bias = (self.rng.standard_normal(params, np.float32).astype(wide) for _ in range(2))
        return Case(row, self.take(row.shape, row.dtype), weight, bias, self.take(row.shape, row.dtype, True))


def told(row: dict[str, Any]) -> str:
    """One line for the terminal."""
    if "error" in row:
        return f"{row['name']}: {row['error']}"
    ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in row["ratios"].items() if ratio)
    share = row["share_of_limit"]
    shown = "" if share is None else f", {share:.0%} of a copy"
    return f"{row['name']}: {row['bytes_per_second'] / 1e9:.0f} GB/s{shown} ({row['way']}); {ratios}"
