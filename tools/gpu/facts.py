"""The device, the driver, and the versions of all that takes part; and how fast a copy is."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gpu import absent
from gpu.session import Context, Found, first_line

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "gnref" / "kernels" / "cuda"
PACKAGES = (
    *("numpy", "cupy-cuda13x", "cupy-cuda12x", "cupy", "ml_dtypes", "array-api-compat"),
    *("torch", "triton", "quack-kernels", "liger-kernel"),
)
ASKED = ("name", "driver_version", "clocks.max.sm", "clocks.max.memory")  # of nvidia-smi
SIZES = (25.7, 51.4, 102.8)  # MB: those of the tensors that are timed


def versions(context: Context, found: Found) -> None:
    """Of everything that is installed, whether there is a device or not."""
    found["python"] = platform.python_version()
    found["system"] = f"{platform.system()} {platform.release()}, {platform.machine()}"
    found["packages"] = {name: number for name in PACKAGES if (number := version_of(name))}
    found["array_api_compat"] = "a stand-in" if absent.fill_in() else "installed"
    found["commit"], found["kernels"] = commit(), sum_of_kernels()
    listed = ", ".join(f"{name} {number}" for name, number in found["packages"].items())
    context.say(f"      Python {found['python']}, {listed}")


def version_of(package: str) -> str | None:
    """None for what is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit that is checked, and whether files differ from it; None where Git does not tell."""
    if not (ROOT / ".git").exists():  # Git would look further up, and find somebody else's
        return None
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    return output_of(words) or None


def sum_of_kernels() -> str:
    """A sum of the files that are checked, which says which they are where Git does not."""
    found = hashlib.sha256()
    for path in sorted(path for path in KERNELS.iterdir() if path.suffix in (".cu", ".py")):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def output_of(words: list[str]) -> str:
    """What a program prints; nothing where there is none, or it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def device(context: Context, found: Found) -> None:
    """What the device is; or, as ``found["reason"]``, why there is none."""
    reason = lacking()
    if reason is not None:
        found["reason"] = reason
        return
    import cupy

    from gnref.bench.device import describe
    from gnref.kernels.cuda.device import limits

    found.update(describe())
    found["limits"] = limits(cupy.cuda.Device().id)._asdict()
    found["nvrtc"] = nvrtc()
    found["nvidia-smi"] = clocks()
    context.say(
        f"      {found['device']}, compute capability {found['capability']}, "
        f"{found['multiprocessors']} multiprocessors, {found['memory'] / 1e9:.0f} GB, "
        f"driver for CUDA {found['driver']}, runtime {found['runtime']}"
    )


def lacking() -> str | None:
    """Why no kernel can run here; None if one can."""
    try:
        found: str | None = import_module("gnref.kernels.cuda.device").lacking()
    except Exception as error:  # CuPy or gnref cannot be imported
        return first_line(f"{type(error).__name__}: {error}")
    return found


def clocks() -> list[dict[str, str]]:
    """The driver's version and the highest clocks of every device that nvidia-smi tells of."""
    told = output_of(["nvidia-smi", f"--query-gpu={','.join(ASKED)}", "--format=csv,noheader"])
    lines = (line.split(", ") for line in told.splitlines())
    return [dict(zip(ASKED, line, strict=True)) for line in lines if len(line) == len(ASKED)]


def nvrtc() -> str:
    """The version of the compiler."""
    import cupy

    return ".".join(map(str, cupy.cuda.nvrtc.getVersion()))


def ceiling(context: Context, found: Found) -> None:
    """Copies from the device's memory to its memory, in bytes read and written a second."""
    import numpy as np

    from gnref.bench.events import Clock, copies, interleave

    clock = Clock(context.options.get("flush"))
    found["copies"] = {}
    for megabytes in context.options.get("sizes", SIZES):
        x: Any = clock.cupy.zeros(int(megabytes * 1e6 / 16) * 4, np.float32)
        timings, _ = interleave(clock, copies(x), 7 if context.quick else 21)
        found["copies"][f"{megabytes} MB"] = {
            name.removeprefix("copy, "): {
                "seconds": timing.median,
                "bytes_per_second": 2 * x.nbytes / timing.median,
            }
            for name, timing in timings.items()
        }
    best = max(way["bytes_per_second"] for sizes in found["copies"].values() for way in sizes.values())
    found["bytes_per_second"] = best
    context.say(f"      {best / 1e9:.0f} GB/s, counting what is read and what is written")
