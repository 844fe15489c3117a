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
# # Stable and fast
#
# The same variance, computed four ways, is right, a little wrong, or negative; the same loop, on all cores,
# is right or loses numbers.
#
# **You will**
#
# - see $E[x^2] - E[x]^2$ go below zero, and say when it will;
# - derive the corrected two-pass method, Welford's update, and how to merge two parts;
# - draw the error of each against the offset of the data;
# - write a race, cure it, and measure the limit that your memory sets.
#
# You need [tutorial 2](02_by_hand).

# %%
import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from matplotlib.figure import Figure

import gnref
from gnref.kernels import reference
from gnref.teaching import show_source
from gnref.teaching.exercises import check
from gnref.teaching.palette import THEMES, hue
from gnref.teaching.themed import themed

try:
    import numba

    COMPILED = not numba.config.DISABLE_JIT
except ImportError:
    COMPILED = False
if not COMPILED:
    print("Numba does not compile here: the loops below run in plain Python, one thread, on small arrays.")

# %% [markdown]
# ## A variance below zero
#
# A float32 keeps 24 significant bits, so between $2^{25}$ and $2^{26}$ such numbers are 4 apart. Take three
# numbers whose squares lie there. Their variance is 2/3.

# %%
x = np.array([6689, 6690, 6691], np.float32)
squares = x * x
print([int(s) for s in squares], "but exactly", [n * n for n in (6689, 6690, 6691)])

mean_of_squares = (squares[0] + squares[1] + squares[2]) / np.float32(3)
square_of_mean = x[1] * x[1]  # the mean is the middle number
var = mean_of_squares - square_of_mean
print(f"{int(mean_of_squares)} - {int(square_of_mean)} = {var}")
with np.errstate(invalid="ignore"):
    print("standard deviation:", np.sqrt(var))

assert np.finfo(np.float32).nmant + 1 == 24  # the first bit is not stored
assert np.spacing(squares[1]) == 4
assert squares.tolist() == [44742720, 44756100, 44769480]
assert var == -4
assert var.dtype == np.float32

# %% [markdown]
# The subtraction made no error. It took away what two large numbers share, and left their rounding errors.
# Each is about $u = 2^{-24}$ times the number, which is about mean². So
#
# $$\frac{\text{error of var}}{\text{var}} \approx u \left(\frac{\text{offset}}{\text{spread}}\right)^2,$$
#
# with the mean for offset and the standard deviation for spread: here 4. (It turned out as 7, -4 for 2/3:
# several roundings went the same way.) At an offset of 4,096 spreads it is already 1, and no digit is left.

# %%
u = 2.0**-24
assert np.isclose(np.var([6689, 6690, 6691]), 2 / 3)
assert round(u * 6690**2 / (2 / 3), 2) == 4.0
assert np.isclose(abs(var - 2 / 3) / (2 / 3), 7)
assert u * 4096**2 == 1

# %% [markdown]
# ## Two passes, and a correction
#
# Subtract first, square later. Let `hi` be the mean as computed, off by $e$ = mean - hi. Then
# $x - \text{hi} = (x - \text{mean}) + e$, and over the $m$ numbers of a set
#
# $$\frac1m \sum (x - \text{hi})^2 = \frac1m \sum (x - \text{mean})^2 +
# \frac{2e}{m} \sum (x - \text{mean}) + e^2 = \text{var} + e^2,$$
#
# as deviations from the mean add up to 0. We need this **shift rule** three times. The variance hardly
# suffers: $e$ is some $u\cdot$offset, and squared. But y does: every $(x - \text{hi}) \cdot \text{rstd}$ is
# off by $e \cdot \text{rstd}$, about $u\cdot$offset/spread.
#
# What saves y: where $x$ and `hi` are within a factor of 2, $x - \text{hi}$ is exact. (Both are multiples of
# the smaller one's last bit; so is their difference, which is no larger than the smaller one, and fits in 24
# bits.) So $e$ can still be had: it is the mean `lo` of $x - \text{hi}$, small numbers, whose mean is good to
# $u\cdot$spread. Subtract both. gnref's reference:

# %%
show_source(reference.center_twice)

# %% [markdown]
# ### Exercise 10.1: the corrected variance
#
# `x` is (m,), in float32. Return its variance, a number: shift by `hi`, then take out $e^2$ by the shift
# rule. Stay in float32.


# %% tags=["exercise"]
def corrected_var(x):  # x (m,) -> var
    ...  # your lines here


# %%
check("corrected_var", corrected_var)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def corrected_var(x):
#     hi = x.mean()
#     d = x - hi
#     lo = d.mean()
#     return (d * d).mean() - lo * lo
# ```
#
# The last line is the shift rule. It has the form of the formula that failed, but the offset of d is tiny:
# nothing is left to cancel.
#
# </details>

# %% [markdown]
# ## One pass: Welford, and Chan's merge
#
# Can one pass do, without squares of large numbers? Keep the count, the mean and
# $M_2 = \sum (x_i - \text{mean})^2$. A new number $x$ arrives, the $k$-th, $\delta = x - \text{old}$ from the
# old mean. As $k \cdot \text{new} = (k - 1) \cdot \text{old} + x$,
#
# $$\text{new} = \text{old} + \delta / k, \qquad x - \text{new} = \delta\,(k - 1)/k.$$
#
# By the shift rule the $k - 1$ old numbers have $M_2 + (k - 1)(\delta/k)^2$ about the new mean; $x$ brings
# $(x - \text{new})^2$. Together
#
# $$M_2 + \delta^2 \frac{k - 1}{k^2} + \delta^2\frac{(k - 1)^2}{k^2} = M_2 + \delta^2\,\frac{k - 1}{k}
# = M_2 + \delta\,(x - \text{new}).$$
#
# One factor has the old mean, one the new: this is what people get wrong.
#
# ### Exercise 10.2: Welford's update
#
# All arguments are numbers: count, mean and M2 of before `x` came (0, 0 and 0 for the first one), and `x`.
# Return the three of after.


# %% tags=["exercise"]
def welford_update(count, mean, M2, x):  # -> count, mean, M2
    ...  # your lines here


# %%
check("welford_update", welford_update)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def welford_update(count, mean, M2, x):
#     count = count + 1
#     delta = x - mean
#     mean = mean + delta / count
#     M2 = M2 + delta * (x - mean)
#     return count, mean, M2
# ```
#
# delta was taken before the mean moved, x - mean after.
#
# </details>

# %% [markdown]
# Let a whole part $b$ join a part $a$: $n_a + n_b = n$, $\delta = \text{mean}_b - \text{mean}_a$. The common
# mean is $\delta n_b/n$ from a's mean and $\delta n_a/n$ from b's, so the shift rule adds
#
# $$n_a \Big(\frac{\delta n_b}{n}\Big)^2 + n_b \Big(\frac{\delta n_a}{n}\Big)^2
# = \delta^2\,\frac{n_a n_b}{n}$$
#
# to $M_{2,a} + M_{2,b}$ (Chan, Golub & LeVeque 1983). With $n_b = 1$ it is Welford's. So chunks of a set,
# each small enough for a cache, can be summed apart, and by several cores.
#
# gnref's fast kernels do so. In one pass over a chunk they subtract a guess of its mean, made from its first
# numbers, and sum what is left and its square. By the shift rule these two sums give the chunk's mean, as hi
# and lo, and $M_2$. If the guess was too far off, they replace it and sum that chunk again.
#
# ### Exercise 10.3: merge two parts
#
# `a` and `b` are tuples (count, mean, M2). Return that of both together.


# %% tags=["exercise"]
def merge(a, b):  # two (count, mean, M2) -> (count, mean, M2)
    ...  # your lines here


# %%
check("merge", merge)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def merge(a, b):
#     count_a, mean_a, M2_a = a
#     count_b, mean_b, M2_b = b
#     count = count_a + count_b
#     delta = mean_b - mean_a
#     mean = mean_a + delta * (count_b / count)
#     M2 = M2_a + M2_b + delta * delta * (count_a * count_b / count)
#     return count, mean, M2
# ```
#
# The last term is what the two means differ by: without it, parts with different means lose their distance.
#
# </details>

