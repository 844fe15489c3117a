"""How JAX's compiled programs call `gnref.bridges.jax.host`.

On the CPU it is as a foreign function, which reads XLA's memory and writes into it. Elsewhere, and where
XLA is another than `gnref.bridges.jax.abi` knows, it is by `jax.pure_callback`, which copies what comes and
what goes.
"""

from __future__ import annotations

import atexit
import json
from collections.abc import Callable
from contextlib import suppress
from ctypes import PYFUNCTYPE, py_object, pythonapi, string_at
from dis import opmap
from functools import lru_cache, partial
from threading import get_ident
from time import monotonic, process_time, sleep
from typing import Any, NamedTuple
from weakref import ref

import jax
import numpy as np
from jax.interpreters import mlir

from gnref.bridges.jax import abi
from gnref.bridges.jax.call import Call
from gnref.bridges.jax.host import run

Names = tuple[str, ...]
Shapes = tuple[tuple[int, ...], ...]
Kinds = list[tuple[tuple[int, ...], np.dtype[Any]]]
TARGET = "gnref_norm"


class Job(NamedTuple):
    """A task of the host, and the arrays for it."""

    task: str
    call: Call
    names: Names
    shapes: Shapes
    outs: Names
    out_shapes: Shapes

    def run(self, given: list[Any], into: list[Any]) -> None:
        """Do it."""
        run(
            self.task,
            self.call,
            dict(zip(self.names, given, strict=True)),
            dict(zip(self.outs, into, strict=True)),
        )

    def answer(self, *arrays: Any) -> list[Any]:
        """Do it on arrays that a callback was given, into new ones."""
        into = [
            np.empty(shape, self.call.dtype_of(n))
            for n, shape in zip(self.outs, self.out_shapes, strict=True)
        ]
        self.run([np.asarray(a) for a in arrays], into)
        return into


def on_host(p: Any, task: str, results: Callable[..., list[Any]]) -> None:
    """Let a primitive be compiled to a call of the host; ``results`` tells the shapes of what it gives."""
    elsewhere = partial(asked, task, results, False)
    mlir.register_lowering(p, mlir.lower_fun(elsewhere, multiple_results=True))
    if abi.VERSION is not None:
        on_cpu = partial(asked, task, results, True)
        mlir.register_lowering(p, mlir.lower_fun(on_cpu, multiple_results=True), platform="cpu")


def asked(
    task: str,
    results: Callable[..., list[Any]],
    foreign: bool,
    *arrays: Any,
    call: Call,
    names: Names,
    outs: Names,
) -> Any:
    """Have the host do a task on JAX arrays: as a foreign function, or by a callback."""
    found = results(*arrays, call=call, names=names, outs=outs)
    job = Job(task, call, names, tuple(a.shape for a in arrays), outs, tuple(a.shape for a in found))
    types = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in found]
    if foreign:
        RECENT.asked = True
        return jax.ffi.ffi_call(TARGET, types)(*arrays, job=json.dumps(job))
    return jax.pure_callback(job.answer, types, *arrays)


@lru_cache(maxsize=1024)
def recalled(text: bytes) -> tuple[Job, Kinds, Kinds]:
    """A job from its description, and the shapes and dtypes of the arrays that it takes and gives."""
    task, (norm, shape, dtype, weight, bias, eps, axes), names, shapes, outs, out_shapes = frozen(
        json.loads(text)
    )
    job = Job(task, Call(norm, shape, dtype, weight, bias, eps, axes), names, shapes, outs, out_shapes)
    given = [(shape, job.call.dtype_of(name)) for name, shape in zip(names, shapes, strict=True)]
    into = [(shape, job.call.dtype_of(name)) for name, shape in zip(outs, out_shapes, strict=True)]
    return job, given, into


def frozen(value: Any) -> Any:
    """Lists, which JSON makes of tuples, as tuples again."""
    return tuple(map(frozen, value)) if isinstance(value, list) else value


class Memory:
    """XLA's memory, as NumPy asks for it."""

    __slots__ = ("__array_interface__",)

    def __init__(self, place: int, shape: tuple[int, ...], dtype: np.dtype[Any], writeable: bool) -> None:
        self.__array_interface__ = {
            "data": (place, not writeable),
            "shape": shape,
            "typestr": dtype.str,
            "version": 3,
        }


