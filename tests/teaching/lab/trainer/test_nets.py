import numpy as np
import pytest

import gnref
from gnref.teaching.lab.trainer.convolution import Convolution
from gnref.teaching.lab.trainer.nets import plain_net, residual_net
from gnref.teaching.lab.trainer.training import norms

NETS = {"residual": (residual_net, 7), "plain": (plain_net, 3)}


def make(name, norm=gnref.BatchNorm, **options):
    return NETS[name][0](norm, 5, rng=np.random.default_rng(0), **options)


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("name", NETS)
def test_scores_for_images_of_any_size(name, size):
    x = np.random.default_rng(1).standard_normal((2, 3, size, size)).astype("float32")
    assert make(name).forward(x).shape == (2, 5)


@pytest.mark.parametrize("name", NETS)
def test_widths_are_channels(name):
    net = make(name, widths=(4, 6, 8))
    assert sorted({norm.num_features for norm in norms(net)}) == [4, 6, 8]
    assert len(norms(net)) == NETS[name][1]


@pytest.mark.parametrize("name", NETS)
def test_the_first_weights_do_not_depend_on_the_norm(name):
    one, other = (
        [part.weight for part in make(name, norm).walk() if isinstance(part, Convolution)]
        for norm in (gnref.BatchNorm, lambda C: gnref.GroupNorm(2, C))
    )
    assert all(map(np.array_equal, one, other))


def shapes(net):
    """Of what comes out of each part, without N."""
    x, found = np.ones((1, 3, 12, 8), np.float32), []
    for part in net.parts:
        x = part.forward(x)
        found.append(x.shape[1:])
    return found


def test_each_block_halves_height_and_width():
    assert shapes(make("residual"))[2:] == [(16, 12, 8), (32, 6, 4), (32, 3, 2), (32,), (5,)]
    assert shapes(make("plain"))[3::4] == [(16, 6, 4), (32, 3, 2), (32,)]


def test_kernels_and_strides():
    found = {
        name: [(part.kernel, part.stride) for part in make(name).walk() if isinstance(part, Convolution)]
        for name in NETS
    }
    block = [(3, 2), (3, 1), (1, 2)]  # the last is the shortcut
    assert found == {"residual": [(3, 1), *block, *block], "plain": 3 * [(3, 1)]}
