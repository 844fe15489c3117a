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
# # Derive the backward pass
#
# Walk back through a normalization, check every step by finite differences, and watch the steps collapse
# into one line for all four norms.
#
# **You will**
#
# - derive the gradient of every intermediate: xhat, rstd, var, mean, x;
# - collapse them into the one line that gnref runs;
# - see the Jacobian of xhat, and read off it what a norm lets through;
# - learn why tests with `dy = 1` see nothing, and why to save mean and rstd.
#
# You need the chain rule, the sets of [tutorial 1](01_shared_mean) (a *set* is the $m$ elements that share a
# mean), and for one section the slots of [tutorial 3](03_one_reshape).

# %%
import numpy as np

import gnref
from gnref.kernels import reference
from gnref.teaching import AxisExplorer, show_source
from gnref.teaching.exercises import check

# %% [markdown]
# ## One set, forward
#
# No set depends on another, so one is enough: two channels of two pixels, hence two different weights. An eps
# of 7 is absurdly large; it makes all numbers come out, and lets us see what eps does.

# %%
x = np.array([1.0, 7.0, 7.0, 9.0])
weight = np.array([2.0, 2.0, -1.0, -1.0])
bias = np.array([5.0, 5.0, 3.0, 3.0])
eps = 7.0

m = x.size
mean = x.sum() / m
xc = x - mean  # x, centred
var = (xc * xc).sum() / m
rstd = 1 / np.sqrt(var + eps)
xhat = xc * rstd
y = xhat * weight + bias

assert (mean, var, rstd) == (6, 9, 1 / 4)
assert xc.tolist() == [-5, 1, 1, 3]
assert xhat.tolist() == [-5 / 4, 1 / 4, 1 / 4, 3 / 4]

# %% tags=["hide-input"] jupyter={"source_hidden": true}
from matplotlib.figure import Figure

from gnref.teaching.palette import NAMES, THEMES, hue
from gnref.teaching.themed import themed

# name: place, row, value, and the denominator to write value and gradient with
BOXES = {
    "x": (0.0, 0, x, 1, 32),
    "mean": (1.5, 1, mean, 1, 1),
    "xc": (3.0, 0, xc, 1, 32),
    "var": (4.5, 1, var, 1, 16),
    "rstd": (6.0, 1, rstd, 4, 1),
    "xhat": (7.5, 0, xhat, 4, 1),
    "y": (9.8, 0, y, 4, 1),
}
ARROWS = ("x mean", "x xc", "mean xc", "xc var", "var rstd", "rstd xhat", "xc xhat", "xhat y")


def numbers(values, over):
    text = "  ".join(f"{value * over:g}" for value in np.atleast_1d(values)).replace("-", "\N{MINUS SIGN}")
    return text if over == 1 else f"({text}) / {over}" if np.ndim(values) else f"{text}/{over}"


def draw_walk(theme, gradients=()):
    """Draw the graph from x to y, with the value of every intermediate, and below it the gradient."""
    ink, muted = THEMES[theme].ink, THEMES[theme].muted
    figure = Figure(figsize=(9.2, 3.0))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(-1.4, 11.1), ylim=(-1.35, 2.95))
    ax.set_axis_off()
    patches, middle = {}, {"color": ink, "ha": "center", "va": "center"}
    for name, (left, row, value, over, _) in BOXES.items():
        outline = {"boxstyle": "round,pad=0.4", "facecolor": "none", "edgecolor": muted}
        text = ax.text(left, 1.6 * row, name, size=14, weight="bold", bbox=outline, **middle)
        patches[name] = text.get_bbox_patch()
        ax.text(left, 2.55 if row else -0.65, numbers(value, over), size=11, **middle | {"color": muted})
    for (left, row, *_, over), gradient in zip(BOXES.values(), gradients, strict=False):
        style = middle | {"color": hue("group", theme), "weight": "bold", "size": 11}
        ax.text(left, 2.17 if row else -1.03, numbers(gradient, over), **style)
    for start, end in map(str.split, ARROWS):
        at, to = ((BOXES[name][0], 1.6 * BOXES[name][1]) for name in (start, end))
        ends = {"patchA": patches[start], "patchB": patches[end], "shrinkA": 3, "shrinkB": 3}
        ax.annotate("", to, at, arrowprops={"arrowstyle": "-|>", "color": muted, "lw": 1.3} | ends)
    return figure