# %% [markdown]
# ## Error against offset
#
# All four, and gnref, in float32, on 64 sets of 1,024 numbers each.


# %%
def by_squares(x, eps):
    mean = x.mean(-1, keepdims=True)
    var = (x * x).mean(-1, keepdims=True) - mean * mean
    return (x - mean) / np.sqrt(var + np.float32(eps))


def two_pass(x, eps):
    d = x - x.mean(-1, keepdims=True)
    var = (d * d).mean(-1, keepdims=True)
    return d / np.sqrt(var + np.float32(eps))


def welford(x, eps):
    mean = M2 = np.zeros_like(x[..., :1])
    for k in range(x.shape[-1]):  # number k of every set at once
        delta = x[..., k : k + 1] - mean
        mean = mean + delta / np.float32(k + 1)
        M2 = M2 + delta * (x[..., k : k + 1] - mean)
    return (x - mean) / np.sqrt(M2 / np.float32(x.shape[-1]) + np.float32(eps))


def corrected(x, eps):
    d = x - x.mean(-1, keepdims=True)
    lo = d.mean(-1, keepdims=True)
    var = (d * d).mean(-1, keepdims=True) - lo * lo
    return (d - lo) / np.sqrt(var + np.float32(eps))


def gnref_norm(x, eps):  # each set is an example of one channel
    return gnref.group_norm(x[:, None], 1, eps=eps)[:, 0]


METHODS = {
    "E[x²] - E[x]²": by_squares,
    "Welford": welford,
    "two passes": two_pass,
    "corrected": corrected,
    "gnref": gnref_norm,
}
offsets = 10.0 ** np.arange(0, 6.1, 0.5)
spread = np.random.default_rng(0).standard_normal((64, 1024))
errors = {name: [] for name in METHODS}
lost = []  # the share of sets without a result
for offset in offsets:
    data = (offset + spread).astype(np.float32)  # rounded: from here on it is the data, and exact
    exact = gnref.group_norm(data.astype(np.float64)[:, None], 1, backend="reference")[:, 0]
    for name, method in METHODS.items():
        with np.errstate(invalid="ignore"):
            y = method(data, 1e-5)
        assert y.dtype == np.float32
        errors[name].append(np.nanmax(abs(y - exact)))
        if method is by_squares:
            lost.append(np.isnan(y).any(-1).mean())


def slope(name, first, last):  # of log(error) by log(offset)
    found = [np.interp(np.log10(at), np.log10(offsets), np.log10(errors[name])) for at in (first, last)]
    return (found[1] - found[0]) / np.log10(last / first)


# %%
SQUARES, WELFORD, TWO, CORRECTED, GNREF = METHODS
HUES = {SQUARES: "layer", WELFORD: "instance", TWO: "batch", CORRECTED: "group"}
NOTES = (  # where, what, about which method
    (1.7e2, 2e5, "some y are NaN", SQUARES),
    (4e3, 1.2e4, "var is 0: rstd = 1/√eps", SQUARES),
    (4, 3e-2, "E[x²] - E[x]²\nslope 2: grade F", SQUARES),
    (6e3, 5e-1, "Welford\nslope 1: grade B", WELFORD),
    (2e3, 2.2e-5, "two passes\nslope 1: grade B", TWO),
    (1.0, 1.1e-7, "corrected", CORRECTED),
    (5.3, 1.1e-7, "and gnref, slope 0: grade A", GNREF),
)


