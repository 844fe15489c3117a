"""BatchNorm and InstanceNorm, which may keep running statistics."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from gnref import functional
from gnref.checks import check_bool, check_layer_axis, check_momentum, check_positive
from gnref.conventions import MODES
from gnref.layers.layer import Array, Layer, check_channels
from gnref.passes import Saved, quiet


class _Tracking(Layer):
    """What BatchNorm and InstanceNorm share: a weight per channel, running statistics, three modes."""

    running_mean: Array | None = None
    running_var: Array | None = None
    num_batches_tracked: Array | None = None
    virtual_batch_size: int | None = None

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        channel_axis: int = 1,
        dtype: Any = "float32",
    ) -> None:
        self.num_features = check_positive(num_features, "num_features")
        self.momentum = check_momentum(momentum)
        self.channel_axis = check_layer_axis(channel_axis)
        self.track_running_stats = check_bool(track_running_stats, "track_running_stats")
        affine = check_bool(affine, "affine")
        shape = (self.num_features,)
        super().__init__(shape, eps=eps, weight=affine, bias=affine, dtype=dtype)
        if track_running_stats:  # 16 bits are too few for an average that moves by small steps
            wide = np.promote_types(self.dtype, np.float32)
            self.running_mean, self.running_var = np.zeros(shape, wide), np.ones(shape, wide)
            self.num_batches_tracked = np.zeros((), np.int64)

    def _state(self) -> dict[str, Array]:
        names = ("running_mean", "running_var", "num_batches_tracked")
        tracked = {name: getattr(self, name) for name in names} if self.track_running_stats else {}
        return super()._state() | tracked

    def _enter(self, mode: str) -> Self:
        if MODES[self.norm][mode, self.track_running_stats].source == "error":
            raise ValueError(
                "track_running_stats is False; expected True, "
                "since a frozen BatchNorm is its running statistics"
            )
        return super()._enter(mode)

    def _forward(self, x: Any) -> tuple[Any, Saved]:
        check_channels(x, self.num_features, self.channel_axis, self)
        rule = MODES[self.norm][self.mode, self.track_running_stats]
        options: dict[str, Any] = {"eps": self.eps, "channel_axis": self.channel_axis}
        if rule.source == "running":
            given = (self.running_mean, self.running_var)
            return functional.batch_norm_frozen_forward(x, *given, self.weight, self.bias, **options)
        own = {"batch": functional.batch_norm_forward, "instance": functional.instance_norm_forward}
        if self.virtual_batch_size is not None and self.mode == "train":
            options["virtual_batch_size"] = self.virtual_batch_size
        y, saved = own[self.norm](x, self.weight, self.bias, **options)
        if rule.updates:
            self._update(saved)
        return y, saved

    def _update(self, saved: Any, count: int | None = None) -> None:
        """Move the running statistics towards a batch's; stay where it has none."""
        new = batch_statistics(saved, self.num_features, count)
        if new is None:
            return
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        mean, var = new
        # PyTorch's InstanceNorm never counts; here it does where the count is used.
        counts = self.norm == "batch" or self.momentum is None
        step = self.num_batches_tracked + 1 if counts else self.num_batches_tracked
        momentum = 1 / float(step) if self.momentum is None else self.momentum
        with quiet():  # an infinite variance is told by its value
            dtype = self.running_mean.dtype
            self.running_mean = moved(self.running_mean, mean, momentum).astype(dtype)
            self.running_var = moved(self.running_var, var, momentum).astype(dtype)
        self.num_batches_tracked = np.asarray(step)


def batch_statistics(saved: Any, num_features: int, count: int | None = None) -> tuple[Array, Array] | None:
    """The mean and the unbiased variance of a batch, (C,) each: what running statistics move towards.

    ``count`` is how many elements share a mean, where that is not told by x: in a batch whose other
    shards lie elsewhere. None comes back for a batch that has no unbiased variance.
    """
    n = count
    if n is None:
        n = 0 if 0 in saved.view.x.shape else saved.view.set_size
    if n < 2:
        return None
    # One row per example for instance norm, per virtual batch for batch norm: their average.
    mean, var = saved.mean, saved.var
    if mean.ndim > 1:
        mean, var = (a.reshape((-1, num_features)).mean(axis=0) for a in (mean, var))
    return mean, var * (n / (n - 1))


