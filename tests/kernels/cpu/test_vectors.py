"""Every operation of the kernels, compiled, equals its twin in NumPy bit for bit.

A program is a function on flat arrays. It runs twice: compiled, and with the twins for its global names.
"""

from fractions import Fraction
from types import FunctionType

import ml_dtypes
import numpy as np
import pytest
from numba import config

from gnref.kernels.cpu import twins
from gnref.kernels.cpu.memory import (
    aligned,
    keep,
    load,
    load_first,
    number,
    part_of,
    pointer,
    prefetch,
    put_number,
    store,
    store_first,
    stream,
)
from gnref.kernels.cpu.options import function
from gnref.kernels.cpu.vectors import (
    LANES,
    accumulate,
    any_above,
    filled,
    filled_like,
    first,
    fma,
    narrow,
    rounded,
    total,
    widen,
)

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="the operations are their twins")

# How numbers lie in memory for the kernels, the type that they are computed in, and what 16 bits stand for.
STORED = {"float32": np.float32, "float64": np.float64, "float16": np.uint16, "bfloat16": np.int16}
COMPUTED = {name: np.float64 if name == "float64" else np.float32 for name in STORED}
MEANT = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
GUARD = 24
PATTERNS = np.arange(1 << 16, dtype=np.uint16)


@pytest.fixture(params=STORED)
def name(request):
    return request.param


@pytest.fixture(params=[np.float32, np.float64])
def computed(request):
    """The type of the numbers in a vector."""
    return request.param


def on_memory(name, n=4 * LANES, seed=0):
    """Numbers of both signs, as the kernels get them."""
    a = np.random.default_rng(seed).standard_normal(n).astype(MEANT.get(name, STORED[name]))
    return a.view(STORED[name])


def empty(n, dtype):
    """Room for n numbers, between guards."""
    return np.full(n + 2 * GUARD, 77, dtype)[GUARD : n + GUARD]


compiled = {}


def both(program, *args):
    """What a program returns, compiled and of the twins; each gets its own copies of what it writes to."""
    if program not in compiled:
        compiled[program] = function(program)
    twin = FunctionType(program.__code__, vars(twins))
    results = []
    for run in (compiled[program], twin):
        own = [a.base.copy()[GUARD : a.size + GUARD] if is_guarded(a) else a for a in args]
        value = run(*own)
        results.append(([a.base for a in own if is_guarded(a)], value))
    return results


def is_guarded(a):
    return isinstance(a, np.ndarray) and a.base is not None and a.base.size == a.size + 2 * GUARD


def assert_equal(program, *args):
    """The program writes and returns the same bits in both ways, and nothing to the guards."""
    (got, value), (expected, same) = both(program, *args)
    assert value == same
    for a, b in zip(got, expected, strict=True):
        assert a.tobytes() == b.tobytes()
        for guard in (a[:GUARD], a[-GUARD:]):
            assert (guard == 77).all()
    return got


def test_programs_can_differ():
    (got, _), (expected, _) = both(add_doubled, *three(np.float64))
    assert not np.array_equal(got[0], expected[0])


def add_doubled(a, b, c, y):
    a, b, c, y = pointer(a), pointer(b), pointer(c), pointer(y)
    store(y, 0, (load(a, 0) + load(b, 0)) * load(c, 0) / fma(load(a, 0), load(b, 0), load(c, 0)))


# Memory.


def copy_sixteen(x, y, i):
    x, y = pointer(x), pointer(y)
    store(y, 1, load(x, i))


def copy_first(x, y, i, n):
    x, y = pointer(x), pointer(y)
    store(y, 0, load_first(x, i, n))


def store_some(x, y, n):
    x, y = pointer(x), pointer(y)
    store_first(y, 1, load(x, 0), n)


def stream_aligned(x, y):
    x, y = pointer(x), pointer(y)
    i = aligned(y, 0)
    stream(y, i, load(x, 3), load(x, 3 + LANES))
    return i