themed(draw_walk, "The graph from x to y, with the value of every intermediate in numbers.")

# %% [markdown]
# Whatever comes after the norm hands us $\text{dy}_i = \partial L/\partial y_i$, the slopes of some loss
# $L$. In the same way dxhat stands for $\partial L/\partial\text{xhat}$, dvar for
# $\partial L/\partial\text{var}$, and so on. As only these slopes matter, $L = \sum_i \text{dy}_i\, y_i$
# can stand for any loss.
#
# To *measure* a gradient, nudge one intermediate and let the rest of the forward pass run.

# %%
dy = np.array([1.0, 3.0, -2.0, 2.0])


def losses(x, weight, bias, eps, dy):
    """The loss as a function of each intermediate: the forward pass from there on."""
    loss, original = {}, x - x.mean()
    loss["xhat"] = lambda xhat: np.sum(dy * (xhat * weight + bias))
    loss["rstd"] = lambda rstd: loss["xhat"](original * rstd)
    loss["var"] = lambda var: loss["rstd"](1 / np.sqrt(var + eps))
    # xc has two arrows: it also moves var
    loss["xc"] = lambda xc: loss["xhat"](xc / np.sqrt(np.mean(xc * xc) + eps))
    loss["mean"] = lambda mean: loss["xc"](x - mean)
    loss["x"] = lambda x: loss["xc"](x - x.mean())
    return loss


def slope(f, at, h=1e-5):
    """The gradient of f by central differences, in float64, one entry at a time."""
    at = np.asarray(at, np.float64)
    gradient = np.empty(at.shape)
    for i in np.ndindex(at.shape):
        step = np.zeros(at.shape)
        step[i] = h
        gradient[i] = (f(at + step) - f(at - step)) / (2 * h)
    return gradient


def agree(name, at, derived):
    measured = slope(losses(x, weight, bias, eps, dy)[name], at)
    print(f"d{name:5} derived  {derived}\n       measured {measured.round(8)}")
    np.testing.assert_allclose(derived, measured, rtol=1e-8, atol=1e-8)


# %% [markdown]
# ## Walk back
#
# One rule does everything: **a gradient is the sum, over all arrows that leave a quantity, of the slope
# of the arrow times the gradient at its end.**
#
# **xhat.** $y_i = \text{xhat}_i\,\text{weight}_i + \text{bias}_i$. One arrow leaves, with slope weight:
#
# $$\text{dxhat}_i = \text{dy}_i\,\text{weight}_i$$

# %%
dxhat = dy * weight
agree("xhat", xhat, dxhat)
assert dxhat.tolist() == [2, 6, 2, -2]

# %% [markdown]
# **rstd.** $\text{xhat}_i = \text{xc}_i\,\text{rstd}$. One rstd serves all $m$ elements: $m$ arrows
# leave, with slopes $\text{xc}_i$, and their ends add up.
#
# $$\text{drstd} = \sum_i \text{dxhat}_i\,\text{xc}_i$$

# %%
drstd = (dxhat * xc).sum()
agree("rstd", rstd, drstd)
assert drstd == -8

# %% [markdown]
# **var.** $\text{rstd} = (\text{var} + \text{eps})^{-1/2}$, so by the power rule its slope is
# $-\frac12(\text{var} + \text{eps})^{-3/2} = -\frac12\,\text{rstd}^3$.
#
# $$\text{dvar} = -\tfrac12\,\text{rstd}^3\,\text{drstd}$$

# %%
dvar = -0.5 * rstd**3 * drstd
agree("var", var, dvar)
assert dvar == 1 / 16

