# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Find the cells that share a mean
#
# Batch, layer, instance and group norm do the same arithmetic. They differ in one thing: which numbers share
# a mean.
#
# **You will**
#
# - read off a mean which axes it was taken over;
# - compute the means of all four norms in NumPy;
# - see how far one number of the input reaches;
# - learn why "LayerNorm" is the name of three different layers.
#
# You need NumPy's `axis` argument, and no knowledge of neural networks. About 25 minutes.

# %%
import numpy as np

import gnref
from gnref.teaching import AxisExplorer, show_source
from gnref.teaching.exercises import check

# %% [markdown]
# ## A block of numbers that say where they stand
#
# All four subtract a mean from every number and divide by a standard deviation. A mean of which numbers? The
# layers of a network for images pass on blocks with four axes, N examples (the batch) × C channels × H × W
# pixels, and the answer is a choice among these axes.
#
# Our block is small, and each number in it is its own address: 2801 stands at `x[2, 8, 0, 1]`.

# %%
N, C, H, W = 3, 9, 3, 3
n, c, h, w = np.indices((N, C, H, W))
x = 1000.0 * n + 100 * c + 10 * h + w

assert x[2, 8, 0, 1] == 2801
x[2, 8]  # example 2, channel 8: its 3 x 3 pixels

# %% [markdown]
# ## A mean tells which axes it is over
#
# **BatchNorm** averages over the examples and the pixels, and gives each channel one mean.

# %%
batch_mean = x.mean(axis=(0, 2, 3))  # (C,)

assert batch_mean[8] == 1811
batch_mean

# %% [markdown]
# Read the digits of 1811, the mean of channel 8. The second digit is still an 8. The others ran through 0, 1,
# 2 and left their middle, 1. So:
#
# > An axis that is averaged leaves the middle of its range. A digit that **stays** tells one mean from
# > another.
#
# The other three norms keep each example to itself. **LayerNorm** averages over all the rest,
# **InstanceNorm** over the pixels alone.

# %%
layer_mean = x.mean(axis=(1, 2, 3))  # (N,)
instance_mean = x.mean(axis=(2, 3))  # (N, C)

assert layer_mean[2] == 2411  # the middle of the channels 0 to 8 is 4
assert instance_mean[2, 8] == 2811
layer_mean, instance_mean

# %% [markdown]
# **GroupNorm** is in between. It splits the C channels into G groups of K = C / G neighbours, and each group
# of each example has a mean. With G = 3 the groups are the channels 0 to 2, 3 to 5 and 6 to 8, whose middles
# are 1, 4 and 7.

# %%
G = 3
K = C // G
groups = [x[:, k : k + K] for k in range(0, C, K)]  # G blocks of (N, K, H, W)
means = [group.mean(axis=(1, 2, 3)) for group in groups]  # G times (N,)
group_mean = np.stack(means, axis=1)  # (N, G)

assert group_mean[2].tolist() == [2111, 2411, 2711]
group_mean

# %% [markdown]
# A loop over the groups is the long way. [Tutorial 3](03_one_reshape) needs one `reshape`.
#
# ## All four, side by side
#
# H and W are averaged in all four norms, so each square below can stand for a whole plane of 3 × 3 pixels,
# and N and C are all that is left to draw. What is in one box shares the mean that is written there. Our 2801
# is in the outlined square, its box in full colour. Four norms, four means for one number: 1811, 2411, 2811
# and 2711.

# %% tags=["hide-input"]
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from gnref.teaching.palette import NAMES, THEMES, fill, hue, ink_on
from gnref.teaching.sets import FOUR, describe, set_numbers
from gnref.teaching.themed import themed


def draw_means(theme):
    """Draw the N x C planes of the block, once for each norm, in boxes that share a mean."""
    figure = Figure(figsize=(6.4, 6.0))
    for ax, norm in zip(figure.subplots(4, sharex=True), FOUR, strict=True):
        sets, numbers = describe(norm, x.shape, G), set_numbers(norm, x.shape, G)
        for number in range(sets.count):
            chosen = number == numbers[2, 8, 0, 1]
            colour = hue(norm, theme) if chosen else fill(norm, sets.tint(number), theme)
            ink = ink_on(colour) if chosen else THEMES[theme].ink
            n, c = (numbers[:, :, 0, 0] == number).nonzero()
            box(ax, c.min() + 0.05, n.min() + 0.05, np.ptp(c) + 0.9, np.ptp(n) + 0.9, facecolor=colour, lw=0)
            mean = f"{x[numbers == number].mean():04.0f}"
            ax.text(c.mean() + 0.5, n.mean() + 0.5, mean, color=ink, ha="center", va="center", fontsize=9)
            if chosen:
                box(ax, 8.12, 2.13, 0.76, 0.74, facecolor="none", edgecolor=ink, lw=1.2)
        ax.set(xlim=(0, C), ylim=(N, 0), xticks=np.arange(C) + 0.5, yticks=np.arange(N) + 0.5)
        ax.set(xticklabels=["c = 0", *range(1, C)], yticklabels=["n = 0", *range(1, N)])
        ax.tick_params(length=0, labelcolor=THEMES[theme].muted, labelsize=8)
        ax.spines[:].set_visible(False)
        ax.set_title(NAMES[norm], color=hue(norm, theme), loc="left", weight="bold", fontsize=12)
        ax.set_title(sets.tally, color=THEMES[theme].muted, loc="right", fontsize=9)
    figure.subplots_adjust(0.075, 0.04, 0.985, 0.95, hspace=0.4)
    return figure


