"""A stand-in for CuPy, for machines without a GPU: arrays in guarded memory, kernels that g++ compiles.

`installed` puts a module in the place of `cupy` and takes it away again. It has the parts of CuPy that
launch kernels, and NumPy's functions on arrays that NumPy itself does not take. Kernels run on the CPU,
thread by thread (emulation.h), and an access beyond an array, a missing barrier and the like raise `Fault`.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import mmap
import operator
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import numpy as np

# ---- What a test may set, and look at -------------------------------------------------------------------

FORWARD, REVERSE, SHUFFLED = ORDERS = 0, 1, 2
order = FORWARD  # in which threads, warps and blocks take turns; in REVERSE, arrays begin at a protected page

STALE = 4
stale = False  # whether shared memory begins with old numbers instead of NaN

seconds = 60  # of computing, after which a kernel is taken to be in an endless loop

H100 = {
    **{"MultiProcessorCount": 132, "MaxSharedMemoryPerBlockOptin": 227 * 1024, "compute_capability": "90"},
    "L2CacheSize": 50 << 20,
}
device = dict(H100)


class Launch(NamedTuple):
    """One call of a kernel."""

    name: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared: int  # bytes for each block
    cluster: int  # blocks that run together


launches: list[Launch] = []
streams: list[int] = []  # that on which each of them was made
waits: list[str] = []  # who has waited for the device
allocations: list[int] = []  # the bytes of each new array
entered: list[int] = []  # the devices that were made current
current = [0]  # the device that is, at the end, and those that were before


def cluster_of(name):
    """How many blocks of a kernel make a cluster: the last number of its name, if that tells of clusters."""
    numbers = re.findall(r"\d+", name.partition("<")[2])
    return int(numbers[-1]) if "cluster" in name and numbers else 1


class Fault(Exception):  # noqa: N818
    """A kernel did what it must not. No error of CuPy's, so that nobody takes it for one."""


class CUDARuntimeError(RuntimeError):
    pass


class CUDADriverError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class CompileException(Exception):  # noqa: N818  CuPy's name
    pass


# ---- Memory ---------------------------------------------------------------------------------------------

PAGE = mmap.PAGESIZE
GUARD = 1 << 20  # protected bytes before and after each array
CANARY = b"\xff"  # around each array and, until they are written, in it: NaN in every floating-point type
memories: weakref.WeakSet[Memory] = weakref.WeakSet()


@functools.cache
def libc():
    found = ctypes.CDLL(None, use_errno=True)
    found.mmap.restype = ctypes.c_void_p
    found.mmap.argtypes = ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long
    found.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    found.munmap.argtypes = ctypes.c_void_p, ctypes.c_size_t
    return found


