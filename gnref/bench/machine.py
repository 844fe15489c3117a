"""What the results depend on: the processor, the number of threads, and who is installed in which version."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import gnref
from gnref.bench import device
from gnref.bench.peers import PEERS
from gnref.dispatch import choose

WHOSE = {"cpu": ("numba",), "cuda": ("cupy-cuda13x", "cupy-cuda12x")}


def describe(threads: int, backend: str = "cpu") -> dict[str, Any]:
    """Return the machine, the versions, and whose kernels will run."""
    return {
        **(device.describe() if backend == "cuda" else {}),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "gnref": gnref.__version__,
        "backend": backend if backend == "cuda" else choose(np.empty(1), None),
        "threading": None,  # not known before they have run: see `threading_layer`
        "versions": versions(backend),
    }


def available_threads() -> int:
    """The number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """The processor's name as its maker wrote it, as far as the system tells."""
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return platform.processor() or platform.machine()


def cache_size() -> int:
    """The bytes of the largest cache; 32 MB where the system does not tell."""
    sizes = [_bytes(path) for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    return max(sizes, default=32 << 20)


def versions(backend: str = "cpu") -> dict[str, str]:
    """The versions of NumPy, what the backend needs, and every package of a peer that is installed."""
    packages = [
        "numpy",
        *WHOSE[backend],
        *(package for entry in PEERS.values() for package in entry.packages),
    ]
    found = {}
    for package in dict.fromkeys(packages):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def threading_layer() -> str | None:
    """What starts the threads of gnref's kernels; None where the cpu backend does not tell."""
    if find_spec("numba") is None or gnref.backends()["cpu"] != "ready":
        return None
    tell = getattr(import_module("gnref.kernels.cpu"), "threading_layer", None)
    return None if tell is None else str(tell())


def _bytes(path: Path) -> int:
    """A size as Linux writes it: 266240K."""
    text = path.read_text(encoding="ascii").strip()
    return int(text.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(text[-1], 0)
