"""Every function of the kernel contract, by every way, in every dtype, against exact results."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import cupy
import numpy as np

from gnref.bench.case import dtype_of
from gnref.kernels.cuda.device import limits
from gpu.cases import KINDS, MANY, Case, Problem, draw, dtypes, everything, given
from gpu.oracle import (
    Exact,
    compare,
    given_statistics,
    has_wide_longdouble,
    own_statistics,
    parameter_gradients,
)
from gpu.running import both_passes, others, shifted, turned
from gpu.session import Context, Found, first_line, is_lost
from gpu.ways import OWN_CHOICE, edges, reached, ways_of

ALL = slice(None)
MANY_ELEMENTS = 1_000_000
MOST = 40  # failures that are written down in full
LOOKED_AT = {"nan": ("y", "dx")}  # of a kind, where not all results


class Tally:
    """What was compared, by function, way, dtype and kind; and what was wrong."""

    def __init__(self, found: Found) -> None:
        self.rows: dict[tuple[str, str, str, str], dict[str, Any]] = {}
        for row in found.get("table", ()):  # that of a process which did not come to its end
            key = row["result"], row["way"], row["dtype"], row["kind"]
            self.rows[key] = {name: row[name] for name in ("count", "failed")}
            self.rows[key]["worst"] = float(row["worst"])  # infinity is a word in JSON
        self.failures: list[dict[str, Any]] = found.get("failures", [])
        self.failed: int = found.get("failed", 0)
        self.taken = Counter[str](found.get("taken", {}))

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

    def fill(self, found: Found) -> None:
        """Hand everything over."""
        found["comparisons"] = sum(row["count"] for row in self.rows.values())
        found["failed"], found["failures"] = self.failed, self.failures
        found["cases"] = found.get("next", 0)
        found["table"], found["taken"] = self.table(), dict(self.taken)


def check(context: Context, found: Found) -> None:
    """The step: ``found["passed"]`` is whether nothing was wrong."""
    tally, names = Tally(found), context.options.get("dtypes", dtypes())
    found["seed"], found["skipped"] = context.seed, skipped(names)
    names = tuple(name for name in names if name not in found["skipped"])
    cases = all_cases(context, names)
    fill = partial(tally.fill, found)
    try:
        for case in context.each(cases, found, fill):
            one(case, tally, case_ways(case))
    finally:
        fill()
        found["not_met"] = [] if "cases" in context.options else not_met(names, tally.taken)
        found["passed"] = tally.failed == 0
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
    return list(
        everything(
            context.seed, context.quick, names, of_dtype, limits(cupy.cuda.Device().id).multiprocessors
        )
    )


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


def one(case: Case, tally: Tally, ways: tuple[str, ...]) -> None:
    """One case by several ways; whatever it raises is a failure of that case."""
    p, kept = draw(case), ALL
    count = 3 * p.x.size // (case.slots[0] * case.slots[2])
    if p.x.size > MANY_ELEMENTS:  # the exact results of a few examples, and of dweight and dbias
        kept = slice(None, None, max(1, (case.slots[0] - 1) // 2))
    part = p._replace(x=p.x[kept], dy=p.dy[kept])
    with np.errstate(all="ignore"):
        exact = own_statistics(part)
        if kept != ALL:
            exact |= parameter_gradients(p)
        mean, rstd = given(case)
        more = given_statistics(part, mean[kept], rstd[kept], count) if case.kind == "ordinary" else {}
    for way in ways:
        try:
            for results in runs(case, p, way, tally.taken):
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
    """Compare what there is; of what belongs to an example, where only some were ``kept``, those."""
    for name in LOOKED_AT.get(case.kind, exact):
        summed = name.endswith(("dweight", "dbias"))
        if kept != ALL and name.startswith("backward_given") and summed:
            continue  # its exact result is that of some examples only
        got = results[name] if summed else results[name][kept]
        tally.note(case, way, name, *compare(got, *exact[name]))
