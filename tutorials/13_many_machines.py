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
# # Batch norm on many machines
#
# Cut a batch into four parts, give each to a machine, and three of the four norms do not notice. Batch norm
# does: its sets go through all examples, so they cross from machine to machine.
#
# **You will**
#
# - say which sets a cut goes through, along N and along C;
# - merge the statistics of the parts, and see what averaging their variances loses;
# - take the backward pass through the exchange;
# - count the bytes that it costs.
#
# You need [tutorial 4](04_backward) and Chan's merge from [tutorial 10](10_stable_and_fast), and one machine.

# %%
import numpy as np

import gnref
from gnref.distributed import (
    RankError,
    sync_batch_norm,
    sync_batch_norm_backward,
    sync_batch_norm_forward,
)
from gnref.teaching import show_source
from gnref.teaching.exercises import check
from gnref.teaching.threads import ThreadComm, on_ranks

# %% [markdown]
# ## What crosses the cut
#
# In *data-parallel* training each machine has the whole network and some of the examples. MPI, the usual way
# for such programs to talk, calls a machine (or a process) a *rank*; its examples are its *shard*.
#
# Give the first shard to each norm alone, and compare with what it gets in the batch:

# %%
rng = np.random.default_rng(13)
x = rng.standard_normal((8, 64, 6, 6))
norms = {
    "batch": gnref.batch_norm,
    "instance": gnref.instance_norm,
    "group": lambda x: gnref.group_norm(x, 4),
    "layer": lambda x: gnref.group_norm(x, 1),
}
alone = {name: np.array_equal(norm(x[:2]), norm(x)[:2]) for name, norm in norms.items()}
assert alone == {"batch": False, "instance": True, "group": True, "layer": True}
print(alone)

# %% [markdown]
# The same to the last bit, but for batch norm. Of all norms only it pools N, and data are cut along N.
# Nothing is special about N, though: large layers are cut along C as well.
#
# ### Exercise 13.1: cut along the channels
#
# Two machines have 32 of the 64 channels each, of all examples. Which of `"batch"`, `"instance"`, `"group"`
# (G = 4) and `"layer"` (over C, H and W) have sets on both machines?

# %% tags=["exercise"]
crossing = ...  # a set of names

# %%
check("crossing", crossing)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# crossing = {"layer"}
# ```
#
# A group has 16 channels: the cut falls between the second group and the third. With G = 1 the one group
# would lie on both machines.
#
# </details>

# %%
halves = {name: norm(x)[:, :32] for name, norm in norms.items() if name != "group"}
assert np.array_equal(halves["batch"], gnref.batch_norm(x[:, :32]))
assert np.array_equal(gnref.group_norm(x, 4)[:, :32], gnref.group_norm(x[:, :32], 2))
assert not np.allclose(halves["layer"], gnref.group_norm(x[:, :32], 1))

# %% [markdown]
# ## One number each is not enough
#
# The common mean is an average of the shards' means, weighted by their counts. The variance is not. Take two
# shards of one channel, the numbers 0, 0 and 2, 2. Each has the variance 0; together their mean is 1, and
# their variance 1. What is lost is how far the shards are apart.
#
# Let shard $r$ have $n_r$ elements, and $n = \sum n_r$. By the shift rule of tutorial 10, its squares about
# the common mean sum to $M_{2,r} + n_r\,(\text{mean}_r - \text{mean})^2$. So
#
# $$\text{var} = \frac1n \Big( \underbrace{\sum_r M_{2,r}}_{\text{within shards}} +
# \underbrace{\sum_r n_r\,(\text{mean}_r - \text{mean})^2}_{\text{between shards}} \Big).$$
#
# This is Chan's merge for many parts at once, and each rank need only tell $n_r$, $\text{mean}_r$ and
# $M_{2,r}$: $2C + 1$ numbers.

# %%
two = [np.array([0.0, 0.0]), np.array([2.0, 2.0])]
assert np.mean([part.var() for part in two]) == 0
assert np.concatenate(two).var() == 1

# %% [markdown]
# ### Exercise 13.2: merge the shards
#
# `counts` has the shape (R,), one for each rank, and may have a 0; `means` and `M2` have (R, C). Return the
# mean and the biased variance of the whole batch, (C,) each.


