"""The exercises of tutorial 12: a norm for any library, the time that memory asks, a sum in one order."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnref.teaching.exercises.elsewhere import Far, to_host
from gnref.teaching.exercises.exercise import Exercise, Mistake, Symptom
from gnref.testing import data
from gnref.testing.oracles import exact
from gnref.testing.problems import Array, Problem

# 12.1: one function for every library.

BATCHES = ((2, 6, 4, 5), 3), ((3, 8, 5, 2), 2), ((2, 10, 3, 4), 5), ((4, 6, 7), 2)
IN_FLOAT32 = 2e-6  # of the largest y, near 3: a few roundings


def small_batches() -> list[Problem]:
    """Problems in float32, of which no two axes are equally long; weight 1, bias 0."""
    found = []
    for seed, (shape, G) in enumerate(BATCHES):
        x = data.values("normal", shape, seed).astype(np.float32)
        found.append(Problem("group", x, x, num_groups=G, eps=0.1))
    return found


def given_elsewhere(problem: Problem) -> tuple[Any, ...]:
    """x in memory that is not NumPy's."""
    return Far(problem.x), problem.num_groups, problem.eps


def right_y(problem: Problem) -> Array:
    """From the kit's exact oracle."""
    return np.asarray(exact.y(problem), np.float64)


def brought_back(value: Any) -> Any:
    """The numbers of a result, if it lies where x lies and has its dtype; else what it is, in words."""
    if isinstance(value, Far):
        return to_host(value) if value.dtype == np.float32 else f"an array of {value.dtype}, as x is not"
    return "an array of NumPy's" if isinstance(value, np.ndarray) else value


NORM_ANYWHERE = Exercise(
    name="norm_anywhere",
    tutorial=12,
    title="A group norm for any array library",
    context="""\
from array_api_compat import array_namespace
from gnref.teaching.exercises.elsewhere import to_host
""",
    solution="""\
def norm_anywhere(x, num_groups, eps):
    xp = array_namespace(x)
    rows = xp.reshape(x, (x.shape[0], num_groups, -1))
    mean = xp.mean(rows, axis=-1, keepdims=True)
    var = xp.var(rows, axis=-1, keepdims=True)
    return xp.reshape((rows - mean) / xp.sqrt(var + eps), x.shape)
""",
    problems=small_batches,
    arguments=given_elsewhere,
    oracle=right_y,
    rtol=IN_FLOAT32,
    reads=brought_back,
    mistakes=(
        Mistake(
            "NumPy's functions",
            "array_namespace(x)",
            "np",
            "A function of NumPy's gets x, which is not in NumPy's memory: some libraries reroute such a "
            "call, some copy to the host behind your back, and this one refuses. Take the functions from "
            "`array_namespace(x)`.",
        ),
        Mistake(
            "a root of NumPy's",
            "xp.sqrt(var",
            "np.sqrt(var",
            "Your root is NumPy's own function. Every function that gets an array has to come from the "
            "array's library: `xp.sqrt`.",
        ),
        Mistake(
            "a root of Python's",
            "xp.sqrt(var + eps)",
            "float(var + eps) ** 0.5",
            "`float` asks for one number, and there is an array of them. Even of one number it would be a "
            "copy to the host, for which the program waits. Stay with arrays.",
        ),
        Mistake(
            "methods",
            "xp.mean(rows, axis=-1, keepdims=True)",
            "rows.mean(axis=-1, keepdims=True)",
            "You call a method, `rows.mean`. The array API has functions only: methods differ from library "
            "to library, in name and in keywords. Write `xp.mean(rows, ...)`.",
        ),
        Mistake(
            "n-1",
            "xp.var(rows, axis=-1, keepdims=True)",
            "xp.var(rows, axis=-1, correction=1, keepdims=True)",
            "You divide the variance by m - 1, as PyTorch's `var` does unless it is told otherwise. The "
            "variance that normalizes is the biased one, without a correction.",
        ),
        Mistake(
            "by way of the host",
            "xp = array_namespace(x)",
            "x, xp = to_host(x), np",
            "The numbers are right, but your result is NumPy's: you copied x to the host. From a GPU that "
            "takes many times as long as the norm. y has to lie where x lies.",
        ),
        Mistake(
            "float64",
            "xp.reshape(x, (x.shape[0], num_groups, -1))",
            "xp.reshape(xp.astype(x, xp.float64), (x.shape[0], num_groups, -1))",
            "Your y is in float64, and x is in float32: twice the bytes to write, and whoever reads y gets "
            "another dtype on a GPU than before.",
        ),
    ),
)

