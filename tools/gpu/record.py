"""What a check leaves behind: one JSON file, written anew after every step, and one with tables."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

NAME = "gpu_check"


class Record:
    """Results by the name of a step, in files that are not there yet.

    Parameters
    ----------
    folder : Path
        Made if it is not there. An earlier record in it is kept: the next one is gpu_check-2.

    Raises
    ------
    OSError
        Nothing can be written there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.json, self.markdown = reserved(folder)
        self.found: dict[str, Any] = {"passed": None, "steps": {}}
        replace(self.json, text(self.found))

    @property
    def steps(self) -> dict[str, Any]:
        """What was found, step by step."""
        steps: dict[str, Any] = self.found["steps"]
        return steps

    def write(self, table: str = "") -> None:
        """Write all that is known; a reader sees the file before or the one after, never half of one.

        Where that is no longer possible, it is said, and the check goes on.
        """
        try:
            replace(self.json, text(self.found))
            if table:
                replace(self.markdown, table)
        except OSError as error:
            print(f"{self.json} could not be written: {error}", file=sys.stderr, flush=True)


def reserved(folder: Path) -> tuple[Path, Path]:
    """The first two names that no file has; the first is taken at once, as others may be looking, too."""
    number = 1
    while True:
        stem = NAME if number == 1 else f"{NAME}-{number}"
        table, data = folder / f"{stem}.md", folder / f"{stem}.json"
        try:
            if not table.exists():
                data.open("x").close()
                return data, table
        except FileExistsError:
            pass
        number += 1


def replace(path: Path, words: str) -> None:
    """Write a file at once."""
    new = path.with_name(path.name + ".new")
    new.write_text(words, encoding="utf-8")
    os.replace(new, path)


def text(found: dict[str, Any]) -> str:
    """Anything that was found, as JSON."""
    return json.dumps(plain(found), indent=1, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """The same in what JSON has: NaN and infinities as words, NumPy's numbers as Python's."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(inner) for inner in value]
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