# %% [markdown]
# **xc.** Two arrows leave $\text{xc}_i$. One goes to $\text{xhat}_i = \text{xc}_i\,\text{rstd}$, with
# slope rstd. The other goes to $\text{var} = \frac1m\sum_j \text{xc}_j^2$, of whose terms only the one
# with $j = i$ moves, with slope $\frac2m\text{xc}_i$.
#
# $$\text{dxc}_i = \text{rstd}\,\text{dxhat}_i + \tfrac2m\,\text{xc}_i\,\text{dvar}$$

# %%
dxc = rstd * dxhat + 2 / m * xc * dvar
agree("xc", xc, dxc)
assert (32 * dxc).tolist() == [11, 49, 17, -13]

# %% [markdown]
# **mean.** $\text{xc}_i = x_i - \text{mean}$: $m$ arrows, each with slope $-1$.
#
# $$\text{dmean} = -\sum_i \text{dxc}_i
# \;=\; -\text{rstd}\sum_i \text{dxhat}_i - \tfrac2m\,\text{dvar}\sum_i \text{xc}_i$$
#
# But $\sum_i \text{xc}_i = \sum_i x_i - m\,\text{mean} = 0$, so the second term is 0: the path from the
# mean through the variance *vanishes*. (The mean is the centre about which the mean square is least; at a
# minimum the slope is 0.) The batch norm paper writes the term all the same.
#
# $$\text{dmean} = -\text{rstd}\sum_i \text{dxhat}_i$$

# %%
assert xc.sum() == 0
dmean = -rstd * dxhat.sum()
agree("mean", mean, dmean)
assert dmean == -2

# %% [markdown]
# **x.** Two arrows leave $x_i$: to $\text{xc}_i$, with slope 1, and to the mean, with slope $\frac1m$.
# With dxc written out, these are three paths:
#
# $$\text{dx}_i = \text{dxc}_i + \tfrac1m\,\text{dmean} =
# \underbrace{\text{rstd}\,\text{dxhat}_i}_{\text{straight}} +
# \underbrace{\tfrac2m\,\text{xc}_i\,\text{dvar}}_{\text{through var}} +
# \underbrace{\tfrac1m\,\text{dmean}}_{\text{through mean}}$$

# %%
dx = rstd * dxhat + 2 / m * xc * dvar + dmean / m
agree("x", x, dx)
assert (32 * dx).tolist() == [-5, 33, 1, -29]

# %%
themed(
    lambda theme: draw_walk(theme, (dx, dmean, dxc, dvar, drstd, dxhat, dy)),
    "The same graph; below the value of every intermediate, the numbers of its gradient.",
)

# %% [markdown]
# *The whole walk: values (grey) flow along the arrows, gradients (in colour) against them.*
#
# The same walk on a hundred random sets, with random weights and random dy:

# %%
rng = np.random.default_rng(4)


def walk(x, weight, eps, dy):
    m, xc = x.size, x - x.mean()
    rstd = 1 / np.sqrt((xc * xc).mean() + eps)
    d = {"xhat": dy * weight}
    d["rstd"] = (d["xhat"] * xc).sum()
    d["var"] = -0.5 * rstd**3 * d["rstd"]
    d["xc"] = rstd * d["xhat"] + 2 / m * xc * d["var"]
    d["mean"] = -rstd * d["xhat"].sum()
    d["x"] = d["xc"] + d["mean"] / m
    return d


worst = 0.0
for _ in range(100):
    some_x, w, b, some_dy = rng.standard_normal((4, rng.integers(5, 12)))
    center = some_x - some_x.mean()
    r = 1 / np.sqrt(some_x.var() + 0.1)
    at = {"xhat": center * r, "rstd": r, "var": some_x.var(), "xc": center}
    at |= {"mean": some_x.mean(), "x": some_x}
    loss = losses(some_x, w, b, 0.1, some_dy)
    for name, derived in walk(some_x, w, 0.1, some_dy).items():
        measured = slope(loss[name], at[name])
        worst = max(worst, np.abs(derived - measured).max())
print(f"derived and measured are at most {worst:.0e} apart")
assert worst < 1e-7

# %% [markdown]
# ### Exercise 4.1: from dy to dvar
#
# For one set: dy, weight and xc of shape (m,), rstd a number. Return drstd and dvar.


