"""NVRTC compiles every kernel for real devices, without one: no errors, few registers, words of 16 bytes."""

import ctypes
import re
from functools import cache
from pathlib import Path

import pytest

nvidia = pytest.importorskip("nvidia", reason="needs nvidia-cuda-nvrtc")
FOLDERS = [Path(folder) for folder in nvidia.__path__]
LIBRARIES = sorted(
    path for folder in FOLDERS for path in folder.rglob("libnvrtc*.so*") if "alt" not in path.name
)
if not LIBRARIES:
    pytest.skip("needs nvidia-cuda-nvrtc", allow_module_level=True)

STRIPS = {"half16": 8, "bfloat16": 8, "float": 4, "double": 2}
RUNS = [(x, "sm_90") for x in STRIPS] + [("half16", "sm_80"), ("float", "sm_80")]
# Not yet without a spill: the first two around calls, once for each set, the others a few numbers of a loop.
SPILLING = "set_sums", "set_statistics", "backward_trailing", "forward_shared", "column_apply", "item_sums"
READING = "item_|column_moments|column_sums"
WRITING = "forward|apply|backward|gradients|column_apply|column_gradients"


def names(x):
    """Kernels with their template arguments."""
    v = STRIPS[x]
    each = [f"{name}<{x}, {x}, {v}>" for name in ("forward_shared", "apply", "backward", "backward_shared")]
    each += [f"{name}<{x}, {x}, {v}>" for name in ("item_sums", "gradients", "backward_trailing")]
    each += [f"{name}<{x}, {x}, {v}>" for name in ("gradients_trailing", "column_apply", "column_gradients")]
    each += [f"{name}<{x}, {v}>" for name in ("item_moments", "column_moments", "column_sums")]
    each += [f"forward<{x}, {x}, {v}, {held}>" for held in (1, 2)]
    each += [f"{name}<{x}, {x}, {v}, 4>" for name in ("forward_cluster", "backward_cluster")]
    each += [f"set_statistics<{x}>", f"set_sums<{x}, {x}>", f"given_slopes<{x}>", f"forward<{x}, {x}, 1, 1>"]
    return [
        *each,
        "fold_parameters<double, float>",
        f"forward<{x}, {'double' if v == 2 else 'float'}, {v}, 1>",
    ]


@cache
def nvrtc():
    builtins, library = (next(p for p in LIBRARIES if ("builtins" in p.name) == it) for it in (True, False))
    ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(library))


def text(program, what):
    """The log, or the PTX, of a program."""
    size = ctypes.c_size_t()
    getattr(nvrtc(), f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    room = ctypes.create_string_buffer(size.value)
    getattr(nvrtc(), f"nvrtcGet{what}")(program, room)
    return room.value.decode()


def source():
    """All kernels as one text; `launch`, which puts them together, needs CuPy."""
    folder = Path(__file__).parents[3] / "gnref" / "kernels" / "cuda"
    order = re.search(r"FILES = \((.*)\)", (folder / "launch.py").read_text(encoding="utf-8")).group(1)
    return "".join((folder / f"{name}.cu").read_text(encoding="utf-8") for name in re.findall(r"\w+", order))


@cache
def compiled(code, instances, architecture):
    """Whether it compiles, the log and the PTX."""
    program = ctypes.c_void_p()
    nvrtc().nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"gnref.cu", 0, None, None)
    for name in instances:
        nvrtc().nvrtcAddNameExpression(program, name.encode())
    options = [b"-std=c++17", f"--gpu-architecture={architecture}".encode(), b"--ptxas-options=-v"]
    given = (ctypes.c_char_p * len(options))(*options)
    failed = nvrtc().nvrtcCompileProgram(program, len(options), given)
    return not failed, text(program, "ProgramLog"), "" if failed else text(program, "PTX")


def told(log):
    """Of each kernel the bytes that are spilled, and its registers."""
    found = {}
    for part in log.split("Compiling entry function '")[1:]:
        name, spilled = part.partition("'")[0], re.search(r"(\d+) bytes spill stores, (\d+)", part)
        found[name] = int(spilled[1]) + int(spilled[2]), int(re.search(r"Used (\d+) registers", part)[1])
    return found


def is_kernel(mangled, name):
    return re.match(rf"_Z\d+{name}I", mangled) is not None


@pytest.mark.parametrize(("x", "architecture"), RUNS)
def test_every_kernel_compiles(x, architecture):
    instances = tuple(names(x))
    done, log, ptx = compiled(source(), instances, architecture)
    assert done, log
    assert "warning" not in log
    kernels = told(log)
    assert len(kernels) == len(set(instances))
    spilled = {name: both[0] for name, both in kernels.items() if both[0]}
    assert [n for n in spilled if not any(is_kernel(n, still) for still in SPILLING)] == []
    assert max(spilled.values(), default=0) <= 256
    for name, (_, registers) in kernels.items():
        assert registers <= (
            255 if is_kernel(name, "column") or is_kernel(name, "backward_trailing") else 216
        )
    for part in ptx.split(".entry ")[1:]:
        name = part.partition("(")[0]
        if re.match(rf"_Z\d+({READING}|{WRITING})\w*I", name) and "Li1ELi1E" not in name:
            assert re.search(r"ld\.global(\.nc)?\.v(4\.[buf]32|2\.[buf]64)", part), name
        if re.match(rf"_Z\d+({WRITING})\w*I", name) and "Li1ELi1E" not in name:
            assert re.search(r"st\.global(\.cg)?\.v(4\.[buf]32|2\.[buf]64)", part), name
        if "_cluster" in name and architecture == "sm_90":
            assert "mapa" in part
            assert "barrier.cluster" in part


def test_an_error_is_seen():
    wrong = source().replace("squares += d2;", "squares += d3;")
    done, log, _ = compiled(wrong, ("forward<float, float, 4, 1>",), "sm_80")
    assert not done
    assert "d3" in log