def draw(theme):
    ink = THEMES[theme].muted
    colours = {name: hue(HUES[name], theme) if name in HUES else ink for name in METHODS}
    figure = Figure(figsize=(7.4, 4.6), layout="constrained")
    ax = figure.add_subplot(xlabel="offset of x, in spreads", ylabel="worst error of y, in spreads")
    for (name, found), marker in zip(errors.items(), "Xs^oD", strict=True):
        ax.loglog(offsets, found, marker=marker, markersize=5, color=colours[name], lw=1.8)
    gone = offsets[np.array(lost) > 0]
    ax.plot(gone, np.full(gone.size, 2e5), "x", color=colours[SQUARES], ms=7, mew=2)
    for at, height, text, name in NOTES:
        ax.text(at, height, text, color=colours[name], fontsize=10, va="center")
    ax.set_ylim(5e-8, 2e6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["bottom", "left"]].set_color(ink)
    ax.tick_params(which="both", colors=ink)
    ax.xaxis.label.set_color(ink)
    ax.yaxis.label.set_color(ink)
    return figure


themed(
    draw,
    "Error against offset, from 1 to a million spreads. E[x²] - E[x]² rises with slope 2 to 0.3 at an "
    "offset of 1,000, and gives NaN beyond. Welford and two passes rise with slope 1, to 0.5 and 0.08. "
    "The corrected method and gnref stay below 1e-6.",
)

# %% [markdown]
# *Worst error of y against the offset; both axes are logarithmic, so a power is a slope. A colour is a
# method here, not a norm.*
#
# The letters are the conformance kit's: A if the error does not depend on the offset, B if it grows in
# proportion, F if faster. Ask the kit:

# %%
assert 1.7 < slope(SQUARES, 1e1, 1e3) < 2.3
assert max(lost) > 0.2
assert 0.75 < slope(TWO, 1e1, 1e6) < 1.25
assert 0.75 < slope(WELFORD, 1e1, 1e6) < 1.25
assert max(errors[CORRECTED]) < 1e-6
assert max(errors[GNREF]) < 1e-6
assert 0.3 < errors[WELFORD][-1] < 0.8
assert 0.04 < errors[TWO][-1] < 0.15
assert 0.2 < errors[SQUARES][6] < 0.5  # at 1,000
assert errors[SQUARES][-1] > 1e-5**-0.5

from gnref.testing import check as ask_the_kit


def for_the_kit(method):
    def forward(x, weight, bias, eps):
        with np.errstate(all="ignore"):
            y = method(x.reshape(*x.shape[:2], -1), eps).reshape(x.shape)
        per_channel = (-1, *(1,) * (x.ndim - 2))
        y = y if weight is None else y * weight.reshape(per_channel)
        return y if bias is None else y + bias.reshape(per_channel)

    return forward


grades = {}
for name, method in METHODS.items():
    if name != GNREF:
        report = ask_the_kit(for_the_kit(method), norm="instance", dtypes=["float32"], max_examples=1)
        grades[name] = report.grades["float32"].accuracy
print(grades)
assert list(grades.values()) == ["F", "B", "B", "A"]

# %% [markdown]
# Welford's method saves a pass, and its variance does not cancel. But it rounds the mean at each step, and at
# a large offset y suffers from that.
#
# ## The order of additions is part of the result
#
# A running sum rounds at each of $m$ steps; in a sum by pairs a number takes part in only $\log_2 m$
# additions. Add 0.1 a million times:

# %%
tenths = np.full(1_000_000, 0.1, np.float32)
running = np.cumsum(tenths)[-1]  # adds one by one
pairs = reference.combine_in_pairs(tenths, np.add)
print(f"one by one: {running:.2f}   in pairs: {pairs:.2f}")
assert abs(running - 100_000) > 900
assert abs(pairs - 100_000) < 0.01

# %%
show_source(reference.combine_in_pairs, "odd = None", "return t[..., 0] if odd")

# %% [markdown]
# And $(a + b) + c$ is not $a + (b + c)$: whoever decides the order decides the last bits. In gnref a set's
# own shape and layout do, never the number of threads or of other sets:

# %%
big = np.float32(1e8)
assert (big - big) + np.float32(1) == 1
assert big + (-big + np.float32(1)) == 0

rng = np.random.default_rng(1)
batch = rng.standard_normal((32, 8, 20, 20)).astype(np.float32)
y = gnref.group_norm(batch, 4)
for i in range(len(batch)):
    assert np.array_equal(gnref.group_norm(batch[i : i + 1], 4), y[i : i + 1])
