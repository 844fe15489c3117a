"""Batch norm over all shards of a batch, forward and backward: the public functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnref.distributed.passes import SyncSaved, backward, forward
from gnref.distributed.ranks import TIMEOUT

Array = np.ndarray[Any, Any]


def sync_batch_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    comm: Any,
    eps: float = 1e-5,
    channel_axis: int = 1,
    timeout: float = TIMEOUT,
) -> Array:
    r"""Normalize each channel over a batch whose examples are spread over the ranks of a communicator.

    Every rank calls it with its own shard, and gets the y of its own shard: that of `gnref.batch_norm` for
    all shards together.

    Parameters
    ----------
    x : ndarray, (N, C, \*spatial)
        This rank's shard: float16, bfloat16, float32 or float64, as on every rank; any strides. N may differ
        from rank to rank, and may be 0.
    weight, bias : ndarray, (C,), optional
        Scale and shift of each channel; absent, 1 and 0. The same numbers on every rank (that they are
        given, and their dtype, is compared; the numbers are not).
    comm : communicator
        Of mpi4py, such as ``MPI.COMM_WORLD``.
    eps : float
        Added to the biased variance, inside the square root. >= 0, and the same on every rank.
    channel_axis : int
        Which axis of x is C: any but 0; -1 is channels last.
    timeout : float
        How many seconds this rank waits for the others; infinity is for ever. More than ranks may be apart:
        one that compiles, saves or evaluates meanwhile is late and not lost.

    Returns
    -------
    y : ndarray
        Of x's shape, dtype and memory layout.

    Raises
    ------
    ShapeError, ValueError, TypeError
        On the rank whose arguments are bad, as from `gnref.batch_norm`. ShapeError on every rank if the whole
        batch has one element per channel (a shard alone may).
    RankError
        On every rank, and the same sentence, if ranks disagree on C, eps, or the dtypes of x and the
        parameters, or are in different calls; on all others, if one refused its arguments or failed. After
        these the communicator is as good as before. Also where a rank did not answer within ``timeout``, or
        ranks are out of step; then it is not. A rank whose comm or saved is none, or that is in evaluation
        while others train, takes no part: the others wait for ``timeout``.

    Notes
    -----
    ``y = (x - mean) / sqrt(var + eps) * weight + bias``, with the mean and variance over N and the spatial
    axes of all shards (Ioffe & Szegedy 2015, Algorithm 1). Two exchanges, from each rank to each: a kilobyte
    of words, to agree, and 2C + 1 numbers. A 1 before each message shows that it has come. Statistics are
    merged in float64 in the order of the ranks (Chan, Golub & LeVeque 1979), and one float64 holds the mean:
    where that is d standard deviations from 0, y is off by some d * 1e-16, dx by that part of dy, and dweight
    by that part of dbias. In float64 the squares of x must be in its range: x up to 1e150.

    One thread at a time, and no other unfinished exchange, on one communicator: ``comm.Dup()`` makes another.
    Which rank is silent is told as far as MPI shows it (MPICH: up to 32 ranks; among more, some that only
    wait may be named, too).

    After a timeout MPI still has the exchange on its hands, and where the silent rank still exists, the
    program would wait for it at its end: end all ranks with ``comm.Abort(1)``, or run
    `mpiexec -n 4 python -m mpi4py program.py`. Where a process is killed, mpiexec ends all of them.

    Examples
    --------
    Two ranks with half of the batch each. Here they are threads; with mpi4py each is a process, and its comm
    ``MPI.COMM_WORLD``.

    >>> import numpy as np
    >>> from gnref.teaching.threads import on_ranks
    >>> x = np.array([[1.0], [3.0], [5.0], [7.0]])
    >>> def work(comm):
    ...     shard = np.split(x, 2)[comm.Get_rank()]
    ...     return sync_batch_norm(shard, comm=comm)
    >>> first, second = on_ranks(2, work)
    >>> first.round(2).tolist(), second.round(2).tolist()
    ([[-1.34], [-0.45]], [[0.45], [1.34]])
    """
    options: dict[str, Any] = {"eps": eps, "channel_axis": channel_axis, "timeout": timeout}
    return sync_batch_norm_forward(x, weight, bias, comm=comm, **options)[0]


def sync_batch_norm_forward(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    comm: Any,
    eps: float = 1e-5,
    channel_axis: int = 1,
    timeout: float = TIMEOUT,
) -> tuple[Array, SyncSaved]:
    """Like `sync_batch_norm`, and also return what `sync_batch_norm_backward` needs.

    Parameters and errors are those of `sync_batch_norm`.

    Returns
    -------
    y : ndarray
        As from `sync_batch_norm`.
    saved : SyncSaved
        mean, var and rstd are (C,), of the whole batch. It refers to x and weight: changed in place
        before the backward pass, they give wrong gradients.

    Examples
    --------
    >>> import numpy as np
    >>> from gnref.teaching.threads import on_ranks
    >>> shards = [np.array([[1.0], [3.0]]), np.array([[5.0], [7.0]])]
    >>> def work(comm):
    ...     y, saved = sync_batch_norm_forward(shards[comm.Get_rank()], comm=comm)
    ...     return saved.mean.item(), saved.var.item(), saved.count
    >>> on_ranks(2, work)
    [(4.0, 5.0, 4), (4.0, 5.0, 4)]
    """
    return forward(x, weight, bias, comm, eps, channel_axis, timeout)


def sync_batch_norm_backward(dy: Array, saved: SyncSaved) -> tuple[Array, Array | None, Array | None]:
    """Return the gradients of a loss by this rank's x, and by weight and bias.

    Every rank calls it, with what the same forward pass saved. The loss is the sum of what all ranks add
    to it, and dy its gradient by the y of this rank.

    Parameters
    ----------
    dy : ndarray
        Of the shape and dtype of this rank's x, in any strides.
    saved : SyncSaved
        From `sync_batch_norm_forward` on this rank.

    Returns
    -------
    dx : ndarray
        This rank's: of x's shape, dtype and memory layout.
    dweight, dbias : ndarray or None
        Those of the *whole batch*, with the same bits on every rank; None for a parameter that is absent.

    Raises
    ------
    ShapeError, TypeError
        On the rank whose dy is not of x's shape or dtype.
    RankError
        As from `sync_batch_norm`; also where ranks go back through different forward passes.

    Notes
    -----
    The formula is that of `gnref.backward`, with both sums over all shards: dx needs these sums in any
    case, and they are dbias and dweight.

    PyTorch's SyncBatchNorm returns what the shard alone adds to dweight and dbias, and leaves it to
    DistributedDataParallel to average over the ranks. If your training loop adds or averages the gradients
    of all parameters over R ranks, divide these two by R first: in both cases they then come out as the
    others do.

    Examples
    --------
    >>> import numpy as np
    >>> from gnref.teaching.threads import on_ranks
    >>> x = np.array([[1.0], [3.0], [5.0], [7.0]])
    >>> dy = np.array([[1.0], [0.0], [0.0], [2.0]])
    >>> def work(comm):
    ...     half = slice(2 * comm.Get_rank(), 2 * comm.Get_rank() + 2)
    ...     _, saved = sync_batch_norm_forward(x[half], np.ones(1), np.zeros(1), comm=comm)
    ...     dx, dweight, dbias = sync_batch_norm_backward(dy[half], saved)
    ...     return dweight.round(2).item(), dbias.item()
    >>> on_ranks(2, work)
    [(1.34, 3.0), (1.34, 3.0)]
    """
    return backward(dy, saved)