# 12.2: the time that memory asks.

TENSORS = (  # a shape, the bytes of a number, backward or not, GB/s
    ((32, 256, 56, 56), 4, False, 1000),
    ((32, 256, 56, 56), 4, True, 1000),
    ((8192, 4096), 2, False, 2000),
    ((8192, 4096), 2, True, 500),
    ((8, 64, 224, 224), 8, False, 40),
    ((8, 3, 5), 8, True, 40),
)


def tensors() -> list[Problem]:
    """Problems that stand for tensors too large to make: their seed is a place in TENSORS."""
    x = np.zeros((1, 1))
    return [Problem("layer", x, x, normalized_shape=(1,), seed=i) for i in range(len(TENSORS))]


def fewest_seconds(problem: Problem) -> float:
    """Each array goes through memory once."""
    shape, itemsize, backward, bandwidth = TENSORS[problem.seed]
    count = 1
    for length in shape:
        count *= length
    return (3 if backward else 2) * count * itemsize / (bandwidth * 1e9)


LEAST_TIME = Exercise(
    name="least_time",
    tutorial=12,
    title="The time that memory asks",
    norm="layer",
    solution="""\
def least_time(shape, itemsize, backward, bandwidth):
    arrays = 3 if backward else 2  # dy, x and dx; or x and y
    return arrays * np.prod(shape) * itemsize / (bandwidth * 1e9)
""",
    problems=tensors,
    arguments=lambda problem: TENSORS[problem.seed],
    oracle=fewest_seconds,
    answers=("seconds",),
    mistakes=(
        Mistake(
            "one access",
            "3 if backward else 2",
            "2 if backward else 1",
            "You are one array short in both directions. What is computed has to be written, too: y in the "
            "forward, dx in the backward.",
        ),
        Mistake(
            "forward read twice",
            "3 if backward else 2",
            "3",
            "Your forward moves three arrays: do you read x once for the statistics and once for y? That is "
            "what happens if x is not kept. The least is to read it once.",
        ),
        Mistake(
            "backward as forward",
            "3 if backward else 2",
            "2",
            "Your backward moves as much as the forward. What goes in is dy, and x as well: xhat is made "
            "again from it.",
        ),
        Mistake(
            "backward read twice",
            "3 if backward else 2",
            "5 if backward else 2",
            "Your backward moves five arrays: dy and x twice each, and dx. The least is to read each of "
            "them once.",
        ),
        Mistake(
            "numbers for bytes",
            " * itemsize",
            "",
            "You count numbers, and the bandwidth counts bytes. In float16 there are half as many of them "
            "as in float32, and the norm takes half the time.",
        ),
        Mistake(
            "GB of 2^30",
            "1e9",
            "2**30",
            "Your GB is 2^30 bytes, and so your time about 7 % too short. In a bandwidth, GB is 10^9 bytes.",
        ),
        Mistake(
            "the inverse",
            "arrays * np.prod(shape) * itemsize / (bandwidth * 1e9)",
            "(bandwidth * 1e9) / (arrays * np.prod(shape) * itemsize)",
            "You divide the bandwidth by the bytes: so many such norms fit a second. Bytes divided by bytes "
            "per second are seconds.",
        ),
    ),
    symptoms=(
        Symptom(
            "off by a power of ten",
            lambda got, right, problem: bool(got > 0) and abs(np.log10(got / right) % 1 - 0.5) > 0.4999999,
            "Your digits are right, and the power of ten is not: the result is in seconds, the bandwidth in "
            "GB per second.",
        ),
    ),
)

# 12.3: a sum whose order is its own.

