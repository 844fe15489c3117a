"""Every function of the kernel contract, by every way, in every dtype, against exact results."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from gnref.bench.case import dtype_of
from gnref.kernels.cuda.device import limits
from gpu.cases import KINDS, MANY, Case, Problem, draw, dtypes, everything, given
from gpu.oracle import Exact, compare, given_statistics, has_wide_longdouble, own_statistics
from gpu.running import both_passes, others, shifted, turned
from gpu.session import Context, Found, first_line
from gpu.ways import OWN_CHOICE, edges, reached, ways_of

ALL = slice(None)
MANY_ELEMENTS = 1_000_000
MOST = 40  # failures that are written down in full
LOOKED_AT = {"nan": ("y", "dx")}  # of a kind, where not all results


class Tally:
    """What was compared, by function, way, dtype and kind; and what was wrong."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str, str], dict[str, Any]] = {}
        self.failures: list[dict[str, Any]] = []
        self.failed = 0

    def note(self, case: Case, way: str, name: str, good: bool, worst: float) -> None:
        """Count one comparison."""
        key = name, way, case.dtype, case.kind
        row = self.rows.setdefault(key, {"count": 0, "worst": 0.0, "failed": 0})
        row["count"] += 1
        row["worst"] = max(row["worst"], worst)
        row["failed"] += not good
        if not good:
            self.fail(case, way, name, f"error {worst:.3g} times the bar")

    def fail(self, case: Case, way: str, name: str, said: str) -> None:
        """Write a failure down."""
        self.failed += 1
        if len(self.failures) < MOST:
            self.failures.append(
                {**case._asdict(), "case": case.name, "way": way, "result": name, "said": said}
            )

    def table(self) -> list[dict[str, Any]]:
        """All counts as rows."""
        names = ("result", "way", "dtype", "kind")
        return [dict(zip(names, key, strict=True)) | row for key, row in self.rows.items()]


def check(context: Context, found: Found) -> None:
    """The step: ``found["passed"]`` is whether nothing was wrong and every kernel was met."""
    tally, taken, names = Tally(), Counter[str](), context.options.get("dtypes", dtypes())
    found["seed"], found["left_out"] = context.seed, []
    found["skipped"] = skipped(names)
    names = tuple(name for name in names if name not in found["skipped"])
    cases = all_cases(context, names)
    try:
        for number, case in enumerate(cases):
            if context.late:
                found["left_out"] = [left.name for left in cases[number:]]
                break
            one(case, tally, taken, case_ways(case))
    finally:
        found["comparisons"] = sum(row["count"] for row in tally.rows.values())
        found["cases"], found["table"] = len(cases) - len(found["left_out"]), tally.table()
        found["failed"], found["failures"], found["taken"] = tally.failed, tally.failures, dict(taken)
        found["not_met"] = not_met(names, taken)
        found["passed"] = tally.failed == 0 and (not found["not_met"] or "cases" in context.options)
        for failure in tally.failures[:10]:
            context.say(
                f"      WRONG: {failure['result']} of {failure['case']}, {failure['way']}: {failure['said']}"
            )
        context.say(
            f"      {found['cases']} problems, {found['comparisons']} comparisons, {tally.failed} wrong"
        )


def skipped(names: tuple[str, ...]) -> dict[str, str]:
    """The dtypes that cannot be checked here, and why."""
    reasons = {}
    if "bfloat16" not in dtypes():
        reasons["bfloat16"] = "ml_dtypes is not installed"
    if "float64" in names and not has_wide_longdouble():
        reasons["float64"] = "NumPy's longdouble is no wider than it here"
    return reasons


def all_cases(context: Context, names: tuple[str, ...]) -> list[Case]:
    """Those that are asked for, or everything."""
    if "cases" in context.options:
        return list(context.options["cases"])
    of_dtype = {name: edges(dtype_of(name).itemsize) for name in names}
    return list(everything(context.seed, context.quick, names, of_dtype, limits(0).multiprocessors))


def not_met(names: tuple[str, ...], taken: Counter[str]) -> list[str]:
    """The ways that the library may choose on this device and that no case took."""
    wanted = {way for name in names for way in reached(dtype_of(name).itemsize)}
    return sorted((wanted | {"columns forward", "columns backward"}) - set(taken))


def case_ways(case: Case) -> tuple[str, ...]:
    """All ways for the small and the sized ones; many sets go the way that the library chooses."""
    if case.slots[0] >= MANY or case.slots[1] > 400:
        return (OWN_CHOICE,)
    ways = ways_of(case.slots, dtype_of(case.dtype).itemsize)
    return (*ways, OWN_CHOICE) if case.kind == KINDS[0] else ways


def one(case: Case, tally: Tally, taken: Counter[str], ways: tuple[str, ...]) -> None:
    """One case by several ways; whatever it raises is a failure of that case."""
    p, kept = draw(case), ALL
    count = 3 * p.x.size // (case.slots[0] * case.slots[2])
    if p.x.size > MANY_ELEMENTS:  # the exact results of a few examples, and nothing that adds up all of them
        kept = slice(None, None, max(1, (case.slots[0] - 1) // 2))
    part = p._replace(x=p.x[kept], dy=p.dy[kept])
    with np.errstate(all="ignore"):
        exact = own_statistics(part)
        mean, rstd = given(case)
        more = given_statistics(part, mean[kept], rstd[kept], count) if case.kind == "ordinary" else {}
    for way in ways:
        try:
            for results in runs(case, p, way, taken):
                judge(case, way, results, exact, tally, kept)
            if more:
                judge(case, way, others(p, case, way, count), more, tally, kept)
        except Exception as error:
            tally.fail(case, way, "every function", first_line(f"{type(error).__name__}: {error}"))
            if is_lost(error):
                raise


def runs(case: Case, p: Problem, way: str, taken: Counter[str]) -> list[dict[str, Any]]:
    """Both passes; of arrays that lie awkwardly, both ways in which they do."""
    if case.kind != "views":
        return [both_passes(p, way, None, taken)]
    return [both_passes(p, way, lie(p), taken) for lie in (shifted, turned)]


def judge(
    case: Case, way: str, results: dict[str, Any], exact: Exact, tally: Tally, kept: slice = ALL
) -> None:
    """Compare what there is; where only some examples were ``kept``, what belongs to an example."""
    for name in LOOKED_AT.get(case.kind, exact):
        summed = name.endswith(("dweight", "dbias"))
        if kept == ALL or not summed:
            tally.note(
                case, way, name, *compare(results[name] if summed else results[name][kept], *exact[name])
            )


def is_lost(error: Exception) -> bool:
    """Whether the device can do nothing more in this process: after an illegal access nothing runs."""
    text = str(error)
    return any(
        said in text for said in ("IllegalAddress", "LaunchFailure", "Misaligned", "Assert", "IllegalInstr")
    )
