"""The public functions: one for each norm, its ``*_forward`` twin that also saves, and `backward`.

Arrays may come from any library that follows the array API; x is float16, bfloat16 (ml_dtypes),
float32 or float64, in any strides. y and dx have x's shape, dtype and memory layout; dweight and dbias
the shape and dtype of their parameter. Nothing is promoted: 16-bit x with float32 weights is the usual
mix, the arithmetic is wider than both, and a caller who asked for 16 bits does not get 32 back.
Inputs are never written.
"""

from gnref.functional.batch import batch_norm, batch_norm_forward
from gnref.functional.frozen import batch_norm_frozen, batch_norm_frozen_forward
from gnref.functional.gradients import backward
from gnref.functional.group import group_norm, group_norm_forward
from gnref.functional.instance import instance_norm, instance_norm_forward
from gnref.functional.layer import layer_norm, layer_norm_forward
from gnref.functional.rms import rms_norm, rms_norm_forward

__all__ = [
    "backward",
    "batch_norm",
    "batch_norm_forward",
    "batch_norm_frozen",
    "batch_norm_frozen_forward",
    "group_norm",
    "group_norm_forward",
    "instance_norm",
    "instance_norm_forward",
    "layer_norm",
    "layer_norm_forward",
    "rms_norm",
    "rms_norm_forward",
]
