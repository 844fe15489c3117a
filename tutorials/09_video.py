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
# # Video: longer clips, or more of them?
#
# A video has one axis more: N × C × T × H × W, with T frames. The norms take it as they are. Memory does not:
# longer clips mean fewer of them, and a small batch is what batch norm cannot bear.
#
# **You will**
#
# - find the cells of N C T H W that share a mean, and see that T = 1 is the case of images;
# - take the frames as images, and find out where a reshape goes wrong;
# - derive what more frames are worth to batch norm;
# - train 39 small networks in about a minute, and set them beside the paper's Table 8.
#
# You need [tutorial 3](03_one_reshape), the idea of ghost batches from [tutorial 6](06_batch_size), and
# `pip install 'gnref[tutorials]'`.

# %%
import numpy as np

import gnref
from gnref.teaching.exercises import check
from gnref.teaching.lab.data import clips
from gnref.teaching.lab.experiments import video
from gnref.teaching.lab.sweep import sweep
from gnref.teaching.lab.trainer.convolution import Convolution
from gnref.teaching.lab.trainer.parts import Linear
from gnref.teaching.lab.trainer.video_net import video_net

# %% [markdown]
# ## Five axes, the same calls
#
# As in [tutorial 1](01_shared_mean), each number is its own address: 13201 stands at `x[1, 3, 2, 0, 1]`.

# %%
N, C, T, H, W, G = 2, 4, 3, 3, 3, 2
n, c, t, h, w = np.indices((N, C, T, H, W))
x = 10_000.0 * n + 1000 * c + 100 * t + 10 * h + w
assert x[1, 3, 2, 0, 1] == 13201

means = {
    "batch": gnref.batch_norm_forward(x)[1].mean,  # (C,)
    "layer": gnref.layer_norm_forward(x, (C, T, H, W))[1].mean,  # (N,)
    "instance": gnref.instance_norm_forward(x)[1].mean,  # (N, C)
    "group": gnref.group_norm_forward(x, G)[1].mean,  # (N, G)
}
of_our_cell = [float(mean.flat[-1]) for mean in means.values()]
assert of_our_cell == [8111, 11611, 13111, 12611]
of_our_cell

# %% [markdown]
# All four end in 111: what remains of T, H and W is 1, the middle of 0, 1 and 2. **T is pooled, like H and
# W**, and every set is T times as large: NTHW cells for batch norm, KTHW for group norm.

# %% tags=["hide-input"]
from matplotlib.figure import Figure

from gnref.teaching.palette import NAMES, THEMES, fill, hue
from gnref.teaching.sets import FOUR, describe, set_numbers
from gnref.teaching.themed import themed


def draw_strips(theme):
    """Draw two clips of four channels as strips of film, the frames side by side."""
    block, muted = (2, 4, 5, 1, 1), THEMES[theme].muted
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for ax, norm in zip(figure.subplots(1, 4), FOUR, strict=True):
        sets, numbers = describe(norm, block, G), set_numbers(norm, block, G)
        for n, c, t in np.ndindex(block[:3]):
            number = int(numbers[n, c, t, 0, 0])
            colour = fill(norm, sets.tint(number), theme) if number else hue(norm, theme)
            ax.add_patch(rectangle((t, 5 * n + c), facecolor=colour, edgecolor=THEMES[theme].background))
        ax.set(xlim=(0, 5), ylim=(9, -0.1), aspect="equal", xticks=np.arange(5) + 0.5)
        ax.set(xticklabels=["t = 0", *range(1, 5)], yticks=[*np.arange(4) + 0.5, *np.arange(5, 9) + 0.5])
        ax.set_yticklabels(["c = 0", 1, 2, 3] * 2)
        ax.tick_params(length=0, labelcolor=muted, labelsize=8)
        ax.spines[:].set_visible(False)
        ax.patch.set_alpha(0)
        ax.set_title(NAMES[norm], color=hue(norm, theme), weight="bold", fontsize=11)
        for n in (0, 1) if norm == "batch" else ():
            ink = THEMES[theme].ink
            ax.text(-1.6, 5 * n + 2, f"n = {n}", color=ink, size=11, rotation=90, ha="center", va="center")
    return figure