# %% tags=["exercise"]
def walk_to_var(dy, weight, xc, rstd):  # -> drstd, dvar, two numbers
    ...  # your lines here


# %%
check("walk_to_var", walk_to_var)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def walk_to_var(dy, weight, xc, rstd):
#     dxhat = dy * weight
#     drstd = (dxhat * xc).sum()
#     dvar = -0.5 * rstd**3 * drstd
#     return drstd, dvar
# ```
#
# All arrows of a shared quantity add up, hence the sum; the 3 is that of $(\text{var} + \text{eps})^{-3/2}$.
#
# </details>

# %% [markdown]
# ## Collapse
#
# Two of the three paths still hold intermediates. Put them in. Through the mean:
#
# $$\tfrac1m\,\text{dmean}
# \;=\; -\text{rstd}\cdot\tfrac1m\sum_j \text{dxhat}_j
# \;=\; -\text{rstd}\cdot\text{mean}(\text{dxhat})$$
#
# Through the variance, insert first dvar, then drstd. The 2 and the $\frac12$ cancel. Hand one rstd of
# the three to each xc, since $\text{rstd}\cdot\text{xc} = \text{xhat}$:
#
# $$\begin{aligned}
# \tfrac2m\,\text{xc}_i\,\text{dvar}
# &= \tfrac2m\,\text{xc}_i\cdot\big({-\tfrac12}\,\text{rstd}^3\big)\sum_j \text{dxhat}_j\,\text{xc}_j \\
# &= -\text{rstd}\cdot(\text{rstd}\,\text{xc}_i)\cdot
# \tfrac1m\sum_j \text{dxhat}_j\,(\text{rstd}\,\text{xc}_j) \\
# &= -\text{rstd}\cdot\text{xhat}_i\cdot\text{mean}(\text{dxhat}\cdot\text{xhat})
# \end{aligned}$$
#
# All three paths begin with rstd. Take it out:
#
# $$\boxed{\;\text{dx} = \text{rstd}\cdot\big(\text{dxhat} - \text{mean}(\text{dxhat})
# {}- \text{xhat}\cdot\text{mean}(\text{dxhat}\cdot\text{xhat})\big)\;}$$
#
# From dxhat remove its mean, remove its share along xhat, and scale. In our set the two means
# are 2 and $-\frac12$.

# %%
assert dxhat.mean() == 2
assert (dxhat * xhat).mean() == -1 / 2
one_line = rstd * (dxhat - dxhat.mean() - xhat * (dxhat * xhat).mean())
assert one_line.tolist() == dx.tolist()
32 * one_line

# %% [markdown]
# ### Exercise 4.2: dx of one set
#
# From dxhat and xhat, each (m,), and the number rstd.


# %% tags=["exercise"]
def dx_of_set(dxhat, xhat, rstd):  # -> dx (m,)
    ...  # your line here


# %%
check("dx_of_set", dx_of_set)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def dx_of_set(dxhat, xhat, rstd):
#     return rstd * (dxhat - dxhat.mean() - xhat * (dxhat * xhat).mean())
# ```
#
# The two means are the paths through the mean and through the variance; without them the statistics would be
# constants.
#
# </details>

# %% [markdown]
# ## All four norms
#
# Nothing so far said *which* elements form the set. In the view (O, P, A, B, S) a set is all of (P, B, S)
# at one (o, a), so for every norm the two means are over P, B and S. Only the view changes.
#
# The parameters are left. Every element of (O, P, S) uses the same weight[a, b] and bias[a, b]. In
# $y = \text{xhat}\cdot\text{weight} + \text{bias}$ their arrows have the slopes xhat and 1, and the ends
# add up:
#
# $$\text{dweight} = \sum_{O,P,S} \text{dy}\cdot\text{xhat} \qquad \text{dbias} = \sum_{O,P,S} \text{dy}$$
#
# The *means* are over the set, the *sums* over all that shares a weight; and these have dy, not dxhat.
# These are the lines that gnref runs:

# %%
show_source(reference.backward, "dy = widen(dy5)", "return narrow(dx")

