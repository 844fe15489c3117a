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
# # Train, eval, frozen: running statistics
#
# Batch norm needs a batch. This is what it does when there is none, and what that costs.
#
# **You will**
#
# - move running statistics by hand, and learn why their variance is the unbiased one;
# - derive how fast they forget where they started;
# - derive the gradient in evaluation, where the statistics are constants;
# - measure how far training and evaluation are apart for small batches, and see why group norm has no such
#   gap.
#
# You need [tutorial 2](02_by_hand), and the result of [tutorial 4](04_backward) for one section.

# %%
import numpy as np
from IPython.display import Markdown, display

import gnref
from gnref import conventions
from gnref.kernels import reference
from gnref.layers import tracking
from gnref.teaching import show_source
from gnref.teaching.exercises import check

# %% [markdown]
# ## The same number, two answers
#
# Take one channel and two images of one pixel each. The first image is the number 2.

# %%
with_four = gnref.batch_norm(np.array([[2.0], [4.0]]), eps=0.0)
with_zero = gnref.batch_norm(np.array([[2.0], [0.0]]), eps=0.0)
assert (with_four[0, 0], with_zero[0, 0]) == (-1, 1)
print(with_four[0, 0], with_zero[0, 0])

# %% [markdown]
# Next to a 4 it becomes -1, next to a 0 it becomes 1. In training such noise may even help. In use nobody
# wants it, and a lone image of one pixel has no answer at all:

# %%
try:
    gnref.batch_norm(np.array([[2.0]]))
except gnref.ShapeError as error:
    print(error)

# %% [markdown]
# ## Running statistics
#
# So batch norm remembers. In training it normalizes with the batch's own mean and variance, and moves two
# averages a step towards them:
#
# $$\text{running} \leftarrow (1 - \text{momentum}) \cdot \text{running} + \text{momentum} \cdot \text{new}$$
#
# Here momentum, usually 0.1, weights the **new** value. The running mean starts at 0 and the running variance
# at 1.
#
# By hand, for a batch of the numbers 1 and 3: the mean is 2 and the biased variance 1. xhat uses that 1, but
# the running variance takes the *unbiased* one, divided by $n - 1$ instead of $n$: 2. (Here $n$ counts the
# elements of a channel, N·H·W; it is the $m$ of tutorial 2.) So the running mean becomes
# $0.9 \cdot 0 + 0.1 \cdot 2 = 0.2$, and the running variance $0.9 \cdot 1 + 0.1 \cdot 2 = 1.1$.

# %%
layer = gnref.BatchNorm(1, eps=0.0, dtype="float64")  # momentum=0.1, mode "train"
y = layer.forward(np.array([[1.0], [3.0]]))
assert y.ravel().tolist() == [-1, 1]  # with the biased variance, 1
assert np.allclose(layer.running_mean, 0.2, rtol=0, atol=1e-15)
assert np.allclose(layer.running_var, 1.1, rtol=0, atol=1e-15)
display(show_source(tracking.batch_statistics, "mean, var = saved", "return mean, var"))
show_source(type(layer)._update, "self.running_mean = moved", "self.running_var = moved")

# %% [markdown]
# (`moved` is the rule above; there is nothing to average here, where each channel has one mean.)
#
# **Why unbiased?** Now something *is* estimated: the variance $\sigma^2$ of all data, from $n$ of them. With
# their true mean $\mu$ write $x_i - \text{mean} = (x_i - \mu) - (\text{mean} - \mu)$ and square:
#
# $$\begin{aligned}
# \sum (x_i - \text{mean})^2
# &= \sum (x_i - \mu)^2 - 2\,(\text{mean} - \mu) \sum (x_i - \mu) + n\,(\text{mean} - \mu)^2 \\
# &= \sum (x_i - \mu)^2 - n\,(\text{mean} - \mu)^2 ,
# \end{aligned}$$
#
# because $\sum (x_i - \mu) = n\,(\text{mean} - \mu)$. On average the first term on the right is $n\sigma^2$.
# If the $x_i$ are independent, their mean has the variance $\sigma^2/n$, so the second is
# $n \cdot \sigma^2/n = \sigma^2$. The sum is $(n-1)\,\sigma^2$ on average: divide by $n - 1$. With $n = 2$
# the biased variance is half of what it should be. (Neighbouring pixels are not independent: see below.)

