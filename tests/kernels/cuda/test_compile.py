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
RUNS = [(x, architecture) for x in STRIPS for architecture in ("sm_80", "sm_90")] + [("bfloat16", "sm_75")]
WHOLE = [("half16", "sm_90"), ("float", "sm_90"), ("double", "sm_80")]  # with all their variants
ALL_REGISTERS = 65_536  # of a multiprocessor
# Threads of a block, and how many blocks a multiprocessor must have registers for.
RESIDENT = {
    **{"forward": (512, 2), "forward_cluster": (512, 2), "forward_shared": (448, 2)},
    **dict.fromkeys(("backward", "backward_shared", "backward_cluster"), (288, 2)),
    **dict.fromkeys(("set_statistics", "set_sums"), (512, 1)),
    **{"apply": (256, 4), "column_moments": (256, 2), "column_sums": (256, 1)},
}
CAREFUL = 64  # bytes that a function for sets out of range, which is called last, may spill
READING = "item_|column_moments|column_sums"
WRITING = "forward|apply|backward|gradients|column_apply|column_gradients"


def names(x, whole=True):
    """Kernels with their template arguments; the whole has float's weights and single numbers, too."""
    v, wide = STRIPS[x], "double" if x == "double" else "float"
    both = ["forward", "forward_shared", "apply", "backward", "backward_shared", "item_sums", "gradients"]
    both += ["backward_trailing", "gradients_trailing", "column_apply", "column_gradients"]
    clusters = [("backward_cluster", "8"), ("forward_cluster", "1, 8"), ("forward_cluster", "2, 8")]
    each = [
        f"set_statistics<{x}>",
        f"set_sums<{x}, {x}>",
        f"given_slopes<{x}>",
        "fold_parameters<double, float>",
    ]
    each += [f"{name}<{x}, {v}>" for name in ("item_moments", "column_moments", "column_sums")]
    for weight, n in {(x, v), (wide, v), (x, 1)} if whole else [(x, v)]:
        each += [f"{name}<{x}, {weight}, {n}>" for name in both]
        each += [f"{name}<{x}, {weight}, {n}, {more}>" for name, more in clusters]
    if whole:
        each += [f"{name}<{x}, {x}, {v // 2}>" for name in ("forward", "backward") if v > 2]
        each += [f"backward_cluster<{x}, {x}, {v}, 2>", f"forward_cluster<{x}, {x}, {v}, 1, 4>"]
        each += ["fold_parameters<double, double>", "fold_parameters<float, double>"]
    return sorted(each)


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
    order = re.search(r"FILES = \(([^)]*)\)", (folder / "launch.py").read_text(encoding="utf-8")).group(1)
    return "".join((folder / f"{name}.cu").read_text(encoding="utf-8") for name in re.findall(r"\w+", order))


@cache
def compiled(code, instances, architecture):
    """Whether it compiles, the log and the PTX."""
    program = ctypes.c_void_p()
    nvrtc().nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"gnref.cu", 0, None, None)
    for name in instances:
        nvrtc().nvrtcAddNameExpression(program, name.encode())
    options = [b"-std=c++17", f"--gpu-architecture={architecture}".encode(), b"--ptxas-options=-v"]
    options.append(b"-ftz=true")  # which CuPy always adds: float's smallest numbers are taken for 0
    given = (ctypes.c_char_p * len(options))(*options)
    failed = nvrtc().nvrtcCompileProgram(program, len(options), given)
    return not failed, text(program, "ProgramLog"), "" if failed else text(program, "PTX")


def told(log):
    """Of each kernel its registers, and the bytes that it and each function it calls spill."""
    found = {}
    for part in log.split("Compiling entry function '")[1:]:
        spilled = re.findall(r"Function properties for (\S+)\s[^\n]* (\d+) bytes spill stores, (\d+)", part)
        registers = int(re.search(r"Used (\d+) registers", part)[1])
        found[part.partition("'")[0]] = registers, {name: int(a) + int(b) for name, a, b in spilled}
    return found


def plain(mangled):
    """The name of a kernel or function: "forward" of "_Z7forwardIffLi4EEv..."."""
    length = re.match(r"_Z(\d+)", mangled)
    return mangled[length.end() :][: int(length[1])]


@pytest.mark.parametrize(("x", "architecture"), RUNS)
def test_every_kernel_compiles(x, architecture):
    instances = tuple(names(x, (x, architecture) in WHOLE))
    done, log, ptx = compiled(source(), instances, architecture)
    assert done, log
    assert "warning" not in log
    kernels = told(log)
    assert len(kernels) == len(instances)
    for kernel, (registers, spilled) in kernels.items():
        assert registers <= budget(kernel), kernel
        assert kernel in spilled
        for function, nbytes in spilled.items():
            assert nbytes <= (CAREFUL if "careful" in plain(function) else 0), (kernel, function)
    for part in ptx.split(".entry ")[1:]:
        assert_words_are_long(part.partition("(")[0], part, x, architecture)
    for part in re.split(r"\.(?:entry|func)", ptx):
        if x != "half16" and re.search(r"\b_Z\d+\w*careful", part.partition("{")[0]):
            assert "cvt.ftz.f64.f32" not in part


def budget(kernel):
    """Registers for each thread, with which as many blocks are resident as the plan counts on."""
    if plain(kernel) == "backward_trailing":
        return 216 if "Li8E" in kernel else 136  # as `plan.gathered` says
    threads, blocks = RESIDENT.get(plain(kernel), (256, 2))
    twice = plain(kernel) == "forward_cluster" and "Li2ELi8E" in kernel  # as many strips
    return ALL_REGISTERS // (threads * (1 if twice else blocks))


def assert_words_are_long(kernel, ptx, x, architecture):
    """16 bytes are moved at once, and clusters are what they are called."""
    if "cluster" in kernel and architecture == "sm_90":
        assert ".reqnctapercluster" in ptx
        assert "mapa" in ptx
        assert "barrier.cluster" in ptx
    numbers = re.search(r"Li(\d+)E", kernel)  # at a time
    if numbers is None or int(numbers[1]) < STRIPS[x]:
        return
    if re.match(rf"_Z\d+({READING}|{WRITING})\w*I", kernel):
        assert re.search(r"ld\.global(\.nc)?\.v(4\.[buf]32|2\.[buf]64)", ptx), kernel
    if re.match(rf"_Z\d+({WRITING})\w*I", kernel):
        assert re.search(r"st\.global\.cg\.v(4\.[buf]32|2\.[buf]64)", ptx), kernel


def test_an_error_is_seen():
    wrong = source().replace("squares += d2;", "squares += d3;")
    done, log, _ = compiled(wrong, ("forward<float, float, 4>",), "sm_80")
    assert not done
    assert "d3" in log