# %% [markdown]
# Two of them only guard digits. `s` is 1 but for numbers whose squares would leave the range, and
# `recenter` takes off the rounding error of the saved mean. RMSNorm has `center=False`: no mean, so no
# mean term.
#
# Now the same in plain NumPy for the four norms, against `gnref.backward` and against oracles that do not
# know our line: the chain rule in exact fractions, complex steps, and HIPS autograd where installed.

# %%
from gnref.testing import Problem, oracles

N, C, H, W, G = 2, 6, 2, 2, 3
K, HW = C // G, H * W
SLOTS = {
    "batch": (1, N, C, 1, HW),
    # PyTorch's layer norm, a weight for every element; the paper's is group norm with G = 1
    "layer": (N, 1, 1, C * HW, 1),
    "instance": (N, 1, C, 1, HW),
    "group": (N, 1, G, K, HW),
}


def forward(norm, x, *params):
    """Run gnref's own forward, which keeps what backward needs."""
    sizes = {"layer": [x.shape[1:]], "group": [G]}.get(norm, [])
    return getattr(gnref, f"{norm}_norm_forward")(x, *sizes, *params, backend="reference")


def backward5(dy5, x5, weight, eps=1e-5):  # weight (1, 1, A, B, 1)
    xc = x5 - x5.mean((1, 3, 4), keepdims=True)
    rstd = 1 / np.sqrt((xc * xc).mean((1, 3, 4), keepdims=True) + eps)
    xhat, dxhat = xc * rstd, dy5 * weight
    via_mean = dxhat.mean((1, 3, 4), keepdims=True)
    via_var = (dxhat * xhat).mean((1, 3, 4), keepdims=True)
    dx = rstd * (dxhat - via_mean - xhat * via_var)
    return dx, (dy5 * xhat).sum((0, 1, 4)), dy5.sum((0, 1, 4))


wanted = ("exact", "complex_step", "autograd")
ready = [name for name in wanted if oracles.available()[name] == "ready"]
for norm, slots in SLOTS.items():
    some_x, some_dy = rng.standard_normal((2, N, C, H, W))
    params = rng.standard_normal((2, C, H, W) if norm == "layer" else (2, C))
    weight5 = params[0].reshape(1, 1, *slots[2:4], 1)
    ours = backward5(some_dy.reshape(slots), some_x.reshape(slots), weight5)
    _, saved = forward(norm, some_x, *params)
    found = {"gnref": gnref.backward(some_dy, saved)}
    sizes = {"num_groups": G, "normalized_shape": (C, H, W)}
    problem = Problem(norm, some_x, some_dy, *params, **sizes)
    found |= {name: oracles.load(name).gradients(problem) for name in ready}
    for theirs in found.values():
        for a, b in zip(ours, theirs, strict=True):
            a, b = a.ravel(), b.ravel().astype(float)
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    print(f"{norm:8} dx, dweight, dbias agree with {', '.join(found)}")

# %% [markdown]
# ### Exercise 4.3: the whole backward of GroupNorm
#
# dy and x are (N, C, H, W), mean and rstd (N, G), weight is (C,). Return dx, dweight and dbias.


# %% tags=["exercise"]
def group_backward(dy, x, mean, rstd, weight, num_groups): ...  # your lines here


# %%
check("group_backward", group_backward)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def group_backward(dy, x, mean, rstd, weight, num_groups):
#     N, C, H, W = x.shape
#     split = (N, num_groups, C // num_groups, H, W)
#     per_set = (N, num_groups, 1, 1, 1)
#     over = (2, 3, 4)
#     xhat = (x.reshape(split) - mean.reshape(per_set)) * rstd.reshape(per_set)
#     dxhat = (dy * weight.reshape(1, C, 1, 1)).reshape(split)
#     via_mean = dxhat.mean(over, keepdims=True)
#     via_var = (dxhat * xhat).mean(over, keepdims=True)
#     dx = rstd.reshape(per_set) * (dxhat - via_mean - xhat * via_var)
#     dweight = (dy * xhat.reshape(x.shape)).sum((0, 2, 3))
#     dbias = dy.sum((0, 2, 3))
#     return dx.reshape(x.shape), dweight, dbias
# ```
#
# Means over the set in dx, sums over all that shares a weight in dweight and dbias. For another norm only
# `split`, `per_set` and `over` would change.
#
# </details>

