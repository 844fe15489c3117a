"""The layers of `torch.nn`, computed by gnref: subclasses that replace the forward pass, and nothing else.

Constructors, attributes and state dicts are torch.nn's. x may be float64, float32, bfloat16 or float16,
beside parameters of any of these; y has x's shape, dtype and layout.
"""

from __future__ import annotations

from torch import nn

from gnref.bridges.torch import functional
from gnref.bridges.torch.memory import Tensor, check_tensor


class Promise:
    """What all have in common: to gnref's kit they promise second derivatives and forward mode."""

    require = {"second_order": "exact"}  # noqa: RUF012  never changed


class GroupNorm(Promise, nn.GroupNorm):
    r"""`torch.nn.GroupNorm`, computed by `gnref.group_norm`.

    Constructed as that is, and called with x of shape (N, C, \*spatial).

    Raises
    ------
    ValueError
        num_groups does not divide num_channels; ShapeError, if there is a weight and x has another number of
        channels.
    TypeError, BackendError
        x is no dense floating-point tensor, or on a device that gnref has no kernels for.

    Notes
    -----
    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, the mean and variance over the channels of a
    group and the spatial axes: Wu & He 2018, eq. 1, 2, 6 and 7.

    Examples
    --------
    >>> import torch
    >>> layer = GroupNorm(2, 4, eps=0.0)
    >>> x = torch.tensor([[1.0, 3.0, 10.0, 30.0]], requires_grad=True)
    >>> y = layer(x)
    >>> y.tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    >>> y.backward(torch.tensor([[2.0, 0.0, 0.0, 0.0]]))
    >>> layer.weight.grad.tolist()
    [-2.0, 0.0, 0.0, 0.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalize the groups of each example."""
        return functional.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


class LayerNorm(Promise, nn.LayerNorm):
    r"""`torch.nn.LayerNorm`, computed by `gnref.layer_norm`.

    Constructed as that is, and called with x of shape (\*leading, \*normalized_shape).

    Raises
    ------
    ShapeError
        x does not end in normalized_shape.
    TypeError, BackendError
        As in `GroupNorm`.

    Notes
    -----
    The formula of `GroupNorm`, the mean and variance over the last axes, and a weight for each of their
    elements: Ba, Kiros & Hinton 2016, eq. 3.

    Examples
    --------
    >>> import torch
    >>> LayerNorm(2, eps=0.0)(torch.tensor([[1.0, 3.0], [10.0, 30.0]])).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalize over the last axes."""
        return functional.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)


class RMSNorm(Promise, nn.RMSNorm):
    r"""`torch.nn.RMSNorm`, computed by `gnref.rms_norm`.

    Constructed as that is, and called with x of shape (\*leading, \*normalized_shape). Without eps, eps
    is the machine epsilon of x's dtype (of float32 for 16 bits).

    Raises
    ------
    ShapeError, TypeError, BackendError
        As in `LayerNorm`.

    Notes
    -----
    ``y = x / sqrt(mean(x**2) + eps) * weight`` over the last axes: Zhang & Sennrich 2019, eq. 4.

    Examples
    --------
    >>> import torch
    >>> RMSNorm(2, eps=0.0)(torch.tensor([[7.0, -1.0]])).tolist()
    [[1.399999976158142, -0.20000000298023224]]
    """

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
        momentum = 0.0 if self.momentum is None else self.momentum
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
    """`torch.nn.BatchNorm1d`, computed by `gnref.batch_norm`.

    Constructed as that is, and called with x of shape (N, C) or (N, C, L).

    Raises
    ------
    ValueError
        x has other axes, or in training one element per channel; ShapeError, if there are running statistics
        or a weight and its channels are not num_features.
    TypeError, BackendError
        As in `GroupNorm`.
    RuntimeError
        `torch.vmap` takes apart a batch that one set of running statistics is to follow.

    Notes
    -----
    The formula of `GroupNorm`, the mean and variance of each channel over the batch and the spatial axes; in
    evaluation the running ones: Ioffe & Szegedy 2015, Algorithms 1 and 2.

    Examples
    --------
    >>> import torch
    >>> layer = BatchNorm1d(1, eps=0.0, momentum=1.0)
    >>> layer(torch.tensor([1.0, 3.0]).reshape(2, 1)).flatten().tolist()
    [-1.0, 1.0]
    >>> layer.running_mean.item(), layer.running_var.item()
    (2.0, 2.0)
    """


