"""Many runs of an experiment, in parallel processes, of which every finished one is kept."""

from __future__ import annotations

import json
import os
import platform
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib import import_module, metadata
from pathlib import Path
from time import perf_counter

import gnref
from gnref.errors import MissingExtraError
from gnref.teaching.lab.experiment import EXPERIMENTS, Record, Setting, key, load
from gnref.teaching.lab.progress import progress
from gnref.teaching.lab.results import Results

# Set before a process starts, since BLAS and Numba read them once. The runs are what is parallel; and with
# one thread each, BLAS adds in the same order however many cores there are.
ONE_THREAD = dict.fromkeys(
    (
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "OMP_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    ),
    "1",
)
PACKAGES = ("numpy", "numba", "scikit-image", "scikit-learn")  # which have a part in the numbers
FOLDERS = ("functional", "kernels", "layers", "teaching/lab/data", "teaching/lab/trainer")  # of gnref
TOLD = ("_figures.py", "_report.py")  # of the experiments, what draws and tells: no part of a run
Keep = Callable[[Record], None]


def sweep(
    name: str, settings: Sequence[Setting], processes: int | None = None, folder: str | Path | None = None
) -> list[Record]:
    """Run an experiment once for every setting, in parallel, and show how far it is.

    Parameters
    ----------
    name : str
        A key of `gnref.teaching.lab.experiment.EXPERIMENTS`.
    settings : sequence of dict
        Such as the experiment's ``settings(seeds=3)``.
    processes : int, optional
        How many at a time, with one thread each; absent, one for each core.
    folder : str or Path, optional
        Where to keep each run as soon as it is finished, in the file ``NAME.json``. A run that is there
        already, with the same versions of all that has a part in its numbers, is not made again. All else
        in the file stays. Absent, the environment variable GNREF_LAB; without either, nothing is kept.

    Returns
    -------
    records : list of Record
        In the order of the settings.

    Raises
    ------
    ValueError
        An unknown experiment, a number of processes below 1, a damaged file of results, a setting that the
        experiment refuses. What was finished before is in the folder.
    TypeError
        A setting that is not of JSON values.
    OSError
        Nothing can be written into the folder (told before the first run), or a process was killed.
    MissingExtraError
        joblib is not installed.
    KeyboardInterrupt
        Control-C. What was finished before is in the folder.
    """
    experiment = load(name)
    if processes is not None and processes < 1:
        raise ValueError(f"processes is {processes}; expected a positive integer")
    folder = folder or os.environ.get("GNREF_LAB")
    results = Results(folder, name) if folder else None
    known: dict[str, Record] = {}
    wanted = {key(setting): json.loads(key(setting)) for setting in settings}  # equal settings: one run
    for text, setting in wanted.items():
        found = results.find(setting, versions()) if results else None
        if found is not None:
            known[text] = found
    todo = [setting for text, setting in wanted.items() if text not in known]
    with progress(experiment.TITLE, len(wanted), done=len(known)) as advance:

        def keep(record: Record) -> None:
            if results is not None:
                results.add(record)
            known[key(record.setting)] = record
            advance()

        _run_all(EXPERIMENTS[name], todo, processes, keep)
    return [known[key(setting)] for setting in settings]


def run_once(module: str, setting: Setting) -> Record:
    """Make one run, here and now.

    Parameters
    ----------
    module : str
        Of the experiment: a value of `EXPERIMENTS`.
    setting : dict
        Of JSON values.
    """
    start = perf_counter()
    result = import_module(module).run(setting)
    seconds = round(perf_counter() - start, 3)
    result = json.loads(json.dumps(result))  # as it will be when it is read from a file
    return Record(setting, result, seconds, versions(), datetime.now(UTC).isoformat(timespec="seconds"))


def versions() -> dict[str, str]:
    """Return the versions of what has a part in a run's numbers, and the kind of machine.

    Examples
    --------
    >>> list(versions())[:5]
    ['gnref', 'code', 'backend', 'python', 'machine']
    """
    found = {
        "gnref": gnref.__version__,
        "code": code(),
        "backend": os.environ.get("GNREF_BACKEND") or "cpu",
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


@cache
def code() -> str:
    """Return a short hash of gnref's own lines that a run goes through: changed, they are another version."""
    package = Path(gnref.__file__).parent
    files = [file for file in package.glob("*.py") if file.name != "cli.py"]
    files += [file for folder in FOLDERS for file in (package / folder).rglob("*.py")]
    experiments = (package / "teaching/lab/experiments").glob("*.py")
    files += [file for file in experiments if not file.name.endswith(TOLD)]
    digest = sha256()
    for file in sorted(files):
        digest.update(file.relative_to(package).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _run_all(module: str, settings: Sequence[Setting], processes: int | None, keep: Keep) -> None:
    """Run every setting in a process of a pool, and keep each record as it comes."""
    if not settings:
        return
    with _pool(processes, len(settings)) as pool:
        with _no_interrupts():  # which the processes inherit, so that Control-C stops this one alone
            futures = [pool.submit(run_once, module, setting) for setting in settings]
        waiting = set(futures)
        try:
            for future in as_completed(futures):
                keep(_record(future))
                waiting.discard(future)
        except BaseException:
            _keep_finished(waiting, keep)
            raise


def _record(future: Future[Record]) -> Record:
    """What a process sent; a sentence if it died."""
    try:
        return future.result()
    except BrokenExecutor:
        raise ChildProcessError(
            "a process of the sweep was killed, perhaps for want of memory; expected it to finish "
            "(fewer processes need less)"
        ) from None


def _keep_finished(waiting: set[Future[Record]], keep: Keep) -> None:
    """Keep those that came in while something else stopped the sweep."""
    for future in waiting:
        if future.done() and not future.cancelled() and future.exception() is None:
            keep(future.result())


@contextmanager
def _pool(processes: int | None, at_most: int) -> Iterator[Executor]:
    """Processes with one thread each, which are killed if the sweep does not come to its end.

    They are joblib's, which start a fresh interpreter and, unlike Python's own, do not run the reader's
    script or notebook anew.
    """
    try:
        from joblib import cpu_count
        from joblib.externals.loky import ProcessPoolExecutor
    except ImportError as error:
        raise MissingExtraError("a sweep needs joblib: pip install 'gnref[lab]'") from error
    workers = min(processes or cpu_count(), at_most)
    pool = ProcessPoolExecutor(workers, env=ONE_THREAD, initializer=_ignore_interrupts)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=True, kill_workers=True)
        raise
    pool.shutdown(wait=True)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Hold Control-C back for a moment, where the system can."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # which, when it starts, would let Control-C through (Python 3.11)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ignore_interrupts() -> None:
    """In a process of the pool: leave Control-C to the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
