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
# # Normalize by hand, then in NumPy
#
# Six numbers, a pencil, and then three lines of NumPy that are all four norms.
#
# **You will**
#
# - normalize a set of six numbers with a pencil: mean, deviations, variance, rstd, xhat, y;
# - write the same in NumPy, and see why it needs `keepdims`;
# - learn why the variance is divided by $m$ here, and what eps does where it stands;
# - know what a norm forgets about its input, and find your lines again in gnref's kernel.
#
# You need NumPy, and from [tutorial 1](01_shared_mean) what a *set* is: the $m$ elements that share a mean.

# %%
import numpy as np

import gnref
from gnref.kernels import reference
from gnref.teaching import show_source
from gnref.teaching.exercises import check

# %% [markdown]
# ## Six numbers and a pencil
#
# One image, two channels, one row of three pixels: channel 0 holds 2, 4, 4 and channel 1 holds 5, 7, 8. Group
# norm with both channels in one group takes all six as one set. Fill in the table row by row.
#
# | | channel 0 | | | channel 1 | | | mean of the row |
# |---|--:|--:|--:|--:|--:|--:|--:|
# | x | 2 | 4 | 4 | 5 | 7 | 8 | **5**, the mean |
# | x - mean | -3 | -1 | -1 | 0 | 2 | 3 | 0 |
# | (x - mean)² | 9 | 1 | 1 | 0 | 4 | 9 | **4**, the var |
# | xhat = (x - mean) · rstd | -1.5 | -0.5 | -0.5 | 0 | 1 | 1.5 | 0 |
# | weight | 2 | 2 | 2 | 4 | 4 | 4 | |
# | bias | 1 | 1 | 1 | -1 | -1 | -1 | |
# | y = xhat · weight + bias | -2 | 0 | 0 | -1 | 3 | 5 | |
#
# The *reciprocal standard deviation*, rstd, is $1/\sqrt{4} = 0.5$: each deviation is measured in standard
# deviations. Up to xhat all six numbers are treated alike. Then each **channel**, not each set, has its own
# weight and bias.
#
# The deviations sum to 0, and not by luck: $\sum (x_i - \text{mean}) = \sum x_i - m \cdot \text{mean}$, and
# the mean is the number that makes this 0. So xhat has mean 0, whatever x was.

# %%
x = np.array([2.0, 4, 4, 5, 7, 8]).reshape(1, 2, 1, 3)  # N C H W
weight, bias = np.array([2.0, 4.0]), np.array([1.0, -1.0])  # one of each per channel

mean = x.sum() / 6
var = ((x - mean) ** 2).sum() / 6
rstd = 1 / np.sqrt(var)
xhat = (x - mean) * rstd
y = xhat * weight.reshape(1, 2, 1, 1) + bias.reshape(1, 2, 1, 1)

assert (mean, var, rstd) == (5, 4, 0.5)
assert (x - mean).ravel().tolist() == [-3, -1, -1, 0, 2, 3]
assert ((x - mean) ** 2).ravel().tolist() == [9, 1, 1, 0, 4, 9]
assert xhat.ravel().tolist() == [-1.5, -0.5, -0.5, 0, 1, 1.5]
assert y.ravel().tolist() == [-2, 0, 0, -1, 3, 5]
assert np.array_equal(y, gnref.group_norm(x, 1, weight, bias, eps=0.0))  # the library agrees

# %% tags=["hide-input"]
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from gnref.teaching.palette import THEMES, fill, hue
from gnref.teaching.themed import themed

STAGES = {
    "x": (x, "as it came"),
    "x \N{MINUS SIGN} mean": (x - mean, "the mean moves to 0"),
    "xhat": (xhat, "the spread becomes 1"),
    "y": (y, "scale, shift: by channel"),
}