class BatchNorm2d(_BatchNorm, nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d`, computed by `gnref.batch_norm`.

    Constructed as that is, and called with x of shape (N, C, H, W).

    Raises
    ------
    ValueError
        x has other axes, or in training one element per channel; ShapeError, if there are running statistics
        or a weight and its channels are not num_features.
    TypeError, BackendError
        As in `GroupNorm`.
    RuntimeError
        `torch.vmap` takes apart a batch that one set of running statistics is to follow.

    Notes
    -----
    The formula of `GroupNorm`, the mean and variance of each channel over the batch and the spatial axes; in
    evaluation the running ones: Ioffe & Szegedy 2015, Algorithms 1 and 2.

    Examples
    --------
    >>> import torch
    >>> layer = BatchNorm2d(1, eps=0.0, momentum=1.0)
    >>> layer(torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1)).flatten().tolist()
    [-1.0, 1.0]
    >>> layer.running_mean.item(), layer.running_var.item()
    (2.0, 2.0)
    """


class BatchNorm3d(_BatchNorm, nn.BatchNorm3d):
    """`torch.nn.BatchNorm3d`, computed by `gnref.batch_norm`.

    Constructed as that is, and called with x of shape (N, C, D, H, W).

    Raises
    ------
    ValueError
        x has other axes, or in training one element per channel; ShapeError, if there are running statistics
        or a weight and its channels are not num_features.
    TypeError, BackendError
        As in `GroupNorm`.
    RuntimeError
        `torch.vmap` takes apart a batch that one set of running statistics is to follow.

    Notes
    -----
    The formula of `GroupNorm`, the mean and variance of each channel over the batch and the spatial axes; in
    evaluation the running ones: Ioffe & Szegedy 2015, Algorithms 1 and 2.

    Examples
    --------
    >>> import torch
    >>> layer = BatchNorm3d(1, eps=0.0, momentum=1.0)
    >>> layer(torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1, 1)).flatten().tolist()
    [-1.0, 1.0]
    >>> layer.running_mean.item(), layer.running_var.item()
    (2.0, 2.0)
    """


class _InstanceNorm(Features, nn.modules.instancenorm._InstanceNorm):
    """What the three have in common."""

    def _apply_instance_norm(self, input: Tensor) -> Tensor:
        """What the forward pass comes to, when `torch.nn` has looked at the shape."""
        own = self.training or not self.track_running_stats
        kept = self.running_mean, self.running_var
        momentum = 0.0 if self.momentum is None else self.momentum
        return functional.instance_norm(input, *kept, self.weight, self.bias, own, momentum, self.eps)


class InstanceNorm1d(_InstanceNorm, nn.InstanceNorm1d):
    """`torch.nn.InstanceNorm1d`, computed by `gnref.instance_norm`.

    Constructed as that is, and called with x of shape (N, C, L) or (C, L).

    Raises
    ------
    ValueError
        x has other axes; or there are running statistics or a weight, and its channels are not num_features.
    TypeError, BackendError, RuntimeError
        As in `BatchNorm1d`.

    Notes
    -----
    The formula of `GroupNorm`, the mean and variance of each channel of each example over the spatial axes:
    Wu & He 2018, eq. 1, 2, 5 and 6. Sets of one element are allowed, and give the bias.

    Examples
    --------
    >>> import torch
    >>> InstanceNorm1d(1, eps=0.0)(torch.tensor([1.0, 3.0]).reshape(1, 1, 2)).flatten().tolist()
    [-1.0, 1.0]
    """


class InstanceNorm2d(_InstanceNorm, nn.InstanceNorm2d):
    """`torch.nn.InstanceNorm2d`, computed by `gnref.instance_norm`.

    Constructed as that is, and called with x of shape (N, C, H, W) or (C, H, W).

    Raises
    ------
    ValueError
        x has other axes; or there are running statistics or a weight, and its channels are not num_features.
    TypeError, BackendError, RuntimeError
        As in `BatchNorm2d`.

    Notes
    -----
    The formula of `GroupNorm`, the mean and variance of each channel of each example over the spatial axes:
    Wu & He 2018, eq. 1, 2, 5 and 6. Sets of one element are allowed, and give the bias.

    Examples
    --------
    >>> import torch
    >>> InstanceNorm2d(1, eps=0.0)(torch.tensor([1.0, 3.0]).reshape(1, 1, 1, 2)).flatten().tolist()
    [-1.0, 1.0]
    """


class InstanceNorm3d(_InstanceNorm, nn.InstanceNorm3d):
    """`torch.nn.InstanceNorm3d`, computed by `gnref.instance_norm`.

    Constructed as that is, and called with x of shape (N, C, D, H, W) or (C, D, H, W).

    Raises
    ------
    ValueError
        x has other axes; or there are running statistics or a weight, and its channels are not num_features.
    TypeError, BackendError, RuntimeError
        As in `BatchNorm3d`.

    Notes
    -----
    The formula of `GroupNorm`, the mean and variance of each channel of each example over the spatial axes:
    Wu & He 2018, eq. 1, 2, 5 and 6. Sets of one element are allowed, and give the bias.

    Examples
    --------
    >>> import torch
    >>> InstanceNorm3d(1, eps=0.0)(torch.tensor([1.0, 3.0]).reshape(1, 1, 1, 1, 2)).flatten().tolist()
    [-1.0, 1.0]
    """