# %%
rng = np.random.default_rng(5)
pairs = rng.normal(0.0, 3.0, (100_000, 2))  # sigma^2 = 9
assert abs(pairs.var(1).mean() - 9 / 2) < 0.1
assert abs(pairs.var(1, ddof=1).mean() - 9) < 0.2

# %% [markdown]
# ### Exercise 5.1: one step
#
# Write `update(running_mean, running_var, x, momentum)` for x of shape (N, C, H, W) and running statistics of
# shape (C,). Return the new `running_mean, running_var`.


# %% tags=["exercise"]
def update(running_mean, running_var, x, momentum):  # (C,), (C,), (N, C, H, W), number -> (C,), (C,)
    ...  # your lines here


# %%
check("update", update)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def update(running_mean, running_var, x, momentum):
#     n = x.size // x.shape[1]
#     mean = x.mean((0, 2, 3))
#     var = x.var((0, 2, 3)) * n / (n - 1)
#     new_mean = (1 - momentum) * running_mean + momentum * mean
#     new_var = (1 - momentum) * running_var + momentum * var
#     return new_mean, new_var
# ```
#
# The mean and the variance are the batch's; n counts all elements of a channel, and `n / (n - 1)` undoes the
# bias of 1/n.
#
# </details>

# %% [markdown]
# ## How fast it forgets
#
# Write $p$ for momentum, and put the rule into itself $t$ times:
#
# $$r_t = (1-p)^t\, r_0 + p \sum_{k=1}^{t} (1-p)^{t-k}\, \text{new}_k$$
#
# The last batch weighs $p$, and each one before it $1 - p$ times the next. The sum is geometric: with
# $q = 1 - p$ the batches have together the weight
# $p\,(1 + q + \dots + q^{t-1}) = p\,(1 - q^t)/(1 - q) = 1 - (1-p)^t$. The rest, $(1-p)^t$, still sits on the
# start, 0 and 1.
#
# With momentum 0.1 the start weighs 48 % after 7 batches, 9.8 % after 22, 0.97 % after 44. Evaluated after a
# few steps, a network is judged with statistics half made up. And $r_t$ never settles: for independent
# batches the variance of $r_t$ tends to $p^2 (1 + q^2 + q^4 + \dots) = p^2/(1 - q^2) = p/(1 + q) = p/(2 - p)$
# times that of one batch's value: 1/19, as though it averaged 19 batches, however many there were.
#
# `momentum=None` takes $1/t$ for momentum at step $t$. Then $t\,r_t = (t-1)\,r_{t-1} + \text{new}_t$, so
# $r_t$ is the plain average of all batches, and the start is gone after the first.

# %%
start = 0.9 ** np.array([7, 22, 44])
assert [f"{100 * share:.2g}" for share in start] == ["48", "9.8", "0.97"]
assert np.isclose(0.1 * sum(0.9**k for k in range(22)), 1 - 0.9**22)
assert np.isclose(sum((0.1 * 0.9**k) ** 2 for k in range(1000)), 1 / 19)

tenth = gnref.BatchNorm(3, dtype="float64")
average = gnref.BatchNorm(3, momentum=None, dtype="float64")
batches = rng.normal(4.0, 1.0, (22, 2, 3, 1, 1))  # 22 batches of two images
for x in batches:
    tenth.forward(x)
    average.forward(x)
weights = 0.1 * 0.9 ** np.arange(21, -1, -1)  # of the first batch to the last
assert np.allclose(tenth.running_mean, weights @ batches.mean((1, 3, 4)), rtol=0, atol=1e-12)
assert np.allclose(average.running_mean, batches.mean((0, 1, 3, 4)), rtol=0, atol=1e-12)