# %% [markdown]
# ## The Jacobian, as a picture
#
# How does $\text{xhat}_i$ depend on $x_j$? The one line answers. Let the loss be $\text{xhat}_i$ alone,
# so that dxhat is 1 at $i$ and 0 elsewhere, written $\delta$. Its mean is $\frac1m$, the mean of dxhat
# $\cdot$ xhat is $\frac1m\text{xhat}_i$, and dx is row $i$ of the Jacobian:
#
# $$J_{ij} = \frac{\partial\,\text{xhat}_i}{\partial x_j} =
# \text{rstd}\cdot\big(\delta_{ij} - \tfrac1m - \tfrac1m\,\text{xhat}_i\,\text{xhat}_j\big)$$
#
# if $i$ and $j$ share a set, else 0.
#
# ### Exercise 4.4: the Jacobian of one set
#
# From xhat, (m,), and the number rstd.


# %% tags=["exercise"]
def jacobian(xhat, rstd):  # -> J (m, m)
    ...  # your line here


# %%
check("jacobian", jacobian)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def jacobian(xhat, rstd):
#     m = xhat.size
#     return rstd * (np.eye(m) - 1 / m - np.outer(xhat, xhat) / m)
# ```
#
# Row $i$ is the one line with dxhat = 1 at $i$ alone; all rows at once are an identity and an outer product.
#
# </details>

# %% [markdown]
# For a block of shape (2, 4, 2, 2) J is 32 by 32. gnref makes its rows, which follow the formula and match
# central differences.

# %%
from gnref.teaching.sets import FOUR, set_numbers

shape, G = (2, 4, 2, 2), 2
block = rng.standard_normal(shape)
one_hot = np.eye(block.size).reshape(-1, *shape)
nudge = 1e-5 * one_hot
same, rstds, jacobians = {}, {}, {}
for norm in FOUR:
    normalized, saved = forward(norm, block)
    J = np.array([gnref.backward(row, saved)[0].ravel() for row in one_hot])

    number = set_numbers(norm, shape, G).ravel()
    same[norm] = number[:, None] == number  # do i and j share a set?
    m, v = same[norm][0].sum(), normalized.ravel()
    r = saved.rstd.ravel()[number]
    formula = r[:, None] * (np.eye(v.size) - 1 / m - np.outer(v, v) / m)
    np.testing.assert_allclose(J, np.where(same[norm], formula, 0), atol=1e-12)
    nudges = [forward(norm, block + e)[0] - forward(norm, block - e)[0] for e in nudge]
    measured = np.reshape(nudges, J.shape).T / 2e-5
    np.testing.assert_allclose(J, measured, rtol=1e-6, atol=1e-7)

    assert np.all(J[~same[norm]] == 0)  # zero outside the set
    assert np.abs(J.sum(1)).max() < 1e-12  # rows sum to 0
    assert np.abs(J - J.T).max() < 1e-12  # symmetric
    jacobians[norm], rstds[norm] = J, r

# %% tags=["hide-input"] jupyter={"source_hidden": true}
from matplotlib.colors import to_rgb


def draw_jacobians(theme):
    """Draw each Jacobian: positive in the norm's colour, negative in grey, and what is 0 left blank."""
    ink, muted = THEMES[theme].ink, THEMES[theme].muted
    figure = Figure(figsize=(9.2, 2.85))
    label = {"color": ink, "ha": "center", "va": "center", "size": 9.5}
    for k, (norm, J) in enumerate(jacobians.items()):
        ax, colour = figure.add_axes((0.04 + 0.245 * k, 0.09, 0.215, 0.75)), hue(norm, theme)
        scaled = J / rstds[norm][:, None]  # so that a set of little spread does not outshine the others
        strength = np.where(same[norm], 0.1 + 0.9 * np.minimum(np.abs(scaled), 1) ** 0.6, 0)
        colours = np.where(scaled[..., None] > 0, to_rgb(colour), to_rgb(muted))
        ax.imshow(np.dstack([colours, strength]), interpolation="nearest", extent=(0, 32, 32, 0))
        ax.set_title(NAMES[norm], color=colour, size=14, weight="bold", pad=7)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_color(muted)
        ax.axhline(16, color=muted, lw=0.6)
        ax.axvline(16, color=muted, lw=0.6)
        for n in (0, 1):
            ax.text(16 * n + 8, 34, f"x, n = {n}", **label)
            ax.text(-2, 16 * n + 8, f"xhat, n = {n}", rotation=90, **label)
    return figure


