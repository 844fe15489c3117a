"""The network for clips: any number of frames, and with one frame the network for images."""

import numpy as np
import pytest

import gnref
from gnref.teaching.lab.trainer.convolution import Convolution
from gnref.teaching.lab.trainer.parts import Linear
from gnref.teaching.lab.trainer.training import norms, set_mode
from gnref.teaching.lab.trainer.video_net import video_net


def group(C):
    return gnref.GroupNorm(4, C)


def made(norm=group, ndim=3, seed=0):
    return video_net(norm, 9, rng=np.random.default_rng(seed), ndim=ndim)


def as_for_images(net, norm=group):
    """The network for images that has the middle thirds of the kernels."""
    images = made(norm, ndim=2)
    for of_images, of_clips in zip(images.walk(), net.walk(), strict=True):
        if isinstance(of_clips, Convolution):
            of_images.weight = of_clips.weight[:, :, 1].copy()
        elif isinstance(of_clips, Linear):
            of_images.weight = of_clips.weight.copy()
    return images


@pytest.mark.parametrize("norm", [group, gnref.BatchNorm, gnref.InstanceNorm])
def test_with_one_frame_it_is_the_network_for_images(norm):
    rng = np.random.default_rng(1)
    x, dy = rng.normal(size=(4, 1, 8, 8)).astype("f"), rng.normal(size=(4, 9)).astype("f")
    clips = made(norm)
    images = as_for_images(clips, norm)
    assert np.allclose(clips.forward(x[:, :, None]), images.forward(x), rtol=0, atol=1e-5)
    dx, dx_images = clips.backward(dy)[:, :, 0], images.backward(dy)
    assert np.allclose(dx, dx_images, rtol=0, atol=1e-4 * np.abs(dx_images).max())


@pytest.mark.parametrize("T", [1, 2, 5, 8])
def test_any_number_of_frames_gives_a_score_per_class(T):
    assert made().forward(np.ones((2, 1, T, 6, 6), np.float32)).shape == (2, 9)


def test_the_second_convolution_halves_every_axis():
    net = made()
    net.forward(np.ones((2, 1, 4, 6, 6), np.float32))
    assert net.parts[-2].shape == (2, 32, 2, 3, 3)


def test_more_frames_are_seen():
    x = np.random.default_rng(0).normal(size=(1, 1, 4, 6, 6)).astype("f")
    changed = x.copy()
    changed[:, :, 3] += 1
    assert not np.allclose(made().forward(x), made().forward(changed), atol=1e-3)


def test_the_weights_do_not_depend_on_the_norm():
    nets = made(group), made(gnref.BatchNorm)
    weights = [[p.weight for p in net.walk() if isinstance(p, Convolution | Linear)] for net in nets]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    assert [norm.weight.size for norm in norms(nets[1])] == [8, 16, 32]


def test_clips_do_not_mix_unless_batch_norm_mixes_them():
    x = np.random.default_rng(0).normal(size=(4, 1, 4, 6, 6)).astype("f")
    for norm, alone in ((group, True), (gnref.BatchNorm, False)):
        net = made(norm)
        set_mode(net, "train")
        assert np.allclose(net.forward(x)[:2], net.forward(x[:2]), atol=1e-5) == alone