if COMPILED:
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    assert np.array_equal(gnref.group_norm(batch, 4), y)
    numba.set_num_threads(threads)

# %% [markdown]
# ## Fast: one set per iteration
#
# `prange` deals the iterations of a loop out to threads. That is safe where none reads or writes what
# another one writes. Sets are like that: iteration $i$ reads row $i$ of x and writes row $i$ of y.

# %%
if COMPILED:
    from numba import njit, prange

    parallel = njit(parallel=True)
else:
    prange = range

    def parallel(function):
        return function


@parallel
def normalize_sets(x, eps, y):  # x, y (sets, m)
    m = x.shape[1]
    for i in prange(x.shape[0]):
        total = 0.0
        for j in range(m):
            total += x[i, j]
        hi = total / m
        S1, S2 = 0.0, 0.0
        for j in range(m):
            d = x[i, j] - hi
            S1 += d
            S2 += d * d
        lo = S1 / m
        rstd = 1 / np.sqrt(S2 / m - lo * lo + eps)
        for j in range(m):
            y[i, j] = ((x[i, j] - hi) - lo) * rstd


data = (1e6 + spread[:, :256]).astype(np.float32)
y = np.empty_like(data)
normalize_sets(data, 1e-5, y)
exact = gnref.group_norm(data.astype(np.float64)[:, None], 1, backend="reference")[:, 0]
assert abs(y - exact).max() < 1e-6

# %% [markdown]
# Compiled, `total = 0.0` is a float64, and so are hi and all sums: lo then is next to nothing. A kernel that
# keeps hi in float32 to be fast, as gnref's do, needs lo.
#
# `fastmath=True` would let the compiler reorder sums, which is faster, and take $x - (\text{hi} + \text{lo})$
# for $(x - \text{hi}) - \text{lo}$. In float32 `hi + lo` is rounded, and the correction lost:

# %%
hi = data.mean(-1, keepdims=True)
lo = (data - hi).mean(-1, keepdims=True)
rstd = 1 / np.sqrt(np.var(data - hi, -1, keepdims=True, dtype=np.float64) + 1e-5)
kept, folded = ((data - hi) - lo) * rstd, (data - (hi + lo)) * rstd
assert abs(kept - exact).max() < 1e-6 < 1e-2 < abs(folded - exact).max()

# %% [markdown]
# ## A race, and its cure
#
# dweight ([tutorial 4](04_backward)) is another matter: all examples add to the same C numbers, and
# `dweight[c] += v` reads, adds, then writes. Let threads A and B do it once each, in all orders of their
# reads and writes.


# %%
def play(order):  # "ABAB": who is next; the first move of each reads, the second adds 1 and writes
    total, seen = 0, {}
    for thread in order:
        if thread in seen:
            total = seen[thread] + 1
        else:
            seen[thread] = total
    return total


totals = {"".join(order): play(order) for order in sorted(set(itertools.permutations("AABB")))}
print(totals)
assert len(totals) == 6
assert sum(total == 1 for total in totals.values()) == 4

# %% [markdown]
# Four orders of six lose an addition. Now for real. (Where `+=` is on a scalar or a whole array, Numba
# gives each thread a sum of its own; on an *element* it does not.)


# %%
@parallel
def racing_sum(rows, dweight):  # rows (N, C), dweight (C,)
    for n in prange(rows.shape[0]):
        for c in range(rows.shape[1]):
            dweight[c] += rows[n, c]


ones = np.ones((4_000, 6), np.int64)  # whole numbers: what is missing is no rounding
missing = []
racing_sum(ones, np.zeros(6, np.int64))  # compiles
end = time.perf_counter() + 1
while time.perf_counter() < end:
    dweight = np.zeros(6, np.int64)
    racing_sum(ones, dweight)
    missing.append(1 - dweight.sum() / ones.size)
print(f"{np.count_nonzero(missing)} of {len(missing)} runs lost additions; the worst lost {max(missing):.0%}")

# %% [markdown]
# Your machine may print 0: with one thread always, with more by luck. A race that does not show is still
# there, and no test that passed says otherwise.
#
# The cure: chunks of a *fixed* number of rows, for each chunk partial sums that nobody else touches, and
# these added in order.

