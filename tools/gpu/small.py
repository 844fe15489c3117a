"""A few launches of every kind, with each array in memory of its own: what compute-sanitizer looks at."""

from __future__ import annotations

import sys
from pathlib import Path

TOOLS = Path(__file__).parents[1]
sys.path[:0] = [str(TOOLS.parent), str(TOOLS)]


def main(dtypes: tuple[str, ...] = ("float32", "float16")) -> None:
    """Go through the functions of the contract by every way."""
    from gpu import absent

    absent.fill_in()
    import cupy

    from gnref.kernels.cuda import contract
    from gpu.cases import COLUMNS, ROWS, Case, draw, given
    from gpu.correctness import case_ways
    from gpu.running import there
    from gpu.ways import going

    # The pool's memory is one large piece, in which nobody sees where an array ends.
    cupy.cuda.set_allocator(None)
    for slots in (ROWS[1], ROWS[3], ROWS[6], COLUMNS[1]):
        for dtype in dtypes:
            case = Case(slots, dtype)
            p = draw(case)
            x, dy, weight, bias = there(p)
            mean, rstd = map(cupy.asarray, given(case))
            for way in case_ways(case):
                with going(way):
                    _, own_mean, _, own_rstd = contract.forward(x, weight, bias, p.eps, True)
                    contract.backward(dy, x, own_mean, own_rstd, weight, True)
                    contract.apply(x, mean, rstd, weight, bias)
                    contract.backward_given(dy, x, mean, rstd, weight)
                    contract.backward_sums(dy, x, mean, rstd, weight)
    cupy.cuda.Device().synchronize()


if __name__ == "__main__":
    main()
