"""SyncBatchNorm: BatchNorm over a batch that is spread over ranks."""

from __future__ import annotations

from typing import Any

from gnref.distributed.passes import SyncSaved, backward, forward
from gnref.distributed.ranks import TIMEOUT, check_comm, check_timeout
from gnref.layers import BatchNorm


class SyncBatchNorm(BatchNorm):
    """Batch norm over all ranks of a communicator, as torch.nn.SyncBatchNorm.

    In training every rank calls `forward`, and then `backward`, with its own shard of the batch.
    Evaluation and the frozen mode are `gnref.BatchNorm`'s, and nothing is exchanged there.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, channel_axis, dtype
        As in `gnref.BatchNorm`. Without running statistics evaluation uses the shard's own.
    comm : communicator
        Of mpi4py.
    timeout : float
        As in `sync_batch_norm`.

    Raises
    ------
    ShapeError, ValueError, TypeError
        As from `gnref.BatchNorm`.
    RankError
        As from `sync_batch_norm`; nothing has changed then.

    Notes
    -----
    Layers that start alike stay alike: the running statistics, whose variance is unbiased by the count of the
    whole batch, move by the same bits on every rank, and ``grads`` are those of the whole batch, as
    from `sync_batch_norm_backward`.

    Examples
    --------
    >>> from mpi4py import MPI  # doctest: +SKIP
    >>> layer = SyncBatchNorm(64, comm=MPI.COMM_WORLD)  # doctest: +SKIP
    >>> y = layer.forward(x_shard)  # doctest: +SKIP
    """

    def __init__(
        self,
        num_features: int,
        *,
        comm: Any,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        channel_axis: int = 1,
        dtype: Any = "float32",
        timeout: float = TIMEOUT,
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
        check_comm(comm)
        self.comm, self.timeout = comm, check_timeout(timeout)

    def forward(self, x: Any) -> Any:
        """Return the y of this rank's shard, and keep what `backward` needs; see `gnref.BatchNorm`."""
        if self.mode != "train":
            return super().forward(x)
        self._saved, self._frozen = None, False
        options = (self.comm, self.eps, self.channel_axis, self.timeout)
        y, self._saved = forward(x, self.weight, self.bias, *options, layer=self)
        if self.track_running_stats:
            self._update(self._saved, self._saved.count)
        return y

    __call__ = forward

    def _backward(self, dy: Any, needs: tuple[str, ...]) -> tuple[Any, Any, Any]:
        if isinstance(self._saved, SyncSaved):
            return backward(dy, self._saved)
        return super()._backward(dy, needs)
