"""Every kernel that the check will launch, compiled beforehand and on all cores, and what each needs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import cupy
import numpy as np

from gnref.bench.case import dtype_of
from gnref.kernels.cuda import contract, launch, steps
from gpu.cases import Case, dtypes
from gpu.correctness import all_cases, case_ways
from gpu.session import Context, Found, first_line, is_lost
from gpu.ways import going, replaced


def compile_all(context: Context, found: Found) -> None:
    """The step: time, registers and local memory of every kernel."""
    found["kernels"], found["failed"], found["left_out"], device = [], [], [], cupy.cuda.Device()
    wanted = names_of(all_cases(context, context.options.get("dtypes", dtypes())), found["failed"])
    workers = min(16, os.cpu_count() or 1)

    def build(name: str) -> None:
        if context.late:
            found["left_out"].append(name)
            return
        try:
            with device:
                found["kernels"].append(one(name))
        except Exception as error:
            found["failed"].append({"kernel": name, "error": f"{type(error).__name__}: {error}"})

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(build, wanted):
            context.keep(found)
    spilling = [k for k in found["kernels"] if k["local_bytes"]]
    context.say(f"      {len(found['kernels'])} kernels, {len(spilling)} use local memory")
    for failure in found["failed"]:
        context.say(f"      does not compile: {failure['kernel']}: {first_line(failure['error'])}")
    if found["failed"]:
        raise RuntimeError(f"{len(found['failed'])} kernels do not compile, of {len(wanted)}")


def one(name: str) -> dict[str, Any]:
    """Compile one kernel, or take it from CuPy's cache."""
    start = time.perf_counter()
    kernel = launch.kernel(name)
    registers, local = kernel.num_regs, kernel.local_size_bytes
    return {
        "kernel": name,
        "seconds": time.perf_counter() - start,
        "registers": registers,
        "local_bytes": local,  # of each thread: its stack frame, and what is spilled from registers
        "shared": kernel.shared_size_bytes,
    }


def names_of(cases: list[Case], failed: list[dict[str, str]]) -> list[str]:
    """The kernels that some cases launch, found by going through them without launching any.

    A case that cannot be gone through is among the failed ones, and the others are.
    """
    names: dict[str, None] = {}
    seen = set()
    with nothing_starts(names):
        for case in cases:
            key = case.slots, case.dtype, case.kind in ("bare", "mixed", "views", "no mean") and case.kind
            if key not in seen:
                seen.add(key)
                try:
                    walk(case)
                except Exception as error:
                    if is_lost(error):
                        raise
                    failed.append(
                        {"kernel": f"any of {case.name}", "error": f"{type(error).__name__}: {error}"}
                    )
    return list(names)


@contextmanager
def nothing_starts(names: dict[str, None]) -> Iterator[None]:
    """In which a launch notes the name of its kernel, and does nothing else."""

    def start(name: str, template: tuple[Any, ...], *arguments: Any) -> None:
        names[f"{name}<{', '.join(map(str, template))}>"] = None

    with replaced(steps, "start", start):
        yield


def walk(case: Case) -> None:
    """Go through every function of the contract, by every way of the case."""
    dtype, (O, _, A, B, _) = dtype_of(case.dtype), case.slots
    x = cupy.empty(case.slots, dtype)
    parameters = (
        None if case.kind == "bare" else cupy.empty((A, B), np.float32 if case.kind == "mixed" else dtype)
    )
    stat = cupy.empty((O, A), np.float64)
    for way in case_ways(case):
        with going(way):
            contract.forward(x, parameters, parameters, 1e-5, True)
            contract.backward(x, x, stat, stat, parameters, True)
            if case.kind == "ordinary":
                contract.moments(x)
                contract.apply(x, stat, stat, parameters, parameters)
                contract.backward_given(x, x, stat, stat, parameters)
                contract.backward_sums(x, x, stat, stat, parameters)
                contract.backward_from_sums(x, x, stat, stat, parameters, 9, stat, stat)