def first_aligned(x, i):
    return aligned(pointer(x), i)


def from_pointers(x, y):
    p, q = pointer(x), pointer(y)
    prefetch(p, 10**6)
    store(part_of(q, 2), 1, load(part_of(p, 5), 2))
    q[0] = p[1]
    keep(x)


@pytest.mark.parametrize("i", [0, 1, 7, 3 * LANES])
def test_load_and_store(name, i):
    x = on_memory(name)
    [y] = assert_equal(copy_sixteen, x, empty(LANES + 1, x.dtype), i)
    assert np.array_equal(y[GUARD + 1 : -GUARD], x[i : i + LANES])


def test_load_first_reads_that_many(name):
    x = on_memory(name)
    for n in range(LANES):
        [y] = assert_equal(copy_first, x, empty(LANES, COMPUTED[name]), x.size - n, n)
        meant = x.view(MEANT.get(name, x.dtype)).astype(COMPUTED[name])
        assert np.array_equal(y[GUARD:-GUARD], np.append(meant[x.size - n :], np.zeros(LANES - n)))


def test_store_first_writes_that_many(name):
    x = on_memory(name)
    for n in range(LANES):
        [y] = assert_equal(store_some, x, empty(n + 1, x.dtype), n)
        assert np.array_equal(y[GUARD + 1 : -GUARD], x[:n])


def test_stream_writes_an_aligned_block(name):
    x, y = on_memory(name), empty(4 * LANES, STORED[name])
    (got, i), (expected, j) = both(stream_aligned, x, y)
    start, at = GUARD + i, GUARD + j
    assert np.array_equal(got[0][start : start + 2 * LANES], x[3 : 3 + 2 * LANES])
    assert np.array_equal(expected[0][at : at + 2 * LANES], x[3 : 3 + 2 * LANES])
    assert (np.delete(got[0], np.arange(start, start + 2 * LANES)) == 77).all()


def test_aligned_is_the_next_block_of_memory(name):
    x = on_memory(name)
    for shift in range(LANES + 1):
        for i in range(2 * LANES):
            assert_equal(first_aligned, x[shift:], i)
            j = compiled[first_aligned](x[shift:], i)
            assert i <= j < i + 2 * LANES
            assert (x[shift:].ctypes.data + j * x.itemsize) % (2 * LANES * x.itemsize) == 0


def test_pointers_are_arrays_without_a_length(name):
    x = on_memory(name)
    [y] = assert_equal(from_pointers, x, empty(LANES + 3, x.dtype))
    assert np.array_equal(y[GUARD:-GUARD], np.concatenate([x[1:2], [77, 77], x[7 : 7 + LANES]]))


# 16 bits.


def decode_all(x, y):
    for i in range(0, x.size, LANES):
        store(pointer(y), i, load(pointer(x), i))


def take_numbers(x, y):
    for i in range(x.size):
        y[i] = number(pointer(x), i)


def put_numbers(x, y):
    for i in range(x.size):
        put_number(pointer(y), i, x[i])


def assert_same_numbers(got, expected):
    """Equal bits, but for a NaN, which only has to be one."""
    assert np.array_equal(np.isnan(got), np.isnan(expected))
    bits = np.dtype(f"u{got.itemsize}")
    assert np.array_equal(got.view(bits)[~np.isnan(got)], expected.view(bits)[~np.isnan(got)])


@pytest.mark.parametrize("name", MEANT)
@pytest.mark.parametrize("program", [decode_all, take_numbers])
def test_every_pattern_of_16_bits_is_decoded(name, program):
    x = PATTERNS.view(STORED[name])
    out = np.float32 if program is decode_all else np.float64
    with np.errstate(invalid="ignore"):  # a signalling NaN
        expected = PATTERNS.view(MEANT[name]).astype(out)
    for got, _ in both(program, x, empty(x.size, out)):
        assert_same_numbers(got[0][GUARD:-GUARD], expected)


