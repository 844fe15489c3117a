import inspect

import pytest

import gnref
from gnref.conventions import CONVENTIONS


def default(function, name):
    return inspect.signature(function).parameters[name].default


def test_gnref_does_what_its_row_says():
    row = CONVENTIONS["gnref"]
    assert row.eps == default(gnref.batch_norm, "eps") == default(gnref.BatchNorm, "eps")
    assert row.eps_group == default(gnref.group_norm, "eps")
    assert row.eps_rms == default(gnref.rms_norm, "eps")
    assert row.momentum == default(gnref.BatchNorm, "momentum")
    assert (row.running_var, row.momentum_weights) == ("unbiased", "new")


def test_pytorch_does_what_its_row_says():
    nn = pytest.importorskip("torch").nn
    row = CONVENTIONS["PyTorch"]
    assert row.eps == default(nn.BatchNorm2d, "eps")
    assert row.momentum == default(nn.BatchNorm2d, "momentum")
    assert row.eps_group == default(nn.GroupNorm, "eps")
    assert row.eps_rms is default(nn.RMSNorm, "eps") is None