def box(ax, c, n, width, height, **style):
    """Draw a rectangle with round corners."""
    ax.add_patch(FancyBboxPatch((c, n), width, height, "round,pad=0,rounding_size=0.1", **style))


themed(
    draw_means,
    "Four grids of 3 examples by 9 channels: BatchNorm has a box for each column, LayerNorm for each row, "
    "InstanceNorm for each square, and GroupNorm for every three neighbours in a row.",
)

# %% [markdown]
# A **set** is what shares a mean, and m is the number of its cells:
#
# | norm | averages over | one mean for each | cell i and cell j share it if | m |
# |---|---|---|---|---|
# | BatchNorm | N, H, W | c | c is equal | NHW |
# | LayerNorm | C, H, W | n | n is equal | CHW |
# | InstanceNorm | H, W | n and c | n and c are equal | HW |
# | GroupNorm | K, H, W | n and group | n and c // K are equal | KHW |
#
# Is that what gnref computes? Each `..._forward` returns y and what it saved, the mean among it.

# %%
both = {
    "batch": (batch_mean, gnref.batch_norm_forward(x)),
    "layer": (layer_mean, gnref.layer_norm_forward(x, (C, H, W))),
    "instance": (instance_mean, gnref.instance_norm_forward(x)),
    "group": (group_mean, gnref.group_norm_forward(x, G)),
}
for norm, (mean, (_, saved)) in both.items():
    np.testing.assert_allclose(saved.mean, mean)
    print(f"{norm:8}  {mean.size:2} means in the shape {saved.mean.shape}")

assert [mean.size for mean, _ in both.values()] == [9, 3, 27, 9]
assert (batch_mean[8], layer_mean[2]) == (1811, 2411)
assert (instance_mean[2, 8], group_mean[2, 2]) == (2811, 2711)

# %% [markdown]
# ### Exercise 1.1: Ready to be subtracted
#
# Write `channel_mean(x)`: BatchNorm's means of any `x` (N, C, H, W), in the shape (1, C, 1, 1), so that `x -
# channel_mean(x)` subtracts from every cell the mean of its channel.


# %% tags=["exercise"]
def channel_mean(x):  # x (N, C, H, W) -> mean (1, C, 1, 1)
    ...  # your line here


# %%
check("channel_mean", channel_mean)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def channel_mean(x):
#     return x.mean(axis=(0, 2, 3), keepdims=True)
# ```
#
# Without `keepdims` the shape is (C,), and NumPy, which lines shapes up from the right, would lay C along W.
# If C happens to equal W, not even an error tells you.
# </details>

# %% [markdown]
# ## Turn it yourself
#
# The same block in three dimensions, as in Fig. 2 of the [GroupNorm paper](https://arxiv.org/abs/1803.08494),
# but with other numbers. Pick a cell: its set is in colour, and its mean, its variance and the line of NumPy
# stand below. Before you press another norm, say which cells will light up.

# %%
AxisExplorer("gn", n=3, c=9, h=3, w=3, g=3, cell=(2, 8, 0, 1))

# %% [markdown]
# Set G to 1, then to C: which norms do you meet? And try **Mark the set** and **Count means**, two exercises
# without Python.
#
# ### Exercise 1.2: The set of a cell
#
# Write `mates(shape, num_groups, cell)`: an array of `shape` (N, C, H, W), True wherever the cell shares its
# GroupNorm mean with `cell`, a tuple (n, c, h, w). As above, `np.indices(shape)` gives the four indices of
# every cell; the table has the rule.


# %% tags=["exercise"]
def mates(shape, num_groups, cell):  # -> bool array of shape (N, C, H, W)
    ...  # your lines here


