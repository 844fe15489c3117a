"""The norms as layers that keep parameters, gradients and running statistics, as torch.nn has them."""

from gnref.layers.group import GroupNorm
from gnref.layers.tracking import BatchNorm, InstanceNorm
from gnref.layers.trailing import LayerNorm, RMSNorm

__all__ = ["BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm", "RMSNorm"]
