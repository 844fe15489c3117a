"""A step in a process of its own: what hangs or dies there can be killed, and takes nothing else with it.

The first process (`children`) puts into a folder what is to be done. This one writes there what it is
doing, before it begins a case, and what it has found.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # Python has put this file's own folder first, whose names are no modules
    sys.path[:1] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from gpu import absent, record
from gpu.session import Context, Found, Step, attempt

GIVEN, NOW, FOUND = "given.json", "now.json", "found.json"


def main(folder: Path, **options: Any) -> None:
    """Do the step that is given; ``options`` are for tests."""
    threading.Thread(target=leave_with_the_first, daemon=True).start()
    given = json.loads((folder / GIVEN).read_text(encoding="utf-8"))
    absent.fill_in()

    def write(found: Found) -> None:
        record.replace(folder / FOUND, record.text(found))

    def tell(number: int, name: str) -> None:
        if number < 0:
            (folder / NOW).unlink(missing_ok=True)
            return
        record.replace(folder / NOW, json.dumps({"number": number, "case": name}))

    deadline = time.monotonic() + given["seconds"]
    context = Context(given["seed"], given["quick"], deadline=deadline, options=options)
    context.broken, context.tell, context.write = given["broken"], tell, write
    found = given["found"]
    attempt(Step(**given["step"]), context, found)
    write(found)


def leave_with_the_first() -> None:
    """End when the first process has gone, as nobody else would end what hangs here."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
