"""A child of the GPU check on the stand-in for CuPy, in which one problem hangs, dies or loses the device."""

import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tools"), str(ROOT / "tests" / "kernels" / "cuda")]

import standin  # noqa: E402

BAD = (2, 7, 4, 1, 1)
LOST = "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered"


def trouble(kind):
    """What a kernel does to its process."""
    if kind == "hangs":
        time.sleep(600)
    if kind == "dies":
        os._exit(7)
    raise RuntimeError(LOST)


def problems(count):
    from gpu.cases import Case

    slots = [(3, 1, 2, 4, 16), BAD, (1, 1, 2, 4, 16)]
    return [
        Case(slots[1 if 0 < i <= count else 2 * (i > 0)], "float32", "ordinary", i) for i in range(count + 2)
    ]


def main(kind, count, folder):
    with standin.installed():
        from gpu import child, determinism, others, promises

        from gnref.bench.grid import Row
        from gnref.kernels.cuda import contract

        real = contract.forward
        if kind != "works":
            contract.forward = lambda x, *rest: trouble(kind) if x.shape == BAD else real(x, *rest)
        determinism.tensors_are_there = promises.tensors_are_there = lambda: False
        others.load = lambda names, *rest: ({}, dict.fromkeys(names, "not asked"))
        promises.SHAPE = (2, 4, 2, 4)
        sizes = {"flush": 1 << 12, "sizes": [0.01], "calls": 1, "many": 100}
        rows = [Row("group", "", (3, 4, 4, 4), num_groups=2)]
        child.main(Path(folder), cases=problems(int(count)), rows=rows, **sizes)


if __name__ == "__main__":
    main(*sys.argv[1:])