def rectangle(corner, **style):
    """One frame of one channel."""
    from matplotlib.patches import Rectangle

    return Rectangle(corner, 1, 1, lw=1, **style)


themed(
    draw_strips,
    "Two clips as rows of frames. BatchNorm's set is a channel's row in both clips; LayerNorm's a whole "
    "clip; InstanceNorm's one row of one clip; GroupNorm's two neighbouring rows of one clip.",
)

# %% [markdown]
# *Two clips of five frames; a square is a frame of one channel, all its pixels. One set is in full colour. No
# set ends between two frames.*
#
# With T = 1 this must be what images get. It is, to the last bit, backward too:

# %%
rng = np.random.default_rng(9)
images, dy = rng.normal(1.0, 2.0, (2, 8, 4, 6, 6)).astype(np.float32)  # two blocks N C H W
forwards = {
    "batch": gnref.batch_norm_forward,
    "instance": gnref.instance_norm_forward,
    "group": lambda x: gnref.group_norm_forward(x, 2),
    "layer": lambda x: gnref.group_norm_forward(x, 1),
}
for forward in forwards.values():
    (y, saved), (y_video, saved_video) = forward(images), forward(images[:, :, None])  # T = 1
    dx, dx_video = gnref.backward(dy, saved)[0], gnref.backward(dy[:, :, None], saved_video)[0]
    assert np.array_equal(y_video[:, :, 0], y)
    assert np.array_equal(dx_video[:, :, 0], dx)


# %% [markdown]
# And for a whole network: on one frame, the first and the last third of a 3 × 3 × 3 kernel meet nothing but
# the zeros around it. The middle third is a kernel for images.


# %%
def group_norm(C):
    return gnref.GroupNorm(4, C)


def two_nets():
    for_clips, for_images = (
        video_net(group_norm, 9, rng=np.random.default_rng(0), ndim=ndim) for ndim in (3, 2)
    )
    for of_clips, of_images in zip(for_clips.walk(), for_images.walk(), strict=True):
        if isinstance(of_clips, Convolution):
            middle = of_clips.weight[:, :, 1]  # of (C_out, C_in, 3, 3, 3)
            of_images.weight = middle.copy()
        elif isinstance(of_clips, Linear):
            of_images.weight = of_clips.weight
    return for_clips, for_images


for_clips, for_images = two_nets()
x = images[:, :1]
assert np.allclose(for_clips.forward(x[:, :, None]), for_images.forward(x), rtol=0, atol=1e-5)

# %% [markdown]
# ### Exercise 9.1: means of a video
#
# Write `clip_mean(x, num_groups)` for x of shape (N, C, T, H, W): GroupNorm's means, of shape (N, G).


# %% tags=["exercise"]
def clip_mean(x, num_groups):  # (N, C, T, H, W), integer -> (N, G)
    ...  # your lines here


# %%
check("clip_mean", clip_mean)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def clip_mean(x, num_groups):
#     N, C, T, H, W = x.shape
#     return x.reshape(N, num_groups, -1).mean(axis=2)
# ```
#
# The one reshape of tutorial 3. K, T, H and W lie side by side in memory, so one axis takes them all.
#
# </details>

# %% [markdown]
# ## Frames as images
#
# One could also take the clips apart into N·T images. That is another norm, with other sets: it sees each
# frame alone, and what changes *between* frames it may not see at all. A fade, for example:

# %%
fade = rng.normal(size=(1, 4, 1, 6, 6)) * np.array([1.0, 2.0, 4.0]).reshape(1, 1, 3, 1, 1)  # N C T H W
frame_alone = [gnref.group_norm(fade[:, :, t], 2, eps=0.0) for t in range(3)]
assert np.allclose(frame_alone[0], frame_alone[2])  # the fade is gone
whole = gnref.group_norm(fade, 2, eps=0.0)
assert np.allclose(whole[:, :, 2] - whole[:, :, 1], 2 * (whole[:, :, 1] - whole[:, :, 0]))  # it is there

