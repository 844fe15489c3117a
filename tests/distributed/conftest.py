"""Ranks in threads, for what has to be tried often, and ranks of MPI, for the real thing."""

import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from gnref.distributed import ranks

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
collect_ignore = ["programs"]  # which ranks of MPI run
LIMIT = 240  # seconds, after which ranks are taken to hang; a first run compiles
LONGEST = 20  # seconds that a rank in a thread waits for the others
WAIT = ranks.wait
ONE_CORE = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Where the code is wrong, ranks in threads give up soon, whatever their timeout."""
    monkeypatch.setattr(ranks, "wait", lambda request, timeout: WAIT(request, min(timeout, LONGEST)))


def launcher():
    """The mpiexec beside this Python, as pip installs it, or another one."""
    beside = Path(sys.executable).parent / "mpiexec"
    return str(beside) if beside.exists() else shutil.which("mpiexec")


@pytest.fixture
def mpiexec():
    """mpiexec(3, "program.py", "argument") runs it on three ranks; returns its exit code and all it said."""
    found = launcher()
    if find_spec("mpi4py") is None or found is None:
        pytest.skip("needs mpi4py and mpiexec: pip install mpi4py mpich")

    def start(ranks, program, *arguments, python=(), limit=LIMIT, **env):
        command = [found, "-n", str(ranks), sys.executable, *python, str(HERE / "programs" / program)]
        process = subprocess.Popen(
            [*command, *arguments],
            env={**os.environ, **ONE_CORE, "PYTHONPATH": str(ROOT), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=limit)
        except BaseException as error:  # Ctrl-C is one
            os.killpg(process.pid, signal.SIGTERM)  # mpiexec then ends its ranks
            said, _ = process.communicate(timeout=30)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            pytest.fail(f"hangs after {limit} s: {' '.join(command)}\n{said}")
        print(said)
        return process.returncode, said

    return start