# %% tags=["exercise"]
def merge_shards(counts, means, M2):  # (R,), (R, C), (R, C) -> mean, var
    ...  # your lines here


# %%
check("merge_shards", merge_shards)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def merge_shards(counts, means, M2):
#     n = counts.sum()
#     weights = counts[:, None]
#     mean = (weights * means).sum(0) / n
#     between = (weights * (means - mean) ** 2).sum(0)
#     return mean, (M2.sum(0) + between) / n
# ```
#
# A rank without examples has the count 0, and adds nothing. On paper
# `(weights * means**2).sum(0) - n * mean**2` is "between" as well; [tutorial 10](10_stable_and_fast) shows
# what such a difference loses far from 0, where one of the batches of the check is.
#
# </details>

# %% [markdown]
# How much is "between"? Four shards of 8 numbers from one source, then with means that are more and more
# apart, as when each rank reads the photographs of another camera:

# %%
apart = np.linspace(0, 2, 9)  # the spread of the shards' true means, in spreads of their numbers
noise, camera = rng.standard_normal((2000, 4, 8)), rng.standard_normal((2000, 4, 1))
within = [(noise + d * camera).var(2).mean() for d in apart]
whole = [(noise + d * camera).var((1, 2)).mean() for d in apart]
assert abs(within[0] - 7 / 8) < 0.01  # a variance about one's own mean is 1 - 1/8 of the true one
assert abs(whole[-1] / within[-1] - 4.5) < 0.2
assert np.ptp(within) < 1e-12

# %% tags=["hide-input"]
from matplotlib.figure import Figure

from gnref.teaching.palette import THEMES, hue
from gnref.teaching.themed import themed