themed(
    draw_jacobians,
    "Four 32 by 32 matrices, the Jacobians of xhat for the four norms, zero outside the sets.",
)

# %% [markdown]
# *Row: one xhat; column: one x; both in the order n, c, h, w. Norm's colour: positive; grey: negative;
# nothing: exactly 0. Each set is divided by its rstd.*
#
# **Zero outside the set.** The colour is the set: squares along the diagonal, and stripes across the examples
# for BatchNorm alone. Pick a cell of another block, and see how far its dy reaches: one row of J.

# %%
AxisExplorer("gn", show="dx", view="slices", n=2, c=6, h=2, w=2, g=3)

# %% [markdown]
# **Symmetric.** Swap $i$ and $j$: nothing changes. So
# $\text{dx} = J^\mathsf{T}\text{dxhat} = J\,\text{dxhat}$, and *forward mode*, how xhat moves if x moves
# by x_dot, is $J\,\text{x\_dot}$: the very same kernel. That is xhat; y's Jacobian has row $i$ times
# $\text{weight}_i$, and is not symmetric where weights differ inside a set.

# %%
x_dot, channel_weight = rng.standard_normal(shape), rng.standard_normal(4)
per_channel = channel_weight.reshape(4, 1, 1)
_, saved = forward("group", block)
y_dot = gnref.backward(x_dot, saved)[0] * per_channel  # no transpose anywhere
ahead, behind = (forward("group", block + h * x_dot, channel_weight)[0] for h in (1e-6, -1e-6))
np.testing.assert_allclose(y_dot, (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-7)

row_weight = np.broadcast_to(per_channel, shape).reshape(-1, 1)
jacobians_of_y = {norm: row_weight * J for norm, J in jacobians.items()}
asymmetric = [norm for norm, J in jacobians_of_y.items() if np.abs(J - J.T).max() > 0.01]
assert asymmetric == ["layer", "group"]

# %% [markdown]
# **Rows sum to 0.** $J\,\mathbf 1 = 0$: a constant added to a set changes no xhat. By symmetry columns sum to
# 0 too, so *dx sums to 0 over every set*, whatever dy is.
#
# **And xhat is almost lost.** As $\text{mean}(\text{xhat}) = 0$ and
# $\text{mean}(\text{xhat}^2) = \text{rstd}^2\,\text{var} = \frac{\text{var}}{\text{var} + \text{eps}}$,
#
# $$\begin{aligned}
# J\,\text{xhat} &= \text{rstd}\cdot\big(\text{xhat} - 0 - \text{xhat}\cdot\text{mean}(\text{xhat}^2)\big) \\
# &= \text{rstd}\cdot\Big(1 - \frac{\text{var}}{\text{var} + \text{eps}}\Big)\cdot\text{xhat} =
# \text{rstd}\cdot\frac{\text{eps}}{\text{var} + \text{eps}}\cdot\text{xhat}
# \end{aligned}$$
#
# With eps = 0 scaling x about its mean would change nothing, and J would be rstd times a *projection*,
# onto what is orthogonal to both $\mathbf 1$ and xhat: of $m$ directions, $m - 2$ pass. In our set, whose
# eps is 7, the share of xhat that passes is $\frac7{16}$. And a set of two has no direction left:
# InstanceNorm on two pixels passes next to nothing.

# %%
v, r = xhat, rstd
J = r * (np.eye(4) - 1 / 4 - np.outer(v, v) / 4)
np.testing.assert_array_equal(J @ dxhat, dx)
np.testing.assert_array_equal(J @ v, r * 7 / 16 * v)
shares = np.linalg.eigvalsh(J) / r
np.testing.assert_allclose(shares, [0, 7 / 16, 1, 1], atol=1e-14)
assert dx.sum() == 0

_, saved = forward("instance", np.array([[[1.0, 3.0]]]))
assert np.abs(gnref.backward(np.array([[[1.0, 0.0]]]), saved)[0]).max() < 1e-5

# %% [markdown]
# ## The test that sees nothing
#
# In several published test suites `y.sum().backward()` is the whole gradient check. It means dy = 1. With
# weight = 1, dxhat is a constant: its mean takes all of it, the mean of xhat is 0, and dx = 0. A backward
# that returns zeros passes. Here are eight wrong ones, under three tests:


# %%
def wrong_backwards(dy, weight):
    g, mean = dy * weight, np.mean
    return {
        "returns zeros": 0 * g,
        "mean term forgotten": rstd * (g - xhat * mean(g * xhat)),
        "variance term forgotten": rstd * (g - mean(g)),
        "sign of the variance term": rstd * (g - mean(g) + xhat * mean(g * xhat)),
        "xhat forgotten": rstd * (g - mean(g) - mean(g * xhat)),
        "rstd forgotten": g - mean(g) - xhat * mean(g * xhat),
        "weight forgotten": rstd * (dy - mean(dy) - xhat * mean(dy * xhat)),
        "weight after the means": weight * rstd * (dy - mean(dy) - xhat * mean(dy * xhat)),
    }


def passes(dy, weight):
    """Which of them are equal to the right dx."""
    right = walk(x, weight, eps, dy)["x"]
    wrong = wrong_backwards(dy, weight)
    return {name: np.allclose(dx, right) for name, dx in wrong.items()}


ones, some_dy, some_weight = np.ones(4), *rng.standard_normal((2, 4))
tests = [passes(ones, ones), passes(some_dy, ones), passes(some_dy, some_weight)]
print(f"{'':26} {'dy = 1':11} {'random dy':11} {'random dy':11}")
print(f"{'':26} {'weight = 1':11} {'weight = 1':11} random weight")
for name in tests[0]:
    print(f"{name:26}", *(f"{'passes' if test[name] else '-':11}" for test in tests))
assert len(tests[0]) == 8
assert [sum(test.values()) for test in tests] == [7, 2, 0]

# %% [markdown]
# With dy = 1 seven of eight pass. Random dy lets two pass, which random weights catch. Test with both.
#
# ## What to save
#
# The line needs xhat and rstd. But $\text{xhat} = (\text{x} - \text{mean})\cdot\text{rstd}$ costs one
# subtraction and one product, so beside x two numbers per set suffice. To save xhat, too, would cost as
# much memory as x. And var? The line has no var, only rstd. (If you want var later, save it:
# $1/\text{rstd}^2 - \text{eps}$ loses all its digits where var is far below eps.) For 32 images of 256
# channels and 56 by 56 pixels in float32, and 32 groups:

# %%
sets = 32 * 32
kept = 2 * 8 * sets  # mean and rstd, in float64
xhat_would = 4 * 32 * 256 * 56 * 56  # in float32
print(f"mean and rstd: {kept / 1e3:.0f} kB; xhat: {xhat_would / 1e6:.0f} MB")
assert (round(kept / 1e3), round(xhat_would / 1e6)) == (16, 103)

tiny_var, usual_eps = 1e-22, 1e-5
its_rstd = 1 / np.sqrt(tiny_var + usual_eps)
error = abs(1 / its_rstd**2 - usual_eps - tiny_var)
assert error >= tiny_var  # nothing of var is left in rstd

# %% [markdown]
# ## Where to go next
#
# - [Tutorial 5](05_running_statistics): frozen statistics are constants, which cuts both arrows; what is
#   left is `rstd * dxhat`.
# - [Tutorial 10](10_stable_and_fast): the sums of a norm, stable, and how near they come to
#   memory's limit.
# - [Tutorial 11](11_test_your_own): point random dy and weights at a kernel of your own.
