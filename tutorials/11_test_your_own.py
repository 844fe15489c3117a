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
# # Test your own kernel, and the bug museum
#
# A group norm with two wrong lines passes an ordinary test; the conformance kit finds both, and shrinks each
# finding to a handful of numbers.
#
# **You will**
#
# - run `gnref.testing.check` on a kernel, and read its report down to the smallest counterexample;
# - derive laws that every normalization obeys, and that need no reference;
# - count the planted mistakes that weak tests let pass;
# - see real bugs of the museum fail, next to their mended twins.
#
# You need [tutorial 3](03_one_reshape) for the rows of a group norm, and [tutorial 4](04_backward) for its
# backward pass. Running everything takes less than a minute.

# %%
import numpy as np

import gnref
from gnref import testing
from gnref.teaching.exercises import check

# %% [markdown]
# ## A kernel that passes its test
#
# Two of these lines are wrong; both mistakes have shipped in real libraries. Do you see them?


# %%
def rows_of(a, num_groups):  # (N, C, ...) to (N, G, m): one row for each set
    return a.reshape(len(a), num_groups, -1)


def per_element(p, absent, x):  # weight or bias, (C,) or None, in the shape of x
    p = np.full(x.shape[1], absent, x.dtype) if p is None else p
    return np.broadcast_to(p.reshape(1, -1, *[1] * (x.ndim - 2)), x.shape)


def average(rows):
    return rows.mean(axis=-1, keepdims=True)


def variance(rows):
    return average(rows * rows) - average(rows) ** 2


def dx_of(dy, weight, xhat, rstd):  # all of them rows
    return weight * rstd * (dy - average(dy) - xhat * average(dy * xhat))


def normalize(x, num_groups, eps):
    rows = rows_of(x, num_groups)
    rstd = 1 / np.sqrt(variance(rows) + eps)
    return (rows - average(rows)) * rstd, rstd


def forward(x, num_groups, weight=None, bias=None, eps=1e-5):
    xhat = normalize(x, num_groups, eps)[0].reshape(x.shape)
    return xhat * per_element(weight, 1, x) + per_element(bias, 0, x)


def backward(dy, x, num_groups, weight=None, bias=None, eps=1e-5):
    xhat, rstd = normalize(x, num_groups, eps)
    weight_rows = rows_of(per_element(weight, 1, x), num_groups)
    dx = dx_of(rows_of(dy, num_groups), weight_rows, xhat, rstd).reshape(x.shape)
    per_channel = (0, *range(2, x.ndim))
    return dx, (dy * xhat.reshape(x.shape)).sum(per_channel), dy.sum(per_channel)


# %% [markdown]
# The test is like many in public repositories: one shape, standard normal x, `weight = 1`, `dy = 1`, a
# tolerance of `1e-2`. dx is compared with difference quotients of $\sum y$.


# %%
def usual_test():
    x = np.random.default_rng(0).standard_normal((2, 4, 3, 3))
    weight, bias = np.ones(4), np.zeros(4)
    same = {"rtol": 1e-2, "atol": 1e-2}
    np.testing.assert_allclose(forward(x, 2, weight, bias), gnref.group_norm(x, 2, weight, bias), **same)

    dx = backward(np.ones_like(x), x, 2, weight, bias)[0]
    quotients = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        nudge = np.zeros_like(x)
        nudge[i] = 1e-4
        quotients[i] = (forward(x + nudge, 2).sum() - forward(x - nudge, 2).sum()) / 2e-4
    np.testing.assert_allclose(dx, quotients, **same)
    return "passed"


usual_test()

# %% [markdown]
# ## Ask the kit
#
# `testing.check` draws problems of many shapes, offsets, scales, weights and memory layouts, for each of
# some thirty *properties*. Ten problems a property keep this page fast; the default is 40.

# %%
options = {"norm": "group", "dtypes": ("float32",), "max_examples": 10, "seed": 0, "name": "mine"}
report = testing.check(forward, backward, **options)

print(report.summary())
grade = report.grades["float32"]
print(f"accuracy: {grade.accuracy}   range: {grade.range:g}")
print(*report.failed, sep="\n")