def draw(theme):
    muted, blue = THEMES[theme].muted, hue("batch", theme)
    figure = Figure(figsize=(7.4, 3.6), layout="constrained")
    ax = figure.add_subplot(xlabel="how far the shards are apart, in spreads", ylabel="variance")
    ax.plot(apart, whole, "o-", color=blue, lw=2)
    ax.plot(apart, within, "s-", color=muted, lw=2)
    ax.fill_between(apart, within, whole, color=blue, alpha=0.15, lw=0)
    ax.text(1.02, 2.35, "of the whole batch", color=blue, size=11, weight="bold", ha="right")
    ax.text(1.98, 0.45, "average of the shards' variances", color=muted, size=11, weight="bold", ha="right")
    ax.text(1.62, 1.6, "between", color=blue, size=11)
    ax.set_ylim(0, None)
    ax.xaxis.label.set_color(muted)
    ax.yaxis.label.set_color(muted)
    ax.tick_params(colors=muted)
    ax.patch.set_alpha(0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(muted)
    return figure


themed(draw, "The average of the shards' variances stays at 0.9; that of the whole batch rises to 4.")

# %% [markdown]
# *Four shards of 8 numbers. The average of their variances does not know that they are apart; at a distance
# of two spreads it is too small by a factor of 4.5.*
#
# Who exchanges nothing normalizes each shard by itself: ghost batches ([tutorial 6](06_batch_size)), as
# small as the shards are.
#
# ## All of it
#
# `gnref.distributed` merges so, in float64 and in the order of the ranks. It asks little of a communicator:
# its size, whether all its ranks are in one group, and `Ialltoallv`, which sends a row to each rank, and
# takes one from each. A row begins with a 1, which marks it as come. So that you need no second machine,
# ranks here are threads of one process. They exchange what machines would; how long that takes on a network,
# they cannot tell.

# %%
show_source(ThreadComm.Ialltoallv, "self.calls +=", "return")

# %%
x = rng.normal(5.0, 2.0, (9, 6, 4, 4))
dy = rng.standard_normal(x.shape)
weight, bias = rng.standard_normal((2, 6))
cuts = [4, 5, 5]  # shards of 4, 1, 0 and 4 examples


def work(comm):  # on every rank
    rank = comm.Get_rank()
    y, saved = sync_batch_norm_forward(np.split(x, cuts)[rank], weight, bias, comm=comm)
    dx, dweight, dbias = sync_batch_norm_backward(np.split(dy, cuts)[rank], saved)
    return y, dx, dweight, dbias


shards = on_ranks(4, work)
y, saved = gnref.batch_norm_forward(x, weight, bias)
dx, dweight, dbias = gnref.backward(dy, saved)
near = {"rtol": 1e-12, "atol": 1e-12}
assert np.allclose(np.concatenate([shard[0] for shard in shards]), y, **near)
assert np.allclose(np.concatenate([shard[1] for shard in shards]), dx, **near)
for shard in shards:
    assert np.array_equal(shard[2], shards[0][2])  # the same bits on every rank
    assert np.allclose(shard[2], dweight, **near)
    assert np.allclose(shard[3], dbias, **near)

# %% [markdown]
# With MPI, `program.py` has these lines, and each of four processes runs it:
#
# ```python
# from mpi4py import MPI
# y = sync_batch_norm(x_shard, weight, bias, comm=MPI.COMM_WORLD)
# ```
#
# ```sh
# pip install mpi4py mpich
# mpiexec -n 4 python -m mpi4py program.py
# ```
#
# ## Back
#
# A single x moves the common mean and variance, and so every y on every rank. The formula of tutorial 4 says
# what that takes: the means of dxhat and of dxhat · xhat, over the whole set. So ranks exchange the sums of
# dy and of dy · xhat, $2C$ numbers. These are dbias and dweight of the whole batch: every rank then has them.
#
# ### Exercise 13.3: dx of one shard
#
# Here x and dy are (n, C), one rank's; mean, rstd and weight are (C,). `counts` (R,) tells the number of
# examples of every rank, and `sums` (R, 2, C) what each has sent: its sum of dy, and its sum of dy · xhat.
# Return dx of this shard.


# %% tags=["exercise"]
def shard_dx(dy, x, mean, rstd, weight, counts, sums):  # -> dx, of x's shape
    ...  # your lines here


# %%
check("shard_dx", shard_dx)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def shard_dx(dy, x, mean, rstd, weight, counts, sums):
#     n = counts.sum()
#     sum_dy, sum_dy_xhat = sums.sum(0)
#     xhat = (x - mean) * rstd
#     return weight * rstd * (dy - sum_dy / n - xhat * sum_dy_xhat / n)
# ```
#
# In the backward pass only the two sums are new. Each channel has one weight, so it may wait until the end.
#
# </details>

# %% [markdown]
# ## What it costs
#
# For a layer of 256 channels and 56 × 56 pixels, 32 examples on each rank, in float32:

# %%
N, C, H, W = 32, 256, 56, 56
sent = 8 * ((1 + 2 * C + 1) + (1 + 2 * C))  # bytes, forward and backward: rows of float64, each behind a 1
held = 4 * N * C * H * W
assert (sent, f"{held / 1e6:.0f}") == (8216, "103")
print(f"{sent:,} bytes from each rank, of a shard of {held / 1e6:.0f} MB")

# %% [markdown]
# 8 KB of 103 MB, to every other rank (and a kilobyte of words before each of the two): the bytes are not
# what costs. The *waiting* is. A ResNet-50 has 53 batch norms, so every step of training has 106 places where
# all ranks wait for the slowest. Group norm has none.
#
# Waiting also means that one rank can stop all. So in gnref the ranks first tell each other, in a kilobyte of
# words, what they are about to do. If they disagree, or one refuses its arguments, each gets an error that
# says who:


# %%
def told(comm):
    channels = 8 if comm.Get_rank() == 2 else 16
    try:
        sync_batch_norm(np.ones((4, channels)), comm=comm)
    except RankError as error:
        return str(error)


sentences = on_ranks(3, told)
assert len(set(sentences)) == 1
print(sentences[0])

# %% [markdown]
# If a process is killed, `mpiexec` ends all of them, and says so. A rank that has left the program, hangs, or
# is on a machine that is gone says nothing: then the others give up after `timeout` seconds, and name it.
#
# ## Where to go next
#
# - [Tutorial 6](06_batch_size): what batch norm loses if nothing is exchanged and shards are small.
# - [Tutorial 12](12_gpu): sums in one order, whoever adds them.
