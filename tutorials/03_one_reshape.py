# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Group norm is one reshape
#
# A reshape moves no number. One reshape makes the sets of GroupNorm, and a slightly longer one those of every
# norm.
#
# **You will**
#
# - split the channels into groups with one `reshape`, and see why its order matters;
# - write the whole of GroupNorm;
# - find LayerNorm and InstanceNorm at its two ends, G = 1 and G = C;
# - derive the five slots that let one forward serve all norms, in both memory layouts.
#
# You need the four sets of [tutorial 1](01_shared_mean) and the forward of [tutorial 2](02_by_hand). About 30
# minutes.

# %%
import numpy as np

import gnref
from gnref.kernels import reference
from gnref.teaching import AxisExplorer, show_source
from gnref.teaching.exercises import check

# %% [markdown]
# ## Numbers that say where they lie in memory
#
# Two examples of six channels of 2 × 2 pixels, and in them the numbers 0 to 47, in the order in which they
# lie in memory. GroupNorm with G = 3 wants three groups of K = C / G = 2 channels.

# %%
N, C, H, W = 2, 6, 2, 2
G, K = 3, 2
x = np.arange(N * C * H * W, dtype=float).reshape(N, C, H, W)

rows = x.reshape(N, G, K, H, W)  # C becomes G groups of K
assert np.shares_memory(rows, x)  # no number has moved
rows[0, 1]  # example 0, group 1

# %% [markdown]
# Group 1 holds 8 to 15: channels 2 and 3, whole and side by side. Channel c became (g, k) with
#
# $$c = g K + k, \qquad 0 \le k < K,$$
#
# as the last of two axes always runs fastest. So $g = \lfloor c / K \rfloor$, which is how the paper defines
# a group (Wu & He 2018, eq. 7): two channels share a mean if $\lfloor c / (C/G) \rfloor$ is the same. A group
# of an example is one run of K·H·W neighbours in memory, here 8 of them.

# %%
assert rows[0, 1].ravel().tolist() == list(range(8, 16))
assert rows[0, 1].mean() == 11.5
x.reshape(N, G, -1)[0]  # the three runs of example 0

# %% [markdown]
# ### Exercise 3.1: One mean per group
#
# Write the mean of every group: `x` is (N, C, H, W), `num_groups` is G, and the result is (N, G).


# %% tags=["exercise"]
def group_mean(x, num_groups):  # x (N, C, H, W) -> mean (N, G)
    ...  # your lines here


# %%
check("group_mean", group_mean)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def group_mean(x, num_groups):
#     N, C, H, W = x.shape
#     rows = x.reshape(N, num_groups, C // num_groups, H, W)
#     return rows.mean(axis=(2, 3, 4))
# ```
#
# The first two axes stay, and what is averaged is a run of memory: `x.reshape(N, num_groups, -1).mean(-1)` is
# the same.
# </details>

# %% [markdown]
# ## The reshape that is almost right
#
# Write the two numbers in the other order, (N, K, G, H, W), average over the new axis 1, and you have G
# groups again:

# %%
strided = x.reshape(N, K, G, H, W)  # c = k * G + g: now g runs fastest
assert strided[0, :, 0, 0, 0].tolist() == [0.0, 12.0]  # group 0 starts with channels 0 and 3
strided.mean(axis=(1, 3, 4))[0], rows.mean(axis=(2, 3, 4))[0]

# %% [markdown]
# These groups are *strided*: channels 0 and 3, 1 and 4, 2 and 5. The shapes are right. Every group has K
# channels, and its xhat has mean 0 and variance 1. A network even trains with it. It is wrong all the same,
# because it is another layer: what was trained with one gives other numbers in the other. Only a test that
# tells *which* channels share a mean shows it, and not where G = 1 or G = C, since there the two agree.


# %%
def means(x, shape, axes):
    return x.reshape(shape).mean(axis=axes)


