"""What a call costs besides its time on a large array: memory, compilation, one small call, and growth."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import gnref
from gnref.bench.first_call import FirstCalls, first_calls
from gnref.bench.grid import IMAGES, Row
from gnref.bench.growth import small_call, time_per_element
from gnref.bench.memory import peak_memory

# Of 100 MB: below 32 MB, an allocator may keep what is freed, and a call then takes it unseen.
MEMORY_ROWS = (
    Row("batch", "forward", IMAGES[0]),
    Row("batch", "backward", IMAGES[0]),
    Row("group", "forward", IMAGES[0], num_groups=32),
    Row("group", "backward", IMAGES[0], num_groups=32),
    Row("group", "forward", (32, 56, 56, 256), channel_axis=-1, num_groups=32),
    Row("group", "backward", (32, 56, 56, 256), channel_axis=-1, num_groups=32),
    Row("layer", "forward", (32768, 768), normalized_shape=(768,)),
    Row("layer", "backward", (32768, 768), normalized_shape=(768,)),
)
PARTS = 4  # that `measure` has


class Cost(NamedTuple):
    """One line of the second table, and its numbers for JSON."""

    what: str
    own: str
    other: str = ""
    values: dict[str, Any] = {}  # noqa: RUF012  never changed


def measure(threads: int) -> Iterator[list[Cost]]:
    """Measure everything; some lines at a time."""
    if gnref.backends()["cpu"] != "ready":
        yield [Cost("the cpu backend is not ready: " + gnref.backends()["cpu"], "")]
        return
    yield _memory(threads)
    yield _first_call()
    yield _small_call(threads)
    yield _growth()


def _memory(threads: int) -> list[Cost]:
    """Peak memory, without and with out=."""
    if sys.platform == "win32":
        return [Cost("peak memory: Windows does not tell", "")]
    found = []
    for row in MEMORY_ROWS:
        new, out = peak_memory(row, threads), peak_memory(row, threads, out=True)
        what = f"peak memory over that of x: {row.name}"
        found.append(Cost(what, f"{new:.2f}", f"with out= {out:.2f}", {"new": new, "out": out}))
    return found


def _first_call() -> list[Cost]:
    """First calls, beside those of the smallest function there could be."""
    (cold, warm), (trivial_cold, trivial_warm) = first_calls(), first_calls(trivial=True)
    return [
        _first("nothing compiled before", cold, trivial_cold),
        _first("compiled by an earlier process", warm, trivial_warm),
    ]


def _first(when: str, own: FirstCalls, trivial: FirstCalls) -> Cost:
    """One of the two."""
    values = {"forward": own.forward, "backward": own.backward, "trivial": trivial.forward}
    shown = f"{own.forward:.2f} s, backward {own.backward:.2f} s"
    return Cost(f"first call, {when}", shown, f"x + x {trivial.forward:.2f} s", values)


def _small_call(threads: int) -> list[Cost]:
    """One call on a small array."""
    timings = small_call(threads)
    values = {name: timing.median for name, timing in timings.items()}
    other = f"PyTorch {values['torch'] * 1e6:.1f} us" if "torch" in values else ""
    return [Cost("one call of group norm, 2x64x16x16", f"{values['gnref'] * 1e6:.1f} us", other, values)]


def _growth() -> list[Cost]:
    """Time per element."""
    found = time_per_element()
    return [
        Cost(
            f"time per element, group norm, {nbytes / 1e6:.0f} MB",
            f"{forward * 1e9:.3f} ns, backward {backward * 1e9:.3f} ns",
            values={"nbytes": nbytes, "forward": forward, "backward": backward},
        )
        for nbytes, (forward, backward) in found.items()
    ]