class Memory:
    """Bytes between protected ones: next to those behind, or, in REVERSE, next to those before."""

    def __init__(self, nbytes):
        allocations.append(nbytes)
        self.nbytes, self.device_id = nbytes, current[-1]
        self.inner = -(-nbytes // PAGE) * PAGE
        total = self.inner + 2 * GUARD
        start = libc().mmap(None, total, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        if start == ctypes.c_void_p(-1).value:
            raise OutOfMemoryError(f"{nbytes} bytes")
        weakref.finalize(self, libc().munmap, start, total)
        self.first = start + GUARD
        if self.inner:
            libc().mprotect(self.first, self.inner, mmap.PROT_READ | mmap.PROT_WRITE)
        ctypes.memset(self.first, CANARY[0], self.inner)
        self.ptr = self.first if order == REVERSE else self.first + self.inner - -(-nbytes // 16) * 16
        self.__array_interface__ = {
            "shape": (nbytes,),
            "typestr": "|u1",
            "data": (self.ptr, False),
            "version": 3,
        }
        memories.add(self)

    def check(self):
        """Raise if a byte beside the array was written."""
        before = self.ptr - self.first
        beside = {-before: before, self.nbytes: self.inner - before - self.nbytes}
        for place, length in beside.items():
            found = ctypes.string_at(self.ptr + place, length)
            if found.strip(CANARY):
                at = place + length - len(found.lstrip(CANARY))
                ctypes.memset(self.ptr + place, CANARY[0], length)  # told once
                raise Fault(f"out of bounds: byte {at} of an array of {self.nbytes} bytes was written")


class UnownedMemory:
    """`cupy.cuda.UnownedMemory`: somebody else's bytes."""

    def __init__(self, ptr, size, owner, device_id=-1):
        self.ptr, self.size, self.owner, self.device_id = ptr, size, owner, device_id


class MemoryPointer:
    """`cupy.cuda.MemoryPointer`, as an allocator returns it; NumPy takes it for an array of bytes."""

    def __init__(self, mem, offset):
        self.mem, self.ptr, self.device_id = mem, mem.ptr + offset, mem.device_id
        self.__array_interface__ = {
            "shape": (mem.size,),
            "typestr": "|u1",
            "data": (self.ptr, False),
            "version": 3,
        }


allocate = Memory  # what arrays lie in


@contextmanager
def using_allocator(allocator=None):
    """`cupy.cuda.using_allocator`: what it gives is not guarded, but full of NaN as well."""
    global allocate

    def fill(nbytes):
        allocations.append(nbytes)
        pointer = allocator(nbytes)
        if not isinstance(pointer, MemoryPointer):
            raise TypeError(f"expected a MemoryPointer from the allocator, got {type(pointer)}")
        ctypes.memset(pointer.ptr, CANARY[0], nbytes)
        return pointer

    before, allocate = allocate, fill
    try:
        yield
    finally:
        allocate = before


def owner(a):
    """What a NumPy array is a view of in the end, such as `Memory`; None if it is NumPy's own memory."""
    while isinstance(a, np.ndarray):
        a = a.base
    return a


def guarded(shape, dtype, strides=None):
    """A NumPy array in memory of its own, full of NaN."""
    dtype = np.dtype(dtype)
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return np.ndarray(shape, dtype, np.asarray(allocate(nbytes)), 0, strides)


def guarded_copy(a):
    """The same in memory of its own, with its axes in the same order there."""
    new = guarded(a.shape, a.dtype, np.empty_like(a, subok=False).strides)
    new[...] = a
    return new


# ---- Arrays ---------------------------------------------------------------------------------------------


def wrap(result):
    """A result of NumPy's as the stand-in has it: scalars are arrays of no axes."""
    if isinstance(result, np.ndarray | np.generic):
        return ndarray._of(np.asarray(result))
    if isinstance(result, tuple | list):
        parts = [wrap(part) for part in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return result


def unwrap(argument):
    """An argument as NumPy takes it; NumPy's own arrays are refused, as CuPy refuses them."""
    if isinstance(argument, ndarray):
        return argument._a
    if isinstance(argument, np.ndarray):
        raise TypeError(f"Unsupported type {type(argument)}")
    if isinstance(argument, tuple | list):
        return type(argument)(map(unwrap, argument)) if type(argument) in (tuple, list) else argument
    return argument


def place_of(a):
    """The number of the device that an array lies on."""
    return getattr(owner(a._a), "device_id", 0)


def check_here(*arrays):
    """Raise unless arrays lie on the current device: another one may be out of its reach."""
    for a in arrays:
        if isinstance(a, tuple | list):
            check_here(*a)
        elif isinstance(a, ndarray) and place_of(a) != current[-1]:
            raise Fault(f"an array on device {place_of(a)} is computed with on device {current[-1]}")


def on_arrays(function, *of):
    """A function of NumPy's, or a method of an array, for the arrays of the stand-in."""

    @functools.wraps(function, assigned=("__name__", "__doc__"), updated=())
    def call(*args, **kwargs):
        refused = {"where", "initial"} & kwargs.keys()
        if refused:
            raise TypeError(f"{function.__name__} of CuPy has no argument {refused.pop()!r}")
        kwargs = {name: unwrap(value) for name, value in kwargs.items()}
        with np.errstate(all="ignore"):  # a GPU warns of nothing
            result = function(*map(unwrap, args), **kwargs)
        if isinstance(result, np.ndarray | np.generic) and owner(result) is None:  # no view
            check_here(*of, *args)
        return wrap(result)

    return call


class ndarray:  # noqa: N801
    """`cupy.ndarray`: what NumPy can do, and no way into NumPy that nobody asked for."""

    __module__ = "cupy"
    __array_priority__ = 100

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        if memptr is not None or strides is not None:
            raise NotImplementedError("arrays on memory of somebody else")
        self._a = guarded(shape, dtype, np.empty(shape, dtype, order).strides)

    @classmethod
    def _of(cls, a):
        """Around a NumPy array: a view as it is, a new one in guarded memory."""
        new = object.__new__(cls)
        new._a = guarded_copy(a) if owner(a) is None else a
        return new

    def __getattr__(self, name):
        if name.startswith("_") or name in ("ctypes", "getfield", "resize", "setfield", "setflags"):
            raise AttributeError(name)
        found = getattr(self._a, name)
        if isinstance(found, np.ndarray):
            return wrap(found)
        told = not callable(found) or name in ("item", "tolist", "tobytes")
        return found if told else on_arrays(found, self)

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return on_arrays(getattr(ufunc, method))(*inputs, **kwargs)

    def __dlpack__(self, *, stream=None, **kwargs):
        if stream not in (None, -1):
            raise NotImplementedError(f"that stream {stream} waits for CuPy's")
        return self._a.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self._a.__dlpack_device__()

    def get(self, stream=None, order="C", out=None, blocking=True):
        """A NumPy array of the same numbers."""
        waits.append("get")
        if out is None:
            return self._a.copy(order)
        out[...] = self._a
        return out

    def set(self, arr, stream=None):
        """Take the numbers of a NumPy array."""
        self._a[...] = arr

    @property
    def data(self):
        def copy_from_device_async(src, size, stream=None):
            ctypes.memmove(here.ptr, src.ptr, size)

        mem = getattr(owner(self._a), "mem", owner(self._a))
        here = SimpleNamespace(ptr=self._a.__array_interface__["data"][0], device=self.device, mem=mem)
        here.copy_from_device_async = copy_from_device_async
        return here

    @property
    def device(self):
        return Device(place_of(self))

    def __getitem__(self, index):
        parts = index if isinstance(index, tuple) else (index,)
        if not any(part is Ellipsis for part in parts):
            parts += (Ellipsis,)  # so that one number is a view too
        return on_arrays(self._a.__getitem__, self)(parts)

    def __setitem__(self, index, value):
        check_here(self, value)
        with np.errstate(all="ignore"):
            self._a[unwrap(index)] = unwrap(value)

    def __len__(self):
        return len(self._a)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self):
        return repr(self._a)

    __hash__ = None


def _give_operators():
    """The operators of `ndarray`, and its conversions to a number."""
    both = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"]
    for name in [*both, "eq", "ne", "lt", "le", "gt", "ge", "neg", "pos", "abs", "invert"]:
        setattr(ndarray, f"__{name}__", on_arrays(getattr(operator, f"__{name}__")))
    for name in both:
        plain = on_arrays(getattr(operator, f"__{name}__"))
        setattr(ndarray, f"__r{name}__", lambda self, other, plain=plain: plain(other, self))
        in_place = on_arrays(getattr(operator, f"__i{name}__"))
        setattr(ndarray, f"__i{name}__", lambda self, other, go=in_place: (go(self, other), self)[1])
    for kind in bool, int, float, complex:
        setattr(ndarray, f"__{kind.__name__}__", lambda self, kind=kind: kind(self._a))
    ndarray.__index__ = lambda self: operator.index(self._a)


_give_operators()


def empty(shape, dtype=float, order="C"):
    return ndarray(shape, dtype, order=order)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    like = np.empty_like(unwrap(prototype), dtype, order, shape=shape)
    return ndarray._of(guarded(like.shape, like.dtype, like.strides))


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    a = obj._a if isinstance(obj, ndarray) else obj
    return ndarray._of(guarded_copy(np.array(a, dtype, order=order, ndmin=ndmin)))


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    if copy or not isinstance(a, ndarray):
        return array(a, dtype, order=order or "K")
    return wrap(np.asarray(a._a, dtype, order))


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    return a.get(stream, order, out) if isinstance(a, ndarray) else np.asarray(a, order=order)


def from_dlpack(array, *, device=None, copy=None):
    """The same memory, which is guarded only if it was before. A capsule is taken too."""
    if isinstance(array, ndarray):
        return wrap(array._a.view())
    if hasattr(array, "__dlpack_device__"):
        return wrap(np.from_dlpack(array))
    here = SimpleNamespace(__dlpack__=lambda **_: array, __dlpack_device__=lambda: (1, 0))
    return wrap(writable(np.from_dlpack(here)))


def writable(a):
    """The same, for an array that NumPy takes to be read-only since DLPack did not tell."""
    interface = {**a.__array_interface__, "data": (a.__array_interface__["data"][0], False)}
    return np.asarray(SimpleNamespace(__array_interface__=interface, base=a))


def shares_memory(a, b, max_work=None):
    raise Fault("shares_memory sorts the addresses of all elements, and waits for the device")


def as_strided(x, shape=None, strides=None):
    return wrap(np.lib.stride_tricks.as_strided(x._a, shape, strides))


# ---- Kernels --------------------------------------------------------------------------------------------

HEADER = Path(__file__).with_name("emulation.h")
CHECKS = "-fsanitize=alignment,bounds,shift-exponent", "-fno-sanitize-recover=all"
FLAGS = (
    "-std=c++17",
    "-O1",
    "-g0",
    "-fPIC",
    "-w",
    "-ffp-contract=off",
    "-U_FORTIFY_SOURCE",
    "-fstack-clash-protection",
    *CHECKS,
)


@functools.cache
def compiler():
    """The version of g++ and the flags that it is called with; None if it or Linux is missing."""
    if sys.platform != "linux" or shutil.which("g++") is None:
        return None
    version = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout
    macros = ["g++", "-march=native", "-dM", "-E", "-x", "c++", os.devnull]
    native = subprocess.run(macros, capture_output=True, text=True).stdout
    return version, FLAGS + (("-mfma",) if "__FMA__" in native else ())  # without it, fma is slow


def compile_kernel(code, options, name):
    """The path of a library with this one kernel: from the last time, if nothing has changed since."""
    if compiler() is None:
        raise Fault("needs g++")
    version, flags = compiler()
    flags += tuple(option for option in options if option.startswith(("-D", "-U", "-I")))
    source = f'{HEADER.read_text()}\n#line 1 "kernel"\n{code}\nEMULATED_KERNEL({name})\n'
    key = hashlib.sha256("\0".join([source, version, *flags]).encode()).hexdigest()[:32]
    folder = Path(tempfile.gettempdir(), f"gnref-emulation-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else, and what is in it would be run")
    library = folder / f"{key}.so"
    if library.exists():
        return library
    with tempfile.TemporaryDirectory(dir=folder) as own:
        # Two steps: a g++ that links with the checks wants a library for them, and emulation.h is that.
        run_compiler([*flags, "-x", "c++", "-c", "-", "-o", f"{own}/o"], source, name, options)
        run_compiler(["-shared", f"{own}/o", "-o", f"{own}/so"], "", name, options)
        os.replace(f"{own}/so", library)  # at once: others may be looking for it
    return library


def run_compiler(arguments, source, name, options):
    done = subprocess.run(["g++", *arguments], input=source, capture_output=True, text=True)
    if done.returncode:
        raise CompileException(f"{name}, with options {options}:\n{done.stderr[:5000]}")


class RawModule:
    """`cupy.RawModule`: kernels are compiled one by one, when they are asked for."""

    def __init__(
        self,
        code=None,
        *,
        path=None,
        options=(),
        backend="nvrtc",
        translate_cucomplex=False,
        enable_cooperative_groups=False,
        name_expressions=None,
        jitify=None,
    ):
        if not isinstance(code, str) or not isinstance(options, tuple):
            raise TypeError("expected code as a str and options as a tuple")
        self.code, self.options, self.name_expressions = code, options, name_expressions

    def get_function(self, name):
        if "<" in name and name not in (self.name_expressions or ()):
            raise CUDADriverError(f"CUDA_ERROR_NOT_FOUND: {name} is not among the name_expressions")
        return Function(name, compile_kernel(self.code, self.options, name))


pointer, number, size = ctypes.c_void_p, ctypes.c_uint, ctypes.c_size_t
RUN = (
    pointer,
    pointer,
    pointer,
    number,
    size,
    number,
    number,
    pointer,
    size,
)  # what `run` of emulation.h takes


class Parameter(NamedTuple):
    kind: str  # p, i, f, b or s: a pointer, an integer, a float, a bool, a struct
    size: int

    def __str__(self):
        kinds = {"p": "pointer", "i": "integer", "f": "float", "b": "bool", "s": "struct"}
        return f"{kinds[self.kind]} of {self.size} bytes"


class Function:
    """A kernel, called as `kernel(grid, block, args, shared_mem=bytes)`."""

    num_regs, local_size_bytes, shared_size_bytes = 32, 0, 0  # which no compiler tells here

    def __init__(self, name, library):
        self.name, self.cluster = name, cluster_of(name)
        self._max_shared = 48 * 1024
        self._library = ctypes.CDLL(str(library))
        self._library.parameters.restype = ctypes.c_char_p
        self._library.run.argtypes = RUN
        told = self._library.parameters().decode().split()
        self.parameters = [Parameter(text[0], int(text[1:])) for text in told]

    @property
    def max_dynamic_shared_size_bytes(self):
        return self._max_shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, nbytes):
        if nbytes > device["MaxSharedMemoryPerBlockOptin"]:
            raise CUDADriverError(f"CUDA_ERROR_INVALID_VALUE: {nbytes} bytes of shared memory")
        self._max_shared = nbytes

    def __call__(self, grid, block, args, *, shared_mem=0):
        launch = Launch(
            self.name, tuple(map(int, grid)), tuple(map(int, block)), int(shared_mem), self.cluster
        )
        check_launch(launch, self._max_shared)
        check_here(*args)
        values = self._values(args)
        pointers = (ctypes.c_void_p * len(values))(*[value.ctypes.data for value in values])
        sizes = [(ctypes.c_uint * 3)(*size, *[1] * (3 - len(size))) for size in (launch.grid, launch.block)]
        message = ctypes.create_string_buffer(1000)
        launches.append(launch)
        streams.append(Stream.current[-1].ptr)
        failed = self._library.run(
            pointers,
            *sizes,
            self.cluster,
            launch.shared,
            order + STALE * stale,
            seconds,
            message,
            ctypes.sizeof(message),
        )
        if failed:
            raise Fault(f"{self.name}: {tell_place(message.value.decode(), args)}")
        for memory in list(memories):
            try:
                memory.check()
            except Fault as fault:
                raise Fault(f"{self.name}: {fault}") from None

    def _values(self, args):
        """Each argument as an array of the bytes that the kernel reads, or TypeError."""
        if len(args) != len(self.parameters):
            raise TypeError(
                f"{self.name} has {len(self.parameters)} parameters, and {len(args)} arguments are given"
            )
        values = [value_of(arg) for arg in args]
        for i, (arg, value, parameter) in enumerate(zip(args, values, self.parameters, strict=True)):
            found = Parameter(
                "p" if isinstance(arg, ndarray) else KINDS.get(value.dtype.kind, "s"), value.nbytes
            )
            # An integer may be an address: that of nothing is 0.
            if found != parameter and (found, parameter) != (("i", 8), ("p", 8)):
                raise TypeError(f"argument {i} of {self.name} is a {found}; expected a {parameter}")
        return [np.require(value, requirements=["A", "C"]) for value in values]


KINDS = {"i": "i", "u": "i", "f": "f", "b": "b"}


def value_of(arg):
    """What CuPy passes for an argument."""
    if isinstance(arg, ndarray):
        return np.array(arg.data.ptr, np.uint64)
    if isinstance(arg, np.generic) or (isinstance(arg, np.ndarray) and arg.ndim == 0):
        return np.array(arg)
    for kind, dtype in ((bool, np.bool_), (int, np.int64), (float, np.float64)):
        if type(arg) is kind:
            return np.array(arg, dtype)
    raise TypeError(f"Unsupported type {type(arg)}")


def check_launch(launch, max_shared):
    """Raise what a device would say to such a grid."""
    grid, block = ((*size, 1, 1)[:3] for size in (launch.grid, launch.block))
    wrong = None
    if launch.shared > max_shared:
        wrong = f"{launch.shared} bytes of shared memory; max_dynamic_shared_size_bytes is {max_shared}"
    elif min(*grid, *block) < 1 or len(launch.grid) > 3 or len(launch.block) > 3:
        wrong = "expected one to three positive numbers"
    elif grid[0] >= 2**31 or max(grid[1:]) >= 2**16:
        wrong = "too many blocks"
    elif block[0] * block[1] * block[2] > 1024 or block[2] > 64:
        wrong = "too many threads in a block"
    elif not 1 <= launch.cluster <= 8 or grid[0] % launch.cluster:
        wrong = "a cluster has 1 to 8 blocks, and a row of the grid has whole clusters"
    elif launch.cluster > 1 and int(device["compute_capability"]) < 90:
        wrong = f"no clusters in compute capability {device['compute_capability']}"
    if wrong:
        raise CUDADriverError(f"CUDA_ERROR_INVALID_VALUE: {launch}: {wrong}")


def tell_place(message, args):
    """The message, and which argument an address in it is next to."""
    found = re.search(r"out of bounds at (0x[0-9a-f]+)", message)
    for i, arg in enumerate(args if found else ()):
        memory = owner(arg._a) if isinstance(arg, ndarray) else None
        if isinstance(memory, Memory) and -GUARD <= int(found[1], 16) - memory.first < memory.inner + GUARD:
            at = int(found[1], 16) - memory.ptr
            return f"{message}: byte {at} of {memory.nbytes} of argument {i}, {arg.dtype} {arg.shape}"
    return message


# ---- The module -----------------------------------------------------------------------------------------


class Device:
    """`cupy.cuda.Device`: all are as `device` describes them."""

    def __init__(self, device=None):
        self.id = int(getattr(device, "id", current[-1] if device is None else device))

    @property
    def compute_capability(self):
        return device["compute_capability"]

    @property
    def attributes(self):
        return {name: value for name, value in device.items() if name != "compute_capability"}

    def synchronize(self):
        waits.append("Device")

    def use(self):
        current[-1] = self.id

    def __enter__(self):
        entered.append(self.id)
        current.append(self.id)
        return self

    def __exit__(self, *error):
        current.pop()

    def __eq__(self, other):
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self):
        return hash(self.id)

    def __repr__(self):
        return f"<CUDA Device {self.id}>"


class Stream:
    null: Stream
    ptr = 0

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = id(self) if non_blocking else 0

    def synchronize(self):
        waits.append("Stream")

    @classmethod
    def from_external(cls, obj):
        version, ptr = obj.__cuda_stream__()
        assert version == 0
        stream = cls()
        stream.ptr, stream._foreign_stream_ref = ptr, obj
        return stream

    def __enter__(self):
        self.current.append(self)
        return self

    def __exit__(self, *error):
        self.current.pop()


Stream.null = Stream()
Stream.current = [Stream.null]


class Event:
    """`cupy.cuda.Event`, on the processor's clock; what is before it counts as done when somebody waits."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.time, self.waits = None, 0

    def record(self, stream=None):
        self.time, self.waits = time.perf_counter(), len(waits)

    @property
    def done(self):
        return len(waits) > self.waits

    def synchronize(self):
        waits.append("Event")


def get_elapsed_time(start_event, end_event):
    """Milliseconds, as CuPy has them."""
    return (end_event.time - start_event.time) * 1e3


# What NumPy has and CuPy has not.
LACKING = {"block", "errstate", "geomspace", "insert", "matvec", "nditer", "unstack", "vecdot", "vecmat"}


class Module(ModuleType):
    """A module that takes from NumPy, on demand, what it does not have itself."""

    def __init__(self, name, numpy=None, **own):
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None, is_package=True)
        self.__path__ = []
        self.__dict__.update(own)
        self._numpy = numpy
        if numpy is not None:
            public = {name for name in numpy.__all__ if not name.startswith("__")} - LACKING
            self.__all__ = sorted(public | {name for name in own if not name.startswith("_")})

    def __getattr__(self, name):
        if self.__dict__.get("_numpy") is None or name.startswith("_") or name in LACKING:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        found = getattr(self._numpy, name)
        if isinstance(found, type | ModuleType) or not callable(found):
            return found
        self.__dict__[name] = on_arrays(found)
        return self.__dict__[name]


def make_modules():
    """The stand-in and its parts, by name."""
    runtime = Module("cupy.cuda.runtime", CUDARuntimeError=CUDARuntimeError, getDeviceCount=lambda: 1)
    runtime.getDevice = lambda: current[-1]
    runtime.getDeviceProperties = lambda device: {"name": b"stand-in", "totalGlobalMem": 80 << 30}
    runtime.memGetInfo = lambda: (60 << 30, 80 << 30)
    runtime.driverGetVersion = runtime.runtimeGetVersion = lambda: 13000
    driver = Module("cupy.cuda.driver", CUDADriverError=CUDADriverError)
    memory = Module("cupy.cuda.memory", OutOfMemoryError=OutOfMemoryError)
    compiler = Module("cupy.cuda.compiler", CompileException=CompileException)
    places = Module("cupy.cuda.device", Device=Device)
    nvrtc = Module("cupy.cuda.nvrtc", getVersion=lambda: (13, 0))
    cuda = Module(
        "cupy.cuda",
        **{part.__name__.rpartition(".")[2]: part for part in (runtime, driver, memory, compiler, nvrtc)},
        device=places,
        Device=Device,
        Stream=Stream,
        Event=Event,
        UnownedMemory=UnownedMemory,
        MemoryPointer=MemoryPointer,
        using_allocator=using_allocator,
        get_elapsed_time=get_elapsed_time,
        get_current_stream=lambda device_id=-1: Stream.current[-1],
        is_available=lambda: True,
    )
    linalg, fft = Module("cupy.linalg", np.linalg), Module("cupy.fft", np.fft)
    tricks = Module("cupy.lib.stride_tricks", as_strided=as_strided)
    lib = Module("cupy.lib", stride_tricks=tricks)
    own = ndarray, RawModule, empty, empty_like, array, asarray, asnumpy, from_dlpack, shares_memory
    cupy = Module(
        "cupy", np, cuda=cuda, linalg=linalg, fft=fft, lib=lib, **{part.__name__: part for part in own}
    )
    cupy.__version__ = "14.2.0"
    parts = cupy, cuda, runtime, driver, memory, compiler, nvrtc, places, linalg, fft, lib, tricks
    return {part.__name__: part for part in parts}


def _away(name):
    """Whether a module knows CuPy: it must be imported anew with the stand-in, and again without."""
    known = "cupy", "cupyx", "cupy_backends", "array_api_compat.cupy", "gnref.kernels.cuda"
    return any(name == other or name.startswith(other + ".") for other in known)


def _take_out():
    """Take such modules out of sys.modules and out of their packages; return them."""
    taken = {name: sys.modules.pop(name) for name in list(sys.modules) if _away(name)}
    for name in taken:
        package, _, part = name.rpartition(".")
        if package in sys.modules:
            vars(sys.modules[package]).pop(part, None)
    return taken


def _put_in(modules):
    for name, module in modules.items():
        sys.modules[name] = module
    for name, module in modules.items():
        package, _, part = name.rpartition(".")
        if package in sys.modules:
            setattr(sys.modules[package], part, module)


def _forget():
    """Clear what gnref and array_api_compat remember of CuPy."""
    from array_api_compat.common import _helpers

    from gnref import dispatch, passes

    dispatch.status.cache_clear()
    dispatch.kernels.cache_clear()
    passes.PLANS.clear()
    for remembered in vars(_helpers).values():
        if hasattr(remembered, "cache_clear"):
            remembered.cache_clear()


@contextmanager
def installed():
    """The stand-in in the place of `cupy`, and everything as it was before afterwards."""
    global order, stale
    import gnref  # noqa: F401  before anything is taken out

    taken = _take_out()
    modules = make_modules()
    _put_in(modules)
    _forget()
    try:
        yield modules["cupy"]
    finally:
        _take_out()
        _put_in(taken)
        _forget()
        order, stale = FORWARD, False
        device.clear()
        device.update(H100)
        current[:] = [0]
        for told in launches, streams, allocations, entered:
            told.clear()