for g in (1, C):  # at the two ends no test can tell them apart
    assert np.array_equal(
        means(x, (N, g, C // g, H, W), (2, 3, 4)), means(x, (N, C // g, g, H, W), (1, 3, 4))
    )
assert not np.array_equal(rows.mean(axis=(2, 3, 4)), strided.mean(axis=(1, 3, 4)))

# %% [markdown]
# ### Exercise 3.2: The whole of GroupNorm
#
# Write `group_norm`. `x` is (N, C, H, W); `weight` and `bias` are (C,), one number for each **channel**, not
# for each group; y has the shape of x. eps stands inside the root, and the variance is divided by m = K·H·W.


# %% tags=["exercise"]
def group_norm(x, num_groups, weight, bias, eps):  # -> y, of x's shape
    ...  # your lines here


# %%
check("group_norm", group_norm)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def group_norm(x, num_groups, weight, bias, eps):
#     N, C, H, W = x.shape
#     rows = x.reshape(N, num_groups, C // num_groups, H, W)
#     mean = rows.mean(axis=(2, 3, 4), keepdims=True)
#     var = rows.var(axis=(2, 3, 4), keepdims=True)
#     xhat = ((rows - mean) / np.sqrt(var + eps)).reshape(N, C, H, W)
#     return xhat * weight[:, None, None] + bias[:, None, None]
# ```
#
# One reshape there, one back; between them stands the forward of tutorial 2.
# </details>

# %% [markdown]
# ## The two ends: G = 1 and G = C
#
# With one group, all of an example shares a mean: the paper's LayerNorm. With C groups of one channel, every
# channel of every example has its own: InstanceNorm. GroupNorm is what lies between. Here it is with G = 3:
# move G to 1, then to 6, and watch the set of a cell grow and shrink.

# %%
AxisExplorer("gn", n=2, c=6, h=2, w=2, g=3)

# %%
rng = np.random.default_rng(0)
x = rng.standard_normal((N, C, H, W))
weight, bias = rng.standard_normal((2, C))

assert np.allclose(gnref.group_norm(x, C, weight, bias), gnref.instance_norm(x, weight, bias))
assert np.allclose(gnref.group_norm(x, 1), gnref.layer_norm(x, (C, H, W)))  # without weight and bias

# %% [markdown]
# The last line says "without weight and bias", and for a reason that surprises people. The LayerNorm of the
# paper has a weight for each channel, C of them. PyTorch's has one for each **element** of what it
# normalizes: C·H·W. For 64 channels of 56 × 56 pixels that is 64 against 200,704. The two agree only where
# the large weight repeats the small one over the pixels:

# %%
assert 64 * 56 * 56 == 200_704
per_element = np.broadcast_to(weight[:, None, None], (C, H, W)).copy()

assert np.allclose(gnref.group_norm(x, 1, weight), gnref.layer_norm(x, (C, H, W), per_element))
per_element.shape, weight.shape

# %% [markdown]
# ## Two questions for every axis
#
# Split C into G and K for every norm (InstanceNorm and BatchNorm: G = C, K = 1; the paper's LayerNorm: G = 1,
# K = C). Then ask every axis: do the places along it **share statistics**? And does it **own weights**, one
# for each place? There are four pairs of answers, and each gets a letter:
#
# | | owns no weights | owns weights |
# |---|---|---|
# | own statistics | O, outer | A, affine |
# | shares statistics | P or S, pooled | B, both |
#
# In GroupNorm G owns weights and keeps its statistics apart: A. K owns weights and shares: B. H and W share
# and own nothing: pooled. N is pooled in BatchNorm, and outer in the others.
#
# Axes that are neighbours in memory and have the same letter can be merged by a reshape, as H and W are into
# HW. But N and HW, both pooled in BatchNorm, have the channels between them. So there are two letters for
# pooled: P before the channels in memory, S after them. That makes five slots, **(O, P, A, B, S)**, with size
# 1 where nobody moves in:

# %%
table = {
    "batch": (1, N, C, 1, H * W),  #    N pooled, before the channels
    "layer": (N, 1, 1, C, H * W),  #    one group of C channels
    "instance": (N, 1, C, 1, H * W),  # C groups of one channel
    "group": (N, 1, G, K, H * W),
}

# %% [markdown]
# The mean is over (P, B, S), and there is one for each (O, A). The weight lives on (A, B). In these words the
# norms do not differ any more. gnref's reference combines a set (by a sum, for the mean) in one place for all
# of them:

# %%
show_source(reference.set_reduce)


# %%
def any_norm(x, slots, weight, bias, eps=1e-5):
    """The four norms, told apart by a shape."""
    _, _, A, B, _ = slots
    y5 = reference.forward(x.reshape(slots), weight.reshape(A, B), bias.reshape(A, B), eps, center=True)[0]
    return y5.reshape(x.shape)


y = {norm: any_norm(x, slots, weight, bias) for norm, slots in table.items()}
assert np.allclose(y["batch"], gnref.batch_norm(x, weight, bias))
assert np.allclose(y["layer"], gnref.group_norm(x, 1, weight, bias))
assert np.allclose(y["instance"], gnref.instance_norm(x, weight, bias))
assert np.allclose(y["group"], gnref.group_norm(x, G, weight, bias))

# %% [markdown]
# PyTorch's LayerNorm fits in, too. Its C, H and W all share and all own weights, so they are B, every one of
# them, and merge: (N, 1, 1, CHW, 1). `gnref.axes` holds these answers as data and derives the slots from
# them:

# %%
from gnref.axes import view

assert all(view(norm, x.shape, num_groups=G).x.slots == table[norm] for norm in table if norm != "layer")
assert view("layer", x.shape, normalized_shape=(C, H, W)).x.slots == (N, 1, 1, C * H * W, 1)

# %% [markdown]
# ## Channels last
#
# Many libraries and most images keep x as (N, H, W, C): all channels of a pixel lie side by side. The answers
# of the axes stay as they were; what changes is the order in memory. Now nothing comes after the channels. HW
# is pooled *before* them, in P, and S is 1:

# %% tags=["hide-input"]
from matplotlib.figure import Figure

from gnref.teaching.palette import NAMES, THEMES, fill, hue
from gnref.teaching.sets import FOUR, describe, set_numbers
from gnref.teaching.themed import themed

options = {"channel_axis": -1, "num_groups": G}
LAST = {norm: view(norm, (N, H, W, C), **options).x.slots for norm in ("batch", "instance", "group")}
LAST["layer"] = view("group", (N, H, W, C), channel_axis=-1, num_groups=1).x.slots  # the paper's


def draw_memory(theme):
    """Draw the numbers of a block as they lie in memory, in the colours of their sets."""
    figure = Figure(figsize=(8.4, 4.3))
    muted = THEMES[theme].muted
    layouts = {"N C H W": (table, (0, 1, 2, 3)), "N H W C, channels last": (LAST, (0, 2, 3, 1))}
    for ax, (title, (slots, order)) in zip(figure.subplots(2), layouts.items(), strict=True):
        for row, norm in enumerate(FOUR):
            sets, numbers = describe(norm, (N, C, H, W), G), set_numbers(norm, (N, C, H, W), G)
            for place, number in enumerate(numbers.transpose(order).ravel()):
                colour = fill(norm, sets.tint(number), theme) if number else hue(norm, theme)
                ax.bar(place, 0.74, 0.9, row - 0.37, color=colour)
            ax.text(-1.2, row, NAMES[norm], color=hue(norm, theme), ha="right", va="center", weight="bold")
            text = "(" + ", ".join(map(str, slots[norm])) + ")"
            ax.text(48.4, row, text, color=THEMES[theme].ink, va="center", family="monospace", fontsize=9)
        ax.set(xlim=(-0.6, 47.6), ylim=(3.6, -0.6), xticks=[0, 23.5, 47], yticks=[])
        ax.set_xticklabels(["0", "address in memory", "47"])
        ax.tick_params(length=0, colors=muted, labelsize=8.5)
        ax.set_title(title, loc="left", color=THEMES[theme].ink, fontsize=10.5)
        ax.text(48.4, -1.02, "(O, P, A, B, S)", color=muted, va="center", family="monospace", fontsize=9)
        ax.spines[:].set_visible(False)
    figure.subplots_adjust(0.145, 0.05, 0.845, 0.925, hspace=0.42)
    return figure


themed(
    draw_memory,
    "Two times four strips of 48 numbers as they lie in memory. Channels first, the set of the first number "
    "is one run in LayerNorm, InstanceNorm and GroupNorm, and two runs in BatchNorm. Channels last, it is "
    "one run in LayerNorm and comes back with every pixel in the others.",
)

# %% [markdown]
# Each strip is the same 48 numbers in the order of memory, with the set of the first one in full colour and
# the others in two lighter tints. Above, a group is a single run, which is why one reshape was enough. Below,
# it comes back with every pixel; a kernel that only knows runs is lost there, one that knows the five slots
# is not.

# %%
last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))  # (N, H, W, C), in that order in memory
y_last = any_norm(last, LAST["group"], weight, bias)