# %%
CHUNK = 256  # never N / threads: then the bits would depend on the machine


@parallel
def sum_chunks(rows, partial):  # rows (N, C), partial (chunks, C)
    for k in prange(partial.shape[0]):
        for n in range(k * CHUNK, min((k + 1) * CHUNK, rows.shape[0])):
            for c in range(rows.shape[1]):
                partial[k, c] += rows[n, c]


def chunked_sum(rows):  # (N, C) -> (C,)
    N, C = rows.shape
    partial = np.zeros((-(-N // CHUNK), C), rows.dtype)
    sum_chunks(rows, partial)
    total = np.zeros(C, rows.dtype)
    for row in partial:
        total += row
    return total


rows = rng.standard_normal((len(ones), 6)).astype(np.float32)
found = chunked_sum(rows)
assert np.allclose(found, rows.sum(0, dtype=np.float64), atol=6e-8 * CHUNK * abs(rows).sum(0).max())
if COMPILED:
    numba.set_num_threads(1)
    assert np.array_equal(chunked_sum(rows), found)  # to the last bit
    numba.set_num_threads(threads)

# %% [markdown]
# ## The limit that memory sets
#
# A norm does a few operations per number, which a core has done before memory has brought the next. So
# count bytes: x must be read and y written once, as in a copy. No forward pass over a large array beats the
# fastest copy; time that, as `gnref bench` does. All write to memory that is there (`out=`):

# %%
from gnref.bench.copies import copies
from gnref.bench.machine import available_threads, cache_size, processor
from gnref.bench.timing import interleave

shape = (8, 256, 56, 56) if COMPILED else (1, 32, 8, 8)
N, C, H, W = shape
G = 32
x = rng.standard_normal(shape, dtype=np.float32)
y = np.empty_like(x)
sets, out = x.reshape(N * G, -1), y.reshape(N * G, -1)  # views


def numpy_norm():
    mean, var = sets.mean(-1, keepdims=True), sets.var(-1, keepdims=True)
    np.multiply(sets - mean, 1 / np.sqrt(var + np.float32(1e-5)), out=out)


with ThreadPoolExecutor(available_threads()) as pool:
    timings = interleave(
        {
            **copies(x, pool, available_threads()),
            "gnref.group_norm": lambda: gnref.group_norm(x, G, out=y),
            "normalize_sets": lambda: normalize_sets(sets, 1e-5, out),
            "NumPy": numpy_norm,
        },
        rounds=5,
    )
times = {name: min(timing.seconds) for name, timing in timings.items()}
limit = min(times[name] for name in times if name.startswith("copy"))
moved = 2 * x.nbytes / 1e9
print(f"{processor()}, {available_threads()} threads; {moved / 2 * 1e3:.1f} MB read and as many written")
for name, took in times.items():
    print(f"{name:18} {1e3 * took:8.2f} ms {moved / took:7.1f} GB/s  {limit / took:4.0%} of the limit")
if COMPILED:
    from gnref.kernels.cpu.vectors import LANES

    assert LANES == 16  # numbers that gnref adds side by side
if not COMPILED:
    print("Small arrays, in plain Python: these times say nothing about memory.")
elif 2 * x.nbytes < cache_size():
    print(f"Both arrays fit the last cache ({cache_size() >> 20} MB), so its speed is the limit here.")

# %% [markdown]
# If your machine had other things to do, run that again. NumPy makes several arrays the size of x, and goes
# through memory for each. `normalize_sets` makes none, but each addition waits for the one before. gnref
# adds sixteen side by side, in a fixed order, and writes one set while it reads the next.
#
# ## Where to go next
#
# - [Tutorial 11](11_test_your_own): test a kernel of yours, and see these mistakes in released libraries.
# - [Tutorial 4](04_backward): the sums that dx and dweight need.
# - [Tutorial 12](12_gpu): the same calls on a GPU, where memory is the limit, too.
# - `gnref bench`: every norm on your machine, beside other libraries.
