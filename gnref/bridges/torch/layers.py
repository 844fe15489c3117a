"""The layers of `torch.nn`, computed by gnref: subclasses that replace the forward pass, and nothing else."""

from __future__ import annotations

from torch import nn

from gnref.bridges.torch import functional
from gnref.bridges.torch.memory import Tensor, check_tensor


class Promise:
    """What all have in common: to gnref's kit they promise second derivatives and forward mode."""

    require = {"second_order": "exact"}  # noqa: RUF012  never changed


class GroupNorm(Promise, nn.GroupNorm):
    """`torch.nn.GroupNorm`, computed by `gnref.group_norm`."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize the groups of each example."""
        return functional.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


class LayerNorm(Promise, nn.LayerNorm):
    """`torch.nn.LayerNorm`, computed by `gnref.layer_norm`."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize over the last axes."""
        return functional.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(Promise, nn.RMSNorm):
    """`torch.nn.RMSNorm`, computed by `gnref.rms_norm`."""

    def forward(self, input: Tensor) -> Tensor:
        """Divide by the root of the mean square over the last axes."""
        return functional.rms_norm(input, self.normalized_shape, self.weight, self.eps)


class Features(Promise):
    """What batch norm and instance norm have in common: they look at the shape first."""

    def _check_input_dim(self, input: Tensor) -> None:
        check_tensor(input, "x")
        super()._check_input_dim(input)  # type: ignore[misc]


class _BatchNorm(Features, nn.modules.batchnorm._BatchNorm):
    """What the three have in common."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize each channel: with the batch's statistics in training, else with the running ones."""
        self._check_input_dim(input)
        tracks = self.training and self.track_running_stats
        momentum = self.momentum or 0.0
        if tracks and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # the average of all batches
                momentum = 1.0 / float(self.num_batches_tracked)
        mean, var = self.running_mean, self.running_var
        own = self.training or (mean is None and var is None)
        if own and not tracks:
            mean, var = None, None
        return functional.batch_norm(input, mean, var, self.weight, self.bias, own, momentum, self.eps)


class BatchNorm1d(_BatchNorm, nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d`, computed by `gnref.batch_norm`."""


class BatchNorm2d(_BatchNorm, nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d`, computed by `gnref.batch_norm`."""


class BatchNorm3d(_BatchNorm, nn.BatchNorm3d):
    """`torch.nn.BatchNorm3d`, computed by `gnref.batch_norm`."""


class _InstanceNorm(Features, nn.modules.instancenorm._InstanceNorm):
    """What the three have in common."""

    def _apply_instance_norm(self, input: Tensor) -> Tensor:
        """What the forward pass comes to, when `torch.nn` has looked at the shape."""
        own = self.training or not self.track_running_stats
        kept = self.running_mean, self.running_var
        return functional.instance_norm(
            input, *kept, self.weight, self.bias, own, self.momentum or 0.0, self.eps
        )


class InstanceNorm1d(_InstanceNorm, nn.InstanceNorm1d):
    """`torch.nn.InstanceNorm1d`, computed by `gnref.instance_norm`."""


class InstanceNorm2d(_InstanceNorm, nn.InstanceNorm2d):
    """`torch.nn.InstanceNorm2d`, computed by `gnref.instance_norm`."""


class InstanceNorm3d(_InstanceNorm, nn.InstanceNorm3d):
    """`torch.nn.InstanceNorm3d`, computed by `gnref.instance_norm`."""
