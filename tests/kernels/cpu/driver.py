"""A small kernel, for the tests of launching and of the cache; its results are exact."""

from numba import njit, prange

from gnref.kernels.cpu.launch import pair


@njit(nogil=True)
def add_sums(first, last, x, y):
    for i in range(first, last):
        total = 0.0
        for j in range(x.shape[1]):
            total += x[i, j]
        for j in range(x.shape[1]):
            y[i, j] = x[i, j] + total


def add_sums_in_pieces(pieces, first, last, x, y):
    for i in prange(pieces):
        add_sums(first + (last - first) * i // pieces, first + (last - first) * (i + 1) // pieces, x, y)


add_row_sums = pair(add_sums, add_sums_in_pieces)
