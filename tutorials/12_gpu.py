# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The same calls on a GPU
#
# Give gnref an array that lies on a GPU, and the same call runs there. What changes is where the memory is,
# and how often a norm has to go through it.
#
# **You will**
#
# - run one function on NumPy's arrays and on a GPU's, and say what changes and what does not;
# - compute the least time that a norm can take;
# - see which way a set takes through the device, drawn by the code that decides it;
# - write a sum whose bits do not depend on how many workers there are.
#
# You need [tutorial 10](10_stable_and_fast), and no GPU: about 30 minutes.

# %%
import time
from textwrap import fill

import numpy as np
from array_api_compat import array_namespace

import gnref
from gnref.teaching.exercises import check
from gnref.teaching.notice import gpu_notice

# %% [markdown]
# ## Is there one?

# %%
backends = gnref.backends()
if backends["cuda"] == "ready":
    import cupy as xp  # NumPy's functions, for arrays in a GPU's memory
else:
    import numpy as xp
gpu_notice(backends["cuda"])

# %% [markdown]
# ## One function, two libraries
#
# Nothing in these two calls names a library:


# %%
def both_passes(x, dy, weight, bias):
    y, saved = gnref.group_norm_forward(x, 32, weight, bias)
    dx, dweight, dbias = gnref.backward(dy, saved)
    results = {"y": y, "mean": saved.mean, "rstd": saved.rstd}
    return results | {"dx": dx, "dweight": dweight, "dbias": dbias}


shape = (4, 64, 14, 14) if xp is np else (32, 256, 56, 56)  # N C H W
rng = np.random.default_rng(0)
x, dy = rng.standard_normal((2, *shape), np.float32)
weight, bias = rng.standard_normal((2, shape[1]), np.float32)
on_host = both_passes(x, dy, weight, bias)

there = [xp.asarray(a) for a in (x, dy, weight, bias)]  # from here on, in the memory of the GPU
results = both_passes(*there)
for name, a in results.items():
    print(f"{name:8} {a.dtype!s:8} {a.shape!s:18} {type(a).__module__}.{type(a).__name__}")

# %% [markdown]
# With a GPU the last column says `cupy.ndarray`, and nothing else differs. mean and rstd are in float64 on
# both. The numbers agree to a few roundings, not to the bit: the two backends add in different orders.


# %%
def to_host(a):  # a copy, and the program waits for it
    return a if xp is np else xp.asnumpy(a)


for name, a in results.items():
    assert type(a) is xp.ndarray
    assert a.dtype == (np.float64 if name in ("mean", "rstd") else np.float32)
    assert np.allclose(to_host(a), on_host[name], rtol=2e-5, atol=2e-5)

# %% [markdown]
# | | on the host | on a GPU |
# |---|---|---|
# | arrays | `numpy.ndarray` | `cupy.ndarray`, in the GPU's memory |
# | names, shapes, dtypes, errors | the same | the same |
# | statistics | float64 | float64 |
# | copies between the two | none | `cupy.asarray` and `cupy.asnumpy`; gnref makes none |
# | the first call of a kind | compiles, then kept on disk | compiles, then kept on disk |
# | a call returns | when the work is done | when it is *queued* |
#
# No array is moved behind your back, since that would cost more than the norm. A mixture is an error:


# %%
def told(call):
    try:
        call()
    except (gnref.BackendError, TypeError) as error:
        return fill(f"{type(error).__name__}: {error}")
    return "no error: all arrays are NumPy's"


print(told(lambda: gnref.group_norm(x, 32, backend="cuda")))
print(told(lambda: gnref.group_norm(there[0], 32, weight)))

# %% [markdown]
# With a GPU the second line reads `TypeError: weight is a numpy array and x is a cupy array; expected one
# library`.
#
# The last row of the table is a trap. A clock stopped when the call returns has measured the queueing. Put
# *events* into the queue, or synchronize. And time the second call: the first one compiles.