assert np.allclose(y_last, gnref.group_norm(last, G, weight, bias, channel_axis=-1))
assert np.allclose(y_last.transpose(0, 3, 1, 2), y["group"])

# %% [markdown]
# ### Exercise 3.3: The slots, channels last
#
# Write the five slots of an x of shape (N, H, W, C) for `norm` = "batch", "instance" or "group", as a tuple
# (O, P, A, B, S) of integers. Decide axis by axis; the picture has one case of each to compare with.


# %% tags=["exercise"]
def slots_channels_last(norm, N, H, W, C, G):  # -> (O, P, A, B, S)
    ...  # your lines here


# %%
check("slots_channels_last", slots_channels_last)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def slots_channels_last(norm, N, H, W, C, G):
#     if norm == "batch":
#         return 1, N * H * W, C, 1, 1
#     if norm == "instance":
#         return N, H * W, C, 1, 1
#     return N, H * W, G, C // G, 1
# ```
#
# In BatchNorm N, H and W are pooled neighbours, and merge into P.
# </details>

# %% [markdown]
# ## What five slots cannot say
#
# - **Sets that are no product of axes.** Groups of different sizes, say 4 and 2 of 6 channels; strided
#   groups, unless the channels are moved first.
# - **Sets that overlap**, such as a window around each pixel (local response normalization).
# - **Elements that do not count**: padding that a mask takes out of the mean.
# - **Equal letters that are not neighbours**, as in a norm with own statistics for each n and each row h, but
#   not for c. O can hold N and H only after a transpose, which copies. A view with unusual strides may cost
#   the ordinary norms a copy, too.
#
# ## Where to go next
#
# - [Tutorial 4](04_backward) derives the gradient once, for all four norms, on these five slots.
# - [Tutorial 5](05_running_statistics) is about what BatchNorm remembers.
# - [Tutorial 11](11_test_your_own) tests your own kernel, and visits the bugs that real libraries had.