def many_numbers(name):
    """float32 numbers that are in 16 bits, halfway between two such, one ulp off that, beyond, and tiny."""
    with np.errstate(invalid="ignore", over="ignore"):
        exact = PATTERNS.view(MEANT[name]).astype(np.float32)
        positive = np.unique(exact[np.isfinite(exact) & (exact >= 0)])
        steps = np.append(positive, 2 * positive[-1] - positive[-2])  # and to where overflow would begin
        middle = ((steps[:-1].astype(float) + steps[1:]) / 2).astype(np.float32)
        near = [np.nextafter(middle, np.float32(end)) for end in (0, np.inf)]
        random = np.random.default_rng(0).integers(0, 1 << 32, 1 << 16, dtype=np.uint32).view(np.float32)
        ends = np.float32([0, 1e-45, 1e-38, 1e-8, 65504, 65519.996, 65520, 3.3e38, 3.39e38, np.inf, np.nan])
        half = np.concatenate([positive, middle, *near, ends])
        numbers = np.concatenate([half, -half, exact, random])
    return numbers[: len(numbers) // LANES * LANES]


@pytest.mark.parametrize("name", MEANT)
@pytest.mark.parametrize("program", [decode_all, put_numbers])
def test_numbers_are_rounded_to_16_bits(name, program):
    x = many_numbers(name)[:: 1 if program is decode_all else 7]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        expected = x.astype(MEANT[name])
        results = both(program, x.astype(float) if program is put_numbers else x, empty(x.size, STORED[name]))
    for got, _ in results:
        assert_same_numbers(got[0][GUARD:-GUARD].view(MEANT[name]), expected)


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_single_numbers(name):
    x = on_memory(name)
    for program in (take_numbers, put_numbers):
        [y] = assert_equal(program, x.astype(float), empty(x.size, x.dtype))
        assert np.array_equal(y[GUARD:-GUARD], x)


@pytest.mark.parametrize("name", MEANT)
def test_one_number_is_written_alone(name):
    assert_equal(put_numbers, np.array([1.5]), empty(1, STORED[name]))


# Arithmetic. The results go to memory of the type that they are in.


def three(dtype, seed=0):
    """Three vectors and room for one."""
    a, b, c = np.random.default_rng(seed).standard_normal((3, LANES)).astype(dtype)
    return a, b, c, empty(LANES, dtype)


def on_vectors(a, b, c, y):
    a, b, c, y = pointer(a), pointer(b), pointer(c), pointer(y)
    store(y, 0, ((load(a, 0) + load(b, 0)) * load(c, 0) - load(a, 0)) / load(b, 0))


def on_numbers(a, value, y):
    a, y = pointer(a), pointer(y)
    store(y, 0, ((load(a, 0) + value) * value - value) / value)


def fuse(a, b, c, y):
    a, b, c, y = pointer(a), pointer(b), pointer(c), pointer(y)
    store(y, 0, fma(load(a, 0), load(b, 0), load(c, 0)))


def fuse_numbers(a, b, c, y):
    a, y = pointer(a), pointer(y)
    store(y, 0, fma(load(a, 0), b, c))


def sum_of_lanes(a, y):
    y[0] = total(load(pointer(a), 0))


def keep_first(a, y, n):
    a, y = pointer(a), pointer(y)
    store(y, 0, first(load(a, 0), n))


def add_up(a, high, low):
    high, low = pointer(high), pointer(low)
    h, l = load(high, 0), load(low, 0)
    for i in range(0, a.size, LANES):
        h, l = accumulate(h, l, load(pointer(a), i))
    store(high, 0, h)
    store(low, 0, l)


def is_above(a, b):
    return any_above(load(pointer(a), 0), load(pointer(b), 0))


def fill(y, value):
    store(pointer(y), 0, filled(value))


def fill_like(x, y, value):
    store(pointer(y), 0, filled_like(pointer(x), value))


def to_float64_and_back(x, y, wide):
    x, y, wide = pointer(x), pointer(y), pointer(wide)
    v = widen(load(x, 0))
    store(wide, 0, v)
    store(y, 0, narrow(x, v * (1.0 / 3.0)))


def round_number(x, value):
    return rounded(pointer(x), value)


def test_vectors_are_added_subtracted_multiplied_and_divided(computed):
    assert_equal(on_vectors, *three(computed))


def test_a_number_is_rounded_to_the_type_of_the_vector(computed):
    a, _, _, y = three(computed)
    for value in (0.1, -1 / 3, 1e-30):
        assert_equal(on_numbers, a, value, y)


@pytest.mark.parametrize("program", [fuse, fuse_numbers])
def test_fma_rounds_once(computed, program):
    a, b, c, y = three(computed)
    b, c = (b, c) if program is fuse else (float(b[0]), float(c[0]))
    (got, _), (near, _) = both(program, a, b, c, y)
    result = got[0][GUARD:-GUARD]
    np.testing.assert_allclose(result, near[0][GUARD:-GUARD], atol=2 * np.finfo(computed).eps)
    numbers = (np.broadcast_to(np.array(v, computed), LANES).tolist() for v in (a, b, c))
    exact = [Fraction(x) * Fraction(y) + Fraction(z) for x, y, z in zip(*numbers, strict=True)]
    assert all(abs(Fraction(float(r)) - e) <= Fraction(float(np.spacing(abs(r)))) / 2
               for r, e in zip(result, exact, strict=True))  # fmt: skip


def test_the_sum_of_lanes_has_one_order(computed):
    for seed in range(9):
        a = three(computed, seed)[0]
        assert_equal(sum_of_lanes, a, empty(1, computed))


def test_first_lanes_are_kept(computed):
    a, _, _, y = three(computed)
    a[7] = np.nan  # which no product with 0 would remove
    for n in range(LANES + 1):
        [got] = assert_equal(keep_first, a, y, n)
        assert np.array_equal(got[GUARD:-GUARD], np.append(a[:n], np.zeros(LANES - n)), equal_nan=True)


def test_accumulate_has_twice_the_precision(computed):
    a = np.random.default_rng(0).standard_normal(64 * LANES).astype(computed) * computed(1e3)
    high, low = (empty(LANES, np.float64) for _ in range(2))
    high[:], low[:] = [0.0, 1e9] * 8, 0.0  # larger than what is added, and smaller
    sums = assert_equal(add_up, a, high, low)
    allowed = 64e9 * 2.0 ** (-53 if computed is np.float32 else -100)
    for lane in range(LANES):
        got = sum(Fraction(s[GUARD + lane].item()) for s in sums)
        exact = sum(map(Fraction, a[lane::LANES].tolist()), Fraction(high[lane].item()))
        assert abs(got - exact) <= allowed


def test_any_above(computed):
    a = three(computed)[0]
    for k in range(LANES):
        b = a.copy()
        assert_equal(is_above, a, b)
        for value, expected in ((a[k] - 1, True), (a[k] + 1, False), (np.nan, False)):
            b[k] = value
            assert_equal(is_above, a, b)
            assert compiled[is_above](a, b) is expected


def test_filled(name, computed):
    for value in (0.1, -3e-7):
        assert_equal(fill, empty(LANES, computed), computed(value))
        assert_equal(fill_like, on_memory(name), empty(LANES, COMPUTED[name]), value)


def test_widen_and_narrow(name):
    x = on_memory(name)
    y, wide = empty(LANES, COMPUTED[name]), empty(LANES, np.float64)
    _, wide = assert_equal(to_float64_and_back, x, y, wide)
    assert np.array_equal(wide[GUARD:-GUARD], x[:LANES].view(MEANT.get(name, x.dtype)).astype(float))


def test_rounded(name):
    x = on_memory(name)
    for value in (0.1, 1e-300, 1e300, np.inf):
        with np.errstate(over="ignore"):
            assert_equal(round_number, x, value)
            assert compiled[round_number](x, value) == COMPUTED[name](value)
