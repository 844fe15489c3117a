"""Small problems in one compiled call: what Python does around a kernel would take longer than the kernel.

The arrays come as they are, in slots. Each function tells whether a set is left to `careful`; such a
problem is done again, in the usual way.
"""

from __future__ import annotations

import numpy as np

from gnref.kernels.cpu.columns import forward_examples
from gnref.kernels.cpu.columns_backward import backward_examples
from gnref.kernels.cpu.options import ONE, START, function, inline
from gnref.kernels.cpu.rows import forward_sets as forward_rows_of
from gnref.kernels.cpu.rows_backward import backward_sets as backward_rows_of
from gnref.kernels.cpu.sums import OWN_SUMS
from gnref.kernels.cpu.trailing import forward_sets as forward_trailing_of
from gnref.kernels.cpu.trailing_backward import backward_few

MODE, YES, NO = np.int64(OWN_SUMS), np.bool_(True), np.bool_(False)  # no literals; see `options`


@inline
def flat(a):
    """The elements in a row, as they lie in memory."""
    return a.reshape(a.size)


@function
def forward_rows(x5, y5, weight, bias, stats, eps, center):
    """Sets in rows: y, and mean, var and rstd in stats, which is (4, O, A)."""
    O, P, A, B, S = x5.shape
    arrays = flat(x5), flat(y5), flat(weight), flat(bias), flat(stats)[: 3 * O * A + 1]
    stats[3, 0, 0] = 0.0
    forward_rows_of(START, O * A, *arrays, P, A, B, S, eps, center, YES, NO)
    return stats[3, 0, 0] != 0.0


@function
def forward_columns(x5, y5, weight, bias, stats, eps, center):
    """Sets in columns."""
    O, P, A, B, _ = x5.shape
    arrays = flat(x5), flat(y5), flat(weight), flat(bias), flat(stats)[: 3 * O * A + 1]
    stats[3, 0, 0] = 0.0
    forward_examples(START, O, *arrays, P, A, B, eps, center, YES, NO)
    return stats[3, 0, 0] != 0.0


@function
def forward_trailing(x5, y5, weight, bias, stats, eps, center):
    """Sets with a weight for each element."""
    O, _, A, B, _ = x5.shape
    arrays = flat(x5), flat(y5), flat(weight), flat(bias), flat(stats)[: 3 * O * A + 1]
    stats[3, 0, 0] = 0.0
    forward_trailing_of(START, O * A, *arrays, A, B, eps, center, YES, NO)
    return stats[3, 0, 0] != 0.0


@inline
def add_examples(sums, total):
    """The sums of all examples together, from (2, O, A, B) to (2, A, B)."""
    _, O, A, B = sums.shape
    for a in range(A):
        for b in range(B):
            dweight, dbias = sums[0, 0, a, b], sums[1, 0, a, b]
            for o in range(1, O):
                dweight += sums[0, o, a, b]
                dbias += sums[1, o, a, b]
            total[0, a, b], total[1, a, b] = dweight, dbias


@function
def backward_rows(dy5, x5, dx5, mean, rstd, weight, dparams, center):
    """Sets in rows: dx, and dweight and dbias in dparams, which is (2, A, B)."""
    O, P, A, B, S = x5.shape
    sums, odd = np.empty((2, O, A, B)), np.zeros(O * A + 1, np.uint8)
    arrays = flat(dy5), flat(x5), flat(dx5), flat(weight), flat(mean), flat(rstd)
    pair, none = flat(sums), flat(rstd)[:0]
    backward_rows_of(
        START,
        O * A,
        *arrays,
        pair[: O * A * B],
        pair[O * A * B :],
        odd,
        P,
        A,
        B,
        S,
        center,
        none,
        MODE,
        YES,
        NO,
    )
    add_examples(sums, dparams)
    return odd[O * A] != 0


@function
def backward_columns(dy5, x5, dx5, mean, rstd, weight, dparams, center):
    """Sets in columns."""
    O, P, A, B, _ = x5.shape
    sums, odd = np.empty((2, O, A, B)), np.zeros(O * A + 1, np.uint8)
    arrays = flat(dy5), flat(x5), flat(dx5), flat(weight), flat(mean), flat(rstd)
    pair, none = flat(sums), flat(rstd)[:0]
    backward_examples(
        START, O, *arrays, pair[: O * A * B], pair[O * A * B :], odd, P, A, B, center, none, MODE, YES, NO
    )
    add_examples(sums, dparams)
    return odd[O * A] != 0


@function
def backward_trailing(dy5, x5, dx5, mean, rstd, weight, dparams, center):
    """Sets with a weight for each element."""
    O, _, A, B, _ = x5.shape
    odd, pair = np.zeros(O * A + 1, np.uint8), flat(dparams)
    arrays = flat(dy5), flat(x5), flat(dx5), flat(weight), flat(mean), flat(rstd)
    backward_few(START, ONE, *arrays, pair[: A * B], pair[A * B :], odd, O, A, B, center, NO)
    return odd[O * A] != 0