def moved(running: Any, new: Any, momentum: float) -> Any:
    """(1 - momentum) * running + momentum * new, where a weight of 0 silences even an infinity."""
    if momentum == 0:
        return running
    if momentum == 1:
        return new
    return (1 - momentum) * running + momentum * new


class BatchNorm(_Tracking):
    """Batch norm with running statistics, as torch.nn.BatchNorm1d, 2d and 3d in one.

    Parameters
    ----------
    num_features : int
        C.
    eps : float
        Added to the variance, inside the square root.
    momentum : float or None
        Weight of the new value in the running statistics, 0 to 1; None is the cumulative average.
    affine : bool
        Whether there are a weight (1) and a bias (0).
    track_running_stats : bool
        Whether running statistics are kept: running_mean (0), running_var (1, unbiased) and
        num_batches_tracked. Without them evaluation uses the batch's own.
    channel_axis : int
        Which axis of x is C; -1 is channels last.
    dtype : str or dtype
        Of the parameters. Running statistics are float32 or wider.
    virtual_batch_size : int, optional
        In training, take statistics over consecutive pieces of so many examples, as `gnref.batch_norm`
        does. The running statistics move once, towards the pieces' average.

    Raises
    ------
    ShapeError
        num_features or virtual_batch_size is no positive integer, the latter does not divide N, or x has
        another number of channels.
    ValueError, TypeError
        For a momentum or a dtype that is none.

    Notes
    -----
    Ioffe & Szegedy 2015, Algorithms 1 and 2. `gnref.conventions` has the modes as a table. A batch of
    no elements leaves the running statistics as they were.

    Examples
    --------
    >>> import numpy as np
    >>> layer = gnref.BatchNorm(2, momentum=1.0)
    >>> y = layer.forward(np.array([[1.0, 10.0], [3.0, 30.0]]))
    >>> layer.running_mean, layer.running_var
    (array([ 2., 20.], dtype=float32), array([  2., 200.], dtype=float32))
    >>> layer.eval().forward(np.array([[2.0, 20.0]]))
    array([[0., 0.]])
    """

    norm = "batch"

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        channel_axis: int = 1,
        dtype: Any = "float32",
        virtual_batch_size: int | None = None,
    ) -> None:
        super().__init__(
            num_features,
            eps=eps,
            momentum=momentum,
            affine=affine,
            track_running_stats=track_running_stats,
            channel_axis=channel_axis,
            dtype=dtype,
        )
        if virtual_batch_size is not None:
            self.virtual_batch_size = check_positive(virtual_batch_size, "virtual_batch_size")


class InstanceNorm(_Tracking):
    """Instance norm, as torch.nn.InstanceNorm1d, 2d and 3d in one, but with a weight by default.

    Parameters
    ----------
    num_features, eps, momentum, affine, channel_axis, dtype
        As in `BatchNorm`.
    track_running_stats : bool
        Whether running statistics are kept, which average over the examples of a batch too. Without
        them, the default, evaluation uses x's own, as training does.

    Raises
    ------
    ShapeError, ValueError, TypeError
        As in `BatchNorm`; sets of one element are fine, and leave the running statistics alone.

    Notes
    -----
    The formula is that of `gnref.instance_norm`: Wu & He 2018, eq. 1, 2, 5 and 6. As in PyTorch,
    num_batches_tracked stays 0, except where momentum=None needs the count.

    Examples
    --------
    >>> import numpy as np
    >>> gnref.InstanceNorm(1, eps=0.0).forward(np.array([[[1.0, 3.0]]]))
    array([[[-1.,  1.]]])
    """

    norm = "instance"

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = False,
        channel_axis: int = 1,
        dtype: Any = "float32",
    ) -> None:
        super().__init__(
            num_features,
            eps=eps,
            momentum=momentum,
            affine=affine,
            track_running_stats=track_running_stats,
            channel_axis=channel_axis,
            dtype=dtype,
        )