# %% [markdown]
# ## Evaluation is a straight line
#
# `layer.eval()` normalizes with the running statistics and moves nothing. With
# $\text{rstd} = 1/\sqrt{\text{running var} + \text{eps}}$,
#
# $$y = (x - \text{running mean}) \cdot \text{rstd} \cdot \text{weight} + \text{bias}
# = x \cdot \text{scale} + \text{shift},$$
#
# where scale is rstd · weight and shift is bias - running mean · scale: one of each per channel. (So a
# convolution before it can swallow the whole layer.) Its slope is scale, and that is the gradient:
#
# $$\text{dx} = \text{dy} \cdot \text{weight} \cdot \text{rstd}$$
#
# In training x has two more paths to y, through the batch's mean and through its variance, and tutorial 4
# found `dx = rstd * (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat))`. Here mean and variance are constants:
# both paths are gone, and the two subtracted terms with them.

# %%
show_source(reference.backward_given, "xhat =", "return")

# %% [markdown]
# A dy of ones tells the two apart. In training y sums to $n \cdot \text{bias}$ over a channel, whatever x is,
# so dx is 0; in evaluation it is scale.

# %%
layer = gnref.BatchNorm(3, dtype="float64")
layer.weight = np.array([1.0, -2.0, 0.5])
x = rng.normal(1.0, 2.0, (4, 3, 5, 5))
layer.forward(x)
assert np.allclose(layer.backward(np.ones_like(x)), 0, rtol=0, atol=1e-12)

y = layer.eval().forward(x)
scale = layer.weight / np.sqrt(layer.running_var + layer.eps)
shift = layer.bias - layer.running_mean * scale
per_channel = (1, 3, 1, 1)
assert np.allclose(y, x * scale.reshape(per_channel) + shift.reshape(per_channel), rtol=0, atol=1e-12)
dx = layer.backward(np.ones_like(x))
assert np.allclose(dx, scale.reshape(per_channel), rtol=0, atol=1e-12)
assert set(layer.grads) == {"weight", "bias"}

# %% [markdown]
# **Frozen** goes one step further: weight and bias are constants, too, and get no gradients; dx stays as in
# evaluation. The BN* of the GroupNorm paper (Wu & He 2018), in detectors that are fine-tuned, is this.

# %%
before = layer.freeze().state_dict()
layer.forward(x + 1)
assert np.array_equal(layer.backward(np.ones_like(x)), dx)
assert layer.grads == {}
assert all(np.array_equal(before[name], value) for name, value in layer.state_dict().items())

# %% [markdown]
# ### Exercise 5.2: one layer, two modes
#
# Write `step(x, running_mean, running_var, momentum, eps, training)`, where `training` is True or False.
# Return `xhat, running_mean, running_var`, the latter two as after the call. Write to no argument.


# %% tags=["exercise"]
def step(x, running_mean, running_var, momentum, eps, training):  # -> xhat, running_mean, running_var
    ...  # your lines here


# %%
check("step", step)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def step(x, running_mean, running_var, momentum, eps, training):
#     n = x.size // x.shape[1]
#     batch_mean, batch_var = x.mean((0, 2, 3)), x.var((0, 2, 3))
#     if training:
#         mean, var = batch_mean, batch_var
#         running_mean = (1 - momentum) * running_mean + momentum * batch_mean
#         running_var = (1 - momentum) * running_var + momentum * batch_var * n / (n - 1)
#     else:
#         mean, var = running_mean, running_var
#     rstd = 1 / np.sqrt(var + eps)
#     xhat = (x - mean.reshape(1, -1, 1, 1)) * rstd.reshape(1, -1, 1, 1)
#     return xhat, running_mean, running_var
# ```
#
# The batch's statistics serve twice in training, as they are in xhat and unbiased in the running variance. In
# evaluation nothing is written.
#
# </details>

# %% [markdown]
# ### Exercise 5.3: the gradient in evaluation
#
# Write `eval_backward(dy, x, running_mean, running_var, weight, eps)`, with arrays of shapes (N, C, H, W) and
# (C,). Return `dx, dweight, dbias`.


# %% tags=["exercise"]
def eval_backward(dy, x, running_mean, running_var, weight, eps):  # -> dx, dweight, dbias
    ...  # your lines here


