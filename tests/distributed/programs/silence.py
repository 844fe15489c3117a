"""Rank 2 works once with the others, and then does what the argument says; what are they told?"""

import os
import signal
import sys
import time

import numpy as np
from mpi4py import MPI

from gnref.distributed import RankError, SyncBatchNorm

COMM = MPI.COMM_WORLD
RANK = COMM.Get_rank()
MODE = sys.argv[1]
x = np.random.default_rng(RANK).standard_normal((3, 16, 4))
layer = SyncBatchNorm(16, comm=COMM)
layer.forward(x)  # whatever has to be compiled is, and all are here
layer.timeout = 3
before = layer.state_dict()


def attempt(which):
    try:
        layer.forward(x)
    except RankError as error:
        print(f"rank {RANK}, {which}: {error}", flush=True)
    if any(not np.array_equal(before[name], value) for name, value in layer.state_dict().items()):
        print(f"rank {RANK}: running statistics changed", flush=True)


if RANK == 2:
    match MODE:
        case "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "is stopped":  # and nobody is told: like a machine that is gone
            os.kill(os.getpid(), signal.SIGSTOP)
        case "sleeps":
            time.sleep(3600)
        case "raises":
            raise ValueError("an error of its own")
        case "ends":
            sys.exit()
        case "is late":
            for other in (0, 1):
                COMM.recv(source=other)
attempt("first")
if RANK < 2:  # messages from one rank to another still pass
    if MODE == "is late":
        COMM.send("given up", dest=2)
    COMM.sendrecv("said so", dest=1 - RANK, source=1 - RANK)
attempt("again")
if RANK < 2:
    COMM.sendrecv("said so", dest=1 - RANK, source=1 - RANK)
raise SystemExit(7)
