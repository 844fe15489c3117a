"""gnref: the reference implementation of the normalization layers, forward and backward.

======== ========= ==================== =====================
norm     layout    (O, P, A, B, S)      statistics per
======== ========= ==================== =====================
batch    N C H W   (1, N, C, 1, HW)     C
instance N C H W   (N, 1, C, 1, HW)     N C
group    N C H W   (N, 1, G, K, HW)     N G
layer    N T D     (NT, 1, 1, D, 1)     N T
rms      N T D     (NT, 1, 1, D, 1)     N T, no mean
======== ========= ==================== =====================

A norm is a choice of the axes that share a mean and a variance. `gnref.axes` turns that choice into a
5-slot view of the array, `gnref.kernels.reference` computes on the view, and the functions below check
their arguments and go there and back.
"""

from gnref.calculus import double_backward, jvp
from gnref.dispatch import backends
from gnref.errors import BackendError, ShapeError
from gnref.functional import (
    backward,
    batch_norm,
    batch_norm_forward,
    batch_norm_frozen,
    batch_norm_frozen_forward,
    group_norm,
    group_norm_forward,
    instance_norm,
    instance_norm_forward,
    layer_norm,
    layer_norm_forward,
    rms_norm,
    rms_norm_forward,
)
from gnref.layers import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from gnref.passes import Saved

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "BatchNorm",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "RMSNorm",
    "Saved",
    "ShapeError",
    "backends",
    "backward",
    "batch_norm",
    "batch_norm_forward",
    "batch_norm_frozen",
    "batch_norm_frozen_forward",
    "double_backward",
    "group_norm",
    "group_norm_forward",
    "instance_norm",
    "instance_norm_forward",
    "jvp",
    "layer_norm",
    "layer_norm_forward",
    "rms_norm",
    "rms_norm_forward",
]
