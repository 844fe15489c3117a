"""What each rank is told when one has bad arguments or ranks disagree; and that all goes on afterwards."""

import sys

import numpy as np
from mpi4py import MPI

from gnref.distributed import (
    SyncBatchNorm,
    sync_batch_norm,
    sync_batch_norm_backward,
    sync_batch_norm_forward,
)

COMM = MPI.COMM_WORLD
RANK, R = COMM.Get_rank(), COMM.Get_size()
X = np.random.default_rng(RANK).standard_normal((3, 16, 4))
W = np.ones(16)


def call(x=X, weight=W, bias=W, **options):
    return lambda: sync_batch_norm_forward(x, weight, bias, comm=COMM, **{"timeout": 60, **options})


def backward(dy, call=0):
    saved = (call_one, call_two)[call]
    return lambda: sync_batch_norm_backward(dy, saved)


def layer(x):
    return lambda: SyncBatchNorm(16, comm=COMM, timeout=60).forward(x)


_, call_one = call()()
_, call_two = call()()
GOOD = call()
# What the odd rank does, what the others do.
CASES = {
    "C": (call(X[:, :8], W[:8], W[:8]), GOOD),
    "dtype of x": (call(X.astype(np.float32)), GOOD),
    "eps": (call(eps=1e-3), GOOD),
    "no weight": (call(weight=None), GOOD),
    "dtype of bias": (call(bias=W.astype(np.float32)), GOOD),
    "integers": (call(np.ones((3, 16), int)), GOOD),
    "a list": (call([1.0, 2.0]), GOOD),
    "one dimension": (call(W), GOOD),
    "channel_axis": (call(channel_axis=0), GOOD),
    "eps not finite": (call(eps=float("nan")), GOOD),
    "weight of 8": (call(weight=W[:8]), GOOD),
    "timeout": (call(timeout=-1), GOOD),
    "other call": (backward(X), GOOD),
    "dy": (backward(X[:1]), backward(X)),
    "other forward": (backward(X, 0), backward(X, 1)),
    "layer": (layer(X[:, :8]), layer(X)),
    "layer, integers": (layer(np.ones((3, 16), int)), layer(X)),
}


def report(name, act):
    """What every rank is told, from rank 0."""
    try:
        act()
        said = "nothing"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    every = COMM.gather(said)
    if RANK == 0:
        for rank, each in enumerate(every):
            print(f"{name} | {rank} | {each}")


odd = int(sys.argv[1])
for name, (bad, good) in CASES.items():
    report(name, bad if odd == RANK else good)
one = np.ones((int(odd == RANK), 16))  # one element per channel, in the whole batch
report("one element", lambda: sync_batch_norm(one, comm=COMM, timeout=60))
report("after all", GOOD)