# %% tags=["remove-cell"]
from gnref.testing.check import EXAMPLES

assert EXAMPLES == 40
assert not report.ok
assert 30 <= len(report.results) <= 40
assert report.settings["max_examples"] == 10
assert (grade.accuracy, grade.range) == ("F", 0)
assert {"shift: f(x + c) = f(x)", "dx sums to 0 over a set"} <= set(report.failed)

# %% [markdown]
# **Properties** are laws. A result's `worst` is its worst error in units of the tolerance; above 1 the law is
# broken. **Accuracy** says how the error grows as the data move away from 0: A not at all, B in step with
# offset/spread, which is sound, F faster. **Range** is the largest s such that x may be scaled by anything
# from 1/s to s; 0 says that results are wrong at scale 1 already.
#
# ### First law: a shift changes nothing
#
# Add a number c to a whole set. Its mean takes c along, $\text{mean}(x + c) = \text{mean}(x) + c$, so
# $x - \text{mean}$ stays, and with it var, xhat and y. Scaling is a law, too: since
# $a^2\,\text{var} + a^2\,\text{eps} = a^2\,(\text{var} + \text{eps})$, x times $a > 0$ gives the same y if
# eps goes along as $a^2\,\text{eps}$. Such laws compare the kernel with *itself*. They need no reference, so
# they cannot inherit a reference's mistake.


# %%
def result_of(report, name):
    return next(result for result in report.results if result.property == name)


shift = result_of(report, "shift: f(x + c) = f(x)")
print(shift.reason, shift.diagnosis, *shift.museum, shift.snippet, sep="\n")

# %% tags=["remove-cell"]
assert shift.counterexample.x.size <= 12
assert any("cancelling variance" in bug for bug in shift.museum)

# %% [markdown]
# The kit met a larger failure first, then tried smaller ones: fewer axes, fewer elements, plainer numbers.
# Left are a few small integers. The third line names real bugs that behave alike; the snippet runs anywhere,
# with your functions for the `...`. By hand:

# %%
small = np.array([6, 2, 0], np.float32)
for c in np.float32([0, 1024]):
    print(f"c = {c:4.0f}: var = {variance(small + c)[0]:.4f}   exact: {56 / 9:.4f}")

assert abs(np.var([6.0, 2, 0]) - 56 / 9) < 1e-12
assert round(56 / 9, 4) == 6.2222
assert variance(small + np.float32(1024))[0] == 6.25
assert 1030**2 == 1_060_900
assert np.spacing(np.float32(1030**2)) == 1 / 8

# %% [markdown]
# The 6 is 1030 now. $1030^2 = 1{,}060{,}900$, and up there neighbouring float32 numbers are $1/8$ apart. The
# difference of two of them is a multiple of $1/8$: here 6.25 for 6.2222. Farther out it is 0, or negative,
# and its root NaN ([tutorial 10](10_stable_and_fast)). Subtract first, then square, and run the snippet
# again:


# %%
def variance(rows):
    d = rows - average(rows)
    return average(d * d)


mine = testing.Functions(forward, backward, norm="group", name="mine")
again = testing.PROPERTIES[shift.property].check(mine, shift.counterexample)
print(f"{again:.2g} times the tolerance")

# %% tags=["remove-cell"]
assert again < 1

# %% [markdown]
# ### Second law: dx sums to 0 over a set
#
# It is the first law's derivative. Shifting a set by c changes no y, hence no loss $L$ computed from y:
# $0 = \partial L / \partial c = \sum_i \text{dx}_i$ over each set, for *every* dy and weight. The report has
# it, too:

# %%
total = result_of(report, "dx sums to 0 over a set")
print(total.reason, total.diagnosis, *total.museum, sep="\n")
problem = total.counterexample
print(problem, problem.x, problem.dy, problem.weight, sep="\n")

# %% tags=["remove-cell"]
assert "dx" in total.diagnosis
assert "y, dweight are right" in total.diagnosis
assert problem.x.size <= 12

# %% [markdown]
# y and dweight are right, dx alone is wrong. By hand, on one set of three:

# %%
xhat, rstd = normalize(np.array([[6.0, 2, 0]]), 1, eps=1e-5)
ones, weight, dy = np.ones((1, 1, 3)), np.array([[[2.0, 1, 1]]]), np.array([[[-1.0, 7, -1]]])
ordinary, telling = dx_of(ones, ones, xhat, rstd), dx_of(dy, weight, xhat, rstd)
print("dy = 1, weight = 1:", ordinary.ravel().round(4), "sum", ordinary.sum().round(4))
print("dy and weight vary:", telling.ravel().round(4), "sum", telling.sum().round(4))

assert abs(ordinary).max() < 1e-15
assert abs(telling.sum()) > 0.5

# %% [markdown]
# Inside the means belongs $g = \text{weight} \cdot \text{dy}$, the dxhat of tutorial 4. Our line multiplies
# by the weight at the end: right for batch norm, where a set has one weight, wrong for a group, which has
# several.
#
# And the test? With `dy = 1` and `weight = 1`, g is 1 everywhere: g minus its mean is 0, and
# $\text{mean}(g \cdot \text{xhat}) = \text{mean}(\text{xhat}) = 0$. So dx is 0 *whatever x is*. A backward
# pass that returns zeros would have passed.


# %%
def dx_of(dy, weight, xhat, rstd):
    g = weight * dy
    return rstd * (g - average(g) - xhat * average(g * xhat))


report = testing.check(forward, backward, **options)
report.raise_if_failed()
print(report.summary())
grade = report.grades["float32"]
print(f"accuracy: {grade.accuracy}   range: {grade.range:g}")

# %% tags=["remove-cell"]
assert report.ok
assert grade.accuracy == "B"
assert grade.range >= 1e4

# %% [markdown]
# Green. B, not A: the mean itself is a rounded float32 number, which costs more the farther x is from 0.
#
# ### Exercise 11.1: test the backward pass by a law
#
# Write `sums_to_0(backward, x, weight, num_groups)`. Choose a dy and call
# `backward(dy, x, weight, num_groups)`, which returns dx in the shape of x, (N, C, H, W). Return whether dx
# sums to 0 over every set (float64: below 1e-9). We try your test on right and wrong kernels.


# %% tags=["exercise"]
def sums_to_0(backward, x, weight, num_groups):
    # your lines here
    ...


# %%
check("sums_to_0", sums_to_0)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def sums_to_0(backward, x, weight, num_groups):
#     dy = np.random.default_rng(0).standard_normal(x.shape)
#     dx = backward(dy, x, weight, num_groups)
#     sums = dx.reshape(len(x), num_groups, -1).sum(axis=-1)
#     return bool(np.abs(sums).max() < 1e-9)
# ```
#
# dy is random, the weight the one given, and each set has a sum of its own. One wrong kernel gets past, that
# which returns zeros: no law is enough alone.
# </details>
#
# ### Exercise 11.2: the law that tells strided groups
#
# A well-known slip reshapes to (N, C//G, G, H, W), so that a group takes every G-th channel. The law it
# breaks: *a changed set leaves the others as they are.* Write `others_stay(forward, x, num_groups)`: call
# `forward(x, num_groups)` twice, the second time with the first group of the first example changed, and
# return whether y is the same everywhere else.


# %% tags=["exercise"]
def others_stay(forward, x, num_groups):
    # your lines here
    ...


# %%
check("others_stay", others_stay)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def others_stay(forward, x, num_groups):
#     group = slice(0, x.shape[1] // num_groups)
#     changed = x.copy()
#     changed[0, group] **= 2
#     same = forward(x, num_groups) == forward(changed, num_groups)
#     same[0, group] = True  # this set may change
#     return bool(same.all())
# ```
#
# Bits are compared, without a tolerance: a set that is left alone has no reason to round otherwise.
# </details>
#
# ## What weak tests miss
#
# A test is measured by planting mistakes. `gnref.testing.mutants` has one right kernel and over a hundred
# edits of it. Against 24 of them, of all kinds, run tests that compare y and all gradients with right
# results, at a tolerance of `5e-4`: one with all weaknesses of our usual test, then tests with one weakness
# each; and the kit.

# %%
from gnref.testing.mutants import KINDS, MUTANTS
from gnref.testing.selftest import TOLERANCE, WEAK, Weak, killed, weakly_killed

