"""Batch norm over a batch that is spread over machines, on any MPI communicator of mpi4py.

Batch norm's statistics are over N, and in data-parallel training N lies on several machines. Each of them, a
*rank*, has a *shard*: its own examples. From every shard come count, mean and M2, which are merged by Chan's
formula; from there on it is batch norm with statistics that are given. The other norms' sets do not cross N,
so they need none of this: a shard alone gives what it gives in the batch.

    ranks    what ranks say to each other, within a time limit
    passes   forward and backward over the whole batch
    batch    the same as public functions
    layer    and as a layer, with running statistics

gnref never imports mpi4py; it calls the communicator that it is given. Start a program as
`mpiexec -n 4 python -m mpi4py program.py`: with `-m mpi4py` an uncaught error on one rank ends all.
"""

from gnref.distributed.batch import sync_batch_norm, sync_batch_norm_backward, sync_batch_norm_forward
from gnref.distributed.layer import SyncBatchNorm
from gnref.distributed.passes import SyncSaved
from gnref.distributed.ranks import RankError

__all__ = [
    "RankError",
    "SyncBatchNorm",
    "SyncSaved",
    "sync_batch_norm",
    "sync_batch_norm_backward",
    "sync_batch_norm_forward",
]