# %%
def seconds(run):
    run()
    if xp is np:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    start, end = xp.cuda.Event(), xp.cuda.Event()
    start.record()
    run()
    end.record()
    end.synchronize()  # until here, nothing has waited
    return xp.cuda.get_elapsed_time(start, end) / 1e3


timed = {"both passes": lambda: both_passes(*there), "a copy of x": lambda: there[0].copy()}
for name, run in timed.items():
    took = min(seconds(run) for _ in range(5))
    print(f"{name}, {x.nbytes / 1e6:.1f} MB, {xp.__name__}: {took * 1e3:.3f} ms")

# %% [markdown]
# ### Exercise 12.1: a norm for any library
#
# Can you write such a function? `array_namespace(x)` returns the functions for x, whatever library it is
# from. `x` has the shape (N, C, ...); return y, without a weight. We try it on arrays in memory of their own,
# which NumPy cannot read: no GPU is needed.

# %%
array_namespace(there[0]).__name__


# %% tags=["exercise"]
def norm_anywhere(x, num_groups, eps):  # x (N, C, ...) -> y, where x lies
    ...  # your lines here


# %%
check("norm_anywhere", norm_anywhere)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def norm_anywhere(x, num_groups, eps):
#     xp = array_namespace(x)
#     rows = xp.reshape(x, (x.shape[0], num_groups, -1))
#     mean = xp.mean(rows, axis=-1, keepdims=True)
#     var = xp.var(rows, axis=-1, keepdims=True)
#     return xp.reshape((rows - mean) / xp.sqrt(var + eps), x.shape)
# ```
#
# This is how gnref's reference is written, which so runs on CuPy, PyTorch and JAX.
#
# </details>

# %% [markdown]
# ## Once through memory
#
# That function is right on a GPU, and slow: line after line reads arrays as large as x, or writes one. A norm
# computes so little per number that all these trips are what takes the time. The least that must pass:
# forward x in and y out, 2 accesses; backward dy and x in, dx out, 3. Statistics and weights are small. So
# both passes take at least 2.5 times as long as a copy, where arrays are too large for a cache.
#
# ### Exercise 12.2: the time that memory asks
#
# Return the least time in seconds: `shape` is that of x, `itemsize` the bytes of a number, `backward` True
# or False, `bandwidth` in GB/s.


# %% tags=["exercise"]
def least_time(shape, itemsize, backward, bandwidth):  # -> seconds
    ...  # your lines here


# %%
check("least_time", least_time)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def least_time(shape, itemsize, backward, bandwidth):
#     arrays = 3 if backward else 2  # dy, x and dx; or x and y
#     return arrays * np.prod(shape) * itemsize / (bandwidth * 1e9)
# ```
#
# It is a limit, not a prediction: what a device reaches is measured beside a copy of the same bytes.
#
# </details>

# %% [markdown]
# A kernel that reads x for the mean, again for the variance and again for y makes 4 accesses: at best half
# the speed of a copy. To read x once, a set has to be *kept* from its statistics to its y. There are three
# places for it: the registers of a block of threads; those of several blocks that see each other's memory, a
# *cluster*; and a block's shared memory. What fits nowhere is summed chunk by chunk, and read again: 3
# accesses forward, 5 backward.
#
# ## The ways through a GPU
#
# Which it is, a function of plain arithmetic decides: `gnref.kernels.cuda.plan`. It knows the shape and what
# the device can do, and needs no GPU. Ask it what an H100 and an A100 would do with six layers; the number
# behind a way counts its accesses.

# %%
from gnref.teaching.ways import DEVICES, LAYERS, accesses, picture


def way_and_accesses(layer, limits, backward):
    way = layer.plan(limits, backward).way
    return f"{way}, {accesses(way, backward)}"


