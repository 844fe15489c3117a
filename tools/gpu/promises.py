"""What only a device can show: arrays of more than 2^31 numbers, no hidden wait, and the right stream.

The last two need a device that is busy: long work is queued first, and then it is seen who waits for it,
and who does not although they should.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any, NamedTuple

import cupy
import numpy as np

import gnref
from gnref.bench.events import Clock
from gnref.kernels.cuda import contract
from gpu import absent
from gpu.cases import Case, Problem, draw
from gpu.determinism import tensors_are_there
from gpu.oracle import Exact, compare, own_statistics
from gpu.running import NAMES, same_bits
from gpu.session import Context, Found, first_line, is_lost

MANY = 2**31
SHAPE = (8, 32, 32, 32)  # of calls that are short, beside what is queued
BUSY, MOST = 0.1, 500  # seconds of work to queue; and launches, since a queue has an end
TRIES = 3
DEVICE = "cuda"


class Checked(NamedTuple):
    """What came of one check; None where it could not be made."""

    passed: bool | None
    said: str


def check(context: Context, found: Found) -> None:
    """The step."""
    found["checks"] = {}
    for name, function in CHECKS.items():
        if context.late:
            found.setdefault("left_out", []).append(name)
            continue
        try:
            told = function(context)
        except Exception as error:
            told = Checked(False, first_line(f"{type(error).__name__}: {error}"))
            found["checks"][name] = told._asdict()
            if is_lost(error):
                raise
        found["checks"][name] = told._asdict()
        word = {True: "kept", False: "BROKEN", None: "not checked"}[told.passed]
        context.say(f"      {name}: {word}{', ' * bool(told.said)}{told.said}")
    found["passed"] = not any(told["passed"] is False for told in found["checks"].values())


def many_numbers(context: Context) -> Checked:
    """A tensor whose last numbers are further than 31 bits can count; all examples but the last are equal."""
    least = context.options.get("many", MANY)
    slots = (least // 8192 + 2, 1, 2, 4, 1024) if least == MANY else (least // 32 + 2, 1, 2, 4, 4)
    need = 5 * 2 * int(np.prod(slots, dtype=np.int64))  # bytes of x, dy, y and dx, and some to spare
    free = int(cupy.cuda.runtime.memGetInfo()[0])
    if free < need:
        return Checked(None, f"needs {need / 1e9:.0f} GB, and {free / 1e9:.0f} GB are free")
    p = draw(Case((2, *slots[1:]), "float16", "ordinary", context.seed))
    x, dy = (spread(a, slots[0]) for a in (p.x, p.dy))
    weight, bias = cupy.asarray(p.weight), cupy.asarray(p.bias)
    y, mean, var, rstd = contract.forward(x, weight, bias, p.eps, True)
    dx, dweight, dbias = contract.backward(dy, x, mean, rstd, weight, True)
    found = dict(zip(NAMES, (y, mean, var, rstd, dx, dweight, dbias), strict=True))
    wrong = []
    for name, (exact, bar) in last_of(p, slots[0]).items():
        got = found[name] if name in ("dweight", "dbias") else found[name][-1:]
        good, worst = compare(cupy.asnumpy(got), exact, bar)
        wrong += [] if good else [f"{name} is off by {worst:.3g} times the bar"]
    return Checked(not wrong, "; ".join(wrong))


def spread(a: Any, examples: int) -> Any:
    """The first of two examples again and again, and the second in the end."""
    first, last = cupy.asarray(a)
    made = cupy.empty((examples, *a.shape[1:]), a.dtype)
    made[:-1] = first
    made[-1] = last
    return made


def last_of(p: Problem, examples: int) -> Exact:
    """The exact results of the last example, and the sums of them all."""
    one, last = (own_statistics(p._replace(x=p.x[i : i + 1], dy=p.dy[i : i + 1])) for i in (0, 1))
    for name in ("dweight", "dbias"):
        last[name] = tuple((examples - 1) * a + b for a, b in zip(one[name], last[name], strict=True))
    return last


class Queue:
    """Work that keeps the device busy for a while, on the current stream."""

    def __init__(self, context: Context) -> None:
        self.clock = Clock(context.options.get("flush", 1 << 30))
        self.times = min(MOST, ceil(BUSY / max(self.clock.flushing, 1e-6)))

    def fill(self) -> None:
        """Queue it; this returns at once."""
        for _ in range(self.times):
            self.clock.flush()


def calls() -> dict[str, Callable[[Any, Any], tuple[Any, ...]]]:
    """Forward and backward passes of x and a weight, by three of the ways."""

    def both(
        forward: Callable[..., Any], *more: Any, **options: Any
    ) -> Callable[[Any, Any], tuple[Any, ...]]:
        def run(x: Any, weight: Any) -> tuple[Any, ...]:
            y, saved = forward(x, *more, weight, weight, **options)
            return y, *gnref.backward(x, saved)

        return run

    return {
        "group_norm": both(gnref.group_norm_forward, 4),
        "batch_norm, channels last": both(gnref.batch_norm_forward, channel_axis=-1),
        "layer_norm": both(gnref.layer_norm_forward, SHAPE[-1]),
    }


def no_hidden_wait(context: Context) -> Checked:
    """A call returns while the device is still busy with what was queued before."""
    queue, rng = Queue(context), np.random.default_rng(context.seed)
    x, weight = (cupy.asarray(rng.standard_normal(shape, np.float32)) for shape in (SHAPE, SHAPE[-1:]))
    waiting = []
    for name, run in calls().items():
        for _ in range(2):  # compiles, and gets its memory, for which a device may have to wait
            run(x, weight)
        waiting += [name] if all(waits(run, x, weight, queue) for _ in range(TRIES)) else []
    return Checked(not waiting, f"waited for the device: {', '.join(waiting)}" if waiting else "")


def waits(run: Callable[..., Any], x: Any, weight: Any, queue: Queue) -> bool:
    """Whether, when a call returns, the device has done what was queued before."""
    cupy.cuda.Device().synchronize()
    queue.fill()
    behind = cupy.cuda.Event(disable_timing=True)
    behind.record()
    kept = run(x, weight)
    done = bool(behind.done)
    cupy.cuda.Device().synchronize()
    del kept
    return done


def streams(context: Context) -> Checked:
    """x is written on a stream behind long work there: a launch anywhere else reads what was in it before."""
    queue, rng = Queue(context), np.random.default_rng(context.seed)
    old, new = (cupy.asarray(rng.standard_normal(SHAPE, np.float32)) for _ in range(2))
    weight = cupy.asarray(rng.standard_normal(SHAPE[-1], np.float32))
    wrong = []
    for name, run in calls().items():
        x, expected = old.copy(), run(new, weight)
        cupy.cuda.Device().synchronize()
        with cupy.cuda.Stream(non_blocking=True) as stream:
            queue.fill()
            x[...] = new
            results = run(x, weight)
            stream.synchronize()
        pairs = zip(results, expected, strict=True)
        same = all(same_bits(cupy.asnumpy(a), cupy.asnumpy(b)) for a, b in pairs)
        wrong += [] if same else [name]
    return Checked(not wrong, f"went to another stream: {', '.join(wrong)}" if wrong else "")


def streams_of_torch(context: Context) -> Checked:
    """The same with PyTorch's tensors on a stream of PyTorch's, by the public functions."""
    if not tensors_are_there():
        return Checked(None, "there is no PyTorch with this device")
    if absent.fill_in():
        return Checked(None, "array_api_compat, which knows tensors, is not installed")
    import torch

    generator = torch.Generator().manual_seed(context.seed % 2**63)
    old, new, weight = (
        torch.randn(shape, generator=generator).to(DEVICE) for shape in (SHAPE, SHAPE, SHAPE[-1:])
    )
    scratch = torch.empty(context.options.get("flush", 1 << 30) // 4, device=DEVICE)
    wrong = []
    for name, run in calls().items():
        x, expected = old.clone(), run(new, weight)
        torch.cuda.synchronize()
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(MOST // 2):
                scratch.fill_(1)
            x.copy_(new)
            results = run(x, weight)
            stream.synchronize()
        wrong += [] if all(map(torch.equal, results, expected)) else [name]
    return Checked(not wrong, f"went to another stream: {', '.join(wrong)}" if wrong else "")


CHECKS = {
    "more than 2^31 numbers": many_numbers,
    "no hidden wait": no_hidden_wait,
    "the current stream": streams,
    "PyTorch's current stream": streams_of_torch,
}