# %% [markdown]
# ### Exercise 9.2: frame by frame
#
# Write `per_frame(x, num_groups, eps)`: x (N, C, T, H, W) with `gnref.group_norm(frames, num_groups,
# eps=eps)` applied to its frames as images, in x's shape again.


# %% tags=["exercise"]
def per_frame(x, num_groups, eps):  # (N, C, T, H, W), integer, number -> (N, C, T, H, W)
    ...  # your lines here


# %%
check("per_frame", per_frame)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def per_frame(x, num_groups, eps):
#     N, C, T, H, W = x.shape
#     frames = x.swapaxes(1, 2).reshape(N * T, C, H, W)
#     y = gnref.group_norm(frames, num_groups, eps=eps)
#     return y.reshape(N, T, C, H, W).swapaxes(1, 2)
# ```
#
# A reshape merges neighbours, and the neighbour of N is C. Without the `swapaxes` every shape fits, and the
# "images" are mixtures of channels and frames.
#
# </details>

# %% [markdown]
# ## Which way does the camera go?
#
# Our videos are 8 frames of 12 × 12 pixels, cut from ten photographs. The camera stands still or pans in one
# of eight directions: nine classes, chance is 88.9 % error. From frame to frame it moves by one pixel, or
# one time in four not at all, so four frames tell less than eight. Left halves of the photographs are to
# learn from, right halves to test on. Only the fine detail of a photograph is kept, so that a small network
# learns in seconds.

# %% tags=["hide-input"]
SHOWN = {"astronaut": "right", "brick": "down left", "chelsea": "still"}


def draw_clips(theme):
    figure = Figure(figsize=(9, 3.7), layout="constrained")
    for row, (name, way) in zip(figure.subplots(3, clips.FRAMES), SHOWN.items(), strict=True):
        area, step = clips.detail(name, "left"), np.array(clips.WAYS[way])
        frames = clips.pan(area, step, np.random.default_rng(4), clips.SIZE)
        for t, (ax, frame) in enumerate(zip(row, frames, strict=True)):
            ax.imshow(frame, cmap="gray", vmin=-2 * frames.std(), vmax=2 * frames.std())
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(color=THEMES[theme].muted, lw=0.5)
            if row[0] is ax:
                ax.set_ylabel(f"{name}:\n{way}", color=THEMES[theme].ink, size=10)
            if way == "still":
                ax.set_xlabel(f"t = {t}", color=THEMES[theme].muted, size=9)
    return figure


themed(draw_clips, "Three clips of eight frames. Where the camera goes right, the picture moves left.")

# %% [markdown]
# ## What more frames are worth
#
# For its backward pass a network keeps the blocks between its layers, N·C·T·H·W cells each. So memory sets a
# limit to **N·T, the frames in memory**: clips twice as long, half as many. The size of batch norm's sets,
# NTHW, stays the same. Does the noise of its statistics stay the same, too?
#
# Let every frame contribute a number $q$ (to a variance: the mean square of its pixels) of spread $\sigma$.
# Frames of different clips are independent, frames of one clip have the correlation $\rho$. The mean of all
# N·T has a variance of $1/(NT)^2$ times the sum of all covariances. Each of N·T frames has $\sigma^2$ with
# itself, $\rho\sigma^2$ with each of the T - 1 others of its clip, and 0 with the rest:
#
# $$\operatorname{var}(\text{mean}) = \frac{NT\,(\sigma^2 + (T-1)\,\rho\,\sigma^2)}{(NT)^2}
# = \frac{\sigma^2}{NT}\,\bigl(1 + (T-1)\,\rho\bigr).$$
#
# With $\rho = 0$ all N·T frames count; with $\rho = 1$ it is $\sigma^2/N$, and only clips do. Which is it?