ADD = """\
def add(numbers):  # one by one, in their own dtype
    total = numbers.dtype.type(0)
    for number in numbers:
        total = total + number
    return total
"""
# The length of x, the number of workers, the length of an item.
SUMS = ((503, 3, 8), (503, 8, 8), (700, 5, 6), (700, 32, 6), (390, 4, 4), (390, 20, 4), (90, 64, 4))


def long_rows() -> list[Problem]:
    """Rows of float32; the kind tells the number of workers and the length of an item."""
    found = []
    for length, workers, item in SUMS:
        x = (data.values("normal", (length,), length) + 1).astype(np.float32)
        found.append(Problem("layer", x, x, normalized_shape=(length,), kind=f"{workers} {item}"))
    return found


def given_workers(problem: Problem) -> tuple[Any, ...]:
    """A row, the number of workers, and the length of an item."""
    workers, item = map(int, problem.kind.split())
    return problem.x, workers, item


def one_order(problem: Problem) -> float:
    """The sums of items, added one by one from the first item to the last."""
    x, _, item = given_workers(problem)
    total = np.float32(0)
    for first in range(0, len(x), item):
        inner = np.float32(0)
        for number in x[first : first + item]:
            inner = inner + number
        total = total + inner
    return float(total)


def nearly(got: Any, right: Any, problem: Problem) -> bool:
    """Whether a sum is right but for its rounding."""
    return bool(np.isclose(got, right, rtol=1e-5))


FIXED_SUM = Exercise(
    name="fixed_sum",
    tutorial=12,
    title="A sum that does not know its workers",
    norm="layer",
    context=ADD,
    solution="""\
def fixed_sum(x, workers, item):
    items = [x[i : i + item] for i in range(0, x.size, item)]
    sums = np.zeros(len(items), x.dtype)
    for worker in range(workers):  # at the same time, in any order
        for i in range(worker, len(items), workers):
            sums[i] = add(items[i])
    return add(sums)
""",
    problems=long_rows,
    arguments=given_workers,
    oracle=one_order,
    answers=("total",),
    mistakes=(
        Mistake(
            "a sum for each worker",
            "sums[i] = add(items[i])",
            "sums[worker] += add(items[i])",
            "Each of your workers has one running sum. Then which items are added together depends on how "
            "many workers there are, and so do the bits. Keep a sum for each item.",
        ),
        Mistake(
            "items by workers",
            "[x[i : i + item] for i in range(0, x.size, item)]",
            "np.array_split(x, workers)",
            "You cut x into one part for each worker: with more workers the parts are shorter, and the bits "
            "differ. An item is `item` numbers long, whoever adds it.",
        ),
        Mistake(
            "in the order of workers",
            "return add(sums)",
            "return add(np.concatenate([sums[w::workers] for w in range(workers)]))",
            "You add the sums of worker 0, then those of worker 1, and so on: another number of workers "
            "gives another order. Add them in the order of the items.",
        ),
        Mistake(
            "no items",
            "return add(sums)",
            "return add(x)",
            "You add all of x in one chain. Its bits do not depend on the workers, for they have nothing to "
            "do; and the chain is so long that it rounds more. Add the sums of the items.",
        ),
        Mistake(
            "sums in float64",
            "np.zeros(len(items), x.dtype)",
            "np.zeros(len(items))",
            "Your sums are in float64. That rounds less, and gnref does it; but here all is asked for in "
            "the dtype of x, so that each rounding shows.",
        ),
        Mistake(
            "the last item lost",
            "range(0, x.size, item)",
            "range(0, x.size - item + 1, item)",
            "The last item is missing where it is shorter than the others: its numbers are not in your sum.",
        ),
        Mistake(
            "NumPy's order",
            "return add(sums)",
            "return sums.sum()",
            "You leave the last step to NumPy, whose sum has an order of its own, which may be another one "
            "on another machine. Use `add`.",
        ),
    ),
    symptoms=(
        Symptom(
            "right but for rounding",
            nearly,
            "Your sum is right but for its rounding: some numbers are added in another order than asked.",
        ),
    ),
)

EXERCISES: tuple[Exercise, ...] = (NORM_ANYWHERE, LEAST_TIME, FIXED_SUM)