def draw(theme):
    ink, muted, colour = THEMES[theme].ink, THEMES[theme].muted, hue("group", theme)
    figure = Figure(figsize=(8.4, 4.4))
    ax = figure.add_axes((0, 0, 1, 1))
    bar = {"color": fill("group", 1, theme), "lw": 11, "zorder": 1, "solid_capstyle": "butt"}
    halo = [withStroke(linewidth=3, foreground=THEMES[theme].background)]
    number = {"color": ink, "size": 11, "ha": "center", "zorder": 4, "path_effects": halo}
    where = np.array([values.ravel() for values, _ in STAGES.values()])
    rows = -np.arange(4.0)[:, None] + [0, 0, 0.17, 0, 0, 0]  # the second 4 stands on the first
    ax.vlines(0, -3.25, 0.3, color=muted, lw=1, ls=(0, (2, 3)))
    for i, (name, (values, says)) in enumerate(STAGES.items()):
        ax.plot([-3.2, 8.5], [-i, -i], color=muted, lw=1, zorder=0)
        ax.text(-3.6, -i + 0.05, name, color=ink, size=13, weight="bold", ha="right")
        ax.text(-3.6, -i - 0.19, says, color=muted, size=9.5, ha="right")
        if name != "y":  # whose channels have means of their own
            middle, spread = values.mean(), values.std()
            ax.plot([middle - spread, middle + spread], [-i, -i], **bar)
            ax.plot(middle, -i - 0.2, marker="^", color=ink, ms=7)
    ax.plot(where, rows, color=colour, lw=1, alpha=0.35, zorder=1)
    for c, face in enumerate((colour, THEMES[theme].background)):
        part = slice(3 * c, 3 * c + 3)
        ax.plot(where[:, part], rows[:, part], "o", mfc=face, mec=colour, mew=2, ms=10, ls="", zorder=3)
    tops = np.delete(np.stack([where, rows]), 1, axis=2)  # one number for the two
    for a, b in tops.reshape(2, -1).T:
        ax.text(a, b + 0.15, f"{a:g}".replace("-", "\N{MINUS SIGN}"), **number)
    ax.set(xlim=(-7.4, 8.8), ylim=(-3.4, 0.55))
    ax.set_axis_off()
    return figure


themed(draw, "Six numbers on a line in four stages: x, minus the mean, over the spread, scaled and shifted.")

# %% [markdown]
# *The six numbers, stage by stage. Filled: channel 0 (two of its numbers are equal); open: channel 1.
# Triangle: the mean. Bar: one standard deviation to each side.*
#
# ## Three lines of NumPy
#
# A set is found by naming the axes that it pools. Here is a block of two examples with four channels; the six
# numbers are its first group.

# %%
rng = np.random.default_rng(2)
block = rng.integers(0, 10, (2, 4, 1, 3)).astype(float)  # N C H W
block[:1, :2] = x


def normalize(x, axes, eps=1e-5):
    mean = x.mean(axes, keepdims=True)
    var = ((x - mean) ** 2).mean(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + eps)


