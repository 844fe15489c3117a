"""The other process: it makes a target, and answers one call after the other.

``python -m gnref.testing.targets.worker FD`` is started by `gnref.testing.targets.isolated`, with the number
of the connection to answer on.
"""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection
from typing import Any

from gnref.testing.problems import Problem
from gnref.testing.targets.functions import Functions, Recipe, Saved
from gnref.testing.targets.guarded import Guarded, guarded
from gnref.testing.targets.target import Directions, Finding, Forward, Refused

ARRAYS = ("x", "dy", "weight", "bias")


def make(recipe: Recipe) -> Functions:
    """Make a target, in the process that runs this."""
    if not isinstance(recipe.forward, str):
        return Functions(recipe.forward, recipe.backward, **recipe.options)
    from gnref.testing.targets.spec import parse

    given = parse(recipe.forward).arguments(recipe.options["norm"])
    chosen = {name: given[name] for name in ("arrays", "device") if name in given}
    return Functions(given["forward"], given.get("backward"), **(recipe.options | chosen))


def pack(problem: Problem) -> tuple[dict[str, Any], dict[str, Guarded]]:
    """A problem for the wire, with the strides of its arrays, which pickle would lose."""
    arrays = {name: getattr(problem, name) for name in ARRAYS}
    rest = dict(problem.__dict__, **dict.fromkeys(ARRAYS))
    return rest, {name: guarded(a) for name, a in arrays.items() if a is not None}


def unpack(packed: tuple[dict[str, Any], dict[str, Guarded]]) -> Problem:
    """The problem again."""
    rest, places = packed
    arrays = {name: place.view(place.buffer, place.writeable) for name, place in places.items()}
    return Problem(**(rest | arrays))


def answer(target: Functions, request: tuple[Any, ...]) -> tuple[Any, ...]:
    """Do what is asked: a forward or a backward pass, or what differentiates further."""
    what, packed, options, *more = request
    problem = unpack(packed)
    try:
        if what == "forward":
            y, mean, _, rstd, _ = target.forward(problem, **options)
            found: Any = (y, mean, rstd)
        elif what in ("second", "forward_mode"):
            x, *params = more
            views = (None if place is None else place.view(place.buffer) for place in params)
            along = Directions(x.view(x.buffer), *views)
            found = getattr(target, what)(problem, along)
        else:
            dy, mean, rstd = more
            forward = Forward(dy, saved=Saved(problem, mean, rstd))
            found = tuple(target.backward(dy.view(dy.buffer), forward, **options))
    except Refused as error:
        return "refused", str(error)
    except Finding as finding:
        return "finding", finding.property, finding.message
    noted = [(finding.property, finding.message) for finding in target.findings]
    target.findings.clear()
    return "ok", found, noted


def serve(connection: Connection, recipe: Recipe) -> None:
    """Answer until the other side hangs up."""
    try:
        target = make(recipe)
    except Exception as error:
        connection.send(("failed", type(error).__name__, str(error)))
        return
    connection.send(("ready", sorted(target.abilities), target.name))
    while True:
        try:
            request = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(answer(target, request))


def quiet() -> None:
    """Nothing that a target prints belongs into the report of the other process."""
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def main() -> None:
    """Answer on the connection whose number is the argument."""
    quiet()
    connection: Connection = Connection(int(sys.argv[1]))
    sys.path[:] = connection.recv()
    serve(connection, connection.recv())


if __name__ == "__main__":
    main()
