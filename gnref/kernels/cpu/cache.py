"""Compiled code on disk: only the first process waits for the compiler.

Numba has such a cache, and where it keeps its files and how a compiled function becomes bytes is left to
it. Three things differ here. An entry is out of date as soon as any file of this directory has changed:
Numba looks at the function's own file, but the functions that it calls are compiled into it. An entry
has a checksum, and one that does not agree is compiled anew: Numba raises on some damaged files, and runs
the code in others. And there is one file for each entry and no index, so two processes that write at
the same time cannot leave an index that points at the code of another signature.

Only functions that Python itself calls need entries; those that they call are inside them.
"""

from __future__ import annotations

import os
import pickle
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import llvmlite
import numba
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps

DIGEST = 32  # bytes


def kernel(compiled: Any) -> Any:
    """Keep the code of a compiled function, which Python calls, on disk, if any directory can be written."""
    if not numba.config.DISABLE_JIT:
        with suppress(RuntimeError, OSError):
            compiled._cache = Cache(compiled)
    return compiled


@cache
def sources() -> str:
    """A hash of every file of this directory, and of what compiles them."""
    contents = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    hashes = [sha256(content).hexdigest() for content in contents]
    return " ".join([numba.__version__, llvmlite.__version__, *hashes])


class Cache(FunctionCache):  # type: ignore[misc]
    """The entries of one function. What fails here costs a compilation, never a result."""

    def __init__(self, compiled: Any) -> None:
        function = compiled.py_func
        super().__init__(function)
        stamp = f"{sources()} {self._impl.locator.get_source_stamp()} {compiled.targetoptions}"
        name = f"{function.__module__}.{function.__qualname__}".replace("<", "").replace(">", "")
        self._cache_file = Entries(Path(self.cache_path), name, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function for a signature, or None."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever unpickling raises
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function, or not."""
        with suppress(OSError):  # the disk is full, or no longer ours to write
            super().save_overload(sig, data)


class Entries:
    """The files of one function: for each signature and processor one, a checksum and the code."""

    __slots__ = ("folder", "name", "stamp")

    def __init__(self, folder: Path, name: str, stamp: str) -> None:
        self.folder = folder
        self.name = name
        self.stamp = stamp

    def load(self, key: Any) -> Any:
        """What was saved under a key, or None if that is damaged, out of date, or not there."""
        try:
            entry = self.path(key).read_bytes()
        except OSError:
            return None
        content = entry[DIGEST:]
        return pickle.loads(content) if entry[:DIGEST] == self.digest(key, content) else None

    def save(self, key: Any, data: Any) -> None:
        """Write to a file of another name first, so that nobody reads half an entry."""
        content = dumps(data)
        path = self.path(key)
        unfinished = path.with_name(f"{path.name}.{uuid4().hex}")
        try:
            unfinished.write_bytes(self.digest(key, content) + content)
            os.replace(unfinished, path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise

    def flush(self) -> None:
        """Remove all; Numba asks for it in `recompile`."""
        for path in self.folder.glob(f"{self.name}-*.nbc"):
            path.unlink(missing_ok=True)

    def path(self, key: Any) -> Path:
        """The file of a key. It outlives a change of the sources, to be overwritten."""
        return self.folder / f"{self.name}-{sha256(repr(key).encode()).hexdigest()[:16]}.nbc"

    def digest(self, key: Any, content: bytes) -> bytes:
        """A checksum that also tells one key, and one state of the sources, from another."""
        return sha256(f"{self.stamp} {key!r} ".encode() + content).digest()
