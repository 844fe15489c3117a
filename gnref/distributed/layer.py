"""SyncBatchNorm: BatchNorm over a batch that is spread over ranks."""

from __future__ import annotations

from copy import copy, deepcopy
from functools import partial
from typing import Any, Self

from gnref.distributed.passes import SyncSaved, backward, forward
from gnref.distributed.ranks import TIMEOUT, check_comm, check_timeout, together
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
        As from `sync_batch_norm`; nothing has changed then. In training also where another rank goes back
        before it went forward, and where ranks differ in momentum, in whether they track running statistics,
        or in num_batches_tracked: a layer that was restored at another step, or is not the same one.

    Notes
    -----
    Layers that start alike stay alike: the running statistics, whose variance is unbiased by the count of the
    whole batch, move by the same bits on every rank, and ``grads`` are those of the whole batch, as
    from `sync_batch_norm_backward`. If your training loop adds or averages the gradients of all parameters
    over R ranks, divide these by R first: they then come out as the others do.

    Ctrl-C may reach one rank before a step and another one after it. Layers with running statistics then
    differ by that step, and the next forward pass says so (RankError): restore all ranks from one
    `state_dict`. Ctrl-C during an exchange ends the use of the communicator.

    A deep copy has the same communicator. pickle takes no communicator but ``MPI.COMM_WORLD`` and
    ``MPI.COMM_SELF``: save `state_dict`.

    Examples
    --------
    Two ranks, here threads; with mpi4py they are processes, and comm is ``MPI.COMM_WORLD``.

    >>> import numpy as np
    >>> from gnref.teaching.threads import on_ranks
    >>> shards = [np.array([[1.0], [3.0]]), np.array([[5.0], [7.0]])]
    >>> def work(comm):
    ...     layer = SyncBatchNorm(1, comm=comm, momentum=1.0, dtype="float64")
    ...     y = layer.forward(shards[comm.Get_rank()])
    ...     return layer.running_mean.item(), layer.running_var.round(2).item()
    >>> on_ranks(2, work)
    [(4.0, 6.67), (4.0, 6.67)]
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
        self._saved = None
        options = (self.comm, self.eps, self.channel_axis, self.timeout)
        y, self._saved = forward(x, self.weight, self.bias, *options, layer=self)
        if self.track_running_stats:
            self._update(self._saved, self._saved.count)
        return y

    __call__ = forward

    def backward(self, dy: Any) -> Any:
        """Return the dx of this rank's shard, and leave the whole batch's gradients in ``grads``."""
        if self._saved is None and self.mode == "train":  # the others must hear of that
            together(self.comm, self.timeout, partial(super().backward, dy))
        return super().backward(dy)

    def _backward(self, dy: Any, needs: tuple[str, ...]) -> tuple[Any, Any, Any]:
        if isinstance(self._saved, SyncSaved):
            return backward(dy, self._saved)
        return super()._backward(dy, needs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Copy all but the communicator: ranks cannot be copied."""
        memo[id(self.comm)] = self.comm
        copied = copy(self)
        vars(copied).update(deepcopy(vars(self), memo))
        return copied