for i, layer in enumerate(LAYERS):
    size = f"{layer.sets:,} sets of {layer.size / 1024:,.0f} KB"
    print(f"{i + 1} {layer.norm} norm, {layer.name}: {size}")
    for device, limits in DEVICES.items():
        forward, backward = (way_and_accesses(layer, limits, back) for back in (False, True))
        print(f"    {device}  forward: {forward:14}  backward: {backward}")

# %% [markdown]
# And at every size, for sets of 8 channels in float32:

# %%
picture()

# %% [markdown]
# *Sizes of sets across, their number upward. The greys are ways: all but chunks read x once. The dots are the
# layers above, in the colours of their norms.*
#
# Backward keeps dy beside x, so that less fits. The A100 has no clusters. Chunks at the foot of the map are
# another matter: ten large sets, a block for each, leave most of an H100's 132 multiprocessors idle. Cut
# into chunks they occupy them all, and reading twice is the price. Small sets stay in registers, however few.

# %% tags=["remove-cell"]
from gnref.teaching.ways import way_map


def all_ways(limits, backward=False):
    return [way for row in way_map(limits, backward) for way in row]


for limits in DEVICES.values():
    kept = [sum(accesses(way) == 2 for way in all_ways(limits, backward)) for backward in (False, True)]
    assert kept[1] < kept[0]
    assert {row[0] for row in way_map(limits)} == {"registers"}  # the smallest sets, few and many
H100, A100 = DEVICES.values()
assert H100.multiprocessors == 132
assert "cluster" in all_ways(H100)
assert "cluster" not in all_ways(A100)

# %% [markdown]
# ## Why the way does not show
#
# A result must not depend on the device's choice, or a model would answer an example otherwise alone than in
# a batch. So a set is cut into *items* of at most 2 KB by its own shape alone. Whoever adds an item adds it
# in the same order, and the items' sums are added in one order as well. Who does what changes the time, never
# a bit.
#
# ### Exercise 12.3: a sum that does not know its workers
#
# Cut `x` (float32) into items of `item` numbers; the last may be shorter. Worker w of `workers` takes the
# items w, w + workers, ... Return the total, with the same bits for every number of workers: add each item
# with `add`, then the sums of the items, from the first to the last.


# %%
def add(numbers):  # one by one, in their own dtype
    total = numbers.dtype.type(0)
    for number in numbers:
        total = total + number
    return total


# %% tags=["exercise"]
def fixed_sum(x, workers, item):  # x (m,) -> total
    ...  # your lines here


# %%
check("fixed_sum", fixed_sum)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def fixed_sum(x, workers, item):
#     items = [x[i : i + item] for i in range(0, x.size, item)]
#     sums = np.zeros(len(items), x.dtype)
#     for worker in range(workers):  # at the same time, in any order
#         for i in range(worker, len(items), workers):
#             sums[i] = add(items[i])
#     return add(sums)
# ```
#
# A running sum for each worker would be shorter, and would know how many there are.
#
# </details>

# %% [markdown]
# gnref's promise, wherever your arrays are: the same call gives the same bits, and an example alone those
# that it has in the batch.

# %%
again = both_passes(*there)
assert all(np.array_equal(to_host(a), to_host(again[name])) for name, a in results.items())
first = both_passes(there[0][:1], there[1][:1], *there[2:])
for name in ("y", "mean", "rstd", "dx"):
    assert np.array_equal(to_host(first[name]), to_host(results[name][:1]))

# %% [markdown]
# **What is known of these kernels.** They have been compiled for capabilities 8.0 and 9.0, the A100's and the
# H100's, and every one has been executed on a CPU, thread by thread, against results in float64. They have
# not yet been run or timed on a device, so no speed is claimed here. The page *On a GPU* (docs/gpu.md) says
# what is tested and how, and what to run if you have one.
#
# ## Where to go next
#
# - [Tutorial 10](10_stable_and_fast): the arithmetic that every way does, and the limit of a CPU's memory.
# - [Tutorial 11](11_test_your_own): test a CUDA kernel of your own.
