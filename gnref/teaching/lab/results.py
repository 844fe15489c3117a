"""The results of an experiment on disk: one JSON file, to which every finished run is added at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnref.errors import MissingExtraError
from gnref.teaching.lab.experiment import Record, Setting, key

if TYPE_CHECKING:
    from filelock import BaseFileLock

FORMAT = 1  # of the file; another one where this code could not read it


class Results:
    """The finished runs of one experiment in a folder, in the file ``NAME.json``.

    A run is known by its setting and by the versions of all that has a part in its numbers: with another
    version it is another run, and both stay. Whatever cannot be read as such a file is never written over.

    Parameters
    ----------
    folder : str or Path
        Made, if it is not there.
    name : str
        Of the experiment.

    Raises
    ------
    ValueError
        The file is damaged, or is no file of results of this experiment.
    OSError
        The folder cannot be made, or nothing can be written there.
    MissingExtraError
        filelock is not installed.
    """

    def __init__(self, folder: str | Path, name: str) -> None:
        self.name = name
        self.path = Path(folder).resolve() / f"{name}.json"
        check_folder(Path(folder))
        if self.path.exists() and not os.access(self.path, os.W_OK):
            raise PermissionError(f"{str(self.path)!r} is read-only; expected a file that can be written")
        self._lock = lock(self.path)
        self._own: dict[tuple[str, str], Record] = {}  # which another sweep may have written over
        self.reload()

    def reload(self) -> None:
        """Read the file again, to which another sweep may have added."""
        with self._lock:
            self._records = self._read() | self._own

    def find(self, setting: Setting, versions: dict[str, str]) -> Record | None:
        """Return the run of this setting with these versions, or None."""
        return self._records.get((key(setting), key(versions)))

    def add(self, record: Record) -> None:
        """Save a run, besides all that are there; the file is whole at every moment."""
        self._own[_identity(record)] = record
        with self._lock:
            self.reload()
            write_whole(self.path, to_json(self.name, self._records.values()))

    def _read(self) -> dict[tuple[str, str], Record]:
        """The runs in the file, by what they are known by."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except UnicodeDecodeError as error:
            raise self._damaged(str(error)) from None
        try:
            document = json.loads(text)
            if document["format"] != FORMAT or document["experiment"] != self.name:
                raise ValueError(f"format {document['format']!r}, experiment {document['experiment']!r}")
            records = [_record(found) for found in document["records"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._damaged(f"{type(error).__name__}: {error}") from None
        return {_identity(record): record for record in records}

    def _damaged(self, why: str) -> ValueError:
        """The sentence on a file that cannot be read."""
        return ValueError(
            f"{str(self.path)!r} cannot be read ({why}); expected results of {self.name!r}. It stays as "
            "it is: move it, or choose another folder"
        )


def to_json(name: str, records: Iterable[Record]) -> str:
    """Return the text of a file of results: one line for each run.

    Examples
    --------
    >>> print(to_json("video", [Record({"seed": 0}, {}, 2.5, {"gnref": "1"}, "now")]), end="")
    {"format": 1, "experiment": "video", "records": [
    {"setting": {"seed": 0}, "result": {}, "seconds": 2.5, "versions": {"gnref": "1"}, "finished": "now"}
    ]}
    """
    lines = ",\n".join(json.dumps(asdict(record)) for record in records)
    return f'{{"format": {FORMAT}, "experiment": {json.dumps(name)}, "records": [\n{lines}\n]}}\n'


def lock(path: Path) -> BaseFileLock:
    """Return what keeps other sweeps from a file: a lock of the system's, which dies with its process."""
    try:
        from filelock import FileLock
    except ImportError as error:
        raise MissingExtraError("keeping runs needs filelock: pip install 'gnref[lab]'") from error
    return FileLock(path.with_name(f".{path.name}.lock"))


def write_whole(path: Path, text: str) -> None:
    """Write a file in one step: whoever reads it, or interrupts this, finds all of the old or of the new."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def check_folder(folder: Path) -> None:
    """Make a folder and write a file there, which is then removed: what long work needs to be sure of.

    Raises
    ------
    OSError
        One of them cannot be done.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"folder is {str(folder)!r}, which is a file; expected a folder")
    trial = folder / f".gnref-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise type(error)(
            f"folder is {str(folder)!r}, which cannot be written to ({error.strerror}); expected another one"
        ) from None


def _identity(record: Record) -> tuple[str, str]:
    """What tells a run from all others."""
    return key(record.setting), key(record.versions)


def _record(found: dict[str, Any]) -> Record:
    """A run, from its JSON."""
    record = Record(**found)
    shapes = (
        (record.setting, dict),
        (record.result, dict),
        (record.seconds, int | float),
        (record.versions, dict),
        (record.finished, str),
    )
    for value, kind in shapes:
        if not isinstance(value, kind):
            raise TypeError(f"a run has {value!r}")
    return record