def seen(buffers: Any, kinds: Kinds, writeable: bool) -> list[Any]:
    """XLA's buffers as NumPy arrays on the same memory."""
    check_count("arrays", buffers, len(kinds))
    found = []
    for i, (shape, dtype) in enumerate(kinds):
        place = buffers.items[i].contents.data
        if not place:  # an empty array
            found.append(np.empty(shape, dtype))
            continue
        a = np.asarray(Memory(place, shape, dtype, writeable))
        found.append(a if a.dtype == dtype else a.view(dtype))  # bfloat16 has no letter of its own
    return found


def check_count(what: str, found: Any, expected: int) -> None:
    """Raise unless XLA gives as many as it was asked to."""
    if found.size != expected:
        raise RuntimeError(f"XLA gives {found.size} {what}; expected {expected}")


class Recent:
    """Which threads are at work, and when one last was."""

    def __init__(self) -> None:
        self.busy: set[int] = set()
        self.last = 0.0
        self.asked = False  # whether anything may ever be run
        self.interrupt: Any = None

    def __enter__(self) -> None:
        self.busy.add(get_ident())

    def __exit__(self, *_: object) -> None:
        self.busy.discard(get_ident())
        self.last = monotonic()

    def quiet(self) -> bool:
        """Whether nothing has run for a while."""
        return not self.busy and monotonic() - self.last > 0.1


RECENT = Recent()


def from_the_first_step(function: Any) -> Any:
    """The same function, but Python looks for Ctrl-C not before its first step, only in it.

    Before it nothing could catch a KeyboardInterrupt, and ctypes would answer XLA with a pointer to anywhere.
    Python's bytecode has a number for such a start, which it makes for `yield from`.
    """
    code = function.__code__.co_code
    if code[:2] == bytes((opmap.get("RESUME", 0), 0)):
        function.__code__ = function.__code__.replace(co_code=bytes((code[0], 2)) + code[2:])
    return function


@from_the_first_step
def handle(pointer: Any, interrupted: bool = False) -> int | None:
    """What XLA calls: once for the version, and then for each job.

    Ctrl-C stops a job. Then it is done again, and the program interrupted when XLA has its numbers. Any
    other error is XLA's to raise: it would be lost here, and leave XLA with numbers that nobody wrote.
    """
    try:
        if interrupted:  # ctypes drops the pointer when no more of Python runs in this call
            RECENT.interrupt = ref(pointer, INTERRUPT)
        return answered(pointer)
    except KeyboardInterrupt:
        again: int | None = handle(pointer, True)
        return again
    except BaseException as error:  # the job's, or one of a signal's handler
        return abi.error(pointer.contents, f"{type(error).__name__}: {error}")


def answered(pointer: Any) -> int | None:
    """Do the job."""
    frame = pointer.contents
    if abi.described(frame):
        return None
    with RECENT:
        check_count("attributes", frame.attributes, 1)
        span = frame.attributes.items[0].contents
        job, given, into = recalled(string_at(span.start, span.length))
        job.run(seen(frame.given, given, False), seen(frame.results, into, True))
    return None


INTERRUPT = PYFUNCTYPE(None, py_object)(("PyErr_SetInterrupt", pythonapi))
HANDLER = abi.Handler(handle)  # XLA keeps its address: it must not go away
if abi.VERSION is not None:
    jax.ffi.register_ffi_target(TARGET, jax.ffi.pycapsule(HANDLER), platform="cpu")


@atexit.register
def settle() -> None:
    """Let work that is under way end before Python does: after that XLA would wait for it without end.

    Results that are referred to are waited for. Of others JAX does not tell: they have ended, most likely,
    when nothing has run for a while, here or in XLA.
    """
    if not RECENT.asked:
        return
    for a in jax.live_arrays():
        with suppress(Exception):  # of a computation that failed, or an array that is gone meanwhile
            a.block_until_ready()
    patience = monotonic() + 60.0  # a thread that goes on for ever must not keep the program from its end
    while monotonic() < patience:
        before = process_time()
        sleep(0.1)
        if RECENT.quiet() and process_time() - before < 0.02:
            break