SAMPLE = """group: over all channels | G and K swapped | strides ignored | mask one lane too long
filled up with 1 | NaN taken for 0 | weight per group | weight one channel off | weight dropped
variance as E[x^2] - E[x]^2 | variance by m - 1 | variance by the lanes | eps outside the root | eps twice
variance at least 1e-6 | mean of g over all sets | mean of g dropped | mean of g xhat dropped | dx is 0
dy taken for 1 | weight after the sums | dx by way of float16 | dweight times weight | x overwritten with y"""
sample = [MUTANTS[name] for name in SAMPLE.replace("\n", " | ").split(" | ")]
usual = Weak(shapes=((2, 2, 2, 3),), ones=("dy", "weight"))  # N, G, K and H = W
tests = {"our usual test": usual} | WEAK

found = {name: [weakly_killed(edit, "group", test) for edit in sample] for name, test in tests.items()}
found["the kit"] = [killed(edit, "group", max_examples=10) is not None for edit in sample]
print({name: sum(row) for name, row in found.items()}, "of", len(sample))

# %% tags=["remove-cell"]
assert len(sample) == 24
assert TOLERANCE == 5e-4
assert len(MUTANTS) > 100
assert {edit.kind for edit in sample} == set(KINDS)
assert [sum(row) for row in found.values()] == [6, 15, 11, 12, 16, 24]
assert sum(not any(found[name][i] for name in WEAK) for i in range(24)) == 8

# %% tags=["hide-input"] jupyter={"source_hidden": true}
from matplotlib.figure import Figure

from gnref.teaching.palette import THEMES, hue
from gnref.teaching.themed import themed


def kill_matrix(theme):
    """Planted mistakes down, tests across: a filled dot is a mistake that was found."""
    figure = Figure(figsize=(7.2, 7.4))
    ax = figure.add_axes((0.36, 0.01, 0.63, 0.88))
    ink, muted = THEMES[theme].ink, THEMES[theme].muted
    order = sorted(range(len(sample)), key=lambda i: sum(row[i] for row in found.values()))
    for column, (name, row) in enumerate(found.items()):
        colour = hue("group", theme) if name == "the kit" else ink
        seen = [y for y, i in enumerate(order) if row[i]]
        missed = [y for y, i in enumerate(order) if not row[i]]
        ax.scatter([column] * len(seen), seen, s=95, color=colour)
        ax.scatter([column] * len(missed), missed, s=18, facecolor="none", edgecolor=muted, linewidth=1)
        style = {"color": colour, "ha": "center", "va": "bottom"}
        ax.text(column, 23.6, str(sum(row)), size=12, weight="bold", **style)
        ax.text(column, 24.5, name.replace("l ", "l\n").replace("our ", "our\n"), size=10, **style)
    for y, i in enumerate(order):
        ax.text(-0.65, y, sample[i].name, color=ink, size=10, ha="right", va="center")
        ax.axhline(y, color=muted, linewidth=0.4, alpha=0.35, zorder=0)
    ax.set(xlim=(-0.5, len(found) - 0.5), ylim=(-0.6, 23.6))
    ax.set_axis_off()
    return figure


counts = ", ".join(f"{name} {sum(row)}" for name, row in found.items())
themed(kill_matrix, f"Which of 24 planted mistakes each test finds: {counts}.")

# %% [markdown]
# *Planted mistakes down, tests across. A filled dot is a mistake that was found, a small ring one that got
# away.*
#
# Our usual test finds 6 of 24; with `weight = 1` as the only weakness it is 11. **8 escape every weak test**:
# in normal data var is near 1, so that a slip with eps drowns, and there are no offsets, no NaN, no strides.
# The kit finds all 24.
#
# ## How close is right?
#
# Let $u = 2^{-24}$, half the distance from 1 to the next float32: one rounding multiplies by $1 \pm u$ at
# most. $y = (x - \text{mean}) \cdot \text{rstd}$ takes one for the difference, one for the product, and
# about three in rstd: a root, a division, and half of what var lost. That makes $5u\,|y|$. A rounded mean
# shifts all elements alike, even one at $y = 0$. Hence the bound that gnref asks of itself, $6u\,(1 +
# |y|)$: at $y = 1$ about 7e-7. `1e-2` is 14,000 times as wide.
#
# A bound is worth no more than the data. The errors of y, in units of it:


# %%
def error_in_units(variance, offset):
    x = (np.random.default_rng(0).standard_normal((2, 6, 4, 4)) + offset).astype(np.float32)
    rows = rows_of(x, 3)
    y = ((rows - average(rows)) / np.sqrt(variance(rows) + np.float32(1e-5))).reshape(x.shape)
    right = gnref.group_norm(x.astype(np.float64), 3)
    return np.max(np.abs(y - right) / testing.tolerance(testing.Problem("group", x, dy=x, num_groups=3)).y)


def one_pass(rows):
    return average(rows * rows) - average(rows) ** 2


for offset in (0, 10, 100, 1000):
    errors = error_in_units(one_pass, offset), error_in_units(variance, offset)
    print("offset {:4}: E[x^2] - E[x]^2 {:9.2f}, mended {:6.2f}".format(offset, *errors))

# %% tags=["remove-cell"]
u = 2.0**-24
assert u == np.spacing(np.float32(1)) / 2
assert round(6 * u * 2, 8) == 7.2e-7
assert round(1e-2 / (6 * u * 2), -3) == 14_000
assert max(error_in_units(one_pass, 0), error_in_units(variance, 0)) < 1
assert error_in_units(one_pass, 100) > 100

# %% [markdown]
# At offset 0 even the cancelling variance is within the bound: a tight tolerance alone would not have found
# it. Farther out the mended kernel leaves the bound, too, but only in step with the offset: that is its B.
#
# ### Exercise 11.3: a tolerance in units of u
#
# Write `close_enough(y, right)`: True if every element of y (float32) is within $6u\,(1 + |\text{right}|)$
# of the right value (float64). We try it on results with planted errors, NaN among them.


# %% tags=["exercise"]
def close_enough(y, right):
    # your lines here
    ...


# %%
check("close_enough", close_enough)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def close_enough(y, right):
#     u = 2.0**-24
#     return bool((np.abs(y - right) <= 6 * u * (1 + np.abs(right))).all())
# ```
#
# NaN is not `<=` anything, so it fails. `not (error > bound).any()` would let it pass.
# </details>
#
# ## The museum
#
# `gnref.testing.museum` lists 70 entries from public issue trackers. Most come with a *specimen*: right code
# with the slip in it, which fails a property, and a twin without it, which passes. Entry 43 was found in
# four projects:

# %%
from gnref.testing.museum import ENTRIES, ask, show

(shown,) = show(43)
print(shown.entry.what, shown.entry.sources[0][0], "", *shown.diff, "", sep="\n")
print("fails:", shown.result.property, "-", shown.result.reason)
print(shown.diagnosis)
twin = ask(shown.mechanism, fixed=True)
print("its twin:", twin.status)

# %% tags=["remove-cell"]
assert len(ENTRIES) == 70
assert len(shown.entry.sources[0][0].split(",")) == 4
assert (shown.result.status, twin.status) == ("failed", "passed")
assert sum(bool(entry.mechanisms) for entry in ENTRIES.values()) > 35
assert "reference of the tests is wrong likewise" in ENTRIES[19].what

# %% [markdown]
# With the same weight everywhere the slip is invisible. Entry 19 is our own `dx_of`: there the reference in
# the tests had the same mistake, so kernel and reference agreed. A law would not have. Visit others with
# `show(NUMBER)`, or `gnref museum NUMBER` in a terminal.
#
# ## In your CI, in two lines
#
# ```sh
# pip install 'gnref[testing]'
# gnref check yourpackage.norms:group_norm --norm group
# ```
#
# The page *Put it in your CI* (docs/conformance/ci.md) has the like for Triton, CUDA, JAX and pytest.
#
# ## Where to go next
#
# - [Tutorial 10](10_stable_and_fast): Welford, two passes, and how a cancelling variance falls below 0.
# - [Tutorial 4](04_backward): where the two means in dx come from.
# - Then point `check` at the normalization that you rely on.