# %%
check("mates", mates)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def mates(shape, num_groups, cell):
#     n, c, h, w = np.indices(shape)
#     K = shape[1] // num_groups
#     return (n == cell[0]) & (c // K == cell[1] // K)
# ```
#
# h and w do not occur: every pixel of a plane is in. K = 1 asks for an equal c, which is InstanceNorm's rule;
# K = C asks for nothing but an equal n, which is LayerNorm's.
# </details>

# %% [markdown]
# ## How far one number reaches
#
# The mean and the standard deviation of a set go into each of its outputs. So one number can change the
# outputs of its own set, and no others. Nudge `x[2, 8, 0, 1]` and count:

# %%
nudged = x.copy()
nudged[2, 8, 0, 1] += 50

norms = {
    "batch": gnref.batch_norm,
    "layer": lambda x: gnref.layer_norm(x, (C, H, W)),
    "instance": gnref.instance_norm,
    "group": lambda x: gnref.group_norm(x, G),
}
changed = {name: norm(nudged) != norm(x) for name, norm in norms.items()}
for name, cells in changed.items():
    other = cells[:2].sum()  # in the examples 0 and 1
    print(f"{name:8}  {cells.sum()} outputs changed, {other} of them in other examples")
    numbers = set_numbers(name, x.shape, G)
    assert np.array_equal(cells, numbers == numbers[2, 8, 0, 1])  # the set, all of it

assert [cells.sum() for cells in changed.values()] == [27, 81, 9, 27]
assert [cells[:2].sum() for cells in changed.values()] == [18, 0, 0, 0]

# %% [markdown]
# The 18 surprise people. Under BatchNorm the output for one image depends on the images that happen to be in
# the same batch, and with few of them the means are noisy. Under the other three it does not. That difference
# is what the GroupNorm paper is about.
#
# Gradients, by which a network learns, travel the same ways backwards: what comes in at one output (dy)
# reaches the gradient dx in that output's own set, and nowhere else. The explorer can show that;
# [tutorial 4](04_backward) derives it.
#
# ### Exercise 1.3: How many means?
#
# Write `number_of_means(N, C, H, W, G)`: how many means each norm computes, in the order batch, layer,
# instance, group. (For our block 9, 3, 27 and 9.)


# %% tags=["exercise"]
def number_of_means(N, C, H, W, G):
    return ..., ..., ..., ...  # batch, layer, instance, group


# %%
check("number_of_means", number_of_means)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def number_of_means(N, C, H, W, G):
#     return C, N, N * C, N * G  # batch, layer, instance, group
# ```
#
# H and W do not matter. More means are means of fewer cells: the number of means times m is always the size
# of x.
# </details>

# %% [markdown]
# ## Three layers called LayerNorm
#
# The LayerNorm of the GroupNorm paper is GroupNorm with G = 1, and multiplies its output by a weight for each
# **channel**. `torch.nn.LayerNorm((C, H, W))` shares the same means, but has a weight for each **element**:
# 81 instead of 9 in our block. And `torch.nn.LayerNorm(C)`, the one in transformers, wants the channels last
# and averages over them alone, so every pixel has a mean of its own.

# %%
paper = gnref.group_norm_forward(x, 1)[1]  # takes a weight (C,)
pytorch = gnref.layer_norm_forward(x, (C, H, W))[1]  # takes a weight (C, H, W)
np.testing.assert_array_equal(paper.mean.ravel(), pytorch.mean.ravel())
assert (C, C * H * W) == (9, 81)

channels_last = np.moveaxis(x, 1, -1)  # (N, H, W, C)
transformer = gnref.layer_norm_forward(channels_last, C)[1]  # takes a weight (C,)
assert transformer.mean.shape == (N, H, W)
assert transformer.mean[2, 0, 1] == 2401
transformer.mean[2]

# %% [markdown]
# The digits tell: n, h and w stayed, and the 4 is the middle of the channels. Before you compare two
# LayerNorms, compare their means.
#
# ## One arithmetic for all
#
# Once the sets are known, nothing is left that differs. These lines of gnref's reference serve all four
# norms, and its fast kernels compute the same. `set_mean` takes the mean of whatever set it is given, and
# `affine` multiplies by the weight and adds a bias. (`s` is 1, unless numbers are so large or so small that
# their squares would not fit; `center` is False for RMSNorm alone, which subtracts no mean.)

# %%
from gnref.kernels import reference

show_source(reference.forward, "mean, xc = ", "y = affine(")

# %% [markdown]
# ## Where to go next
#
# - [Tutorial 2](02_by_hand) goes through that arithmetic by hand, with numbers small enough to check on
#   paper.
# - [Tutorial 3](03_one_reshape) hands it the right sets, with one reshape.
# - [Tutorial 5](05_running_statistics) asks what BatchNorm does when there is no batch.
