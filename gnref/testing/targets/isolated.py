"""A target in a process of its own: that it hangs, aborts or takes its process down is a finding."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from gnref.errors import BackendError
from gnref.testing.domain import Domain
from gnref.testing.problems import Array, Problem
from gnref.testing.targets.functions import Recipe, Saved
from gnref.testing.targets.guarded import guarded
from gnref.testing.targets.libraries import portable
from gnref.testing.targets.target import (
    Directions,
    Finding,
    Forward,
    Gradients,
    Refused,
    Second,
    Stopped,
    Unsupported,
)
from gnref.testing.targets.worker import pack, quiet, serve

RETURNS = "every call returns"
COMPILING = 6  # times the timeout, for the first call with new shapes and dtypes
STARTING = 120.0  # seconds, to import a framework
TOLD = {kind.__name__: kind for kind in (BackendError, ValueError, TypeError)}  # they say all themselves
HANGS, DEATHS, FEW = 3, 20, 2  # after so many the target is given up, for good or for one property


class Isolated:
    """`Functions` in another process, which is started again when it is lost.

    Parameters
    ----------
    forward, backward, norm, arrays, device, channel_axis, name
        As of `Functions`; forward may be the text that names a target, as of the command line.
    domain : Domain
        The problems that they are meant for.
    timeout : float
        Seconds that a call may take. The first one with new shapes and dtypes may take six times as long,
        if it computes all the while: compilers run then.
    """

    def __init__(
        self,
        forward: Callable[..., Any] | str,
        backward: Callable[..., Any] | None = None,
        *,
        norm: str,
        domain: Domain | None = None,
        timeout: float = 10.0,
        **options: Any,
    ) -> None:
        if os.name != "posix":
            raise ValueError("isolate is True; expected False: this system cannot pass a pipe to a process")
        for what, function in (("forward", forward), ("backward", backward)):
            if not callable(function) and not isinstance(function, str) and function is not backward:
                raise TypeError(f"{what} is {function!r}; expected a function")
        self.recipe = Recipe(forward, backward, {"norm": norm} | options)
        self.norm, self.domain, self.timeout = norm, domain or Domain(), timeout
        self.affine_required = self.domain.affine_required
        self.findings: list[Finding] = []
        self.hangs = self.deaths = 0
        self.patience = DEATHS
        self.process: Worker | None = None
        self.seen: set[Any] = set()
        abilities, self.name = self.started().greeting
        # The worker knows nothing of the domain, which is kept on this side.
        self.abilities = frozenset(abilities) - frozenset(["strides"] * self.domain.contiguous)

    def forward(self, problem: Problem, **options: Any) -> Forward:
        """Call the forward function over there."""
        self.require(problem)
        y, mean, rstd = self.ask(problem, ("forward", pack(problem), options))
        return Forward(y, mean, None, rstd, Saved(problem, mean, rstd))

    def backward(self, dy: Array, forward: Forward, **options: Any) -> Gradients:
        """Call the backward function over there."""
        problem, mean, rstd = forward.saved
        self.require(problem)
        return Gradients(*self.ask(problem, ("backward", pack(problem), options, guarded(dy), mean, rstd)))

    def second(self, problem: Problem, along: Directions) -> Second:
        """Differentiate twice over there."""
        return Second(*self.further("second", problem, along))

    def forward_mode(self, problem: Problem, along: Directions) -> Array:
        """Differentiate y along directions over there."""
        made: Array = self.further("forward_mode", problem, along)
        return made

    def further(self, what: str, problem: Problem, along: Directions) -> Any:
        """Call one of the two."""
        self.require(problem)
        places = [None if a is None else guarded(a) for a in along]
        return self.ask(problem, (what, pack(problem), {}, *places))

    def require(self, problem: Problem) -> None:
        """Raise `Unsupported` for a problem outside the domain."""
        if problem.norm != self.norm:
            raise Unsupported(f"{self.name} is no {problem.norm} norm")
        if reason := self.domain.why_not(problem):
            raise Unsupported(reason)

    def ask(self, problem: Problem, request: tuple[Any, ...]) -> Any:
        """Send a request, and wait for the answer."""
        if self.hangs >= HANGS or self.patience <= 0:
            raise Stopped(f"given up after {self.hangs} calls that hung and {self.deaths} that ended it")
        worker = self.started()
        signature = (request[0], problem.shape, problem.dtype, problem.weight is None, problem.bias is None)
        longer = 1 if signature in self.seen else COMPILING
        try:
            kind, *found = worker.asked(request, self.timeout, longer)
        except TimeoutError as error:
            self.hangs += 1
            self.close()
            raise Finding(RETURNS, f"does not return within {self.timeout:g} s") from error
        except (EOFError, OSError) as error:
            self.deaths, self.patience = self.deaths + 1, self.patience - 1
            told = worker.last_words()
            self.close()
            raise Finding(RETURNS, f"takes its process down: {told}") from error
        self.seen.add(signature)
        if kind == "refused":
            raise Refused(found[0])
        if kind == "finding":
            raise Finding(*found)
        self.findings += [Finding(*noted) for noted in found[1]]
        return found[0]

    def renew(self) -> None:
        """Another property: a few more calls may take the process down."""
        self.patience = FEW

    def started(self) -> Worker:
        """The worker, started if there is none."""
        if self.process is None:
            self.seen.clear()
            self.process = Worker(self.recipe)
        return self.process

    def close(self) -> None:
        """End the worker."""
        if self.process is not None:
            self.process.kill()
            self.process = None


class Worker:
    """A process that answers: a fresh interpreter, or a fork where its functions have no name to import."""

    def __init__(self, recipe: Recipe) -> None:
        self.connection, theirs = Pipe()
        device = portable(recipe.options.get("device"))
        recipe = recipe._replace(options=recipe.options | {"device": device})
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  closed with the worker
        self.process = self.fresh(recipe, theirs) if importable(recipe) else self.forked(recipe, theirs)
        theirs.close()
        try:
            kind, *self.greeting = self.received(STARTING)
        except (EOFError, OSError, TimeoutError) as error:
            told = self.last_words()
            self.kill()
            raise ValueError(f"the target could not be started: {told}") from error
        if kind == "failed":
            self.kill()
            name, told = self.greeting
            if name in TOLD:
                raise TOLD[name](told)
            raise ValueError(f"the target could not be made: {name}: {told}")

    def fresh(self, recipe: Recipe, theirs: Connection) -> Any:
        """A new interpreter, which shares nothing with this one: no threads, no locks, no CUDA context."""
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "gnref.testing.targets.worker", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=self.errors,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self.connection.send(sys.path)
        self.connection.send(recipe)
        return process

    def forked(self, recipe: Recipe, theirs: Connection) -> Any:
        """A fork, for functions that only this process has: lambdas, closures, those of a notebook."""

        def child() -> None:
            os.setsid()
            os.dup2(self.errors.fileno(), 2)
            quiet()
            self.connection.close()
            serve(theirs, recipe)

        process = get_context("fork").Process(target=child, daemon=True)
        with warnings.catch_warnings():  # of threads that a fork leaves behind: there is no other way
            warnings.simplefilter("ignore")
            process.start()
        return process

    def asked(self, request: tuple[Any, ...], timeout: float, longer: int) -> Any:
        """The answer to a request; raises TimeoutError, or EOFError if the process is gone."""
        self.connection.send(request)
        end, busy = time.monotonic() + timeout, self.processor_time()
        for turn in range(longer):
            if self.connection.poll(max(0.0, end - time.monotonic())):
                return self.connection.recv()
            before, busy = busy, self.processor_time()
            if turn + 1 < longer and busy is not None and before is not None and busy - before < timeout / 20:
                break  # it sleeps: no compiler does
            end += timeout
        raise TimeoutError

    def received(self, timeout: float) -> Any:
        """The next message."""
        if not self.connection.poll(timeout):
            raise TimeoutError
        return self.connection.recv()

    def processor_time(self) -> float | None:
        """Seconds that the worker and its children have computed; None where the system does not tell."""
        try:
            ticks = 0
            for stat in Path("/proc").glob("[0-9]*/stat"):
                with contextlib.suppress(OSError):
                    words = stat.read_text().rpartition(")")[2].split()
                    if int(words[3]) == self.process.pid:  # the session
                        ticks += sum(int(word) for word in words[11:15])
            return ticks / os.sysconf("SC_CLK_TCK") if Path("/proc/self/stat").exists() else None
        except (OSError, ValueError):
            return None

    def last_words(self) -> str:
        """How the process ended, and the last line that it wrote."""
        code = self._code()
        how = f"exit status {code}" if code is not None and code >= 0 else "it is gone"
        if code is not None and code < 0:
            how = signal.Signals(-code).name
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return f"{how} ({lines[-1].strip()})" if lines else how

    def _code(self) -> int | None:
        """The exit status, which may take a moment to come."""
        with contextlib.suppress(Exception):
            if isinstance(self.process, subprocess.Popen):
                return self.process.wait(5)
            self.process.join(5)
            code: int | None = self.process.exitcode
            return code
        return None

    def kill(self) -> None:
        """End the process and its children."""
        self.connection.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._code()
        self.errors.close()


def importable(recipe: Recipe) -> bool:
    """Whether another interpreter can find the functions by their names."""
    functions = [function for function in (recipe.forward, recipe.backward) if callable(function)]
    try:
        pickle.dumps(recipe)
        modules = [function.__module__ for function in functions]
        return all(module != "__main__" and find_spec(module) is not None for module in modules)
    except Exception:
        return False
