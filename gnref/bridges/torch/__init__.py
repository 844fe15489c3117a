"""PyTorch's normalization layers, computed by gnref's kernels on the same memory.

The layers are subclasses of those of `torch.nn`, with their constructors, parameters, buffers and state
dicts, and `convert` makes a model's own layers into these, and back. Tensors on the CPU are seen as NumPy
arrays, and results as tensors, without a copy; tensors on a CUDA device go to the `cuda` backend. Autograd
differentiates them as often as it is asked to, backward and forward. torch.compile breaks its graph at each.
"""

from gnref.bridges.torch.conversion import convert
from gnref.bridges.torch.layers import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
    RMSNorm,
)

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "RMSNorm",
    "convert",
]