# %%
x, _ = clips.clips(90, "left", np.random.default_rng([0, 1]))  # (900, 1, 8, 12, 12), those of seed 0
q = (x**2).mean(axis=(1, 3, 4), dtype=np.float64)  # (900, 8)
rho = {T: np.corrcoef(q[:, :T].T)[np.triu_indices(T, 1)].mean() for T in (4, 8)}
scatter = {}
for N, T in ((16, 4), (8, 8), (8, 4), (4, 8)):
    picked = rng.integers(len(q), size=(4000, N))  # 4000 batches of N clips
    scatter[N, T] = q[picked, :T].mean(axis=(1, 2)).std()
    clips_count = q[:, :T].std() * np.sqrt((1 + (T - 1) * rho[T]) / (N * T))
    frames_count = q[:, :T].std() / np.sqrt(N * T)
    print(f"N = {N:2}, T = {T}: spread {scatter[N, T]:.2f}, theory {clips_count:.2f}, ", end="")
    print(f"if frames were independent {frames_count:.2f}")
    assert abs(scatter[N, T] / clips_count - 1) < 0.1
assert [f"{r:.2f}" for r in rho.values()] == ["0.98", "0.96"]
assert f"{8 / (1 + 7 * 0.96):.2f}" == "1.04"
assert abs(scatter[8, 8] / scatter[16, 4] - 1.4) < 0.1
assert abs(scatter[8, 8] / scatter[8, 4] - 1) < 0.1

# %% [markdown]
# $\rho$ is 0.98 and 0.96: clips count, and frames hardly. The same 64 frames give statistics 1.4 times as
# noisy if they come as 8 clips in the place of 16. What looks like the same set is half as much evidence.
#
# ### Exercise 9.3: the spread of a batch's mean
#
# Write `spread_of_mean(sigma, N, T, rho)`, the root of that variance.


# %% tags=["exercise"]
def spread_of_mean(sigma, N, T, rho): ...  # your line here


# %%
check("spread_of_mean", spread_of_mean)

# %% [markdown]
# <details>
# <summary>Solution</summary>
#
# ```python
# def spread_of_mean(sigma, N, T, rho):
#     return sigma * np.sqrt((1 + (T - 1) * rho) / (N * T))
# ```
#
# `T / (1 + (T - 1) * rho)` is how many independent frames a clip is worth: 1.04 with $\rho = 0.96$ and T = 8.
#
# </details>

# %% [markdown]
# ## Measure
#
# Three 3-D convolutions, each with a norm (GN: G = 4), and a mean over T, H and W. BN's statistics are over N
# clips; SGD's batch is 16 clips throughout, as though 16/N machines shared each step, as the paper's eight
# GPUs do on ImageNet. So nothing but the statistics differs, and one run of GN is all N: it has nothing to
# cut ([tutorial 6](06_batch_size)).
# Seeds 0, 1 and 2, fixed beforehand. First guess: with 16 frames in memory, are 4 clips of 4 frames better,
# or 2 clips of 8?

# %%
one_frame = {"contrast": "as it is", "norm": "group", "T": 1, "N": 16, "epochs": video.EPOCHS, "seed": 0}
assert video.run(one_frame)["error"] > 86  # chance, 88.9: one frame cannot show a motion

records = sweep("video", video.settings(3))
by_memory, beside_paper, by_contrast = video.tables(records)
by_memory

# %% tags=["hide-input"]
themed(
    lambda theme: video.draw(records, theme),
    "Error by frames in memory. Batch norm rises as memory falls, with long clips faster than with short "
    "ones; group norm is flat, and lower with long clips.",
)

# %%
beside_paper

