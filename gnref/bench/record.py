"""The results as JSON: every time that was taken, and what the tables say of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gnref.bench.costs import Cost
from gnref.bench.results import Outcome, Result, Timing
from gnref.bench.summary import Figure, summary


def to_json(
    machine: Mapping[str, Any],
    settings: Mapping[str, Any],
    results: Sequence[Result],
    absent: Mapping[str, str],
    costs: Sequence[Cost] = (),
) -> str:
    """Return everything as JSON; times are in seconds."""
    return json.dumps(
        {
            "machine": machine,
            "settings": settings,
            "rows": [row_of(result) for result in results],
            "summary": {name: _figures(found) for name, found in summary(results).items()},
            "absent": absent,
            "costs": [{"what": cost.what, **cost.values} for cost in costs],
        },
        indent=1,
    )


def row_of(result: Result) -> dict[str, Any]:
    """One row."""
    return {
        **result.row._asdict(),
        "nbytes": result.row.nbytes,
        "gnref": timing_of(result.own),
        "gnref_out": timing_of(result.own_out),
        "peers": {name: _outcome(outcome) for name, outcome in result.peers.items()},
        "copies": {name: timing_of(timing) for name, timing in result.copies.items()},
        "ratios": {name: result.ratio(name) for name in result.peers},
        "fastest": result.fastest,
        "limit": result.limit,
        "share_of_limit": result.share,
        **({"bytes_per_second": result.rate, "hosts": dict(result.hosts)} if result.hosts else {}),
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    """How a peer did."""
    error = outcome.error if outcome.error is not None and outcome.error < float("inf") else None
    return {
        "status": outcome.status,
        "way": outcome.way,
        "reason": outcome.reason,
        "error": error,
        **(timing_of(outcome.timing) or {}),
    }


def timing_of(timing: Timing | None) -> dict[str, Any] | None:
    """Times and what is said of them."""
    if timing is None:
        return None
    low, high = timing.quartiles
    return {
        "median": timing.median,
        "quartiles": [low, high],
        "seconds": list(timing.seconds),
        "calls": timing.calls,
    }


def _figures(found: Mapping[str, Any]) -> dict[str, Any]:
    """Figures with their names."""
    return {name: value._asdict() if isinstance(value, Figure) else value for name, value in found.items()}