N, C, H, W = block.shape
G = 2
groups = block.reshape(N, G, C // G, H, W)  # tutorial 3 is about this line
assert np.allclose(normalize(block, (0, 2, 3)), gnref.batch_norm(block), rtol=0, atol=1e-12)
assert np.allclose(normalize(block, (1, 2, 3)), gnref.layer_norm(block, (C, H, W)), rtol=0, atol=1e-12)
assert np.allclose(normalize(block, (2, 3)), gnref.instance_norm(block), rtol=0, atol=1e-12)
xhat_of_groups = normalize(groups, (2, 3, 4)).reshape(N, C, H, W)
assert np.allclose(xhat_of_groups, gnref.group_norm(block, G), rtol=0, atol=1e-12)

for name, axes in {"batch": (0, 2, 3), "layer": (1, 2, 3), "instance": (2, 3)}.items():
    print(f"{name:9} means over {axes!s:10} have the shape {block.mean(axes, keepdims=True).shape}")
print(f"group     means over (2, 3, 4)  have the shape {groups.mean((2, 3, 4), keepdims=True).shape}")

# %% [markdown]
# That is all that distinguishes the norms. Batch norm pools the axes N, H, W; layer norm C, H, W; instance
# norm H, W; group norm the K, H, W of the view (N, G, K, H, W).
#
# `keepdims=True` leaves the pooled axes in place with size 1, so that the mean broadcasts back over its own
# set. Without it batch norm's mean has shape (C,), and NumPy lines shapes up from the *right*: C meets W.
# Mostly that is an error. When C equals W it is none, and each **column** loses some channel's mean:

# %%
square = np.arange(18.0).reshape(2, 3, 1, 3)  # C = W = 3
wrong = square - square.mean((0, 2, 3))
right = square - square.mean((0, 2, 3), keepdims=True)
assert wrong.mean((0, 2, 3)).tolist() == [-3, 0, 3]  # no error, no mean of 0
assert right.mean((0, 2, 3)).tolist() == [0, 0, 0]

# %% [markdown]
# Channel means of -3, 0 and 3 where all should be 0, and not a word from NumPy. Test with C and W that
# differ, and with both alike.
#
# ### Exercise 2.1: the statistics of batch norm
#
# Write `batch_statistics(x)`, which takes x of shape (N, C, H, W) and returns `mean, var`, each of shape
# (1, C, 1, 1), so that they broadcast against x.


# %% tags=["exercise"]
def batch_statistics(x):  # x (N, C, H, W) -> mean, var, each (1, C, 1, 1)
    ...  # your lines here


# %%
check("batch_statistics", batch_statistics)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def batch_statistics(x):
#     axes = (0, 2, 3)
#     mean = x.mean(axes, keepdims=True)
#     var = ((x - mean) ** 2).mean(axes, keepdims=True)
#     return mean, var
# ```
#
# Batch norm pools N, H and W, the axes 0, 2 and 3. With `keepdims=True` the mean is (1, C, 1, 1), which
# broadcasts back over x.
#
# </details>

# %% [markdown]
# ### Exercise 2.2: the whole of batch norm
#
# Write `batch_norm(x, weight, bias, eps)`, in the order of the table: statistics, xhat, then weight and bias.
# Divide by $\sqrt{\text{var} + \text{eps}}$; what eps is for comes next.


# %% tags=["exercise"]
def batch_norm(x, weight, bias, eps):  # x (N, C, H, W), weight (C,), bias (C,) -> y (N, C, H, W)
    ...  # your lines here


# %%
check("batch_norm", batch_norm)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def batch_norm(x, weight, bias, eps):
#     axes = (0, 2, 3)
#     mean = x.mean(axes, keepdims=True)
#     var = x.var(axes, keepdims=True)
#     xhat = (x - mean) / np.sqrt(var + eps)
#     return xhat * weight.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)
# ```
#
# `x.var` is the biased variance, as it should be. `reshape(1, -1, 1, 1)` puts C where x has it.
#
# </details>

# %% [markdown]
# ## Why 1/m, and not 1/(m-1)
#
# Statistics courses divide by $m-1$: they have a *sample*, and estimate the variance of what it was drawn
# from. A norm estimates nothing. It wants these very numbers to have spread 1, and
#
# $$\frac1m \sum \text{xhat}_i^2 = \frac1m \sum \frac{(x_i - \text{mean})^2}{\text{var}}
# = \frac{\text{var}}{\text{var}} = 1$$
#
# only where var is the mean square of the deviations, the *biased* variance. With $1/(m-1)$ the six numbers
# would have variance 24/5 = 4.8, and xhat a mean square of 5/6. (That variance returns where batch norm does
# estimate: [tutorial 5](05_running_statistics).)

# %%
assert np.isclose(x.var(ddof=1), 4.8)
assert np.isclose(((x - mean) ** 2 / x.var(ddof=1)).mean(), 5 / 6)
assert (xhat**2).mean() == 1
assert x.var() == 4  # NumPy's var is the biased one, too; torch.var is not

# %% [markdown]
# ## Where eps stands
#
# A small eps is added to the variance, *inside* the root: $\text{rstd} = 1/\sqrt{\text{var} + \text{eps}}$.
# Take a large one to see it with a pencil. With eps = 5 our rstd is $1/\sqrt{4 + 5} = 1/3$; added outside the
# root it would be $1/(2 + 5) = 1/7$.
#
# So xhat does not have variance 1 after all. Its mean is still 0, and the line above, with
# $\text{var} + \text{eps}$ below, says
#
# $$\text{variance of xhat} = \frac{\text{var}}{\text{var} + \text{eps}} < 1 ,$$
#
# here 4/9. With the usual eps of 1e-5 nobody notices, until a set is nearly constant: with var = 1e-5 the
# variance of xhat is 1/2, and a test that demands 1 fails on correct code.
#
# In a **constant** set all deviations are 0, so $\text{xhat} = 0 \cdot 1/\sqrt{\text{eps}} = 0$ and **y is
# the bias exactly**. That is what eps is for: without it, 0/0.

# %%
assert np.isclose(1 / np.sqrt(var + 5), 1 / 3)
assert np.isclose(1 / (np.sqrt(var) + 5), 1 / 7)
assert np.isclose(gnref.group_norm(x, 1, eps=5.0).var(), 4 / 9)
quiet = x * np.sqrt(1e-5) / 2  # of variance 1e-5
assert np.isclose(gnref.group_norm(quiet, 1, eps=1e-5).var(), 1 / 2)
constant = np.full((1, 2, 1, 3), 7.3)
assert np.array_equal(gnref.group_norm(constant, 1, weight, bias), [[[[1, 1, 1]], [[-1, -1, -1]]]])

# %% [markdown]
# ## What a norm forgets
#
# Replace x by $ax + b$ with $a > 0$. The mean becomes $a \cdot \text{mean} + b$, the deviations are
# multiplied by $a$, the variance by $a^2$, the standard deviation by $a$ again, and xhat is what it was. Only
# eps breaks this, and it is mended by multiplying eps by $a^2$: eps is in the units of a variance.
#
# This surprises people: in a convolution just before batch norm, the bias does nothing. It shifts a whole
# channel, which is a whole set, and is subtracted again. Before group norm with more than one channel in a
# group it does matter: it shifts a part of a set.

# %%
brighter = gnref.group_norm(3 * x + 7, 1, eps=9e-5)
assert np.allclose(brighter, gnref.group_norm(x, 1, eps=1e-5), rtol=0, atol=1e-12)
shift = np.array([1.0, -2, 0, 5]).reshape(1, 4, 1, 1)  # the bias of a convolution
assert np.allclose(gnref.batch_norm(block + shift), gnref.batch_norm(block), rtol=0, atol=1e-12)
assert not np.allclose(gnref.group_norm(block + shift, 2), gnref.group_norm(block, 2), rtol=0, atol=0.1)

# %% [markdown]
# ## The same lines in the library
#
# These lines are all four norms in gnref's reference, against which its fast kernels are tested. You know
# every one.

# %%
show_source(reference.forward, "mean, xc =", "y = affine")

# %% [markdown]
# `s` is 1 for all ordinary numbers (it keeps the squares of huge and tiny ones in range). `center_twice`
# subtracts the mean, and then what rounding left of it: [tutorial 10](10_stable_and_fast). `center` is False
# for RMS norm alone, which subtracts no mean. The five letters are the shape of a view in which one code
# serves all norms: [tutorial 3](03_one_reshape).
#
# ### Exercise 2.3: layer norm, the paper's
#
# Write `layer_norm(x, weight, bias, eps)` as the GroupNorm paper (Wu & He 2018) has it: x is (N, C, H, W),
# statistics over C, H and W, but weight and bias (C,), one for each channel. (PyTorch's LayerNorm has the
# same xhat, and a weight for each of the C·H·W elements.)


# %% tags=["exercise"]
def layer_norm(x, weight, bias, eps):  # x (N, C, H, W), weight (C,), bias (C,) -> y (N, C, H, W)
    ...  # your lines here


# %%
check("layer_norm", layer_norm)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def layer_norm(x, weight, bias, eps):
#     axes = (1, 2, 3)
#     mean = x.mean(axes, keepdims=True)
#     var = x.var(axes, keepdims=True)
#     xhat = (x - mean) / np.sqrt(var + eps)
#     return xhat * weight.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)
# ```
#
# One tuple has changed. gnref's name for this function is `group_norm(x, 1, weight, bias)`: one group of all
# channels.
#
# </details>

# %% [markdown]
# ## Where to go next
#
# - [Tutorial 3](03_one_reshape): group norm is one reshape, and so are the others.
# - [Tutorial 4](04_backward): the gradient through the mean and the variance.
# - [Tutorial 5](05_running_statistics): what batch norm does when there is no batch.