# %% [markdown]
# *Lines are means, dots are seeds. The paper's clips, of Kinetics, show 400 kinds of action in 32 and 64
# frames, ours have 4 and 8; its errors (top 1: the first guess counts) span 2.4 points, ours about 70.*
#
# **As in the paper**, with 32 frames in memory longer clips bring BN next to nothing: 31 to 30 %, less than
# its seeds are apart (26.7 and 26.7 % on Kinetics). At N = 8 they bring 5 points, 31 to 26 %, but the step to
# N = 4 takes 4 of them back. GN keeps what it gains: 25 to 19 % (27.0 to 25.5 %).
#
# With less memory BN has to choose. At 16 frames long clips are *worse* by 12 points, 49 for 37 %. And it is
# N that counts, as in the formula: from N = 8 to 2 BN loses 23 points with short clips, 22 with long ones.
# With a single clip BN trains as InstanceNorm, and is tested with running statistics that it never trained
# with: chance. For GN longer is better, whatever the memory.
#
# **Not as in the paper**, BN loses much more (from 8 clips to 4 there 1.2 points, here 6 with T = 4), and GN
# is ahead even at N = 16: 25 for 29 %, though the seeds overlap. Why? The contrast of one clip in ten is
# above 1.1, of one in ten below 0.1. So a batch's variance depends on who is in it. GN takes the contrast out
# of every clip by itself. (In the paper the images of a step change with N, too.) Take the contrast out of
# the data, and see:

# %%
by_contrast

# %% [markdown]
# Now BN at N = 16 is far ahead, with 12 %, and GN is about where it was, at 26 %. But from N = 16 to 2 BN
# still loses 18 points, GN none. Which norm wins with many clips depends on the data; BN needs them with
# both, and GN does not. And all this is an invented task, three layers and four epochs: trust the directions,
# not the sizes.

# %%
BN, GN = ({T: video.errors(records, norm, T) for T in (4, 8)} for norm in ("batch", "group"))
even = {norm: video.errors(records, norm, 4, "equal") for norm in ("batch", "group")}
measured = [(BN[4], {16: 29, 8: 31, 4: 37, 2: 54}), (BN[8], {8: 26, 4: 30, 2: 49, 1: 90}), (GN[4], {4: 25})]
measured += [(GN[8], {4: 19}), (even["batch"], {16: 12, 2: 30}), (even["group"], {16: 25})]
for found, near in measured:
    for N, value in near.items():
        assert abs(np.mean(found[N]) - value) < 5  # other machines round otherwise, which moves a run by 2


def loss(to, since):  # in points
    return np.mean(to) - np.mean(since)


assert abs(loss(BN[4][8], BN[8][4])) < 6  # 32 frames
assert loss(GN[4][8], GN[8][4]) > 1.5
assert loss(BN[8][2], BN[4][4]) > 4  # 16 frames
assert min(BN[4][2]) > max(BN[4][16])  # by more than the spread
assert abs(loss(BN[4][2], BN[4][8]) - loss(BN[8][2], BN[8][8])) < 7
assert loss(BN[4][8], BN[8][8]) > 0 < loss(BN[4][4], BN[4][8])
assert loss(even["batch"][2], even["batch"][16]) > 8
assert loss(even["group"][16], even["batch"][16]) > 5

contrast = x.std(axis=(1, 2, 3, 4))
assert 0.1 < (contrast > 1.1).mean() < 0.14
assert 0.1 < (contrast < 0.1).mean() < 0.14
theirs = [video.paper_errors(norm) for norm in ("batch", "group")]
assert [f"{of[at]:.1f}" for of in theirs for at in ((32, 8), (64, 4))] == ["26.7", "26.7", "27.0", "25.5"]
assert f"{theirs[0][32, 4] - theirs[0][32, 8]:.1f}" == "1.2"
assert f"{theirs[0][32, 4] - theirs[1][64, 4]:.1f}" == "2.4"

# %% [markdown]
# ## Where to go next
#
# - [Tutorial 10](10_stable_and_fast): how to take a variance without losing its digits.
# - [Tutorial 6](06_batch_size): the same question for images, with more norms.