# %%
check("eval_backward", eval_backward)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def eval_backward(dy, x, running_mean, running_var, weight, eps):
#     rstd = 1 / np.sqrt(running_var + eps)
#     xhat = (x - running_mean.reshape(1, -1, 1, 1)) * rstd.reshape(1, -1, 1, 1)
#     dxhat = dy * weight.reshape(1, -1, 1, 1)
#     dx = dxhat * rstd.reshape(1, -1, 1, 1)
#     dweight = (dy * xhat).sum((0, 2, 3))
#     dbias = dy.sum((0, 2, 3))
#     return dx, dweight, dbias
# ```
#
# With constant statistics y is a straight line in x, so dx is dy times its slope. dweight and dbias are what
# they are in training.
#
# </details>

# %% [markdown]
# ## How far training and evaluation are apart
#
# A batch's mean has an error of its own. For $N$ independent images its spread is $\sigma/\sqrt{N}$, with
# $\sigma$ the spread of one image's mean. Here every image has a brightness (spread 1), and every pixel noise
# (spread 1) on top. An image of 4 × 4 pixels has a mean of variance $1 + 1/16$.

# %%
SIZES = (2, 4, 8, 16, 32)
PIXELS, MANY = 16, 400  # 400 batches of each size


def images(N, C=2):  # (MANY * N, C, 4, 4)
    brightness = rng.normal(0.0, 1.0, (MANY * N, C, 1, 1))
    return brightness + rng.normal(0.0, 1.0, (MANY * N, C, 4, 4))


means, batch_gap, group_gap, running_var = {}, {}, {}, {}
for N in SIZES:
    data = images(N)
    batches = data.reshape(MANY, N, 2, 4, 4)
    means[N] = batches[:, :, 0].mean((1, 2, 3))  # (MANY,), of channel 0
    layer = gnref.BatchNorm(2, momentum=None, dtype="float64")
    y = np.concatenate([layer.forward(x) for x in batches])
    batch_gap[N] = np.sqrt(((y - layer.eval().forward(data)) ** 2).mean())
    running_var[N] = layer.running_var.mean()
    norm = gnref.GroupNorm(1, 2, dtype="float64")
    group_gap[N] = np.abs(norm.train().forward(data) - norm.eval().forward(data)).max()

sigma = np.sqrt(1 + 1 / PIXELS)
for N in SIZES:
    assert abs(means[N].std() / (sigma / np.sqrt(N)) - 1) < 0.15
    assert group_gap[N] == 0
print({N: f"{gap:.2f}" for N, gap in batch_gap.items()})

# %% tags=["hide-input"]
from matplotlib.figure import Figure

from gnref.teaching.palette import THEMES, fill, hue
from gnref.teaching.themed import themed


