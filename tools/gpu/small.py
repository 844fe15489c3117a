"""A few launches of every kind, with each array in memory of its own: what compute-sanitizer looks at."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

TOOLS = Path(__file__).parents[1]
if __name__ == "__main__":  # instead of this folder, whose names are no modules
    sys.path[:1] = [str(TOOLS.parent), str(TOOLS)]


def main(dtypes: tuple[str, ...] = ("float32", "float16")) -> None:
    """Go through the functions of the contract by every way, on sets in and out of range, and views."""
    from gpu import absent

    absent.fill_in()
    import cupy

    from gpu.cases import COLUMNS, ROWS, Case
    from gpu.correctness import case_ways
    from gpu.running import shifted, there, turned

    # The pool's memory is one large piece, in which nobody sees where an array ends.
    cupy.cuda.set_allocator(None)
    for slots in (ROWS[1], ROWS[3], ROWS[6], COLUMNS[1]):
        for dtype in dtypes:
            for way in case_ways(Case(slots, dtype)):
                launch(Case(slots, dtype), way, there)
        for way in case_ways(Case(slots, "float32", "huge")):  # which is summed again, carefully
            launch(Case(slots, "float32", "huge"), way, there)
    launch(Case(ROWS[1], dtypes[0]), "registers", shifted)
    launch(Case(COLUMNS[1], dtypes[0]), "columns", turned)
    cupy.cuda.Device().synchronize()


def launch(case: Any, way: str, lie: Any) -> None:
    """Every function of the contract once."""
    import cupy

    from gnref.kernels.cuda import contract
    from gpu.cases import draw, given
    from gpu.ways import going

    p = draw(case)
    x, dy, weight, bias = lie(p)
    mean, rstd = map(cupy.asarray, given(case))
    with going(way):
        _, own_mean, _, own_rstd = contract.forward(x, weight, bias, p.eps, True)
        contract.backward(dy, x, own_mean, own_rstd, weight, True)
        contract.moments(x)
        contract.apply(x, mean, rstd, weight, bias)
        contract.backward_given(dy, x, mean, rstd, weight)
        sums = contract.backward_sums(dy, x, mean, rstd, weight)
        contract.backward_from_sums(dy, x, mean, rstd, weight, 9, *sums)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or ("float32", "float16"))