def draw(theme):
    ink, muted = THEMES[theme].ink, THEMES[theme].muted
    blue, purple = hue("batch", theme), hue("group", theme)
    figure = Figure(figsize=(9, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    figure.get_layout_engine().set(h_pad=0.1)
    across = np.geomspace(1.6, 42, 100)
    spread = sigma / np.sqrt(across)
    left.fill_between(across, -spread, spread, color=fill("batch", 0, theme), lw=0)
    left.plot(across, np.stack([spread, -spread], 1), color=ink, lw=1.2)
    jitter = np.random.default_rng(0).uniform(-0.16, 0.16, MANY)
    for N, found in means.items():
        left.plot(N * 2**jitter, found, ".", color=blue, ms=4, alpha=0.55, mew=0)
    line = {"arrowstyle": "-", "color": muted}
    left.annotate(
        r"one spread: $\sigma/\sqrt{N}$", (5.6, 0.46), (9, 1.35), color=ink, size=11, arrowprops=line
    )
    left.set_title("the mean of a batch, 400 batches each", color=ink, size=11)
    right.plot(SIZES, list(batch_gap.values()), "o-", color=blue, ms=7, lw=2)
    right.plot(SIZES, list(group_gap.values()), "s-", color=purple, ms=7, lw=2)
    right.text(4.6, 0.42, "batch norm", color=blue, size=11, weight="bold")
    right.text(4.6, 0.05, "group norm: 0", color=purple, size=11, weight="bold")
    right.set_title("training and evaluation apart", color=ink, size=11)
    right.set_ylim(-0.03, None)
    for ax in (left, right):
        ax.set_xscale("log", base=2)
        ax.set_xticks(SIZES, SIZES)
        ax.minorticks_off()
        ax.set_xlabel("N, images in a batch", color=muted)
        ax.tick_params(colors=muted)
        ax.patch.set_alpha(0)
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(muted)
    return figure


themed(
    draw, "Batch means scatter as sigma over root N. Batch norm's gap grows as N falls; group norm has none."
)

# %% [markdown]
# *Left: every dot is the mean of one batch; they narrow as $1/\sqrt{N}$. Right: the root mean square of y in
# training minus y in evaluation, by batch size.*
#
# What surprises people: the 16 pixels hardly help. If all 32 numbers of a channel in a batch of two were
# independent, their mean would have the spread $\sqrt{2/32} = 0.25$; it has 0.73. Pixels of one image err
# together: a large picture does not make up for a small batch. And $n/(n-1)$ mends little: the data have
# variance 2, the running variance at N = 2 is 1.5.
#
# With two images the modes are 0.65 apart, with 32 only 0.15: the network learns with one function and is
# judged with another. Wu and He set out to cure this.

# %%
assert np.isclose(np.sqrt(2 / 32), 0.25)
assert f"{sigma / np.sqrt(2):.2f}" == "0.73"
assert abs(running_var[2] - 1.5) < 0.1
assert abs(batch_gap[2] - 0.65) < 0.05
assert abs(batch_gap[32] - 0.15) < 0.01

# %% [markdown]
# ## Whose momentum?
#
# Libraries agree on y in training (but for eps), and on little else of this. These are their defaults, from
# `gnref.conventions`:

# %%
rows = ["| | momentum | weights the | so the new value weighs | running variance |", "|---|--:|---|--:|---|"]
for name, c in conventions.CONVENTIONS.items():
    if c.momentum is not None:
        new = c.momentum if c.momentum_weights == "new" else 1 - c.momentum
        rows += [f"| {name} | {c.momentum:g} | {c.momentum_weights} | {new:.2g} | {c.running_var} |"]
Markdown("\n".join(rows))

# %% [markdown]
# Where momentum weights the old value, subtract it from 1: ONNX's 0.9 is PyTorch's 0.1, and Keras's 0.99 is
# 0.01, whose start still weighs half after 69 batches. Copied unchanged from Keras to PyTorch, 0.99 gives the
# last batch a weight of 99 %. And Keras's running variance is biased: in our example, 1 in the place of 2.

# %%
old = {name: c.momentum for name, c in conventions.CONVENTIONS.items() if c.momentum_weights == "old"}
assert np.isclose(1 - old["ONNX"], conventions.CONVENTIONS["PyTorch"].momentum)
assert np.isclose(1 - old["Keras"], 0.01)
assert round(0.99**69, 2) == 0.5
assert conventions.CONVENTIONS["Keras"].running_var == "biased"

# %% [markdown]
# ## Group norm needs none of it
#
# Group norm's statistics come from one image alone, so there is nothing to remember: training and evaluation
# are one function, and a lone image gets what it gets in company (in gnref bit for bit).

# %%
x = rng.normal(1.0, 2.0, (8, 4, 5, 5))
assert np.array_equal(gnref.group_norm(x, 2)[:1], gnref.group_norm(x[:1], 2))
assert set(gnref.GroupNorm(2, 4).state_dict()) == {"weight", "bias"}  # nothing to keep
kept = set(gnref.BatchNorm(4).state_dict()) - {"weight", "bias"}
assert kept == {"running_mean", "running_var", "num_batches_tracked"}

# %% [markdown]
# ## Where to go next
#
# - [Tutorial 10](10_stable_and_fast): how to take a variance without losing its digits.
# - [Tutorial 11](11_test_your_own): put your own norm before the conformance kit.
